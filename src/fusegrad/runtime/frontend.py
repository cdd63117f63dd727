"""numba's front end alone: a kernel's Python text to unoptimised LLVM IR with our kernel ABI.

In: a :class:`KernelSource`. Out: an LLVM module that defines ``void symbol(i64* args, i64 thread,
i64 threads)`` around the body that numba typed and lowered; ``machine.py`` optimises it. This
module imports numba, so only ``compile.py`` imports it, when a kernel is in no cache.
"""

from __future__ import annotations

import linecache
import math
from types import FunctionType
from typing import Any

from llvmlite import ir
from numba.core import compiler, cpu, typed_passes, types, untyped_passes
from numba.core.compiler_lock import global_compiler_lock
from numba.core.compiler_machinery import PassManager
from numba.core.errors import NumbaError
from numba.core.registry import cpu_target
from numba.core.target_extension import target_override
from numba.core.targetconfig import ConfigStack

from ..codegen.kernel import KernelSource
from ..errors import LoweringError
from . import intrinsics, machine, numba_target, scalar_types

# numba's reference counting, linked to every function; kernels hold no references.
MEMORY_RUNTIME = "nrt"

# What a kernel needs from numba's nopython pipeline: no object mode, closures, parallel loops,
# rewrites or reference counts.
PASSES = (
    untyped_passes.TranslateByteCode,
    untyped_passes.FixupArgs,
    untyped_passes.IRProcessing,
    untyped_passes.ReconstructSSA,
    typed_passes.NopythonTypeInference,
    typed_passes.PreLowerStripPhis,
    typed_passes.NativeLowering,
)


class _Capture:
    """Stands where numba expects a code library, and keeps the lowered modules."""

    def __init__(self, codegen: Any, name: str) -> None:
        self.codegen = self._codegen = codegen
        self.name = name
        self.modules: list[ir.Module] = []
        self.linked: list[Any] = []
        self.recorded_timings: Any = None
        self._reload_init: set[Any] = set()

    def create_ir_module(self, name: str) -> ir.Module:
        return self.codegen._create_empty_module(name)

    def add_ir_module(self, module: ir.Module) -> None:
        self.modules.append(module)

    def add_linking_library(self, library: Any) -> None:
        if library not in self.linked:
            self.linked.append(library)


class _Pipeline(compiler.CompilerBase):  # type: ignore[misc]
    """:data:`PASSES` and nothing after them."""

    def define_pipelines(self) -> list[PassManager]:
        manager = PassManager("fusegrad")
        for step in PASSES:
            manager.add_pass(step, step.__name__)
        manager.finalize()
        return [manager]

    def _compile_core(self) -> Any:
        with ConfigStack().enter(self.state.flags.copy()):
            for manager in self.define_pipelines():
                manager.run(self.state)
        return self.state


class _FullPipeline(_Pipeline):
    """All of numba's passes up to lowering, for functions that the user wrote."""

    def define_pipelines(self) -> list[PassManager]:
        manager = compiler.DefaultPassBuilder.define_nopython_pipeline(self.state)
        last = next(
            index
            for index, (step, _) in enumerate(manager.passes)
            if step is typed_passes.NativeLowering
        )
        del manager.passes[last + 1 :]
        return [manager]


def _make_flags() -> compiler.Flags:
    flags = compiler.Flags()
    flags.no_compile = True
    flags.no_cpython_wrapper = True
    flags.no_cfunc_wrapper = True
    flags.nrt = False
    flags.error_model = "numpy"
    flags.fastmath = cpu.FastMathOptions(set(machine.FAST_MATH))
    return flags


def _define(source: KernelSource, names: dict[str, Any]) -> FunctionType:
    """Execute the kernel's text; its lines stay visible to tracebacks through ``linecache``."""
    filename = f"<fusegrad kernel {source.name}>"
    lines = source.text.splitlines(keepends=True)
    linecache.cache[filename] = (len(source.text), None, lines, filename)
    scope = dict(names)
    exec(compile(source.text, filename, "exec"), scope)
    function: FunctionType = scope[source.name]
    return function


