"""Calling compiled kernels from the runtime tests."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fusegrad.codegen.kernel import KernelSource
from fusegrad.runtime import compile as compiler

SOURCE = Path(__file__).resolve().parents[2] / "src"
# Seconds after which a process or thread is taken to hang, however busy the machine is.
HANGS = 300.0


def argument_block(args: Sequence[Any]) -> np.ndarray:
    """Addresses of arrays and values of ints, as a kernel receives them."""
    words = [arg.ctypes.data if isinstance(arg, np.ndarray) else arg for arg in args]
    return np.array([*words, 0], np.int64)


def run_native(source: KernelSource, args: Sequence[Any], threads: int = 1) -> None:
    """Compile a kernel and run all its parts one after the other."""
    prototype = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)
    function = prototype(compiler.load_kernel(source))
    block = argument_block(args)
    for thread in range(threads):
        function(block.ctypes.data, thread, threads)
