"""The ordered passes over a captured graph; each is verified when asked for.

Next file: ``schedule/fusion.py``.
"""

from __future__ import annotations

from collections.abc import Callable

from .. import config
from ..ir.graph import Graph
from ..ir.verify import verify
from .clean import eliminate_common, eliminate_dead
from .expand import expand
from .simplify import decompose_small_dots, simplify

Pass = Callable[[Graph], Graph]

PASSES: tuple[tuple[str, Pass], ...] = (
    ("dead code", eliminate_dead),
    ("expand", expand),
    ("simplify", simplify),
    ("small dots", decompose_small_dots),
    ("simplify", simplify),
    ("common subexpressions", eliminate_common),
    ("dead code", eliminate_dead),
)


def run_passes(graph: Graph) -> Graph:
    """Apply ``PASSES`` in order."""
    check = config.VERIFY.flag()
    if check:
        verify(graph, "captured")
    for name, function in PASSES:
        graph = function(graph)
        if check:
            verify(graph, name)
    return graph
