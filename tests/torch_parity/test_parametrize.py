"""Parametrizations: values, gradients, state keys, representation and errors of PyTorch."""

from __future__ import annotations

import copy
import inspect
import itertools
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from slices import some

import fusegrad as fg

LIBRARIES = pytest.mark.parametrize("library", [fg, torch], ids=["fg", "torch"])


def _linear(library: Any, n: int = 4, k: int = 3) -> Any:
    rng = np.random.default_rng(0)
    layer = library.nn.Linear(n, k, dtype=library.float64)
    with library.no_grad():
        layer.weight.copy_(library.tensor(rng.standard_normal((k, n))))
        layer.bias.copy_(library.tensor(rng.standard_normal(k)))
    return layer


def _state(module: Any) -> dict[str, np.ndarray]:
    return {k: v.detach().numpy().copy() for k, v in module.state_dict().items()}


def _load(module: Any, state: dict[str, np.ndarray]) -> None:
    if isinstance(module, torch.nn.Module):
        state = {k: torch.from_numpy(v.copy()) for k, v in state.items()}
    module.load_state_dict(state)


def _run(library: Any, layer: Any, jit: bool = False) -> tuple[Any, list[Any]]:
    x = library.tensor(np.random.default_rng(1).standard_normal((5, 4)))

    def step(x: Any) -> Any:
        layer.zero_grad()
        out = layer(x)
        (out * out * out).sum().backward()
        return out

    out = (fg.jit(step) if jit else step)(x)
    return out.detach().numpy(), [p.grad.numpy() for p in layer.parameters()]


def _same(layer: Any, reference: Any, jit: bool, rtol: float = 1e-9) -> None:
    """Outputs, gradients and the state afterwards."""
    for x, y in zip(_run(fg, layer, jit), _run(torch, reference), strict=True):
        for a, b in zip(x, y, strict=True):
            np.testing.assert_allclose(a, b, rtol=rtol, atol=1e-11)
    ours, theirs = _state(layer), _state(reference)
    assert list(ours) == list(theirs)
    for key in theirs:
        np.testing.assert_allclose(ours[key], theirs[key], rtol=rtol, atol=1e-11, err_msg=key)


JIT = pytest.mark.parametrize("jit", [False, True], ids=["eager", "jit"])


@JIT
@pytest.mark.parametrize("dim", [0, 1, -1, None])
def test_weight_norm(dim: int | None, jit: bool) -> None:
    pair = []
    for library in (fg, torch):
        layer = _linear(library)
        pair.append(library.nn.utils.parametrizations.weight_norm(layer, dim=dim))
    _same(*pair, jit)
    assert repr(pair[0]) == repr(pair[1])


@JIT
@pytest.mark.parametrize("dim", [None, 1])
@pytest.mark.parametrize("count", [1, 4])
def test_spectral_norm(count: int, dim: int | None, jit: bool) -> None:
    ours, theirs = (
        library.nn.utils.parametrizations.spectral_norm(
            _linear(library), n_power_iterations=count, dim=dim
        )
        for library in (fg, torch)
    )
    _load(ours, _state(theirs))
    _same(ours, theirs, jit)
    ours.eval()
    theirs.eval()
    _same(ours, theirs, jit)
    assert repr(ours) == repr(theirs)


@JIT
@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("layer", ["Conv2d", "ConvTranspose2d"])
@pytest.mark.parametrize(
    "kind",
    [
        "parametrizations.weight_norm", "parametrizations.spectral_norm", "weight_norm",
        "spectral_norm", "parametrizations.orthogonal",
    ],
)  # fmt: skip
def test_convolutions(kind: str, layer: str, jit: bool) -> None:
    """Weights of four axes, with the output axis in another place when transposed."""
    pair, x = [], np.random.default_rng(4).standard_normal((2, 4, 5, 5))
    for library in (fg, torch):
        function: Any = library.nn.utils
        for part in kind.split("."):
            function = getattr(function, part)
        pair.append(function(getattr(library.nn, layer)(4, 6, 3, dtype=library.float64)))
    _load(pair[0], _state(pair[1]))
    for _ in range(2):
        results = []
        for library, module in zip((fg, torch), pair, strict=True):

            def step(x: Any, module: Any = module) -> Any:
                module.zero_grad()
                out = module(x)
                (out * out).sum().backward()
                return out

            run = fg.jit(step) if jit and library is fg else step
            out = run(library.tensor(x)).detach().numpy()
            results.append([out, *(p.grad.numpy() for p in module.parameters())])
        for a, b in zip(*results, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-10)
    for key, value in _state(pair[1]).items():
        np.testing.assert_allclose(_state(pair[0])[key], value, rtol=1e-9, atol=1e-11)


