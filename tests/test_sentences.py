"""The library's messages are whole sentences: a capital or a name at the beginning, a full stop at the end."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "animlab"
LABELS = {"z", "d", "c"}

# Errors that whoever catches them puts into a sentence of their own.
PARTS = {
    "ArchiveError": "it adds the archive's name and the full stop itself; the reason alone stands in Clips.skipped",
    "MediaError": "its reason stands in Clips.skipped, after the name of the file",
    "Unknown": "layers_of says that the page cannot run this generator, and why",
    "_picture_error": "as MediaError",
    "diverged": "Trainer.diverged says at which step, and what was saved",
}
# The same of functions, as file: function.
FRAGMENTS = {
    "__init__.py: __getattr__": "worded as Python words an AttributeError",
    "animation.py: _write_mp4": "write_whole names the file",
    "backend/optimizers.py: restore_optimizer": "checkpoints.fitting names the file",
    "checkpoints.py: card_of": "checkpoints.fitting names the file",
    "checkpoints.py: compare": "checkpoints.fitting names the file",
    "checkpoints.py: read_checkpoint": "its own except names the file",
    "datasets/basel.py: _directions": "read_basel names the file",
    "datasets/basel.py: _from_matlab": "read_basel names the file",
    "datasets/basel.py: _model": "read_basel names the file",
    "datasets/fetch.py: _attempt": "FetchError is half a sentence: load_dataset says what it has done instead",
    "datasets/fetch.py: _stream": "FetchError is half a sentence: load_dataset says what it has done instead",
    "datasets/fetch.py: fetch_folders": "_attempt words it anew",
    "frames.py: match": "checkpoints.fitting names the file",
    "storage.py: build": "checkpoints.fitting names the file",
    "sweeps.py: _parsed": "SweepError names the cell",
    "sweeps.py: run_cell": "SweepError names the cell",
}

Message = ast.Constant | ast.JoinedStr


def texts(node: ast.expr) -> Iterator[Message]:
    """The strings that an argument may be."""
    if isinstance(node, ast.IfExp):
        yield from texts(node.body)
        yield from texts(node.orelse)
    elif isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str)):
        yield node


def messages(tree: ast.Module) -> Iterator[tuple[str, str, Message, set[str]]]:
    """What a module raises or warns of: error, function, message, and the names known where it is raised."""

    def walk(node: ast.AST, place: str, names: set[str]) -> Iterator[tuple[str, str, Message, set[str]]]:
        for child in ast.iter_child_nodes(node):
            where, known = place, names
            if isinstance(child, ast.FunctionDef | ast.ClassDef):
                where, known = child.name, names | {child.name}
            if isinstance(child, ast.FunctionDef):
                known = known | {each.arg for each in ast.walk(child.args) if isinstance(each, ast.arg)}
            if isinstance(child, ast.ClassDef):
                known = known | {each.target.id for each in child.body if isinstance(each, ast.AnnAssign)}
            call = child.exc if isinstance(child, ast.Raise) else child
            if isinstance(call, ast.Call):
                name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
                if isinstance(child, ast.Raise) or name == "warn":
                    yield from ((name, where, text, known) for each in call.args for text in texts(each))
            yield from walk(child, where, known)

    return walk(tree, "", LABELS)


def is_sentence(text: Message, names: set[str]) -> bool:
    """Whether a message begins with a capital, a digit, a quote, a name of the code or a value, and ends as one."""
    parts = [text] if isinstance(text, ast.Constant) else text.values
    first, last = (part.value if isinstance(part, ast.Constant) else None for part in (parts[0], parts[-1]))
    word = re.match(r"[a-z_]\w*", first or "")
    begins = not word or word[0] in names or first[word.end()] in "(="
    return begins and last is not None and last.endswith((".", "?"))


def faults(source: str) -> dict[str, str]:
    """function -> the first message of it that is no sentence."""
    found: dict[str, str] = {}
    for error, where, text, names in messages(ast.parse(source)):
        if error not in PARTS and not is_sentence(text, names):
            found.setdefault(where, ast.unparse(text))
    return found


def test_messages_are_sentences() -> None:
    found = {
        f"{path.relative_to(PACKAGE).as_posix()}: {where}": text
        for path in sorted(PACKAGE.rglob("*.py"))
        for where, text in faults(path.read_text(encoding="utf-8")).items()
    }
    wrong = {where: text for where, text in found.items() if where not in FRAGMENTS}
    assert not wrong, "\n".join(f"{where}: {text}" for where, text in wrong.items())
    assert not FRAGMENTS.keys() - found.keys(), "these raise no fragments any more"


@pytest.mark.parametrize(
    "raised, good",
    [
        ("ValueError('There is no such file.')", True),
        ("ValueError('there is no such file.')", False),
        ("ValueError('There is no such file')", False),
        ("ValueError(f'k must be less than {k}, got {k}.')", True),  # an argument's name
        ("ValueError(f'k must be less than {k}')", False),
        ("ValueError(f'{k} is too many.')", True),
        ("ValueError('f needs k.' if k else 'it needs k.')", False),
        ("ValueError('f(3) needs root=….')", True),
        ("OSError(28, 'no space left.')", False),
        ("checks.Wrong('no.')", False),
        ("MediaError('empty (0 bytes)')", True),
        ("TypeError(k)", True),
    ],
)
def test_a_sentence_is_told_from_a_fragment(raised: str, good: bool) -> None:
    assert (not faults(f"def f(k):\n    raise {raised}")) == good
    assert faults("import warnings\nwarnings.warn('no capital.')")
