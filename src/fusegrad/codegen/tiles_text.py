"""Writes the body of a contraction kernel as Python text.

In: element type, number of batch axes, epilogue lines. Out: the lines of a kernel function that
calls ``gemm_next`` of ``tiles_drive.py`` and runs the epilogue on each block of C that it finishes,
while the block is in cache. All sizes and strides are run-time values, so one text serves every
shape; the blocking itself is native, so the text stays short and compiles fast.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from .tiles_plan import STATE_WORDS, Word

# Batch axes that the native loops take; further leading axes are loops of the text.
NATIVE_AXES = 2
BOUNDS = {"i_lo": Word.I_LO, "i_hi": Word.I_HI, "j_lo": Word.J_LO, "j_hi": Word.J_HI}


def contract_params(dtype: str, batch_axes: int = 0) -> tuple[tuple[str, str], ...]:
    """Parameters that the text of ``contract_lines`` uses, as ``KernelSource.params`` has them."""
    pointers = [(name, f"{dtype}*") for name in ("a", "b", "c", "workspace")]
    scalars = ["M", "N", "K", "a_rs", "a_cs", "b_rs", "b_cs", "c_rs"]
    for axis in range(batch_axes):
        scalars += [f"batch{axis}", f"a_bs{axis}", f"b_bs{axis}", f"c_bs{axis}"]
    return (*pointers, *((name, "i64") for name in scalars))


def call_lines(dtype: str, batch_axes: int, leading: int, *, stops: bool) -> list[str]:
    """The call of ``gemm_next`` for the last two batch axes."""
    axes = [
        f"batch{axis}, a_bs{axis}, b_bs{axis}, c_bs{axis}" for axis in range(leading, batch_axes)
    ]
    axes += ["1, 0, 0, 0"] * (NATIVE_AXES - len(axes))
    at = {name: f"{name}_lead" if leading else "0" for name in "abc"}
    return [
        f"gemm_next_{dtype}(",
        f"    workspace, a, {at['a']}, a_rs, a_cs, b, {at['b']}, b_rs, b_cs, c, {at['c']}, c_rs,",
        f"    M, N, K, {', '.join(axes)}, thread, threads, {int(stops)},",
        ")",
    ]


def bound_lines(batch_axes: int, leading: int, epilogue: Sequence[str]) -> list[str]:
    """Names of the finished block, those that the epilogue uses."""
    used = set(re.findall(r"\w+", " ".join(epilogue)))
    lines = [
        f"{name} = int64(float_bits(workspace[state + {int(word)}]))"
        for name, word in BOUNDS.items()
    ]
    if used & {"item", "c_base"} and batch_axes:
        lines.append(f"item = int64(float_bits(workspace[state + {int(Word.ITEM)}]))")
    elif "item" in used:
        lines.append("item = 0")
    if "c_base" in used:
        first, last = max(batch_axes - 2, 0), batch_axes - 1
        base = {
            0: "0",
            1: f"item * c_bs{last}",
        }.get(
            batch_axes - leading,
            f"item // batch{last} * c_bs{first} + item % batch{last} * c_bs{last}",
        )
        lines.append(f"c_base = {'c_lead + ' if leading else ''}{base}")
    if leading and "item" in used:
        lines.append(f"item = lead * batch{leading} * batch{leading + 1} + item")
    return lines


def leading_lines(leading: int) -> list[str]:
    """Loops over the batch axes that ``gemm_next`` does not take."""
    lines = ["    " * axis + f"for lead{axis} in range(batch{axis}):" for axis in range(leading)]
    place = "lead0"
    for axis in range(1, leading):
        place = f"({place}) * batch{axis} + lead{axis}"
    inside = [f"lead = {place}"]
    for name in "abc":
        terms = " + ".join(f"lead{axis} * {name}_bs{axis}" for axis in range(leading))
        inside.append(f"{name}_lead = {terms}")
    return lines + ["    " * leading + line for line in inside]


def contract_lines(
    dtype: str,
    *,
    batch_axes: int = 0,
    epilogue: Sequence[str] = (),
    names: Mapping[str, str] | None = None,
) -> list[str]:
    """Body lines of a kernel that computes ``c = a.b``, unindented.

    Args:
        dtype: ``"f32"`` or ``"f64"``: element type of a, b, c and workspace.
        batch_axes: number of leading batch axes, each with an extent and three strides.
        epilogue: lines to run once for each finished block of c. They may use ``i_lo, i_hi,
            j_lo, j_hi`` (its bounds), ``item`` (batch item, row-major over the batch axes) and
            ``c_base`` (offset of the item): the block is ``c[c_base + i * c_rs + j]``.
        names: renames the parameters of ``contract_params`` in the text.

    >>> print("\\n".join(contract_lines("f32")))
    state = thread * 16
    workspace[state] = float32(0)
    gemm_next_f32(
        workspace, a, 0, a_rs, a_cs, b, 0, b_rs, b_cs, c, 0, c_rs,
        M, N, K, 1, 0, 0, 0, 1, 0, 0, 0, thread, threads, 0,
    )
    """

    def rename(lines: Sequence[str]) -> list[str]:
        for old, new in (names or {}).items():
            lines = [re.sub(rf"\b{old}\b", new, line) for line in lines]
        return list(lines)

    leading = max(batch_axes - NATIVE_AXES, 0)
    call = call_lines(dtype, batch_axes, leading, stops=bool(epilogue))
    number = f"float{dtype[1:]}"
    lines = [f"state = thread * {STATE_WORDS}", f"workspace[state] = {number}(0)"]
    if epilogue:
        lines += [
            "while True:",
            "    # On to the next finished block of c; the state is negative when none is left.",
            *("    " + line for line in call),
            f"    if workspace[state] < {number}(0):",
            "        break",
            *("    " + line for line in bound_lines(batch_axes, leading, epilogue)),
        ]
    else:
        lines += call
    lines = rename(lines) + ["    " + line for line in epilogue]
    if leading:
        loops = rename(leading_lines(leading))
        lines = loops + ["    " * leading + line for line in lines]
    return lines
