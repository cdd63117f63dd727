"""Running a launch table natively: one call from Python, whatever the number of kernels.

In: the address of a launch table (built by ``program.py``) and a number of threads. Out: a callable
that runs it. A table is an array of entries of eight 64-bit words:

====  =======  ================================================================================
word  name     meaning
====  =======  ================================================================================
0     fn       ``void fn(i64* args, i64 part, i64 parts)``
1     args     address of the first argument block; of the condition cell for a jump; of the
               loop's block for ops 2 and 3
2     count    calls with consecutive argument blocks
3     stride   bytes between them
4     active   parts the work is split into; part p runs on thread p modulo the team's size
5     barrier  1: all threads wait for each other after this entry
6     op       0: call; 1: jump to entry ``target`` while the condition cell is not zero;
               2: end a step of a loop, to ``target`` while there are steps left; 3: start a loop
7     target   index of an entry
====  =======  ================================================================================

A loop's block holds the step number, the length and records of argument slots to move: the address
of the slot, where it starts, an offset, and the bytes to add after even and after odd steps. Ops 2
and 3 are barriers in which one thread updates them.

An entry that sets the job's stop flag (a Python callback that failed) needs a barrier; the program
then ends there on all threads. A callback must have one part: part 0 runs on the calling thread.
The native code is in ``executor_ir.py``, its threads in ``threads.py``.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from typing import Any

from . import compile as compiler
from . import executor_ir, machine

ENTRY_WORDS = 8
OP_CALL, OP_JUMP, OP_STEP, OP_LOOP = 0, 1, 2, 3

_METH_NOARGS = 0x0004
_SYMBOLS = (
    "fusegrad_run",
    "fusegrad_call_holding_gil",
    "fusegrad_call_releasing_gil",
    "fusegrad_reset_pool",
    "fusegrad_configure",
    "fusegrad_workers",
    "fusegrad_spin",
)
_PYTHON_SYMBOLS = (
    "PyLong_AsVoidPtr",
    "PyLong_FromLong",
    "PyEval_SaveThread",
    "PyEval_RestoreThread",
)


class _PyMethodDef(ctypes.Structure):
    """``PyMethodDef`` of the stable Python ABI."""

    _fields_ = (
        ("ml_name", ctypes.c_char_p),
        ("ml_meth", ctypes.c_void_p),
        ("ml_flags", ctypes.c_int),
        ("ml_doc", ctypes.c_char_p),
    )


class Job(ctypes.Structure):
    """What the executor runs; the layout is read by the native code."""

    _fields_ = (
        ("table", ctypes.c_int64),
        ("entries", ctypes.c_int64),
        ("stop", ctypes.c_int64),
        ("threads", ctypes.c_int64),
    )


class Executor:
    """Native entry points, loaded once per process."""

    def __init__(self) -> None:
        machine.define_python_symbols(_PYTHON_SYMBOLS)
        triple = machine.host().triple
        found = compiler.load_library(
            "executor", lambda: machine.parse(executor_ir.text(triple)), _SYMBOLS
        )
        addresses = dict(zip(_SYMBOLS, found, strict=True))
        word = ctypes.c_int64
        self.run = ctypes.CFUNCTYPE(word, ctypes.c_void_p)(addresses["fusegrad_run"])
        self.reset_pool = ctypes.CFUNCTYPE(None, word, word, word)(addresses["fusegrad_reset_pool"])
        self.configure = ctypes.CFUNCTYPE(None, word, word)(addresses["fusegrad_configure"])
        self.workers = ctypes.CFUNCTYPE(word)(addresses["fusegrad_workers"])
        self.spin = ctypes.CFUNCTYPE(None, word)(addresses["fusegrad_spin"])
        self._methods = {
            released: _PyMethodDef(b"run", addresses[name], _METH_NOARGS, b"Run the program.")
            for released, name in (
                (False, "fusegrad_call_holding_gil"),
                (True, "fusegrad_call_releasing_gil"),
            )
        }
        self._new_function = ctypes.pythonapi.PyCFunction_NewEx
        self._new_function.argtypes = [ctypes.c_void_p, ctypes.py_object, ctypes.py_object]
        self._new_function.restype = ctypes.py_object

    def bind(self, job: Job, release_gil: bool, owner: Any) -> Callable[[], int]:
        """A built-in function without arguments that runs ``job`` and returns its stop flag.

        A ctypes call costs 0.3 µs and more for the conversion of its arguments; a built-in function
        costs 0.05. It keeps ``job`` and ``owner`` alive.
        """
        method = ctypes.addressof(self._methods[release_gil])
        function: Callable[[], int] = self._new_function(
            method, ctypes.addressof(job), (job, owner)
        )
        return function


@functools.cache
def executor() -> Executor:
    """The loaded executor with a pool that is ready to start workers."""
    from . import threads

    loaded = Executor()
    threads.prepare_pool(loaded)
    return loaded
