"""All workloads, by name.

In: the ``WORKLOADS`` lists of ``cases_*.py``. Out: `all_workloads` in the order in which
``fusegrad bench`` runs them, and `find` for names typed by the user. A new workload is one more
section in a ``cases_*.py`` file and one function in ``jax_workloads.py``.
"""

from __future__ import annotations

import difflib

from . import (
    cases_dense,
    cases_kernels,
    cases_residual,
    cases_science,
    cases_sequence,
    cases_vision,
)
from .workload import Workload

ALIASES = {"layernorm": "layernorm_fwd_bwd"}
SECTIONS = (
    cases_dense, cases_vision, cases_residual, cases_sequence, cases_science, cases_kernels,
)  # fmt: skip


def all_workloads() -> dict[str, Workload]:
    """Return every workload by name, in the order in which they are run.

    >>> list(all_workloads())[0]
    'linreg'
    """
    return {case.name: case for section in SECTIONS for case in section.WORKLOADS}


def find(name: str) -> Workload:
    """Return the workload called ``name``; a KeyError suggests the nearest names."""
    workloads = all_workloads()
    key = ALIASES.get(name, name)
    if key not in workloads:
        close = difflib.get_close_matches(name, workloads, n=3) or list(workloads)
        raise KeyError(f"no workload named {name!r}; try: {', '.join(close)}")
    return workloads[key]