def _add_entry(module: ir.Module, body: ir.Function, source: KernelSource, symbol: str) -> None:
    """Add the function of the kernel ABI, which unpacks the argument block and calls ``body``.

    The buffers of a kernel never overlap unless they are the same parameter, so the body's pointers
    are ``noalias``. The body stays a call: there these facts hold for the whole function.
    """
    word, pointer = ir.IntType(64), ir.IntType(64).as_pointer()
    entry = ir.Function(module, ir.FunctionType(ir.VoidType(), [pointer, word, word]), symbol)
    block, thread, threads = entry.args
    builder = ir.IRBuilder(entry.append_basic_block("entry"))
    # numba's own convention: a slot for the result and one for a raised exception come first.
    slots = [builder.alloca(argument.type.pointee) for argument in body.args[:2]]
    values = []
    for index, (_, kind) in enumerate(source.params):
        value = builder.load(builder.gep(block, [word(index)], inbounds=True))
        if kind.endswith("*"):
            argument = body.args[2 + index]
            argument.add_attribute("noalias")
            value = builder.inttoptr(value, argument.type)
        values.append(value)
    builder.call(body, [*slots, *values, thread, threads])
    builder.ret_void()
    body.linkage = "internal"
    body.attributes.add("noinline")
    for function in (entry, body):
        function.attributes.add("nounwind")


def _link(library: Any, target: Any, seen: set[int]) -> None:
    """Link the helper functions that numba compiled for ``library`` into ``target``."""
    for helper in library.linked if isinstance(library, _Capture) else library._linking_libraries:
        if id(helper) in seen or helper.name == MEMORY_RUNTIME:
            continue
        seen.add(id(helper))
        with global_compiler_lock:
            target.link_in(helper._get_module_for_linking(), preserve=True)
        _link(helper, target, seen)


def _environment_to_internal(module: ir.Module) -> None:
    """Drop numba's exported environment pointer, which only object-mode code reads."""
    for value in module.global_values:
        if isinstance(value, ir.GlobalVariable) and value.linkage == "common":
            value.linkage = "internal"


def _lower_with(
    target: Any, name: str, pipeline: type[_Pipeline], source: KernelSource, names: dict[str, Any]
) -> tuple[Any, _Capture]:
    """Run one of the pipelines on ``source``; the state it ends in and the modules it made."""
    kinds = [scalar_types.argument(kind) for _, kind in source.params] + [types.int64] * 2
    library = _Capture(target.target_context.codegen(), source.name)
    function = _define(source, names)
    with target_override(name):
        state = pipeline(
            target.typing_context,
            target.target_context,
            library,
            tuple(kinds),
            types.none,
            _FLAGS,
            {},
        ).compile_extra(function)
    return state, library


def _numba_lower(source: KernelSource) -> tuple[Any, _Capture]:
    """Lower with the small target, else with numba's own, which knows NumPy and closures."""
    try:
        names = _NAMES | _SMALL_NAMES
        return _lower_with(numba_target.descriptor, numba_target.NAME, _Pipeline, source, names)
    except (NumbaError, KeyError, TypeError):
        # KeyError: an overload wants to compile a helper for a target that numba does not know.
        # TypeError: a call has more arguments than our intrinsic of that name.
        return _lower_with(cpu_target, "cpu", _FullPipeline, source, _NAMES)


def lower(source: KernelSource, symbol: str) -> Any:
    """Lower one kernel to an LLVM module that exports ``symbol``.

    Raises:
        LoweringError: numba rejects the text; the message shows it with line numbers.
    """
    try:
        state, library = _numba_lower(source)
    except (NumbaError, SyntaxError, NotImplementedError, TypeError) as error:
        raise _kernel_error(source, error) from error
    body_name = state.cr.fndesc.llvm_func_name
    main = next(m for m in library.modules if body_name in m.globals)
    _add_entry(main, main.globals[body_name], source, symbol)
    _environment_to_internal(main)
    module = machine.parse(str(main))
    for other in library.modules:
        if other is not main:
            module.link_in(machine.parse(str(other)))
    _link(library, module, set())
    for definition in intrinsics.definitions(externals_of=module):
        module.link_in(definition)
    return module


def _kernel_error(source: KernelSource, error: BaseException) -> LoweringError:
    lines = source.text.splitlines()
    width = int(math.log10(max(1, len(lines)))) + 1
    listing = "\n".join(f"  {number:>{width}} | {line}" for number, line in enumerate(lines, 1))
    message = str(error).strip() or type(error).__name__
    return LoweringError(
        f"kernel {source.name} does not compile:\n{message}\n{listing}",
        "The kernel text above was generated by fusegrad; this is a bug in code generation.",
    )


_FLAGS = _make_flags()
# Built before the first pipeline, which picks up newly registered intrinsics when it starts.
_NAMES = intrinsics.namespace()
_SMALL_NAMES = intrinsics.builtins()
