"""The names that ``fusegrad`` offers."""

from __future__ import annotations

import types

import fusegrad as fg


def test_all_public_names_are_listed() -> None:
    """What can be reached as ``fg.name`` and is no module is in ``__all__``, once."""
    public = {
        name
        for name, value in vars(fg).items()
        if not name.startswith("_") and not isinstance(value, types.ModuleType)
    }
    assert public - set(fg.__all__) == set()
    assert len(fg.__all__) == len(set(fg.__all__))
    assert [n for n in fg.__all__ if not hasattr(fg, n)] == []


def test_star_import() -> None:
    found: dict[str, object] = {}
    exec("from fusegrad import *", found)
    assert set(fg.__all__) <= set(found)
    assert all(found[n] is getattr(fg, n) for n in ("signal", "hann_window", "relu_", "asarray"))
