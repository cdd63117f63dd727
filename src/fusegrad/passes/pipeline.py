"""The ordered passes over a captured graph; each is verified when asked for.

Next file: ``schedule/fusion.py``.
"""

from __future__ import annotations

from collections.abc import Callable

from .. import config
from ..ir.graph import Graph
from ..ir.verify import verify
from .clean import eliminate_common, eliminate_dead
from .complex import split_complex
from .expand import expand
from .factors import move_factors
from .loops import tidy_loops
from .reduced import widen_reduced
from .simplify import decompose_small_dots, simplify
from .windows import lower_windows

Pass = Callable[[Graph], Graph]


def passes(threads: int) -> tuple[tuple[str, Pass], ...]:
    """The passes in order, for a program that runs on so many threads."""
    return (
        ("dead code", eliminate_dead),
        ("reduced dtypes", widen_reduced),
        ("complex numbers", split_complex),
        ("loops", lambda graph: tidy_loops(graph, lambda body: run_passes(body, threads))),
        ("expand", expand),
        ("simplify", simplify),
        ("small dots", decompose_small_dots),
        ("convolutions", lambda graph: lower_windows(graph, threads)),
        ("simplify", simplify),
        ("factors of sums", move_factors),
        ("common subexpressions", eliminate_common),
        ("dead code", eliminate_dead),
    )


def run_passes(graph: Graph, threads: int = 1) -> Graph:
    """Apply the passes in order."""
    check = config.VERIFY.flag()
    if check:
        verify(graph, "captured")
    for name, function in passes(threads):
        graph = function(graph)
        if check:
            verify(graph, name)
    return graph
