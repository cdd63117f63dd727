"""Tensor: a value with a place in memory and a gradient history; PyTorch's class.

A tensor is a *view path* (movement primitives) from a ``Storage``. Eagerly its value is a NumPy
array that shares the storage's memory; inside a capture it is a Var, replayed along the path from
the storage's current value, which is how in-place operations and views become functional. The
history of a view is regenerated along the same path after its base was changed in place.

The public functions and methods live in ``functions/``; the backward pass in ``autograd.py``.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .dtypes import DType, from_numpy_dtype, stored
from .errors import (
    ArgumentTypeError,
    DTypeError,
    GradientError,
    InPlaceError,
    LeakedTracerError,
    TracedValueError,
    UnmaterialisedGradError,
    user_site,
)
from .ir.aval import Aval, aval_of
from .ir.graph import Literal, Var
from .ir.primitive import Boxed, Primitive, bind, current_builder
from .ops import movement
from .trace.capture import Capture, Cell
from .transform.vjp import Node, PrimitiveNode, residual_names
from .viewpath import Path, memory_root, overlaps, reshapes_in_place, update_view

_epoch = itertools.count(1)
epoch = [0]


def bump_epoch() -> None:
    """Note a structural change; jitted functions re-check their guards at the next call."""
    epoch[0] = next(_epoch)


class _GradMode(threading.local):
    enabled = True


grad_mode = _GradMode()


class Storage:
    """Memory that tensors share. ``owner`` is the capture it was born in, ``None`` for real memory.

    Attributes:
        array: the root NumPy array.
        cell: the value inside the capture ``owner``.
        layout: for a traced argument the array whose strides it has.
        counter: number of in-place changes by eager operations.
        writers: compiled programs that write this memory; their calls count as changes.
    """

    __slots__ = ("__dict__", "__weakref__", "array")

    owner: Capture | None = None
    cell: Cell | None = None
    layout: np.ndarray | None = None
    counter = 0
    writers: tuple[Any, ...] = ()  # compiled programs that write this memory

    def __init__(self, array: np.ndarray | None, owner: Capture | None = None) -> None:
        self.array = array
        if owner is not None:
            self.owner = owner

    @property
    def version(self) -> int:
        """Number of in-place changes so far."""
        return self.counter + sum(w.calls for w in self.writers)


class Saved:
    """A residual: its value, history and the version at which it was saved."""

    __slots__ = ("edge", "holder", "value", "version")

    def __init__(self, value: Any, edge: Any, holder: Any, version: int) -> None:
        self.value = value
        self.edge = edge
        self.holder = holder  # Storage or Cell
        self.version = version


class _Elided:
    """Marks a gradient that a compiled step consumed without writing it to memory."""

    __slots__ = ()


ELIDED = _Elided()


class Tensor(Boxed):
    """A multi-dimensional array with automatic differentiation.

    Create one with ``fg.tensor``, ``fg.zeros``, ``fg.from_numpy`` and so on.
    """

    __slots__ = ("__dict__", "__weakref__", "_path", "_storage", "_value")

    if TYPE_CHECKING:  # public methods are attached by ``functions/``

        def __getattr__(self, name: str) -> Any: ...
        def __getitem__(self, key: Any) -> Tensor: ...
        def __setitem__(self, key: Any, value: Any) -> None: ...

    _value: Any
    _storage: Storage
    # Defaults live on the class: a tensor that no one differentiates costs three attributes.
    _base: Tensor | None = None
    _edge: Any = None
    _edits = 0
    _seen = 0
    _vseen = 0
    _requires_grad = False
    _grad: Any = None
    _hooks: dict[int, Callable[[Tensor], Any]] | None = None
    _post_hooks: dict[int, Callable[[Tensor], Any]] | None = None
    _retains = False
    _key: Any = None
    _ptr: int = 0
    _weak = False
    _conjugate: bool | None = None  # of what ``conj`` returns: the bit that PyTorch's tensor has
    _hint = ""
    _jitted = False

    def __init__(self, value: Any, storage: Storage | None = None, path: Path = ()) -> None:
        self._value = value
        if storage is None:
            if isinstance(value, np.ndarray):
                storage = Storage(value)
            else:
                storage = Storage(None, value.owner)
                storage.cell = Cell(value, None, storage)
        self._storage = storage
        self._path = path

    # --- value --------------------------------------------------------------------------------
    @property
    def aval(self) -> Aval:
        """Shape and dtype."""
        return aval_of(self._value)

    def _cell(self, capture: Any) -> Cell:
        """The cell of this tensor's storage in ``capture``."""
        storage = self._storage
        if storage.owner is capture:
            assert storage.cell is not None
            return storage.cell
        owner = storage.owner
        if owner is not None and not capture.encloses(owner):
            self._raise_leaked()
        capture.touch(self)
        whole = storage.array if storage.cell is None else storage.cell.value
        return capture.shadow(storage, aval_of(whole), self._hint)

    def _read(self) -> Any:
        """The current value for ``bind``: an array, or a Var while capturing."""
        capture = current_builder()
        if capture is None:
            if self._storage.owner is not None:
                self._raise_leaked()
            return self._value
        cell = self._cell(capture)
        if not self._path:
            return cell.value
        cached = isinstance(self._value, Var) and self._value.owner is capture
        if cached and self._vseen == cell.version:
            return self._value
        value: Any = cell.value
        for primitive, params in self._path:
            value = bind(primitive, value, **dict(params))
        if cached:
            self._value, self._vseen = value, cell.version
        return value

    def _raise_leaked(self) -> None:
        raise LeakedTracerError(
            f"a traced tensor {self.aval} is used outside the call that created it",
            "Values inside a jitted function exist only while it is traced.",
            "return it from the function, or call .detach() on the returned value",
        )

    def _concrete(self, what: str) -> np.ndarray:
        """The NumPy array behind the tensor; refuses while it is traced."""
        capture = current_builder()
        if capture is None and (isinstance(self._value, Var) or self._storage.owner is not None):
            self._raise_leaked()
        if capture is not None and (isinstance(self._value, Var) or self._storage in capture.cells):
            raise TracedValueError(
                f"{what} of a traced tensor {self.aval}",
                "Inside a function under @fg.jit tensors have no values yet.",
                "return the tensor and read it outside, or use fg.where for a choice",
            )
        if capture is not None:
            capture.bake(self)
        return self._value

    # --- history ------------------------------------------------------------------------------
    def _root(self) -> Tensor | None:
        """What this is a view of; past a base that became a view itself (``squeeze_``)."""
        while self._base is not None and self._base._base is not None:
            self._base = self._base._base
        return self._base

    def _history(self) -> Any:
        """The edge ``(node or leaf, index)`` gradients flow to, ``None`` without history."""
        base = self._root()
        if base is not None and self._seen != base._edits:
            edge = base._history()
            value = base
            if edge is not None:
                for primitive, params in self._path[len(base._path) :]:
                    value = Tensor.bind(primitive, (value,), dict(params), True)
                self._edge = value._edge
            else:
                self._edge = None
            self._seen = base._edits
        if self._edge is not None:
            return self._edge
        return (self, 0) if self._requires_grad else None

    @staticmethod
    def bind(
        primitive: Primitive, args: Sequence[Any], params: dict[str, Any], record: bool = False
    ) -> Any:
        """Apply ``primitive`` to tensors and numbers and note the equation for ``backward``."""
        args = [a.value if isinstance(a, Literal) else a for a in args]
        if primitive.multiple:
            from .loops import bind_on_tensors  # late: it imports this module

            return bind_on_tensors(primitive, args, params)
        raw = [a._read() if isinstance(a, Tensor) else a for a in args]
        value = bind(primitive, *raw, **params)
        out = _wrap(primitive, value, args, raw, params)
        if (
            (grad_mode.enabled or record)
            and primitive.differentiable
            and aval_of(value).dtype.category >= 2
        ):
            _record(primitive, args, raw, params, out, value)
        return out

    # --- leaf properties ------------------------------------------------------------------------
    @property
    def requires_grad(self) -> bool:
        """Whether gradients are computed for this tensor."""
        return self._requires_grad or self._history() is not None

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        if value and not self.dtype.is_differentiable:
            raise GradientError(
                f"requires_grad on a tensor of dtype {self.dtype}",
                "Only tensors of floating point dtype can require gradients.",
                "convert with .float() first",
            )
        if self._history() is not None and not self._requires_grad:
            if value:
                return
            raise GradientError(
                "requires_grad = False on a tensor that has a history",
                "You can only change requires_grad flags of leaf variables.",
                "use .detach()",
            )
        if self._requires_grad != bool(value):
            self._requires_grad = bool(value)
            self._key = None
            bump_epoch()

    @property
    def is_leaf(self) -> bool:
        """Whether the tensor was created by the user, not by a recorded operation."""
        return self._requires_grad or self._history() is None

    @property
    def grad(self) -> Any:
        """Accumulated gradient, ``None`` before the first backward pass."""
        capture = current_builder()
        if capture is not None and self._storage.owner is not capture:
            if self in capture.grads:
                return capture.grads[self]
            if self._grad is ELIDED:
                return None  # the call before consumed it; a trace starts from a cleared gradient
            if self not in capture.grad_initial:
                capture.grad_initial[self] = self._grad
            return self._grad
        if self._grad is ELIDED:
            raise UnmaterialisedGradError(
                f".grad of a parameter {self.aval}",
                "The compiled step clears this gradient and consumes it in its optimizer, so it "
                "is never written to memory.",
                "decorate with @fg.jit(keep_grads=True)",
            )
        return self._grad

    @grad.setter
    def grad(self, value: Any) -> None:
        if value is not None and not isinstance(value, Tensor):
            raise ArgumentTypeError(
                f"assigned grad of type {type(value).__name__}", "grad must be a Tensor or None."
            )
        if value is not None and value.shape != self.shape:
            raise GradientError(
                f"assigned grad {value.aval} to a tensor {self.aval}",
                "A gradient has the shape of its tensor.",
            )
        capture = current_builder()
        if capture is not None and self._storage.owner is not capture:
            if self not in capture.grad_initial and self not in capture.grads:
                capture.touch(self)
            capture.grads[self] = value
            return
        self._set_grad(value)

    def _set_grad(self, value: Any) -> None:
        if self._grad is not value:
            self._grad = value
            if self._jitted:
                bump_epoch()

    @property
    def grad_fn(self) -> Any:
        """The recorded operation this tensor came from, ``None`` for a leaf."""
        edge = self._history()
        return edge[0] if edge is not None and isinstance(edge[0], Node) else None

    # --- in place -------------------------------------------------------------------------------
    def _assign(self, new: Tensor, op: str, since: int | None = None) -> Tensor:
        """Replace this tensor's value by ``new`` (same shape) in place; ``op`` names the method.

        Nodes numbered from ``since`` computed ``new``; what they saved of the old value is kept.
        """
        root = self._root()
        base = self if root is None else root
        if base._conjugate is not None:
            raise InPlaceError(
                f"{op} on a conjugate {self.aval}",
                "PyTorch would write into the tensor that was conjugated; here it is a copy.",
                "x.conj_physical() or .clone() for a tensor of its own",
            )
        if grad_mode.enabled:
            if self._requires_grad and self._edge is None:
                raise InPlaceError(
                    f"{op} on a leaf tensor {self.aval} that requires grad",
                    "A leaf that requires grad must not be changed while gradients are recorded.",
                    "wrap the update in fg.no_grad()",
                )
            if base is not self and base._requires_grad and base._edge is None:
                raise InPlaceError(
                    f"{op} on a view of a leaf tensor {base.aval} that requires grad",
                    "A leaf that requires grad must not be changed while gradients are recorded.",
                    "wrap the update in fg.no_grad()",
                )
        if new.shape != self.shape:
            raise InPlaceError(
                f"{op} on a tensor {self.aval} gave {new.aval}",
                "The result of an in-place operation must have the shape of its tensor.",
                "use the out-of-place form",
            )
        if new.dtype.is_complex and not self.dtype.is_complex:
            raise InPlaceError(
                f"{op} on a tensor {self.aval} gave {new.aval}",
                f"Result type {new.dtype} can't be cast to the desired output type {self.dtype}.",
                "use the out-of-place form",
            )
        if new.dtype is not self.dtype:
            if new.dtype.category > self.dtype.category:
                raise DTypeError(
                    f"{op} on a tensor {self.aval} gave {new.aval}",
                    f"result type {new.dtype.torch_name} can't be cast to the desired output type "
                    f"{self.dtype.torch_name}",
                    "the out-of-place form, or convert the operand with .to(dtype)",
                )
            new = new.to(self.dtype)  # type: ignore[attr-defined]
        if since is not None and grad_mode.enabled:
            capture = current_builder()
            _keep_saved(new, self._storage if capture is None else self._cell(capture), since)
        self._update_history(base, new)
        self._write(new._read())
        return self

    def _write(self, value: Any) -> None:
        """Put a raw value into the storage."""
        capture = current_builder()
        if capture is None:
            if self._value.size and (
                overlaps(self._path)
                or any(
                    s == 0 and n > 1
                    for s, n in zip(self._value.strides, self._value.shape, strict=True)
                )
            ):
                raise InPlaceError(
                    f"in-place change of an expanded tensor {self.aval}",
                    "More than one element refers to the same memory.",
                    "call .clone() first",
                )
            np.copyto(self._value, value)
            self._storage.counter += 1
            return
        cell = self._cell(capture)
        cell.value = update_view(cell.value, self._path, value)
        cell.version += 1
        if isinstance(self._value, Var):
            self._value, self._vseen = value, cell.version

    def _update_history(self, base: Tensor, new: Tensor) -> None:
        if not grad_mode.enabled:
            return
        edge = new._history()
        if base is self:
            if edge is None and self._edge is None:
                return
            self._edge = edge
        elif edge is not None or base._history() is not None:
            base._edge = update_view(base, self._path[len(base._path) :], new)._history()
            self._edge = edge
        else:
            return
        base._edits += 1
        self._seen = base._edits if base is not self else self._seen

    def __iter__(self) -> Iterator[Tensor]:
        if self.dim() == 0:  # type: ignore[attr-defined]
            raise ArgumentTypeError("iteration over a 0-d tensor", "It has no axis to walk along.")
        return (self[i] for i in range(self.shape[0]))  # type: ignore[index]

    # --- description ------------------------------------------------------------------------------
    @property
    def shape(self) -> Size:
        """Extents."""
        return Size(self._value.shape if type(self._value) is np.ndarray else self.aval.shape)

    @property
    def dtype(self) -> DType:
        """Element type."""
        value = self._value
        return from_numpy_dtype(value.dtype) if type(value) is np.ndarray else value.aval.dtype

    def __hash__(self) -> int:
        return id(self)


