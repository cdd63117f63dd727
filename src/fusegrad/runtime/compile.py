"""Kernel text to a native address, compiling only what no cache holds.

In: :class:`KernelSource` records from code generation, or LLVM IR text of a native library. Out:
addresses of ``void kernel(i64* args, i64 thread, i64 threads)``. The order is process memory, disk
(``cache.py``), numba's front end (``frontend.py``) and LLVM (``machine.py``); numba is imported at
the first kernel that reaches the third step. Next: ``program.py`` fills the launch table.
"""

from __future__ import annotations

import contextlib
import gc
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

from ..codegen.kernel import KernelSource
from ..errors import LoweringError
from . import cache, machine

PROGRESS_AFTER_SECONDS = 1.0


@dataclass
class Counters:
    """What compiling has cost this process so far; ``explain()`` prints differences of these."""

    compiles: int = 0
    disk_hits: int = 0
    memory_hits: int = 0
    frontend_seconds: float = 0.0
    llvm_seconds: float = 0.0
    load_seconds: float = 0.0

    def __sub__(self, other: Counters) -> Counters:
        return Counters(*(getattr(self, f.name) - getattr(other, f.name) for f in fields(self)))

    def copy(self) -> Counters:
        """The values at this moment."""
        return Counters(*(getattr(self, f.name) for f in fields(self)))


counters = Counters()
_kernels: dict[KernelSource, int] = {}
_libraries: dict[str, int] = {}


def _key(source: KernelSource) -> str:
    params = ",".join(f"{name}:{kind}" for name, kind in source.params)
    host = machine.host()
    return cache.make_key(
        ("kernel", source.name, source.text, params, *machine.FAST_MATH)
        + (host.triple, host.cpu, host.features)
    )


def load_kernel(source: KernelSource) -> int:
    """Address of one kernel; see :func:`load_kernels`."""
    return load_kernels([source])[0]


def load_kernels(sources: Sequence[KernelSource]) -> list[int]:
    """Addresses of ``sources`` in order, each compiled at most once per machine.

    Raises:
        LoweringError: a text is not accepted by numba; the message shows it with line numbers.
    """
    with machine.LOCK:
        missing: dict[str, KernelSource] = {}
        for source in dict.fromkeys(sources):
            if source not in _kernels:
                missing[_key(source)] = source
        counters.memory_hits += len(sources) - len(missing)
        if missing:
            _load(missing, _read_or_compile(missing))
        return [_kernels[source] for source in sources]


def load_library(
    name: str, build: Callable[[], Any], symbols: Sequence[str], *, optimise: bool = True
) -> list[int]:
    """Compile, cache and load a native library.

    Args:
        name: identifies the library and its options; the code must follow from it and the version.
        build: produces the parsed module; called only when the library is in no cache.
        symbols: exported functions whose addresses are wanted. They also become callable by name
            from kernels loaded afterwards.
        optimise: run LLVM's optimiser over the module.
    """
    with machine.LOCK:
        host = machine.host()
        key = cache.make_key(("library", name, host.triple, host.cpu, host.features))
        names = [f"{key}.{symbol}" for symbol in symbols]
        if names[0] not in _libraries:
            code = _decode(cache.current().read(key))
            if code is None:
                code = _emit(build(), key, optimise)
            for symbol, address in zip(symbols, machine.load_objects([code], symbols), strict=True):
                machine.define_symbol(symbol, address)
                _libraries[f"{key}.{symbol}"] = address
        return [_libraries[each] for each in names]


def _symbol(key: str, source: KernelSource) -> str:
    """Exported name: readable in a profiler, unique by the key."""
    return f"{source.name}.{key[:16]}"


def _read_or_compile(missing: dict[str, KernelSource]) -> dict[str, bytes]:
    """Object code of every missing kernel by its key."""
    disk = cache.current()
    objects: dict[str, bytes] = {}
    absent: dict[str, KernelSource] = {}
    for key, source in missing.items():
        code = _decode(disk.read(key))
        if code is None:
            absent[key] = source
        else:
            counters.disk_hits += 1
            objects[key] = code
    progress = _Progress(len(absent))
    with _no_collection():
        for index, (key, source) in enumerate(absent.items()):
            progress.step(index, source.name)
            objects[key] = _compile(key, source)
    progress.close()
    return objects


@contextlib.contextmanager
def _no_collection() -> Iterator[None]:
    """Suspend the cyclic garbage collector, a tenth of the front end's time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _compile(key: str, source: KernelSource) -> bytes:
    started = time.perf_counter()
    module = lowered(source, _symbol(key, source))
    counters.frontend_seconds += time.perf_counter() - started
    code = _emit(module, key)
    counters.compiles += 1
    return code


def lowered(source: KernelSource, symbol: str) -> Any:
    """Unoptimised LLVM module of a kernel."""
    from . import frontend

    return frontend.lower(source, symbol)


def assembly(source: KernelSource) -> str:
    """Assembler text of a kernel, compiled anew; for tests and for reading."""
    with machine.LOCK:
        module = lowered(source, source.name)
        machine.optimise(module)
        return machine.assembly(module)


def _emit(module: Any, key: str, optimise: bool = True) -> bytes:
    """Turn ``module`` into object code and store it."""
    started = time.perf_counter()
    if optimise:
        machine.optimise(module)
    code = machine.to_object(module)
    counters.llvm_seconds += time.perf_counter() - started
    needs = machine.externals(module)
    unknown = [name for name in needs if not _provide(name)]
    if unknown:
        raise LoweringError(
            f"native code needs functions that are not loaded: {', '.join(unknown)}",
            "The library that defines them must be loaded first.",
        )
    cache.current().write(key, _encode(needs, code))
    return code


def _encode(needs: list[str], code: bytes) -> bytes:
    """Cache payload: the names of external symbols as one line, then the object file."""
    return " ".join(needs).encode() + b"\n" + code


def _decode(payload: bytes | None) -> bytes | None:
    """Object code of a cache payload, None when a symbol it needs cannot be resolved here."""
    if payload is None:
        return None
    line, _, code = payload.partition(b"\n")
    return code if all(_provide(name) for name in line.decode().split()) else None


def _provide(symbol: str) -> bool:
    # Libraries are compiled by this module, which they therefore import.
    from . import libraries

    return libraries.provide(symbol)


def _load(sources: dict[str, KernelSource], objects: dict[str, bytes]) -> None:
    started = time.perf_counter()
    symbols = [_symbol(key, sources[key]) for key in objects]
    addresses = machine.load_objects(list(objects.values()), symbols)
    for key, address in zip(objects, addresses, strict=True):
        _kernels[sources[key]] = address
    counters.load_seconds += time.perf_counter() - started


class _Progress:
    """One line on stderr once compiling has taken longer than a second."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.started = time.perf_counter()
        self.shown = False

    def step(self, index: int, name: str) -> None:
        """Announce kernel ``index`` (from 0)."""
        elapsed = time.perf_counter() - self.started
        if index == 0 or elapsed < PROGRESS_AFTER_SECONDS:
            return
        eta = elapsed / index * (self.total - index)
        line = f"fusegrad: compiling kernel {index + 1} of {self.total}, {name}, eta {eta:.0f} s"
        if sys.stderr.isatty():
            sys.stderr.write(f"\r{line:<78}")
            sys.stderr.flush()
        elif not self.shown:
            sys.stderr.write(line + "\n")
        self.shown = True

    def close(self) -> None:
        """Erase the line of a terminal."""
        if self.shown and sys.stderr.isatty():
            sys.stderr.write(f"\r{'':<78}\r")
            sys.stderr.flush()
