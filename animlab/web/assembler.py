"""WebAssembly from its text format: just what kernel.py writes, so that the page holds no bytes of unknown origin.

The text is standard (WebAssembly Core 2.0, chapter 6), and any other assembler makes the same module of it. Known here:
one imported memory, functions that give nothing back, folded instructions, block and loop, names in place of numbers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

Expression = list[Any]  # of strings and expressions, as the brackets nest

EMPTY = 0x40  # type of a block that gives nothing back
FOUR_BYTES = 2  # alignment of every address, as a power of two
TYPES = {"i32": 0x7F, "f32": 0x7D, "v128": 0x7B}
CONTROL = {"block": 0x02, "loop": 0x03, "br": 0x0C, "br_if": 0x0D}
LOCALS = {"local.get": 0x20, "local.set": 0x21, "local.tee": 0x22}
PLAIN = {
    "i32.eqz": b"\x45", "i32.ne": b"\x47", "i32.lt_u": b"\x49",
    "i32.add": b"\x6a", "i32.sub": b"\x6b", "i32.mul": b"\x6c", "i32.shl": b"\x74",
    "f32x4.splat": b"\xfd\x13", "f32x4.add": b"\xfd\xe4\x01", "f32x4.sub": b"\xfd\xe5\x01",
    "f32x4.mul": b"\xfd\xe6\x01", "f32x4.max": b"\xfd\xe9\x01", "f32x4.relaxed_madd": b"\xfd\x85\x02",
}  # fmt: skip
MEMORY = {"v128.load": b"\xfd\x00", "v128.load32_splat": b"\xfd\x09", "v128.store": b"\xfd\x0b"}


def assemble(text: str) -> bytes:
    """Translates a WebAssembly module from text to binary.

    Args:
        text: the module, with what the tables above know.

    Raises:
        ValueError: The text holds something else.
    """
    head, *fields = _parse(_tokens(text))
    if head != "module":
        raise ValueError(f"The text is no module but {head!r}.")
    functions = [field[1:] for field in fields if field[0] == "func"]
    (memory,) = [field[1:] for field in fields if field[0] == "import"]
    types, names, bodies = zip(*map(_function, functions), strict=True)
    pages = int(memory[2][1])
    imported = _text(memory[0]) + _text(memory[1]) + b"\x02\x00" + _unsigned(pages)
    exports = [_text(name) + b"\x00" + _unsigned(i) for i, name in enumerate(names)]
    return b"\0asm\x01\0\0\0" + b"".join(
        [
            _section(1, types),
            _section(2, [imported]),
            _section(3, map(_unsigned, range(len(functions)))),
            _section(7, exports),
            _section(10, bodies),
        ]
    )


def _function(fields: Sequence[Any]) -> tuple[bytes, str, bytes]:
    """A function's type, the name it is exported under, and its code."""
    given = {kind: [field for field in fields if field[0] == kind] for kind in ("export", "param", "local")}
    ((_, name),) = given["export"]
    places = {field[1]: i for i, field in enumerate(given["param"] + given["local"])}
    kind = b"\x60" + _vector(bytes([TYPES[field[2]]]) for field in given["param"]) + _vector([])
    local = _vector(_unsigned(1) + bytes([TYPES[field[2]]]) for field in given["local"])
    code = b"".join(_code(field, places, ()) for field in fields if field[0] not in given)
    body = local + code + b"\x0b"
    return kind, name, _unsigned(len(body)) + body


def _code(expression: Expression, places: dict[str, int], labels: tuple[str, ...]) -> bytes:
    """A folded instruction: first what it takes, then itself. labels: of the blocks around it, innermost first."""
    name, *rest = expression
    if name in ("block", "loop"):
        inner = b"".join(_code(part, places, (rest[0], *labels)) for part in rest[1:])
        return bytes([CONTROL[name], EMPTY]) + inner + b"\x0b"
    operands = b"".join(_code(part, places, labels) for part in rest if isinstance(part, list))
    words = [part for part in rest if isinstance(part, str)]
    if name in CONTROL:
        return operands + bytes([CONTROL[name]]) + _unsigned(labels.index(words[0]))
    if name in LOCALS:
        return operands + bytes([LOCALS[name]]) + _unsigned(places[words[0]])
    if name == "i32.const":
        return b"\x41" + _signed(int(words[0]))
    if name in PLAIN:
        return operands + PLAIN[name]
    if name in MEMORY:
        offset = int(words[0].removeprefix("offset=")) if words else 0
        return operands + MEMORY[name] + _unsigned(FOUR_BYTES) + _unsigned(offset)
    raise ValueError(f"The assembler does not know {name!r}.")


def _tokens(text: str) -> list[str]:
    return re.findall(r'[()]|"[^"]*"|[^\s()"]+', re.sub(r";;.*", "", text))


def _parse(tokens: list[str]) -> Expression:
    stack: list[Expression] = [[]]
    for token in tokens:
        if token == "(":
            stack.append([])
        elif token == ")":
            stack[-2].append(stack.pop())
        else:
            stack[-1].append(token.strip('"'))
    (expression,) = stack[0]
    return expression


def _section(number: int, entries: Iterable[bytes]) -> bytes:
    content = _vector(entries)
    return bytes([number]) + _unsigned(len(content)) + content


def _vector(entries: Iterable[bytes]) -> bytes:
    entries = list(entries)
    return _unsigned(len(entries)) + b"".join(entries)


def _text(name: str) -> bytes:
    return _unsigned(len(name)) + name.encode()


def _unsigned(n: int) -> bytes:
    """LEB128: seven bits a byte, the lowest first."""
    low, n = n & 0x7F, n >> 7
    return bytes([low]) if n == 0 else bytes([low | 0x80]) + _unsigned(n)


def _signed(n: int) -> bytes:
    low, n = n & 0x7F, n >> 7
    done = n == (-1 if low & 0x40 else 0)
    return bytes([low]) if done else bytes([low | 0x80]) + _signed(n)
