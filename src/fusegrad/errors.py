"""Every public exception, and the four-part message they share.

A message says *what* went wrong (operation, argument, shapes and dtypes), *where* (the user's file
and line), *why* (the rule that was broken) and what to *try*. Classes derive from the exception
types that PyTorch users already catch.
"""

from __future__ import annotations

import linecache
import os
import sys
from types import CodeType, FrameType
from typing import NamedTuple

from . import config

PACKAGE_ROOT = os.path.dirname(os.path.abspath(__file__)) + os.sep


class Site(NamedTuple):
    """A place in the user's program; the line number is resolved from the byte code on demand."""

    code: CodeType
    lasti: int

    @property
    def line(self) -> int:
        """Line number of the instruction."""
        for start, end, line in self.code.co_lines():
            if start <= self.lasti < end and line is not None:
                return line
        return self.code.co_firstlineno

    @property
    def short(self) -> str:
        """``file.py:12``."""
        return f"{os.path.basename(self.code.co_filename)}:{self.line}"

    @property
    def source(self) -> str:
        """The stripped source line, empty when it is not available."""
        return linecache.getline(self.code.co_filename, self.line).strip()

    def __str__(self) -> str:
        source = self.source
        place = f"at {self.short}  in {self.code.co_name}"
        return f"{place}   {source}" if source else place


def user_frame() -> FrameType | None:
    """Innermost frame on the stack that is not fusegrad's own."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(PACKAGE_ROOT):
        frame = frame.f_back
    return frame


def user_site() -> Site | None:
    """Where the user's program stands now."""
    frame = user_frame()
    return None if frame is None else Site(frame.f_code, frame.f_lasti)


class FusegradError(Exception):
    """Base of all errors; formats the four parts.

    Args:
        what: operation, argument and actual shapes or dtypes.
        why: the rule that was broken, one sentence.
        hint: one concrete repair.
        site: the user's line; found on the stack when omitted.

    Attributes:
        rule, repair: what a class says when it is raised without ``why`` or ``hint``.
    """

    rule = ""
    repair = ""

    def __init__(self, what: str, why: str = "", hint: str = "", site: Site | None = None) -> None:
        site = site or user_site()
        why, hint = why or self.rule, hint or self.repair
        parts = [what]
        if site is not None:
            parts.append(f"  {site}")
        if why:
            parts.append(f"  {why}")
        if hint:
            parts.append(f"  Try: {hint}")
        super().__init__("\n".join(parts))
        self.what, self.why, self.hint, self.site = what, why, hint, site


def trimmed(error: FusegradError) -> FusegradError:
    """``error`` with fusegrad's own frames left out of its traceback, unless asked for."""
    if config.FULL_TRACEBACK.flag():
        return error
    kept = []
    place = error.__traceback__
    while place is not None:
        if not place.tb_frame.f_code.co_filename.startswith(PACKAGE_ROOT):
            kept.append(place)
        place = place.tb_next
    following = None
    for place in reversed(kept):
        place.tb_next, following = following, place
    return error.with_traceback(following or error.__traceback__)


class ShapeError(FusegradError, RuntimeError):
    """Shapes that do not fit an operation."""

    repair = "print the .shape of the operands; .reshape(), .unsqueeze() or .expand() one of them"


class LinAlgError(FusegradError, RuntimeError):
    """Numbers of a matrix that a factorisation or a solver cannot work with."""

    rule = "The numbers of the matrix do not allow it."
    repair = "print the matrix; its condition number is fg.linalg.cond(A)"


class DTypeError(FusegradError, RuntimeError):
    """A dtype that an operation does not accept."""

    repair = "convert with .to(dtype)"


class DimError(FusegradError, IndexError):
    """A dimension or index out of range."""

    repair = "a value from -n to n - 1, where n is the size it counts in"


class ArgumentError(FusegradError, ValueError):
    """An option or argument value that is not accepted."""

    rule = "The function does not take this value."
    repair = "a value that help() of the function lists"


class RangeError(FusegradError, RuntimeError):
    """A number that an operation refuses where PyTorch raises ``RuntimeError``."""

    repair = "a value in the range that the message names"


class ArgumentTypeError(FusegradError, TypeError):
    """An argument of the wrong Python type."""

    repair = "the type that help() of the function names"


class GradientError(FusegradError, RuntimeError):
    """A backward pass that cannot run (no graph, freed graph, missing ``gradient=``)."""

    repair = "x.requires_grad_() before x is used, and gradients of the shape of their tensors"


class InPlaceError(FusegradError, RuntimeError):
    """An in-place change that would falsify a gradient."""


class TracedValueError(FusegradError, RuntimeError):
    """A Python value (``.item()``, ``bool()``, ``.numpy()``) was asked of a traced tensor.

    Inside a function under ``@fg.jit`` tensors have no values yet, so Python cannot branch on them
    or print them.
    """


class LeakedTracerError(FusegradError, RuntimeError):
    """A tensor that was created while tracing is used after the trace ended."""


class UnmaterialisedGradError(FusegradError, RuntimeError):
    """``.grad`` was read, but the compiled step never writes it to memory."""


class CaptureError(FusegradError, RuntimeError):
    """Something inside a jitted function that cannot be captured."""


class VerifyError(FusegradError, RuntimeError):
    """An IR graph that is not well formed (a bug in a pass or rule)."""


class LoweringError(FusegradError, RuntimeError):
    """A kernel that could not be generated or compiled."""


class StateDictError(FusegradError, RuntimeError):
    """A ``state_dict`` that does not fit the module or optimizer."""

    rule = "Names and shapes must be those of the object that loads it."
    repair = "build the object with the options it was saved with, or strict=False"


class FileFormatError(FusegradError, ValueError):
    """A file that is not of a format fusegrad reads."""


class WorkerError(FusegradError, RuntimeError):
    """Worker processes of a ``DataLoader`` that cannot start, or one that is gone."""


class DatasetError(FusegradError, RuntimeError):
    """Files of a published data set that are not where they are expected."""


class DependencyError(FusegradError, ImportError):
    """An optional package that a feature needs and that is not installed."""
