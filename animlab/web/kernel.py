"""The loops of the page that take time, in WebAssembly: four numbers at a time (SIMD).

`multiply` makes a picture of `blocks` × 8 channels out of another. Its numbers are float32, its sizes in bytes. For the
output pixel (y, x) it reads `taps` runs of numbers, `run` bytes each, the first at input + y inRow + x inPixel, the
next inRow further; channels lie side by side, so a run of a 3×3 convolution is the channels of three neighbours. A 1×1
convolution has one tap, a linear layer one pixel. weights: for each block of 8 channels, 8 numbers for each one read.

Four pixels are made at once, so that each weight is fetched for four products; their 32 sums stay in registers.

The others go over `bytes` of neighbouring numbers: `leaky` is max(x, slope x), `add` a + b, `blend` a + share (b - a).
page/engine.js has the same loops in plain JavaScript, for browsers without WebAssembly SIMD.
"""

from __future__ import annotations

PARAMETERS = (
    "input", "weights", "bias", "output", "height", "width", "blocks", "taps", "run",
    "inRow", "inPixel", "outRow", "outPixel",
)  # fmt: skip
UNROLLED = 4  # numbers of a run that one round of the innermost loop takes


def kernel(fused: bool) -> str:
    """The module's text.

    Args:
        fused: whether products are added in one instruction, from "relaxed SIMD", which browsers had later than the
            rest.
    """
    parameters = " ".join(f"(param ${name} i32)" for name in PARAMETERS)
    places = " ".join(f"(local ${name} i32)" for name in ("y", "x", "a", "o", "w", "row", "t", "end"))
    pixels = " ".join(f"(local $p{i} i32)" for i in range(4))
    sums = " ".join(f"(local $low{i} v128) (local $high{i} v128)" for i in range(4))
    return f"""
(module
  (import "page" "memory" (memory 1))
  (func (export "multiply") {parameters}
    {places}
    {pixels}
    {sums}
    (local $number v128) (local $wLow v128) (local $wHigh v128)
    (loop $eachBlock
      (local.set $y (i32.const 0))
      (loop $eachRow
        (local.set $a (i32.add (local.get $input) (i32.mul (local.get $y) (local.get $inRow))))
        (local.set $o (i32.add (local.get $output) (i32.mul (local.get $y) (local.get $outRow))))
        (local.set $x (local.get $width))
        (block $noFour
          (loop $eachFour
            (br_if $noFour (i32.lt_u (local.get $x) (i32.const 4)))
            {_tile(4, fused)}
            (br $eachFour)))
        (block $noMore
          (loop $eachOne
            (br_if $noMore (i32.eqz (local.get $x)))
            {_tile(1, fused)}
            (br $eachOne)))
        (local.set $y (i32.add (local.get $y) (i32.const 1)))
        (br_if $eachRow (i32.ne (local.get $y) (local.get $height))))
      (local.set $weights ;; eight times a run's bytes, for each tap
        (i32.add (local.get $weights) (i32.mul (local.get $taps) (i32.shl (local.get $run) (i32.const 3)))))
      {_forward("bias", 32)}
      {_forward("output", 32)}
      {_forward("blocks", -1)}
      (br_if $eachBlock (local.get $blocks))))
  {_each("leaky", "a", "slope", "(f32x4.max {a} (f32x4.mul {a} {slope}))")}
  {_each("add", "a b", "", "(f32x4.add {a} {b})")}
  {_each("blend", "a b", "share", "(f32x4.add {a} (f32x4.mul {share} (f32x4.sub {b} {a})))")})
"""


def _each(name: str, sources: str, constant: str, result: str) -> str:
    """A function that goes over `bytes` of its sources, at least 16, and writes a result for each number."""
    values = {source: f"(v128.load (local.get ${source}))" for source in sources.split()}
    places = " ".join(f"(param ${source} i32)" for source in [*values, "to", "bytes"])
    more = f"(param ${constant} f32)" if constant else ""
    result = result.format(**values, **{constant: f"(f32x4.splat (local.get ${constant}))"})
    return "\n".join(
        [
            f'(func (export "{name}") {places} {more}',
            "(loop $eachNumber",
            f"(v128.store (local.get $to) {result})",
            *(_forward(place, 16) for place in [*values, "to"]),
            _forward("bytes", -16),
            "(br_if $eachNumber (local.get $bytes))))",
        ]
    )


def _tile(pixels: int, fused: bool) -> str:
    """`pixels` neighbours by 8 channels."""
    each = range(pixels)
    fresh = [
        f"(local.set ${half}{i} (v128.load offset={16 * k} (local.get $bias)))"
        for i in each
        for k, half in enumerate(("low", "high"))
    ]
    starts = [
        f"(local.set $p{i} (i32.add (local.get $p{i - 1}) (local.get $inPixel)))"
        if i
        else "(local.set $p0 (local.get $row))"
        for i in each
    ]
    products = []
    for step in range(UNROLLED):
        products += [
            f"(local.set $wLow (v128.load offset={32 * step} (local.get $w)))",
            f"(local.set $wHigh (v128.load offset={32 * step + 16} (local.get $w)))",
        ]
        for i in each:
            products += [f"(local.set $number (v128.load32_splat offset={4 * step} (local.get $p{i})))"]
            for half in ("Low", "High"):
                sum_, number, weight = (f"(local.get ${name})" for name in (f"{half.lower()}{i}", "number", f"w{half}"))
                total = f"(f32x4.add {sum_} (f32x4.mul {number} {weight}))"
                if fused:
                    total = f"(f32x4.relaxed_madd {number} {weight} {sum_})"
                products += [f"(local.set ${half.lower()}{i} {total})"]
    stores = []
    for i in each:
        stores += [
            f"(v128.store (local.get $o) (local.get $low{i}))",
            f"(v128.store offset=16 (local.get $o) (local.get $high{i}))",
            "(local.set $o (i32.add (local.get $o) (local.get $outPixel)))",
            "(local.set $a (i32.add (local.get $a) (local.get $inPixel)))",
        ]
    return "\n".join(
        [
            *fresh,
            "(local.set $w (local.get $weights))",
            "(local.set $row (local.get $a))",
            "(local.set $t (local.get $taps))",
            f"(loop $eachTap{pixels}",
            *starts,
            "(local.set $end (i32.add (local.get $row) (local.get $run)))",
            f"(loop $eachNumber{pixels}",
            *products,
            *(_forward(f"p{i}", 4 * UNROLLED) for i in each),
            _forward("w", 32 * UNROLLED),
            f"(br_if $eachNumber{pixels} (i32.ne (local.get $p0) (local.get $end))))",
            "(local.set $row (i32.add (local.get $row) (local.get $inRow)))",
            _forward("t", -1),
            f"(br_if $eachTap{pixels} (local.get $t)))",
            *stores,
            _forward("x", -pixels),
        ]
    )


def _forward(name: str, by: int) -> str:
    return f"(local.set ${name} (i32.add (local.get ${name}) (i32.const {by})))"