def test_spectral_norm_starts_near_the_singular_value() -> None:
    layer = _linear(fg)
    largest = np.linalg.svd(layer.weight.detach().numpy())[1][0]
    before = layer.weight.detach().numpy().copy()
    layer = fg.nn.utils.parametrizations.spectral_norm(layer)
    np.testing.assert_allclose(layer.weight.detach().numpy(), before / largest, rtol=1e-4)
    vector = fg.nn.utils.parametrizations.spectral_norm(_linear(fg), "bias")
    assert float(vector.bias.detach().norm()) == pytest.approx(1.0)


MAPS = ["matrix_exp", "cayley", "householder"]
OUTLINES = [(4, 4), (4, 2), (4, 7), (4, 1)]
ALL = list(itertools.product(MAPS, OUTLINES, (True, False), (False, True)))


@pytest.mark.parametrize(
    ("name", "shape", "trivial", "jit"),
    some(ALL, [jit == (MAPS.index(m) + OUTLINES.index(s) + t) % 2 for m, s, t, jit in ALL]),
    ids=str,
)
def test_orthogonal(name: str, shape: tuple[int, int], trivial: bool, jit: bool) -> None:
    ours, theirs = (
        library.nn.utils.parametrizations.orthogonal(
            _linear(library, *shape), orthogonal_map=name, use_trivialization=trivial
        )
        for library in (fg, torch)
    )
    start = _state(theirs)
    rng = np.random.default_rng(5)
    key = "parametrizations.weight.original"
    change = 0.7 * rng.standard_normal(start[key].shape)
    if name == "householder":
        np.fill_diagonal(change, 0.0)  # the diagonal holds signs
    start[key] = start[key] + change
    _load(ours, start)
    _load(theirs, start)
    _same(ours, theirs, jit)
    q = ours.weight.detach().numpy()
    gram = q.T @ q if q.shape[0] >= q.shape[1] else q @ q.T
    np.testing.assert_allclose(gram, np.eye(len(gram)), atol=1e-12)
    assert repr(ours) == repr(theirs)


@pytest.mark.parametrize("name", MAPS)
def test_orthogonal_assignment(name: str) -> None:
    """An orthogonal matrix that is assigned is what is read."""
    for library in (fg, torch):
        layer = library.nn.utils.parametrizations.orthogonal(
            _linear(library, 4, 4), orthogonal_map=name
        )
        q, _ = np.linalg.qr(np.random.default_rng(7).standard_normal((4, 4)))
        layer.weight = library.tensor(q)
        np.testing.assert_allclose(layer.weight.detach().numpy(), q, atol=1e-12)
        with pytest.raises(ValueError, match="Expected a matrix or batch"):
            layer.weight = library.ones(3, 4, dtype=library.float64)


@pytest.mark.parametrize("shape", [(5, 5), (5, 3), (3, 5)], ids=str)
def test_householder_without_trivialization_inverts(shape: tuple[int, int]) -> None:
    for library in (fg, torch):
        layer = _linear(library, *shape)
        q, _ = np.linalg.qr(np.random.default_rng(7).standard_normal((5, 5)))
        with library.no_grad():
            layer.weight.copy_(library.tensor(q[: shape[1], : shape[0]]))
        layer = library.nn.utils.parametrizations.orthogonal(
            layer, orthogonal_map="householder", use_trivialization=False
        )
        np.testing.assert_allclose(
            layer.weight.detach().numpy(), q[: shape[1], : shape[0]], atol=1e-12
        )


