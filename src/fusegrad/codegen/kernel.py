"""KernelSource: what code generation hands to the runtime.

In: nothing. Out: one frozen record per kernel, its Python text and the typed parameter list. The
text is a complete, readable function; ``runtime/compile.py`` turns it into machine code and
``Step.kernels()`` prints it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class KernelSource:
    """One kernel as text.

    Attributes:
        name: name of the function that ``text`` defines.
        text: Python source of exactly one function ``name(*params, thread, threads)``.
        params: ``(name, type)`` in order; a type is a pointer (``"f32*"``) or ``"i64"``.
    """

    name: str
    text: str
    params: tuple[tuple[str, str], ...]
