"""The host's LLVM: IR text to object code, object code to addresses.

In: LLVM IR text (kernels from ``frontend.py``, the tile library, the executor) or object files from
``cache.py``. Out: object bytes and addresses of native functions. llvmlite is imported at the first
use, numba never. Next: ``compile.py``, which decides what must be compiled at all.
"""

from __future__ import annotations

import ctypes
import functools
import os
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import LoweringError

# One lock for everything that touches LLVM state, so that a fork never copies it half changed.
# Leave that every floating instruction of a kernel gives the compiler; sums have more (intrinsics).
# Zeros keep their sign: 1 / (x + 0.0) is inf for both zeros.
FAST_MATH = ("contract", "arcp", "afn")
LOCK = threading.RLock()
_engine: Any = None

# Library calls that LLVM itself inserts (memset, memcpy) go through the address table as well, see
# :func:`_bind_directly`.
MODULE_FLAGS = """
!llvm.module.flags = !{!900000}
!900000 = !{i32 7, !"RtLibUseGOT", i32 1}
"""


@dataclass(frozen=True)
class Host:
    """What machine code is generated for."""

    triple: str
    cpu: str
    features: str

    @property
    def vector_bits(self) -> int:
        """Width of the widest vector registers: 128, 256 or 512."""
        names = self.features.split(",")
        return 512 if "+avx512f" in names else 256 if "+avx2" in names else 128


@functools.cache
def llvm() -> Any:
    """llvmlite's binding module, initialised for the host."""
    import llvmlite.binding as binding

    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    return binding


@functools.cache
def host() -> Host:
    """The CPU of this process, as LLVM names it."""
    binding = llvm()
    features = binding.get_host_cpu_features().flatten()
    if "+avx512f" in features.split(","):
        # LLVM tunes several AVX-512 server cores for 256 bits; our loops gain from the full width.
        features += ",-prefer-256-bit"
    return Host(binding.get_process_triple(), binding.get_host_cpu_name(), features)


def _target_machine() -> Any:
    """A fresh target machine; position-independent small-model code loads at any address."""
    target = llvm().Target.from_triple(host().triple)
    return target.create_target_machine(
        cpu=host().cpu, features=host().features, opt=3, reloc="pic", codemodel="small"
    )


@functools.cache
def _compiler_machine() -> Any:
    return _target_machine()


@functools.cache
def data_layout() -> str:
    """LLVM's description of the host's type sizes, for generated IR text."""
    return str(_compiler_machine().target_data)


def parse(text: str) -> Any:
    """Parse and verify IR text; a mistake is a :class:`LoweringError` with LLVM's message."""
    try:
        module = llvm().parse_assembly(text + MODULE_FLAGS)
        module.triple, module.data_layout = host().triple, data_layout()
        module.verify()
    except RuntimeError as error:
        raise LoweringError(f"LLVM rejects generated IR: {error}") from error
    return module


def optimise(module: Any) -> None:
    """Run LLVM's O3 pipeline with loop and SLP vectorisation over ``module`` in place."""
    options = llvm().create_pipeline_tuning_options(speed_level=3)
    options.loop_vectorization = True
    options.slp_vectorization = True
    builder = llvm().create_pass_builder(_compiler_machine(), options)
    builder.getModulePassManager().run(module, builder)


def externals(module: Any) -> list[str]:
    """Functions that ``module`` calls but does not define, without LLVM's own intrinsics."""
    return [
        function.name
        for function in module.functions
        if function.is_declaration and not function.name.startswith("llvm.")
    ]


def _bind_directly(module: Any) -> None:
    """Call outside functions through the address table instead of linker stubs.

    When it loads an object, llvmlite's memory manager reserves room for the table, not for stubs.
    """
    for function in module.functions:
        if function.is_declaration and not function.name.startswith("llvm."):
            function.add_function_attribute("nonlazybind")


def to_object(module: Any) -> bytes:
    """Machine code of an optimised module as object-file bytes."""
    _bind_directly(module)
    code: bytes = _compiler_machine().emit_object(module)
    return code


def assembly(module: Any) -> str:
    """Assembler text of an optimised module, for tests and ``explain``."""
    text: str = _compiler_machine().emit_assembly(module)
    return text


def has_symbol(name: str) -> bool:
    """Whether the process can resolve ``name``; LLVM aborts the process when it cannot."""
    _loader()  # LLVM looks into this process once an engine exists
    return bool(llvm().address_of_symbol(name))


def define_symbol(name: str, address: int) -> None:
    """Make a native function callable by name from code loaded later."""
    llvm().add_symbol(name, address)


def define_python_symbols(names: Iterable[str]) -> None:
    """Register functions of the Python C API by name."""
    for name in names:
        address = ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p).value
        define_symbol(name, address or 0)


def _loader() -> Any:
    """The engine that holds all loaded code; never freed, since idle workers may stand in it."""
    global _engine
    if _engine is None:
        binding = llvm()
        empty = binding.parse_assembly(f'target triple = "{host().triple}"')
        # llvmlite's memory manager keeps the sections of an object together, which the small code
        # model relies on.
        _engine = binding.create_mcjit_compiler(empty, _target_machine(), use_lmm=True)
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(_engine))
    return _engine


def load_objects(objects: Sequence[bytes], symbols: Sequence[str]) -> list[int]:
    """Load object files and return the addresses of ``symbols``.

    Args:
        objects: object-file bytes whose external symbols all resolve.
        symbols: names to look up, each defined by exactly one object ever loaded.
    """
    binding = llvm()
    with LOCK:
        engine = _loader()
        for code in objects:
            engine.add_object_file(binding.ObjectFileRef.from_data(code))
        engine.finalize_object()
        return [engine.get_function_address(symbol) for symbol in symbols]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=LOCK.acquire, after_in_parent=LOCK.release, after_in_child=LOCK.release
    )
