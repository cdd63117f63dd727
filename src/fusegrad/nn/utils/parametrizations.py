"""Weight, spectral and orthogonal parametrizations (``torch.nn.utils.parametrizations``)."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...autograd import no_grad
from ...errors import ArgumentError, DimError
from ...functions.arithmetic import div
from ...functions.common import cast
from ...functions.conversion import clone
from ...functions.creation import eye, zeros
from ...functions.linear import dot, mv
from ...functions.norms import norm
from ...functions.random import randn
from ...functions.reduction import sum
from ...functions.shape import cat, flatten, permute, unsqueeze
from ...ops import elementwise as ew
from ...tensor import Tensor
from ..convolution import ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from ..functional import normalize
from ..module import Module
from .matrix import (
    householder_product,
    inverse,
    is_orthogonal,
    matrix_exp,
    mT,
    truncated_diagonal,
)
from .parametrize import register_parametrization

__all__ = ["orthogonal", "spectral_norm", "weight_norm"]


# --- weight norm ----------------------------------------------------------------------------------
def norm_except_dim(v: Any, dim: int) -> Any:
    """2-norm over all axes but ``dim``, kept; over all when ``dim`` is -1."""
    if dim == -1:
        return norm(v)
    axes = tuple(k for k in range(v.aval.ndim) if k != dim % v.aval.ndim)
    return norm(v, 2, axes, keepdim=True) if axes else ew.abs_(v)


class _WeightNorm(Module):
    """``g * v / norm(v)``."""

    def __init__(self, dim: int | None = 0) -> None:
        super().__init__()
        self.dim = -1 if dim is None else dim

    def forward(self, weight_g: Any, weight_v: Any) -> Any:
        """The weight of magnitude ``weight_g`` and direction ``weight_v``."""
        return weight_v * (weight_g / norm_except_dim(weight_v, self.dim))

    def right_inverse(self, weight: Any) -> tuple[Any, Any]:
        """Magnitude and direction of a weight."""
        return norm_except_dim(weight, self.dim), weight


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """Magnitude and direction of a weight as separate parameters (Salimans and Kingma 2016).

    Args:
        module: the module.
        name: its weight.
        dim: axis with a magnitude for each index; one magnitude for all when ``None``.

    Returns:
        the module; its state has ``parametrizations.<name>.original0`` (magnitude) and
        ``original1`` (direction). A state with the older ``<name>_g``, ``<name>_v`` loads too.

    Example:
        >>> from fusegrad import nn
        >>> layer = nn.utils.parametrizations.weight_norm(nn.Linear(20, 40))
        >>> layer.parametrizations.weight.original0.shape
        fusegrad.Size([40, 1])
    """
    register_parametrization(module, name, _WeightNorm(dim), unsafe=True)

    def older(owner: Module, state: Any, prefix: str, *_: Any) -> None:
        g, v = f"{prefix}{name}_g", f"{prefix}{name}_v"
        if g in state and v in state:
            state[f"{prefix}parametrizations.{name}.original0"] = state.pop(g)
            state[f"{prefix}parametrizations.{name}.original1"] = state.pop(v)

    module.register_load_state_dict_pre_hook(older)
    return module


def output_axis(module: Module) -> int:
    """The axis of a weight that belongs to the outputs."""
    return 1 if isinstance(module, (ConvTranspose1d, ConvTranspose2d, ConvTranspose3d)) else 0


# --- spectral norm --------------------------------------------------------------------------------
def as_matrix(weight: Any, dim: int) -> Any:
    """``weight`` as a matrix with one row per index of ``dim``."""
    if dim != 0:
        weight = permute(weight, dim, *(k for k in range(weight.aval.ndim) if k != dim))
    return flatten(weight, 1)


@no_grad
def power_iterations(matrix: Any, u: Any, v: Any, count: int, eps: float) -> None:
    """Move ``u`` and ``v`` in place towards the largest singular vectors."""
    for _ in range(count):
        normalize(mv(matrix, v), dim=0, eps=eps, out=u)
        normalize(mv(mT(matrix), u), dim=0, eps=eps, out=v)


class _SpectralNorm(Module):
    """A weight over an estimate of its largest singular value."""

    _u: Any
    _v: Any

    def __init__(
        self, weight: Tensor, n_power_iterations: int = 1, dim: int = 0, eps: float = 1e-12
    ) -> None:
        super().__init__()
        ndim = weight.aval.ndim
        if dim >= ndim or dim < -ndim:
            raise DimError(
                f"spectral_norm over dim {dim} of {weight.aval}",
                f"Dimension out of range (expected to be in range of [-{ndim}, {ndim - 1}]).",
            )
        if n_power_iterations <= 0:
            raise ArgumentError(
                f"spectral_norm with n_power_iterations={n_power_iterations}",
                "Expected n_power_iterations to be positive.",
            )
        self.dim = dim % ndim
        self.eps = eps
        if ndim > 1:
            self.n_power_iterations = n_power_iterations
            matrix = as_matrix(weight.detach(), self.dim)  # type: ignore[attr-defined]
            for key, extent in zip(("_u", "_v"), matrix.aval.shape, strict=True):
                start = randn(extent, dtype=weight.dtype)
                self.register_buffer(key, normalize(start, dim=0, eps=eps))
            power_iterations(matrix, self._u, self._v, 15, eps)

    def forward(self, weight: Any) -> Any:
        """The weight with spectral norm 1; one more estimate of it in training mode."""
        if weight.aval.ndim == 1:
            return normalize(weight, dim=0, eps=self.eps)
        matrix = as_matrix(weight, self.dim)
        if self.training:
            power_iterations(matrix.detach(), self._u, self._v, self.n_power_iterations, self.eps)
        return weight / dot(clone(self._u), mv(matrix, clone(self._v)))

    def right_inverse(self, value: Any) -> Any:
        """The value itself."""
        return value


def spectral_norm(
    module: Module,
    name: str = "weight",
    n_power_iterations: int = 1,
    eps: float = 1e-12,
    dim: int | None = None,
) -> Module:
    """Divide a weight by its largest singular value (Miyato et al. 2018).

    The value is estimated by power iterations, of which each use in training mode does some more.

    Args:
        module: the module.
        name: its weight.
        n_power_iterations: iterations per use.
        eps: lower bound of norms.
        dim: axis of the outputs; default 1 for transposed convolutions, else 0.

    Example:
        >>> from fusegrad import nn
        >>> layer = nn.utils.parametrizations.spectral_norm(nn.Linear(20, 40))
        >>> list(layer.state_dict())[1:]
        ['parametrizations.weight.original', 'parametrizations.weight.0._u', \
'parametrizations.weight.0._v']
    """
    weight = _tensor_of(module, name)
    if dim is None:
        dim = output_axis(module)
    return register_parametrization(
        module, name, _SpectralNorm(weight, n_power_iterations, dim, eps)
    )


def _tensor_of(module: Module, name: str) -> Tensor:
    weight = getattr(module, name, None)
    if not isinstance(weight, Tensor):
        raise ArgumentError(
            f"a parametrization of {name!r}",
            f"Module '{module}' has no parameter or buffer with name '{name}'.",
        )
    return weight


# --- orthogonal -----------------------------------------------------------------------------------
def _reduced(q: Tensor) -> Tensor:
    """The nearest thing to ``q`` that a QR factorisation makes orthogonal."""
    basis, r = np.linalg.qr(q._concrete("orthogonal"))
    signs = np.sign(np.diagonal(r, axis1=-2, axis2=-1))
    return Tensor(np.ascontiguousarray(basis * signs[..., None, :]))


def _reflections(q: Tensor) -> Tensor:
    """Householder vectors below the diagonal, signs on it, as ``_Orthogonal.forward`` takes them.

    A reflection of length zero would be the identity, which ``forward`` cannot express: it gets
    tau = 2 instead, and the other sign.
    """
    array = q._concrete("orthogonal")
    flat = array.reshape(-1, *array.shape[-2:])
    packed = np.empty_like(flat)
    for out, matrix in zip(packed, flat, strict=True):
        raw, tau = np.linalg.qr(matrix, mode="raw")
        out[...] = raw.T
        signs = np.sign(np.diagonal(out)).copy()
        signs[: len(tau)][tau == 0] *= -1
        np.fill_diagonal(out, signs)
    return Tensor(packed.reshape(array.shape))


class _Orthogonal(Module):
    """A matrix made orthogonal by the exponential, the Cayley map or reflections."""

    def __init__(
        self, weight: Tensor, orthogonal_map: str, *, use_trivialization: bool = True
    ) -> None:
        super().__init__()
        self.shape = tuple(weight.shape)
        self.orthogonal_map = orthogonal_map
        self.use_trivialization = use_trivialization
        if use_trivialization:
            self.register_buffer("base", None)

    def _skew(self, x: Any) -> Any:
        n, k = x.aval.shape[-2:]
        x = x.tril()
        if n != k:
            x = cat([x, zeros(*x.aval.shape[:-2], n, n - k, dtype=x.dtype)], -1)
        return x - mT(x)

    def forward(self, original: Any) -> Any:
        """The orthogonal matrix; orthonormal rows when it is wide."""
        x = original
        transposed = x.aval.shape[-2] < x.aval.shape[-1]
        if transposed:
            x = mT(x)
        n, k = x.aval.shape[-2:]
        if self.orthogonal_map == "householder":
            a = x.tril(-1)
            squares: Any = sum(a * a, -2)
            tau = div(2.0, squares + 1.0)
            q = householder_product(a, tau) * unsqueeze(truncated_diagonal(x), -2)
        else:
            a = self._skew(x)
            if self.orthogonal_map == "matrix_exp":
                q = matrix_exp(a)
            else:
                unit = cast(eye(n), a.dtype)
                q = inverse(unit - a * 0.5) @ (unit + a * 0.5)
            if n != k:
                q = q[..., :k]
        if self.use_trivialization:
            q = self.base @ q
        return mT(q) if transposed else q

    @no_grad
    def right_inverse(self, value: Any) -> Any:
        """An original for which ``forward`` gives an orthogonal matrix near ``value``."""
        if tuple(value.shape) != self.shape:
            raise ArgumentError(
                f"a matrix {tuple(value.shape)} for an orthogonal one {self.shape}",
                f"Expected a matrix or batch of matrices of shape {self.shape}.",
            )
        transposed = self.shape[-2] < self.shape[-1]
        q = mT(value) if transposed else value
        n, k = q.aval.shape[-2:]
        if not self.use_trivialization:
            if self.orthogonal_map != "householder":
                raise NotImplementedError(
                    "It is not possible to assign to the matrix exponential or the Cayley "
                    "parametrizations when use_trivialization=False."
                )
            a = _reflections(q)
            return clone(mT(a)) if transposed else a
        if n != k:
            q = cat([q, randn(*q.aval.shape[:-2], n, n - k, dtype=q.dtype)], -1)
            self.base = _reduced(q)
        else:
            self.base = clone(q) if is_orthogonal(q) else _reduced(q)
        start = np.zeros(self.shape, q.dtype.np)
        diagonal = np.arange(min(self.shape[-2:]))
        start[..., diagonal, diagonal] = -1.0  # all three maps give the identity there
        return Tensor(start)


def orthogonal(
    module: Module,
    name: str = "weight",
    orthogonal_map: str | None = None,
    *,
    use_trivialization: bool = True,
) -> Module:
    """Keep a matrix orthogonal while the parameters behind it change freely (Lezcano-Casado 2019).

    Args:
        module: the module.
        name: a matrix or batch of matrices of it; orthonormal columns, or rows when it is wide.
        orthogonal_map: "matrix_exp" (default for square matrices), "cayley", or "householder"
            (default for others).
        use_trivialization: start at, and allow assignment of, any orthogonal matrix; costs a
            buffer ``base``.

    Raises:
        ValueError: no matrix, or an unknown map.

    Example:
        >>> import fusegrad as fg
        >>> from fusegrad import nn
        >>> layer = nn.utils.parametrizations.orthogonal(nn.Linear(3, 5))
        >>> q = layer.weight
        >>> bool(((q.T @ q - fg.eye(3)).abs() < 1e-5).all())
        True
    """
    weight = _tensor_of(module, name)
    if weight.aval.ndim < 2:
        raise ArgumentError(
            f"orthogonal of {weight.aval}", "Expected a matrix or batch of matrices."
        )
    if orthogonal_map is None:
        square = weight.aval.shape[-2] == weight.aval.shape[-1]
        orthogonal_map = "matrix_exp" if square else "householder"
    if orthogonal_map not in ("matrix_exp", "cayley", "householder"):
        raise ArgumentError(
            f"orthogonal with orthogonal_map={orthogonal_map!r}",
            'orthogonal_map has to be one of "matrix_exp", "cayley", "householder".',
        )
    parametrization = _Orthogonal(weight, orthogonal_map, use_trivialization=use_trivialization)
    return register_parametrization(module, name, parametrization, unsafe=True)
