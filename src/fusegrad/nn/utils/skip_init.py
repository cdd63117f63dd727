"""Modules without initial values."""

from __future__ import annotations

import inspect
from typing import Any

from ...errors import StateDictError
from .. import init
from ..module import Module


def skip_init(module_cls: Any, *args: Any, **kwargs: Any) -> Any:
    """Construct a module whose parameters are left uninitialised.

    Worth it when values are loaded right after; no random number is drawn.

    Args:
        module_cls: a class of modules with an argument ``device``.
        args: its arguments.
        kwargs: its keyword arguments.

    Raises:
        RuntimeError: no class of modules, or one without an argument ``device``.

    Example:
        >>> from fusegrad import nn
        >>> nn.utils.skip_init(nn.Linear, 2, 3).weight.shape
        fusegrad.Size([3, 2])
    """
    if not (isinstance(module_cls, type) and issubclass(module_cls, Module)):
        raise StateDictError(f"skip_init of {module_cls!r}", f"Expected a Module; got {module_cls}")
    if "device" not in inspect.signature(module_cls).parameters:
        raise StateDictError(
            f"skip_init of {module_cls.__name__}",
            "Module must support a 'device' arg to skip initialization.",
        )
    with init.skipped():
        return module_cls(*args, **kwargs)