class Size(tuple):  # type: ignore[type-arg]
    """A shape; a tuple that also counts its elements."""

    def numel(self) -> int:
        """Number of elements."""
        n = 1
        for extent in self:
            n *= extent
        return n

    def __repr__(self) -> str:
        return f"fusegrad.Size({list(self)})"


def _wrap(
    primitive: Primitive, value: Any, args: Sequence[Any], raw: Sequence[Any], params: Any
) -> Tensor:
    """A tensor for a result; results of aliasing primitives become views of their operand."""
    if primitive.alias and isinstance(args[0], Tensor):
        source = args[0]
        capture = current_builder()
        shares = (
            memory_root(value) is memory_root(raw[0])
            if capture is None
            else primitive is not movement.reshape or reshapes_in_place(source, params)
        )
        if shares:
            step = (primitive, tuple(params.items()))
            out = Tensor(value, source._storage, (*source._path, step))
            if capture is not None:
                out._vseen = source._cell(capture).version
            root = source._root()
            out._base = source if root is None else root
            out._seen = out._base._edits
            out._weak = source._weak
            return out
    return Tensor(value)


def _record(
    primitive: Primitive,
    args: Sequence[Any],
    raw: Sequence[Any],
    params: dict[str, Any],
    out: Tensor,
    value: Any,
) -> None:
    rules = primitive.derivs
    edges: list[Any] = []
    active: list[int] = []
    for i, arg in enumerate(args):
        edge = None
        if isinstance(arg, Tensor) and rules[min(i, len(rules) - 1)] is not None:
            edge = arg._history()
        edges.append(edge)
        if edge is not None:
            active.append(i)
    if not active:
        return
    capture = current_builder()
    saved: dict[str, Any] = {}
    for name in residual_names(primitive, active):
        if name == "out":
            continue
        i = primitive.arg_names.index(name)
        arg = args[i]
        if isinstance(arg, Tensor):
            holder: Any = arg._storage if capture is None else arg._cell(capture)
            saved[name] = Saved(raw[i], edges[i], holder, holder.version)
        else:
            saved[name] = Saved(_number(arg, raw), None, None, 0)
    avals = [aval_of(r) if not isinstance(r, (bool, int, float, complex)) else None for r in raw]
    node = PrimitiveNode(primitive, params, edges, avals, aval_of(value), saved, user_site())  # type: ignore[arg-type]
    if "out" in residual_names(primitive, active):
        holder = out._storage if capture is None else out._cell(capture)
        saved["out"] = Saved(value, (node, 0), holder, holder.version)
    out._edge = (node, 0)


