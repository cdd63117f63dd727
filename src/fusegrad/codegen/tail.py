"""Reductions over rows: partial results per thread, and the tail that finishes them.

A scalar reduction keeps a local variable, a column of them a slice of scratch memory per thread.
The last thread to arrive combines the partial results and computes what follows from them. The rows
themselves are printed by ``nest.py``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..dtypes import float32, float64
from ..ops.reduce import SUM
from ..schedule.index import Ix
from ..schedule.loops import TAIL, LoopNest, Scalar, Store
from .lines import Line
from .source import Body, Signature, Writer, fetched, store_value

CACHE_LINE = 64


class Accumulators:
    """The part of a nest printer that deals with reductions over outer axes."""

    nest: LoopNest
    signature: Signature
    body: Body
    writer: Writer
    split: int
    parts: int
    inner: list[int]
    const_scope: dict[Scalar, str]
    acc_names: dict[Scalar, str]

    def put(self, depth: int, lines: Sequence[Line]) -> None:
        """Write lines at a depth."""
        for line in lines:
            self.writer.put(depth, line.text, line.eqn)

    def inner_loops(self, depth: int, lines: Sequence[Line]) -> None:
        """Plain loops over the inner axes."""
        for axis in self.inner:
            self.writer.put(depth, f"for i{axis} in range({self.body.extent(axis)}):")
            depth += 1
        self.put(depth, lines)

    def _walks_inner(self, store: Store) -> bool:
        return bool(store.index.axes() & set(self.inner))

    def _wide(self, acc: Scalar) -> bool:
        """Whether a scalar sum of float32 is kept in float64: millions of rows lose digits."""
        return acc.width == "scalar" and acc.dtype is float32 and acc.text == SUM

    def _add(self, acc: Scalar, value: str) -> str:
        """The statement that takes one more value into a scalar reduction."""
        mine = self.acc_names[acc]
        value = f"float64({value})" if self._wide(acc) else value
        return f"{mine} = {acc.text.format(mine, value)}"

    def _allocate_accs(self) -> None:
        """A local variable for a scalar, a slice of scratch per thread for a column of them."""
        for k, acc in enumerate(self.nest.accs):
            if acc.width == "scalar":
                self.acc_names[acc] = f"a{k}"
                continue
            size = math.prod(self.nest.extents[a] for a in self.inner)
            padded = -(-size * acc.dtype.itemsize // CACHE_LINE) * CACHE_LINE
            self.signature.scratch(f"t{k}", acc.dtype, padded * self.parts)
            self.acc_names[acc] = f"t{k}"
            stride = self.signature.integer(("row", k), padded // acc.dtype.itemsize, "w")
            self.writer.put(1, f"a{k} = thread * {stride}")

    def _clear_accs(self, depth: int) -> None:
        for k, acc in enumerate(self.nest.accs):
            if acc.width == "scalar":
                zero = "float64(0)" if self._wide(acc) else acc.identity
                self.writer.put(depth, f"a{k} = {zero}")
            else:
                place = f"t{k}[a{k} + {self._inner_index()}]"
                zero = store_value(acc.identity, acc.dtype)
                self.inner_loops(depth, [Line(f"{place} = {zero}")])

    def _inner_index(self) -> str:
        return self.body.index(Ix(self.body.dense(self.split, len(self.nest.extents))), {})

    def _acc_place(self, acc: Scalar) -> str:
        k = self.nest.accs.index(acc)
        return f"{self.acc_names[acc]}[a{k} + {self._inner_index()}]"

    # --- the tail ---------------------------------------------------------------------------------
    def _tail(self, depth: int) -> None:
        nest = self.nest
        scope = dict(self.const_scope)
        if nest.kept <= 0:
            depth = self._combine_scalars(depth, scope)
        else:
            for acc in nest.accs:
                if acc.width == "scalar":
                    name = self.acc_names[acc]
                    scope[acc] = f"float32({name})" if self._wide(acc) else name
        tail_stores = [st for st in nest.stores if st.value.level == TAIL]
        lines: list[Line] = []
        columns = [st for st in tail_stores if self._walks_inner(st)]
        named = [
            (st, self.body.emit(st.value, scope, lines)) for st in tail_stores if st not in columns
        ]
        if not columns:
            for store, name in named:
                self.body.store(store, name, scope, lines)
        self.put(depth, lines)
        if columns:
            self._tail_columns(depth, columns, scope)
            after: list[Line] = []
            for store, name in named:
                self.body.store(store, name, scope, after)
            self.put(depth, after)

    def _combine_scalars(self, depth: int, scope: dict[Scalar, str]) -> int:
        """Partial results of all threads meet; the last thread to arrive goes on."""
        nest, w = self.nest, self.writer
        cell = self.signature.scratch("arrived", None, CACHE_LINE)
        scalars = [a for a in nest.accs if a.width == "scalar"]
        for acc in scalars:
            k = nest.accs.index(acc)
            dtype = float64 if self._wide(acc) else acc.dtype
            self.signature.scratch(f"t{k}", dtype, CACHE_LINE * self.parts)
            step = CACHE_LINE // dtype.itemsize
            w.put(depth, f"t{k}[thread * {step}] = {store_value(f'a{k}', dtype)}")
        w.put(depth, f"if arrive({cell}, threads):")
        depth += 1
        for acc in scalars:
            k = nest.accs.index(acc)
            wide = self._wide(acc)
            step = CACHE_LINE // (8 if wide else acc.dtype.itemsize)
            name = self.body.fresh()
            scope[acc] = f"float32({name})" if wide else name
            part = fetched(f"t{k}[part * {step}]", acc.dtype)
            w.put(depth, f"{name} = {'float64(0)' if wide else acc.identity}")
            w.put(depth, "for part in range(threads):")
            w.put(depth + 1, f"{name} = {acc.text.format(name, part)}", acc.eqn)
        return depth

    def _tail_columns(self, depth: int, stores: Sequence[Store], scope: dict[Scalar, str]) -> None:
        nest, w = self.nest, self.writer
        for axis in self.inner:
            w.put(depth, f"for i{axis} in range({self.body.extent(axis)}):")
            depth += 1
        inner = dict(scope)
        for acc in nest.accs:
            if acc.width != "column":
                continue
            k, at = nest.accs.index(acc), self._inner_index()
            name = self.body.fresh()
            inner[acc] = name
            if nest.kept > 0:
                w.put(depth, f"{name} = {fetched(f't{k}[a{k} + {at}]', acc.dtype)}")
                continue
            stride = self.signature.integer(("row", k), 0, "w")
            w.put(depth, f"{name} = {fetched(f't{k}[{at}]', acc.dtype)}")
            w.put(depth, "for part in range(1, threads):")
            part = fetched(f"t{k}[part * {stride} + {at}]", acc.dtype)
            w.put(depth + 1, f"{name} = {acc.text.format(name, part)}")
        lines: list[Line] = []
        named = [(store, self.body.emit(store.value, inner, lines)) for store in stores]
        for store, name in named:
            self.body.store(store, name, inner, lines)
        self.put(depth, lines)
