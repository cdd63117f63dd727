"""One trace of a jitted function: capture, plan, program, and the generated fast call.

``Trace`` runs the user's function once with traced arguments, turns what happened into outputs
(returned tensors, changed state, gradients), compiles the plan and writes the Python function that
checks the arguments, patches a few addresses and makes the one native call.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

from . import dtypes
from .errors import CaptureError
from .fastcall import write_call
from .guards import Constant, constants_of
from .ir.aval import Aval, aval_of
from .ir.graph import Graph, Var
from .ir.primitive import set_builder
from .passes.pipeline import run_passes
from .replay import Attachment, ReplayNode
from .runtime import allocator
from .runtime.compile import counters
from .runtime.program import Program
from .runtime.threads import get_num_threads
from .schedule.kernels import Plan
from .schedule.plan import make_plan
from .tensor import ELIDED, Storage, Tensor, epoch, grad_mode
from .trace.capture import Capture
from .trace.labels import leaf_labels
from .trace.tree import flatten, unflatten

CHUNK = 64
CHUNK_BYTES = 1 << 14
hooks: list[Callable[[Trace], None]] = []  # called with every finished trace


class OutputSlot:
    """A returned tensor or per-call gradient: fresh memory for every call, drawn in chunks."""

    def __init__(self, aval: Aval, requires_grad: bool) -> None:
        self.aval = aval
        self.requires_grad = requires_grad
        self.pool: list[tuple[np.ndarray, int]] = []

    def refill(self) -> tuple[np.ndarray, int]:
        """More memory; returns one piece ``(array, address)``."""
        shape, dtype = self.aval.shape, self.aval.dtype.np
        nbytes = max(self.aval.nbytes, 1)
        if nbytes > CHUNK_BYTES:
            raw, address = allocator.empty(nbytes)
            return raw[: self.aval.nbytes].view(dtype).reshape(shape), address
        step = -(-nbytes // 64) * 64
        raw, address = allocator.empty(step * CHUNK)
        size = self.aval.nbytes
        self.pool.extend(
            (raw[k * step : k * step + size].view(dtype).reshape(shape), address + k * step)
            for k in range(CHUNK - 1, -1, -1)
        )
        return self.pool.pop()


_traces: weakref.WeakSet[Trace] = weakref.WeakSet()


def _after_fork() -> None:
    """A thread that does not exist in the child may have held these locks."""
    for trace in _traces:
        trace.lock._at_fork_reinit()  # type: ignore[attr-defined]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class Trace:
    """A captured and compiled variant of a jitted function."""

    def __init__(
        self,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        options: Any,
        reason: str,
    ) -> None:
        self.function = function
        self.options = options
        self.reason = reason
        self.seconds: dict[str, float] = {}
        self.lock = threading.Lock()
        self.replays: dict[Any, Any] = {}
        self.attachment: Attachment | None = None
        self.grad_enabled = grad_mode.enabled
        self.capture = Capture()
        started = time.perf_counter()
        self._trace(args, kwargs)
        self.seconds["capture"] = time.perf_counter() - started
        self._collect()
        self._compile()
        self.epoch = epoch[0]
        _traces.add(self)
        for hook in hooks:
            hook(self)

    # --- capture --------------------------------------------------------------------------------
    def _trace(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.constants: list[Constant] = constants_of(self.function)
        for constant in self.constants:
            if isinstance(constant.value, Tensor):  # the name that kernels and reports show
                constant.value.__dict__.setdefault("_hint", constant.label.rpartition(" ")[2])
        leaves: list[Any] = []
        structure = flatten((args, kwargs), leaves)
        self.structure = structure
        self.labels = leaf_labels(self.function, structure)
        self.leaves = leaves
        self.arguments: list[tuple[int, Tensor, Any]] = []  # (leaf position, traced, original)
        traced = [self._argument(k, leaf) for k, leaf in enumerate(leaves)]
        new_args, new_kwargs = unflatten(structure, iter(traced))
        enabled = grad_mode.enabled
        previous = set_builder(self.capture)
        try:
            result = self.function(*new_args, **new_kwargs)
            for constant in self.constants:  # the function itself may have changed them
                constant.renew()
            self._result_leaves: list[Any] = []
            self.result_structure = flatten(result, self._result_leaves)
            self._read_results()
        finally:
            set_builder(previous)
            grad_mode.enabled = enabled
            for tensor, (_, _, edge) in self.capture.touched.items():
                if tensor._edge is not edge:
                    tensor._edge = edge

    def _argument(self, position: int, leaf: Any) -> Any:
        kind = leaf_kind(leaf, self.options, position)
        if kind == "static":
            return leaf
        if kind == "float":
            var = self.capture.input(Aval((), dtypes.float64), self.labels[position])
            traced = Tensor(var)
            traced._weak = True
        else:
            source = leaf if isinstance(leaf, Tensor) else Tensor(leaf)
            var = self.capture.input(aval_of(source._value), source._hint or self.labels[position])
            traced = Tensor(var)
            traced._weak = source._weak
            traced._requires_grad = source.requires_grad
            if not source._value.flags.c_contiguous:
                traced._storage.layout = source._value
        assert traced._storage.cell is not None
        traced._storage.cell.initial = var
        self.arguments.append((position, traced, leaf))
        return traced

    def _read_results(self) -> None:
        """Atoms of the returned tensors and of gradients, read while the capture is active."""
        self.returned: list[Any] = []
        for leaf in self._result_leaves:
            if isinstance(leaf, Tensor):
                outside = leaf._storage.owner is None and not isinstance(leaf._value, Var)
                if outside and leaf not in self.capture.grads:
                    self.returned.append(("same", leaf))
                    continue
                self.returned.append(("value", leaf._read(), leaf.requires_grad, leaf))
            else:
                self.returned.append(("constant", leaf))
        self.grad_atoms = {
            p: (g._read() if isinstance(g, Tensor) else None) for p, g in self.capture.grads.items()
        }

    # --- outputs ---------------------------------------------------------------------------------
    def _collect(self) -> None:
        """Outputs of the graph and where each of them goes."""
        c = self.capture
        self.graph_outputs: list[Any] = []
        self.in_place: dict[int, Var] = {}  # output -> input Var it overwrites
        self.slots: list[tuple[int, OutputSlot]] = []  # fresh memory per call
        self.results: list[Any] = []
        for entry in self.returned:
            if entry[0] == "value":
                atom = entry[1]
                slot = OutputSlot(atom.aval, entry[2])
                self.results.append(("slot", len(self.slots)))
                self.slots.append((self._output(atom), slot))
            else:
                self.results.append(("constant", entry[1]))
        self._collect_state(c)
        self._collect_gradients(c)

    def _output(self, atom: Any) -> int:
        self.graph_outputs.append(atom)
        return len(self.graph_outputs) - 1

    def _collect_state(self, c: Capture) -> None:
        self.mutated: list[Storage] = []
        for storage, cell in c.cells.items():
            if cell.value is not cell.initial:
                assert cell.initial is not None
                self.in_place[self._output(cell.value)] = cell.initial
                self.mutated.append(storage)
        self.mutated_arguments: set[int] = set()
        for k, (_, traced, _) in enumerate(self.arguments):
            place = traced._storage.cell
            assert place is not None
            if place.initial is not None and place.value is not place.initial:
                self.in_place[self._output(place.value)] = place.initial
                self.mutated_arguments.add(k)

    def _collect_gradients(self, c: Capture) -> None:
        self.elided: list[Tensor] = []
        self.cleared: list[Tensor] = []
        self.kept: list[tuple[Tensor, int, Aval]] = []
        for p, atom in self.grad_atoms.items():
            if atom is None:
                self.cleared.append(p)
                continue
            incoming = c.grad_initial.get(p)
            read = isinstance(incoming, Tensor) and incoming._storage in c.cells
            if p in c.consumed and not read and not self.options.keep_grads:
                self.elided.append(p)
            elif isinstance(incoming, Tensor) and c.grads.get(p) is incoming:
                continue  # accumulated in place: the gradient's storage is state
            else:
                self.kept.append((p, self._output(atom), atom.aval))
        self.argument_grads: list[tuple[int, int]] = []
        for k, (_, traced, _) in enumerate(self.arguments):
            grad = traced._grad
            if isinstance(grad, Tensor):
                previous = set_builder(c)
                try:
                    atom = grad._read()
                finally:
                    set_builder(previous)
                self.argument_grads.append((k, len(self.slots)))
                self.slots.append((self._output(atom), OutputSlot(atom.aval, False)))

    # --- compile ----------------------------------------------------------------------------------
    def _compile(self) -> None:
        clock = time.perf_counter
        self.captured = self.capture.finish(self.graph_outputs)
        started = clock()
        graph = run_passes(self.captured, get_num_threads())
        self.graph: Graph = graph
        self.seconds["passes"] = clock() - started
        started = clock()
        positions = {v: k for k, v in enumerate(self.captured.inputs)}
        in_place = {k: positions[v] for k, v in self.in_place.items()}
        hints = [v.hint for v in graph.inputs]
        self.plan: Plan = make_plan(graph, in_place, hints)
        self.seconds["schedule"] = clock() - started
        started = clock()
        before = counters.copy()
        self.program = Program(self.plan)
        self.compiling = counters - before
        self.seconds["codegen"] = self.program.codegen_seconds
        self.seconds["kernels"] = clock() - started - self.program.codegen_seconds
        self._bind_memory()
        self.call = self._write_call()

    def _bind_memory(self) -> None:
        """Addresses of state; what every call has to patch is left to the call."""
        program, inputs = self.program, self.plan.inputs
        place = {v: inputs[k] for k, v in enumerate(self.captured.inputs)}
        self.keep: list[Any] = []
        self.copied_state: list[tuple[np.ndarray, np.ndarray]] = []
        written = {id(s) for s in self.mutated}
        for storage, cell in self.capture.cells.items():
            assert storage.array is not None and cell.initial is not None
            array = storage.array
            if not array.flags.c_contiguous:
                dense = np.ascontiguousarray(array)
                self.copied_state.append((array, dense))
                array = dense
            elif id(storage) in written and not array.flags.writeable:
                raise CaptureError(
                    "a jitted function writes to a read-only array",
                    "The memory behind the tensor is not writable.",
                    ".clone() it",
                )
            self.keep.append((storage, array))
            program.place(place[cell.initial], allocator.address_of(array))
            if id(storage) in written and program not in storage.writers:
                storage.writers = (*storage.writers, program)
        for var, array in self.capture.consts.items():
            dense = np.ascontiguousarray(array)
            self.keep.append(dense)
            program.place(place[var], allocator.address_of(dense))
        for p, output, aval in self.kept:
            raw, address = allocator.empty(max(aval.nbytes, 1))
            grad = Tensor(raw[: aval.nbytes].view(aval.dtype.np).reshape(aval.shape))
            grad._storage.writers = (program,)
            self.keep.append(grad)
            program.place(self.plan.outputs[output], address)
            p.__dict__["_jit_grad"] = grad
        self.kept_tensors = [(p, p.__dict__.pop("_jit_grad")) for p, _, _ in self.kept]
        self.scalars = np.zeros(max(1, len(self.arguments)), np.float64)
        for k, (_, traced, leaf) in enumerate(self.arguments):
            if type(leaf) is float:
                assert traced._storage.cell is not None
                initial = traced._storage.cell.initial
                assert initial is not None
                program.place(place[initial], allocator.address_of(self.scalars) + 8 * k)
        self.argument_places = [
            place[t._storage.cell.initial]  # type: ignore[union-attr, index]
            for _, t, _ in self.arguments
        ]

    # --- validity ---------------------------------------------------------------------------------
    def mismatch(self) -> str | None:
        """Why this trace does not describe the world any more; ``None`` when it does."""
        for label, owner, take, before in self.capture.guards:
            if take() != before:
                return f"the structure of {label} {type(owner).__name__} changed"
        for tensor, (storage, requires_grad, _) in self.capture.touched.items():
            if tensor._storage is not storage:
                return f"the memory of tensor {tensor.aval} {tensor._hint} was replaced"
            if tensor._requires_grad != requires_grad:
                return f"requires_grad of tensor {tensor.aval} {tensor._hint} changed"
        for tensor, before in self.capture.grad_initial.items():
            if tensor in self._elided_set:
                continue
            now = None if tensor._grad is ELIDED else tensor._grad
            if now is not before:
                return f".grad of parameter {tensor.aval} {tensor._hint} changed"
        for tensor, version in self.capture.baked:
            if tensor._storage.version != version:
                return f"a value that Python read from tensor {tensor.aval} changed"
        return None

    @property
    def _elided_set(self) -> set[Tensor]:
        return set(self.elided)

    def enter(self) -> None:
        """Effects on Python state that hold from the first call after a (re)validation on."""
        for p in self.elided:
            p._grad = ELIDED
            p.__dict__["_jitted"] = True
        for p in self.cleared:
            p._grad = None
            p.__dict__["_jitted"] = True
        for p, grad in self.kept_tensors:
            p._grad = grad
            p.__dict__["_jitted"] = True
        for p in self.capture.grad_initial:
            p.__dict__["_jitted"] = True
        self.epoch = epoch[0]

    def leave(self) -> bool:
        """Whether the trace still holds after a call; its own effects may end it.

        A first backward pass finds no gradient and leaves one: the next call accumulates.
        """
        if self.mismatch() is None:
            return True
        self.epoch = -1
        return False

    # --- the generated call -----------------------------------------------------------------------
    def _write_call(self) -> Callable[..., Any]:
        return write_call(self)

    def give_grad(self, tensor: Tensor, array: np.ndarray) -> None:
        """Accumulate the gradient of an argument that requires grad."""
        grad = Tensor(array)
        tensor._grad = grad if tensor._grad is None else tensor._grad + grad

    def node(self, *arguments: Any) -> ReplayNode:
        """The history of the results of one call with these arguments."""
        if self.attachment is None:
            self.attachment = Attachment(self)
        return self.attachment.node(arguments)


def leaf_kind(leaf: Any, options: Any, position: int) -> str:
    """``tensor``, ``float`` (run-time scalar) or ``static`` (part of the signature)."""
    if isinstance(leaf, Tensor):
        return "static" if getattr(leaf, "_is_parameter", False) else "tensor"
    if isinstance(leaf, np.ndarray):
        return "tensor"
    if type(leaf) is float and position not in options.static_leaves:
        return "float"
    return "static"