def test_matrix_functions_over_scales() -> None:
    from fusegrad.nn.utils import matrix

    rng = np.random.default_rng(0)
    for scale in (0.0, 1e-3, 0.3, 3.0, 40.0):
        for n in (1, 2, 7, 16):
            a = rng.standard_normal((2, n, n)) * scale
            a = a - a.swapaxes(-1, -2)
            mine = matrix.matrix_exp(fg.tensor(a)).numpy()
            want = torch.matrix_exp(torch.from_numpy(a)).numpy()
            np.testing.assert_allclose(mine, want, atol=1e-13 * max(1.0, np.abs(a).sum(-1).max()))
            m = np.eye(n) - a / 2
            np.testing.assert_allclose(
                matrix.inverse(fg.tensor(m)).numpy(), np.linalg.inv(m), atol=1e-12
            )
    for n, k in ((5, 5), (6, 4), (9, 3), (4, 1)):
        a = rng.standard_normal((3, n, k))
        tau = rng.standard_normal((3, k))
        np.testing.assert_allclose(
            matrix.householder_product(fg.tensor(a), fg.tensor(tau)).numpy(),
            torch.linalg.householder_product(torch.from_numpy(a), torch.from_numpy(tau)).numpy(),
            rtol=1e-10, atol=1e-10,
        )  # fmt: skip
    assert np.isnan(matrix.matrix_exp(fg.full((2, 2), 1e5)).numpy()).all()


def test_orthogonal_trains_under_jit() -> None:
    """The same ten steps of Adam on the originals, one trace, still orthogonal."""
    ours, theirs = (
        library.nn.utils.parametrizations.orthogonal(_linear(library, 4, 4))
        for library in (fg, torch)
    )
    _load(ours, _state(theirs))
    x = np.random.default_rng(3).standard_normal((8, 4))
    for library, layer in ((torch, theirs), (fg, ours)):
        optimizer = library.optim.Adam(layer.parameters(), lr=0.05)

        def step(x: Any, layer: Any = layer, optimizer: Any = optimizer) -> None:
            optimizer.zero_grad()
            ((layer(x) - 1.0) ** 2).mean().backward()
            optimizer.step()

        run = fg.jit(step) if library is fg else step
        for _ in range(10):
            run(library.tensor(x))
    assert len(run.history) == 1
    np.testing.assert_allclose(
        ours.weight.detach().numpy(), theirs.weight.detach().numpy(), rtol=1e-8, atol=1e-10
    )


# --- parametrize ----------------------------------------------------------------------------------
def _symmetric(library: Any) -> Any:
    class Symmetric(library.nn.Module):  # type: ignore[misc, name-defined]
        def forward(self, x: Any) -> Any:
            return library.triu(x) + library.triu(x, 1).T

        def right_inverse(self, x: Any) -> Any:
            return library.triu(x)

    return Symmetric()


