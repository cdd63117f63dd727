"""Write ``docs/operators.md``: every public function, what runs it under jit, derivatives, dtypes.

Nothing in the page is written by hand: each function is called with a sample of PyTorch's operator
records in every dtype, differentiated, and planned as a compiled program, whose kernels are looked
at. A test measures a slice of the rows again.
"""

from __future__ import annotations

import inspect
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "operators.md"
sys.path.insert(0, str(ROOT / "tests" / "torch_parity"))

import torch  # noqa: E402
from operator_checks import compilable, levels  # noqa: E402
from operator_samples import (  # noqa: E402
    Sample,
    dtypes_of,
    function_of,
    needs_values,
    records,
    samples,
)

import fusegrad as fg  # noqa: E402
from fusegrad import traced  # noqa: E402
from fusegrad.schedule.kernels import HostCall  # noqa: E402

HEAD = """# Functions

What fusegrad offers of PyTorch's functions, under the same names, arguments and defaults. Generated
by running each: `python tools/operator_docs.py`. Parity itself is tested by
`tests/torch_parity/test_operators.py`; `fusegrad info --ops` lists the primitives behind.

- *eager* runs everything on this page.
- *jit*: what a compiled call of the function and its gradient consists of. *native*: generated
  kernels only. *host*: the primitives named run their NumPy reference within the program, the rest
  is native. *eager only*: the shape or type of the result depends on values, which a trace does not
  have.
- *derivatives*: how many times the function was differentiated (up to 2), none where it is
  piecewise constant or has no floating result.
- *dtypes*: bool; int (int64, int32 and uint8 were run); half (float16 and bfloat16); float (float32
  and float64); complex (complex64 and complex128); in parentheses those of a group that run.
- *forms*: method of `Tensor`, in-place method.

"""
GROUPS = {
    "bool": ("bool",),
    "int": ("int64", "int32", "uint8"),
    "half": ("float16", "bfloat16"),
    "float": ("float32", "float64"),
    "complex": ("complex64", "complex128"),
}
SECTIONS = {
    "fusegrad": ("", fg),
    "fusegrad.nn.functional": ("nn.functional.", fg.nn.functional),
    "fusegrad.linalg": ("linalg.", getattr(fg, "linalg", None)),
    "fusegrad.fft": ("fft.", getattr(fg, "fft", None)),
    "fusegrad.special": ("special.", fg.special),
}


class _Planned(Exception):
    """Carries the plan of a program that need not be compiled."""


def _stop(plan: Any) -> Any:
    raise _Planned(plan)


def kernels_of(function: Callable[..., Any], operands: list[Any]) -> list[Any]:
    """The kernels that a jitted call of ``function`` consists of."""
    with mock.patch.object(traced, "Program", _stop):
        try:
            fg.jit(function)(*operands)
        except _Planned as planned:
            return list(planned.args[0].kernels)
    raise AssertionError("a jitted call makes a plan")


def under_jit(name: str, sample: Sample, order: int) -> str:
    """How a call and its gradient run when compiled."""
    function, operands = compilable(sample.ours, min(order, 1))
    try:
        kernels = kernels_of(function, operands)
    except fg.errors.TracedValueError:
        return "eager only"
    except AssertionError:
        return "eager only" if needs_values(name) else "native"
    except Exception:  # the samples ask for what is refused
        return "not supported"
    hosts = sorted({host_name(k.work) for k in kernels if isinstance(k.work, HostCall)})
    return f"host: {', '.join(hosts)}" if hosts else "native"


def host_name(work: HostCall) -> str:
    """The primitive behind a host call, through the record that splits complex operands."""
    return str(work.eqn.params.get("record", work.eqn.primitive.name))


def derivatives(sample: Sample) -> int:
    """How many times a call can be differentiated, up to 2."""
    for order in (2, 1):
        try:
            # a constant gradient ends the list: its derivative is zero
            return order if len(levels(sample.ours, order)) > 1 else 0
        except Exception:
            continue
    return 0


def accepts(record: Any, dtype: str) -> bool:
    """Whether a sample in a dtype runs."""
    if getattr(torch, dtype) not in record.dtypes or getattr(fg, dtype, None) is None:
        return False
    for sample in samples(record, getattr(torch, dtype), 2):
        try:
            sample.ours.run()
        except Exception:
            return False
    return True


def dtypes_text(record: Any) -> str:
    """The groups of dtypes that run."""
    words = []
    for group, names in GROUPS.items():
        there = [n for n in names if accepts(record, n)]
        if len(there) == len(names):
            words.append(group)
        elif there:
            words.append(f"{group} ({', '.join(there)})")
    return " ".join(words)


def row(name: str) -> str:
    """The row of a record that is offered."""
    record = records()[name][0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        (dtype,) = dtypes_of(record, "main")
        drawn = samples(record, dtype, 5) or samples(record, torch.float32, 5)
        if not drawn:
            return f"| `{name}` | {forms(name)} | native | 0 | |"
        order = max(map(derivatives, drawn))
        ways = [under_jit(name, s, order) for s in drawn]
    kinds = dict.fromkeys(ways)
    way = next((w for w in kinds if w.startswith("host")), next(iter(kinds)))
    if "eager only" in kinds and len(kinds) > 1:
        way = "native; eager only where values decide the shape"
    return f"| `{name}` | {forms(name)} | {way} | {order} | {dtypes_text(record)} |"


def forms(name: str) -> str:
    """The methods of a function."""
    short = name.rpartition(".")[2]
    found = [word for word in (short, f"{short}_") if hasattr(fg.Tensor, word)]
    return ", ".join(f"`.{word}`" for word in found) if "." not in name else ""


def offered() -> list[str]:
    """Names of records with a function here."""
    return sorted(n for n, r in records().items() if function_of(r[0]) is not None)


def section_of(name: str) -> str:
    """The module a record belongs to."""
    prefixed = [
        title for title, (prefix, _) in SECTIONS.items() if prefix and name.startswith(prefix)
    ]
    return prefixed[0] if prefixed else "fusegrad"


def others(title: str) -> list[str]:
    """Public functions of a module that no record names: constructors, modes, aliases.

    The function forms of in-place methods stand with the methods.
    """
    prefix, module = SECTIONS[title]
    names = getattr(module, "__all__", None) or [n for n in dir(module) if not n.startswith("_")]
    known = {n.removeprefix(prefix) for n in offered() if n.startswith(prefix)}
    return sorted(
        n
        for n in names
        if n not in known
        and n[-1] != "_"
        and inspect.isfunction(getattr(module, n, None))
        and n[0] != "_"
    )


def page() -> str:
    """The text of the page."""
    by_section: dict[str, list[str]] = {title: [] for title in SECTIONS}
    for name in offered():
        by_section[section_of(name)].append(row(name))
    parts = [HEAD]
    for title, rows in by_section.items():
        parts.append(f"## {title}\n\n")
        parts.append("| function | forms | jit | derivatives | dtypes |\n|---|---|---|---|---|\n")
        parts.append("\n".join(rows) + "\n\n")
        rest = ", ".join(f"`{n}`" for n in others(title))
        parts.append(f"Besides, without a record of PyTorch's: {rest}.\n\n" if rest else "")
    methods = sorted(
        n
        for n in dir(fg.Tensor)
        if not n.startswith("_")
        and callable(getattr(fg.Tensor, n))
        and n.removesuffix("_") not in records()
    )
    parts.append("## Other methods of Tensor\n\n" + ", ".join(f"`.{n}`" for n in methods) + ".\n")
    return "".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