def _number(value: Any, operands: Sequence[Any]) -> Any:
    """A Python number as a scalar of the dtype it had among its operands."""
    if not isinstance(value, (bool, int, float, complex)):
        return value
    like = next(
        aval_of(r).dtype
        for r in reversed(operands)
        if not isinstance(r, (bool, int, float, complex))
    )
    return stored(value, like)[()]


def _keep_saved(new: Tensor, holder: Any, since: int) -> None:
    """Copy the residuals that the nodes behind ``new`` share with memory about to change."""
    stack, seen = [new._edge], set()
    while stack:
        node = stack.pop()[0] if stack[-1] is not None else stack.pop()
        if not isinstance(node, PrimitiveNode) or node.sequence < since or node in seen:
            continue
        seen.add(node)
        stack.extend(node.edges)
        for saved in node.saved.values():
            if saved.holder is holder:
                if isinstance(saved.value, np.ndarray):
                    saved.value = np.array(saved.value)
                saved.holder = None


def unpack_raw(saved: Saved) -> Any:
    """A residual as a raw value, for a backward pass that records nothing."""
    if saved.holder is not None and saved.holder.version != saved.version:
        raise InPlaceError(
            f"a tensor {aval_of(saved.value)} needed for the gradient was changed in place",
            f"It is at version {saved.holder.version}; version {saved.version} was saved.",
            "use the out-of-place form, or .clone() before the change",
        )
    return saved.value


def unpack_tensor(saved: Saved) -> Any:
    """A residual as a tensor with its history, for ``create_graph=True``."""
    value = unpack_raw(saved)
    if isinstance(value, np.generic):
        return value
    out = Tensor(value)
    out._edge = saved.edge
    return out