def _doubled(library: Any) -> Any:
    class Doubled(library.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.scale = library.nn.Parameter(library.tensor(2.0, dtype=library.float64))

        def forward(self, x: Any) -> Any:
            return x * self.scale

    return Doubled()


def _halves(library: Any) -> Any:
    class Halves(library.nn.Module):  # type: ignore[misc, name-defined]
        def forward(self, a: Any, b: Any) -> Any:
            return a + b

        def right_inverse(self, x: Any) -> Any:
            return x * 0.25, x * 0.75

    return Halves()


@JIT
@pytest.mark.parametrize("kinds", [("symmetric",), ("doubled",), ("halves",), ("doubled", "symmetric"), ("halves", "doubled")], ids="+".join)  # fmt: skip  # noqa: E501
def test_own_parametrizations(kinds: tuple[str, ...], jit: bool) -> None:
    make = {"symmetric": _symmetric, "doubled": _doubled, "halves": _halves}
    pair = []
    for library in (fg, torch):
        layer = _linear(library, 4, 4)
        parametrize = library.nn.utils.parametrize
        for kind in kinds:
            parametrize.register_parametrization(layer, "weight", make[kind](library))
        assert parametrize.is_parametrized(layer) and parametrize.is_parametrized(layer, "weight")
        assert not parametrize.is_parametrized(layer, "bias")
        assert parametrize.type_before_parametrizations(layer) is library.nn.Linear
        pair.append(layer)
    _same(*pair, jit)
    assert repr(pair[0]) == repr(pair[1])
    assert type(pair[0]).__name__ == type(pair[1]).__name__ == "ParametrizedLinear"


@LIBRARIES
@pytest.mark.parametrize("leave", [True, False])
def test_removal(library: Any, leave: bool) -> None:
    parametrize = library.nn.utils.parametrize
    layer = _linear(library, 4, 4)
    parameter, before = layer.weight, layer.weight.detach().numpy().copy()
    parametrize.register_parametrization(layer, "weight", _symmetric(library))
    parametrize.register_parametrization(layer, "bias", _doubled(library))
    value = layer.weight.detach().numpy().copy()
    parametrize.remove_parametrizations(layer, "weight", leave_parametrized=leave)
    assert layer.weight is parameter  # an optimizer still has it
    np.testing.assert_array_equal(
        layer.weight.detach().numpy(), value if leave else np.triu(before)
    )
    assert not parametrize.is_parametrized(layer, "weight") and parametrize.is_parametrized(layer)
    parametrize.remove_parametrizations(layer, "bias")
    assert type(layer) is library.nn.Linear and list(layer.state_dict()) == ["weight", "bias"]
    assert not hasattr(layer, "parametrizations")


@LIBRARIES
def test_removal_of_several_originals(library: Any) -> None:
    layer = library.nn.utils.parametrizations.weight_norm(_linear(library))
    value = layer.weight.detach().numpy().copy()
    parametrize = library.nn.utils.parametrize
    with pytest.raises(ValueError, match="Cannot leave unparametrized"):
        parametrize.remove_parametrizations(layer, "weight", leave_parametrized=False)
    parametrize.remove_parametrizations(layer, "weight")
    assert isinstance(layer.weight, library.nn.Parameter) and layer.weight.requires_grad
    np.testing.assert_array_equal(layer.weight.detach().numpy(), value)


@LIBRARIES
def test_assignment_and_cache(library: Any) -> None:
    parametrize = library.nn.utils.parametrize
    layer = _linear(library, 4, 4)
    parametrize.register_parametrization(layer, "weight", _symmetric(library))
    new = np.arange(16.0).reshape(4, 4)
    layer.weight = library.tensor(new)
    want = np.triu(new) + np.triu(new, 1).T
    np.testing.assert_array_equal(layer.weight.detach().numpy(), want)
    assert layer.weight is not layer.weight
    with parametrize.cached():
        inside = layer.weight
        assert layer.weight is inside
    assert layer.weight is not inside
    parametrize.register_parametrization(layer, "weight", _doubled(library))
    with pytest.raises(RuntimeError, match="does not implement right_inverse"):
        layer.weight = library.tensor(new)


@LIBRARIES
def test_copies_are_apart(library: Any) -> None:
    parametrize = library.nn.utils.parametrize
    layer = library.nn.utils.parametrizations.weight_norm(_linear(library))
    clone = copy.deepcopy(layer)
    with library.no_grad():
        clone.parametrizations.weight.original0.fill_(0.0)
    assert (
        float(clone.weight.detach().abs().sum()) == 0.0 < float(layer.weight.detach().abs().sum())
    )
    assert type(clone).__name__ == "ParametrizedLinear"
    other = _linear(library)
    parametrize.transfer_parametrizations_and_params(layer, other)
    np.testing.assert_array_equal(other.weight.detach().numpy(), layer.weight.detach().numpy())
    with pytest.raises(RuntimeError, match="only supported through"):
        layer.__getstate__()


@LIBRARIES
def test_refusals(library: Any) -> None:
    parametrize = library.nn.utils.parametrize
    parametrizations = library.nn.utils.parametrizations
    layer = _linear(library)

    class Flat(library.nn.Module):  # type: ignore[misc, name-defined]
        def forward(self, x: Any) -> Any:
            return x.flatten()

    class Number(library.nn.Module):  # type: ignore[misc, name-defined]
        def forward(self, x: Any) -> Any:
            return 1.0

    cases = [
        (ValueError, lambda: parametrize.register_parametrization(layer, "no", Flat())),
        (ValueError, lambda: parametrize.register_parametrization(layer, "weight", Flat())),
        (ValueError, lambda: parametrize.register_parametrization(layer, "weight", Number())),
        (ValueError, lambda: parametrize.remove_parametrizations(layer, "weight")),
        (ValueError, lambda: parametrizations.orthogonal(layer, "bias")),
        (ValueError, lambda: parametrizations.orthogonal(layer, orthogonal_map="qr")),
        (ValueError, lambda: parametrizations.orthogonal(layer, "no")),
        (ValueError, lambda: parametrizations.spectral_norm(layer, n_power_iterations=0)),
        (ValueError, lambda: parametrizations.spectral_norm(layer, "no")),
        (IndexError, lambda: parametrizations.spectral_norm(layer, dim=2)),
    ]
    for error, call in cases:
        with pytest.raises(error):
            call()
    assert type(layer) is library.nn.Linear
    parametrize.register_parametrization(layer, "weight", Flat(), unsafe=True)
    assert tuple(layer.weight.shape) == (12,)


def test_older_weight_norm_states_load() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        old = torch.nn.utils.weight_norm(_linear(torch))
    new = fg.nn.utils.parametrizations.weight_norm(_linear(fg))
    with fg.no_grad():
        new.parametrizations.weight.original0.zero_()
    _load(new, _state(old))
    np.testing.assert_allclose(new.weight.detach().numpy(), old.weight.detach().numpy())


# --- the older functions --------------------------------------------------------------------------
@JIT
@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("dim", [0, 1, None])
def test_older_weight_norm(dim: int | None, jit: bool) -> None:
    ours, theirs = (lib.nn.utils.weight_norm(_linear(lib), dim=dim) for lib in (fg, torch))
    _same(ours, theirs, jit)
    assert repr(ours) == repr(theirs) and type(ours).__name__ == "Linear"
    for library, layer in ((fg, ours), (torch, theirs)):
        with pytest.raises(RuntimeError, match="Cannot register two weight_norm hooks"):
            library.nn.utils.weight_norm(layer)
        library.nn.utils.remove_weight_norm(layer)
        with pytest.raises(ValueError, match="not found in"):
            library.nn.utils.remove_weight_norm(layer)
    assert type(ours) is fg.nn.Linear
    for key, value in _state(theirs).items():
        np.testing.assert_allclose(_state(ours)[key], value, rtol=1e-12)
    assert sorted(_state(ours)) == sorted(_state(theirs))


@LIBRARIES
def test_older_weight_norm_is_deprecated(library: Any) -> None:
    with pytest.warns(FutureWarning, match="is deprecated in favor of"):
        library.nn.utils.weight_norm(_linear(library))


@JIT
@pytest.mark.parametrize("count", [1, 3])
def test_older_spectral_norm(count: int, jit: bool) -> None:
    ours, theirs = (
        lib.nn.utils.spectral_norm(_linear(lib), n_power_iterations=count) for lib in (fg, torch)
    )
    _load(ours, _state(theirs))
    _same(ours, theirs, jit)
    _same(ours, theirs, jit)
    ours.eval()
    theirs.eval()
    _same(ours, theirs, jit)
    for library, layer in ((fg, ours), (torch, theirs)):
        with pytest.raises(RuntimeError, match="Cannot register two spectral_norm hooks"):
            library.nn.utils.spectral_norm(layer)
        library.nn.utils.remove_spectral_norm(layer)
        with pytest.raises(ValueError, match="not found in"):
            library.nn.utils.remove_spectral_norm(layer)
    for key, value in _state(theirs).items():
        np.testing.assert_allclose(_state(ours)[key], value, rtol=1e-9)
    assert not ours._forward_pre_hooks and type(ours) is fg.nn.Linear


@pytest.mark.parametrize(
    "path",
    [
        "weight_norm", "remove_weight_norm", "spectral_norm", "remove_spectral_norm", "skip_init",
        "parametrizations.weight_norm", "parametrizations.spectral_norm",
        "parametrizations.orthogonal", "parametrize.register_parametrization",
        "parametrize.remove_parametrizations", "parametrize.is_parametrized",
        "parametrize.transfer_parametrizations_and_params", "clip_grad_norm_", "clip_grad_value_",
        "get_total_norm", "clip_grads_with_norm_", "parameters_to_vector", "vector_to_parameters",
    ],
)  # fmt: skip
def test_arguments(path: str) -> None:
    found = []
    for library in (fg, torch):
        function: Any = library.nn.utils
        for name in path.split("."):
            function = getattr(function, name)
        parameters = inspect.signature(function).parameters.values()
        found.append([(p.name, p.kind, p.default) for p in parameters])
    assert found[0] == found[1]


@LIBRARIES
def test_skip_init(library: Any) -> None:
    library.manual_seed(3)
    layer = library.nn.utils.skip_init(library.nn.Linear, 3, out_features=2, dtype=library.float64)
    assert tuple(layer.weight.shape) == (2, 3) and layer.weight.dtype is library.float64
    drawn = library.rand(1).item()
    library.manual_seed(3)
    assert drawn == library.rand(1).item()
    with pytest.raises(RuntimeError, match="Expected a Module"):
        library.nn.utils.skip_init(int, 3)
    with pytest.raises(RuntimeError, match="must support a 'device' arg"):
        library.nn.utils.skip_init(library.nn.ReLU)
