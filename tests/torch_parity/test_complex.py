"""Complex tensors against PyTorch: parts and views, promotion, gradients, errors, jit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fusegrad as fg
from fusegrad.testing import assert_same, gradcheck, gradgradcheck

torch = pytest.importorskip("torch")

RNG = np.random.default_rng(0)
Z = RNG.normal(size=(3, 4)) + 1j * RNG.normal(size=(3, 4))
W = RNG.normal(size=(3, 4)) + 1j * RNG.normal(size=(3, 4))
EDGES = np.array([0, 1, -1, 1j, -1j, 1 + 1j, -2 - 3j, 1e-3j, 30 - 2j, -30 + 2j], np.complex128)

# one function each: (library, z, w) -> result; every result is compared with its gradients
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "arithmetic": lambda m, z, w: (z * w + z / w - 2j * z + 3) * 0.5,
    "powers": lambda m, z, w: z**2 + w**3 + z**-1 + w**0.5 + (z * 0.3) ** w,
    "number to a power": lambda m, z, w: (2 + 1j) ** z,
    "absolute": lambda m, z, w: (z * w).abs() + z.abs() * w.abs(),
    "parts": lambda m, z, w: z.real * w.imag + m.imag(z * w),
    "conjugate": lambda m, z, w: z.conj() * w + m.conj(z * w),
    "angle": lambda m, z, w: m.angle(z * w),
    "direction": lambda m, z, w: m.sgn(z) * w,
    "polar": lambda m, z, w: m.polar(z.abs(), w.angle()),
    "built": lambda m, z, w: m.complex(z.real, w.imag) * z,
    "views": lambda m, z, w: m.view_as_complex(m.view_as_real(z).flip(-1).contiguous()) * w,
    "exponentials": lambda m, z, w: z.exp() + w.exp2() + z.expm1() + w.sigmoid(),
    "logarithms": lambda m, z, w: z.log() + w.log2() + z.log10() + w.log1p(),
    "roots": lambda m, z, w: z.sqrt() + w.rsqrt() + z.reciprocal(),
    "circular": lambda m, z, w: z.sin() * w.cos() + z.tan(),
    "hyperbolic": lambda m, z, w: z.sinh() * w.cosh() + z.tanh(),
    "inverse circular": lambda m, z, w: z.asin() + w.acos() + z.atan(),
    "inverse hyperbolic": lambda m, z, w: z.asinh() + w.acosh() + (z * 0.2).atanh(),
    "sums": lambda m, z, w: z.sum(0) + w.mean(0) + z.cumsum(1)[0],
    "products": lambda m, z, w: z.prod(0) + w.cumprod(0)[2],
    "statistics": lambda m, z, w: z.var(1) + w.std(1),
    "norms": lambda m, z, w: z.norm() + w.norm(p=1) + z.norm(p=3, dim=1).sum(),
    "contractions": lambda m, z, w: z @ w.mH @ m.einsum("ij,kj->ik", z, w),
    "inner products": lambda m, z, w: m.vdot(z[0], w[1]) + m.dot(z[0], w[1]),
    "moved": lambda m, z, w: m.cat([z.t(), m.roll(w, 1, 0).mT], 1)[1:, ::2].flip(0),
    "chosen": lambda m, z, w: m.where(z.real > 0, z, 2j * w) + z.masked_fill(z.imag > 0, 1j),
    "gathered": lambda m, z, w: z[[2, 0, 0]] + w.index_select(1, m.tensor([3, 0])).sum(),
    "real operand": lambda m, z, w: z * w.real + w.abs() - z / (1 + w.abs()),
    "adjoint": lambda m, z, w: z.H @ w,
}


def leaves(m: Any, dtype: Any = np.complex128) -> list[Any]:
    return [m.from_numpy(a.astype(dtype)).requires_grad_() for a in (Z, W)]


def real_sum(t: Any) -> Any:
    weighted = (t * (t * 0.7).sin()).sum()
    return weighted.real + 0.5 * weighted.imag if t.is_complex() else weighted


@pytest.mark.parametrize("name", FUNCTIONS)
def test_values_and_gradients_to_second_order(name: str) -> None:
    found = []
    for m in (fg, torch):
        z, w = leaves(m)
        out = FUNCTIONS[name](m, z, w)
        first = m.autograd.grad(real_sum(out), [z, w], create_graph=True, allow_unused=True)
        total = sum(real_sum(g) for g in first if g is not None)
        second = m.autograd.grad(total, [z, w], allow_unused=True, materialize_grads=True)
        results = [out, *[g for g in first if g is not None], *second]
        found.append([np.asarray(t.detach().resolve_conj().numpy()) for t in results])
    for ours, theirs in zip(*found, strict=True):
        assert ours.dtype == theirs.dtype
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_single_precision_results_have_pytorchs_dtype(name: str) -> None:
    ours = FUNCTIONS[name](fg, *leaves(fg, np.complex64))
    theirs = FUNCTIONS[name](torch, *leaves(torch, np.complex64))
    assert str(ours.dtype).split(".")[1] == str(theirs.dtype).split(".")[1]
    np.testing.assert_allclose(
        ours.detach().numpy(), theirs.detach().resolve_conj().numpy(), rtol=2e-4, atol=2e-4
    )


# every kind of rule once: pairs, parts, contractions, movements, a host equation
COMPILED = {
    "native": ["arithmetic", "absolute", "parts", "exponentials", "roots", "sums", "chosen"],
    "products": ["contractions", "moved", "gathered", "built"],
    "host": ["inverse circular", "products"],
}


@pytest.mark.parametrize("names", COMPILED.values(), ids=COMPILED)
def test_jit_is_eager_with_gradients(names: list[str]) -> None:
    def run(z: Any, w: Any) -> Any:
        results = []
        for name in names:
            z, w = (t.detach().requires_grad_() for t in (z, w))
            out = FUNCTIONS[name](fg, z, w)
            grads = fg.autograd.grad(real_sum(out), [z, w], allow_unused=True)
            results += [out.detach(), *[g for g in grads if g is not None]]
        return results

    assert_same(run, fg.from_numpy(Z), fg.from_numpy(W), rtol=1e-9)


@pytest.mark.parametrize(
    "name",
    "exp expm1 sin cos tan sinh cosh tanh asin acos atan asinh acosh sqrt sigmoid abs angle sgn "
    "square isnan isfinite isreal".split(),
)
def test_edges_of_elementary_functions(name: str) -> None:
    """Branch cuts, zeros and arguments for which naive formulas overflow."""
    ours = getattr(fg, name)(fg.from_numpy(EDGES)).numpy()
    theirs = getattr(torch, name)(torch.from_numpy(EDGES)).numpy()
    np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-12)


def test_compiled_edges() -> None:
    def run(z: Any) -> Any:
        names = "exp expm1 sin cos tan sinh cosh tanh sqrt rsqrt sigmoid abs angle sgn".split()
        return [getattr(fg, n)(z) for n in names]

    assert_same(run, fg.from_numpy(EDGES), rtol=1e-12)


# --- views ----------------------------------------------------------------------------------------
@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "jit"])
def test_parts_share_memory(compiled: bool) -> None:
    def change(z: Any) -> Any:
        z.real.mul_(2)
        z.imag = fg.ones(3, dtype=fg.float64)
        fg.view_as_real(z)[0].zero_()
        fg.view_as_complex(fg.view_as_real(z))[2] += 1j
        return z * 1

    z = fg.tensor([1 + 1j, 2 + 2j, 3 + 3j], dtype=fg.complex128)
    out = (fg.jit(change) if compiled else change)(z)
    assert z.tolist() == out.tolist() == [0, 4 + 1j, 6 + 2j]


def test_gradients_pass_through_changed_parts() -> None:
    grads = []
    for m in (fg, torch):
        z = m.from_numpy(Z.copy()).requires_grad_()
        y = z * 1
        y.real.mul_(3.0)
        y.imag[0] = 2.0
        (y.abs() ** 2).sum().backward()
        grads.append(z.grad.numpy())
    np.testing.assert_allclose(*grads, rtol=1e-12)


def test_view_as_complex_refuses_other_strides() -> None:
    with pytest.raises(RuntimeError, match="stride 1"):
        fg.view_as_complex(fg.zeros(2, 3).t())
    with pytest.raises(RuntimeError, match="size 2"):
        fg.view_as_complex(fg.zeros(3))
    with pytest.raises(RuntimeError, match="only supported for complex"):
        fg.view_as_real(fg.zeros(3))


# --- dtypes ---------------------------------------------------------------------------------------
OPERANDS = {
    "i64": lambda m: m.ones(2, dtype=m.int64),
    "f32": lambda m: m.ones(2, dtype=m.float32),
    "f64": lambda m: m.ones(2, dtype=m.float64),
    "bf16": lambda m: m.ones(2, dtype=m.bfloat16),
    "c64": lambda m: m.ones(2, dtype=m.complex64),
    "c128": lambda m: m.ones(2, dtype=m.complex128),
    "f64 scalar": lambda m: m.tensor(1.0, dtype=m.float64),
    "c64 scalar": lambda m: m.tensor(1j),
    "c128 scalar": lambda m: m.tensor(1j, dtype=m.complex128),
    "number": lambda m: 2j,
}


@pytest.mark.parametrize("left", OPERANDS)
@pytest.mark.parametrize("right", [n for n in OPERANDS if n.startswith(("c", "n"))])
def test_promotion(left: str, right: str) -> None:
    if left == right == "number":
        return
    ours = OPERANDS[left](fg) * OPERANDS[right](fg)
    theirs = OPERANDS[left](torch) * OPERANDS[right](torch)
    assert str(ours.dtype).split(".")[1] == str(theirs.dtype).split(".")[1]


def test_half_precision_has_no_complex_counterpart() -> None:
    with pytest.raises(RuntimeError, match="complex32"):
        fg.ones(2, dtype=fg.float16) * 1j
    with pytest.raises(RuntimeError, match="complex32"):
        fg.ones(2).chalf()


def test_conversions() -> None:
    z = fg.tensor([1 + 2j, 0j])
    assert fg.tensor([1j]).dtype is fg.complex64 and fg.full((2,), 1j).dtype is fg.complex64
    assert z.cdouble().dtype is fg.cdouble is fg.complex128
    assert z.float().tolist() == [1.0, 0.0] and z.bool().tolist() == [True, False]
    assert z.is_complex() and not z.is_floating_point() and not z.is_conj()
    assert complex(z[0]) == 1 + 2j and float(z[1]) == 0.0
    assert np.asarray(z).dtype == np.complex64
    assert fg.randn(5, dtype=fg.complex128).dtype is fg.complex128
    assert fg.linspace(0, 2j, 3).tolist() == [0, 1j, 2j]


def test_printing() -> None:
    assert repr(fg.tensor([1 + 2j, 3])) == "tensor([1.+2.j, 3.+0.j])"
    assert repr(fg.tensor(1j, dtype=fg.complex128)) == "tensor(0.+1.j, dtype=fusegrad.complex128)"
    assert repr(fg.zeros(0, dtype=fg.complex64)) == "tensor([], dtype=fusegrad.complex64)"


def test_gradcheck_takes_complex_inputs() -> None:
    z, w = leaves(fg)
    assert gradcheck(lambda z, w: (z @ w.mH).tanh() / 3, (z, w))
    assert gradgradcheck(lambda z, w: (z * w.conj()).abs() + z.angle(), (z, w))
    wrong = lambda z: z.detach().real * z  # noqa: E731
    assert not gradcheck(wrong, z, raise_exception=False)


def test_random_parts_are_independent() -> None:
    fg.manual_seed(0)
    z = fg.randn(4000, dtype=fg.complex64).numpy()
    assert abs(z.real.var() - 0.5) < 0.05 and abs(z.imag.var() - 0.5) < 0.05
    assert abs((z.real * z.imag).mean()) < 0.05
    u = fg.rand(1000, dtype=fg.complex64).numpy()
    assert 0 <= u.real.min() and u.imag.max() < 1


# --- errors ---------------------------------------------------------------------------------------
REFUSED: dict[str, Callable[[Any], Any]] = {
    "less": lambda z: z < z,
    "maximum": lambda z: fg.maximum(z, z),
    "max": lambda z: z.max(),
    "argmin": lambda z: z.argmin(),
    "sort": lambda z: z.sort(),
    "cummax": lambda z: z.cummax(0),
    "floor": lambda z: z.floor(),
    "sign": lambda z: z.sign(),
    "clamp": lambda z: z.clamp(0, 1),
    "remainder": lambda z: z % 2,
    "imag of real": lambda z: z.real.imag,
    "float": lambda z: float(z[0]),
    "in place": lambda z: z.abs().add_(z),
    "fill": lambda z: z.abs().fill_(1j),
    "assigned": lambda z: z.abs().__setitem__(0, 1j),
    "data": lambda z: fg.tensor([1j], dtype=fg.float32),
    "isposinf": lambda z: fg.isposinf(z),
    "H of a vector": lambda z: z.H,
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_complex_numbers_do_not_have(name: str) -> None:
    with pytest.raises(RuntimeError):
        REFUSED[name](fg.tensor([1 + 2j, 2.0]))


def test_backward_of_a_complex_scalar_needs_a_gradient() -> None:
    z = fg.tensor(1 + 1j, requires_grad=True)
    with pytest.raises(RuntimeError, match="only for real scalar outputs but got"):
        (z * z).backward()
    (z * z).backward(fg.tensor(1 + 0j))
    assert z.grad.item() == 2 - 2j


def test_real_programs_pay_nothing() -> None:
    """No conjugate and no conversion in the graph of a real step."""

    def step(x: Any, w: Any) -> Any:
        w = w.detach().requires_grad_()
        ((x @ w).tanh() / 2).sum().backward()
        return w.grad

    compiled = fg.jit(step)
    compiled(fg.ones(3, 2), fg.ones(2, 2))
    assert "conj" not in str(compiled.graph()) and "convert" not in str(compiled.graph())


def _conjugates(lib: Any) -> list[Any]:
    z = lib.tensor([[1 + 2j, 3 - 1j]])
    every = [
        z, z.conj(), z.conj().conj(), z.mH, z.H, z.adjoint(), z.conj()[0], z.conj().T,
        z.conj().resolve_conj(), z.conj_physical(), z.conj().clone(), z.conj() + 1, -z.conj(),
        z.conj().contiguous(), z.real.conj(), z.conj().real, lib.tensor([1, 2]).conj(),
        z.resolve_conj(), z.real.conj_physical(), z.conj().detach(),
    ]  # fmt: skip
    return [(x.is_conj(), x.is_complex(), x.resolve_neg().tolist(), x.shape) for x in every]


def test_conjugate_bits() -> None:
    """``is_conj`` answers as PyTorch does, though nothing waits to be conjugated."""
    assert _conjugates(fg) == _conjugates(torch)
    z = fg.tensor([1 + 2j])
    assert z.resolve_conj() is z and fg.ones(1).conj().add_(1).item() == 2.0
    assert not z.conj().imag.is_neg() and z.conj().imag.item() == -2.0


def test_conjugates_are_not_written() -> None:
    """It would have to change the tensor that was conjugated."""

    def square(z: Any) -> None:
        z.mul_(z)

    def part(z: Any) -> None:
        z.imag[0] = 1.0

    for change in (square, part, lambda z: z[0].fill_(0), lambda z: fg.add(z, 1, out=z)):
        for compiled in (lambda f: f, fg.jit):
            with pytest.raises(fg.errors.InPlaceError) as caught:
                compiled(lambda z, change=change: change(z.conj()))(fg.tensor([1 + 2j]))
            assert "conjugate" in str(caught.value) and "conj_physical" in caught.value.hint
    for own in (fg.conj_physical, lambda z: z.conj().resolve_conj(), lambda z: z.conj().clone()):
        z = fg.tensor([1 + 2j])
        assert own(z).mul_(2).tolist() == [2 - 4j] and z.tolist() == [1 + 2j]
