"""The older ``weight_norm`` and ``spectral_norm``, whose parameters lie in the module itself.

A property computes the weight from ``<name>_g`` and ``<name>_v``, or from ``<name>_orig`` with the
buffers ``<name>_u`` and ``<name>_v``: PyTorch's keys.
"""

from __future__ import annotations

import warnings
from typing import Any

from ...autograd import no_grad
from ...errors import ArgumentError, StateDictError
from ...functions.linear import dot, mv
from ...functions.random import randn
from ...tensor import Tensor, bump_epoch
from ..functional import normalize
from ..parameter import Parameter
from .matrix import mT
from .parametrizations import as_matrix, norm_except_dim, output_axis, power_iterations


class _Recipe:
    """How a weight is computed from the attributes of its module."""

    def __init__(self, name: str) -> None:
        self.name = name

    def compute(self, module: Any) -> Any:
        """The weight."""
        raise NotImplementedError

    def parts(self) -> tuple[str, ...]:
        """The attributes it is made of."""
        raise NotImplementedError


class _WeightNorm(_Recipe):
    def __init__(self, name: str, dim: int) -> None:
        super().__init__(name)
        self.dim = dim

    def compute(self, module: Any) -> Any:
        g, v = (getattr(module, part) for part in self.parts())
        return v * (g / norm_except_dim(v, self.dim))

    def parts(self) -> tuple[str, ...]:
        return self.name + "_g", self.name + "_v"


class _SpectralNorm(_Recipe):
    def __init__(self, name: str, count: int, eps: float, dim: int) -> None:
        super().__init__(name)
        self.n_power_iterations, self.eps, self.dim = count, eps, dim

    def compute(self, module: Any) -> Any:
        weight, u, v = (getattr(module, part) for part in self.parts())
        u, v = u.detach().clone(), v.detach().clone()
        return weight / dot(u, mv(as_matrix(weight, self.dim), v))

    def parts(self) -> tuple[str, ...]:
        return self.name + "_orig", self.name + "_u", self.name + "_v"

    def before_forward(self, module: Any, args: Any) -> None:
        """One more estimate of the singular vectors, in training mode."""
        if module.training:
            weight, u, v = (getattr(module, part) for part in self.parts())
            matrix = as_matrix(weight.detach(), self.dim)
            # v before u, unlike in the parametrization
            power_iterations(mT(matrix), v, u, self.n_power_iterations, self.eps)


def _recipes(module: Any) -> dict[str, _Recipe]:
    return getattr(type(module), "_recipes", {})


def _install(module: Any, recipe: _Recipe) -> None:
    """Give the module a class with a property that computes the weight."""
    recipes = {**_recipes(module), recipe.name: recipe}
    base = type(module).__bases__[0] if _recipes(module) else type(module)
    _set_class(module, base, recipes)


def _set_class(module: Any, base: type, recipes: dict[str, _Recipe]) -> None:
    if recipes:
        members: dict[str, Any] = {n: property(r.compute) for n, r in recipes.items()}
        members |= {"_recipes": recipes, "__module__": base.__module__}
        base = type(base.__name__, (base,), members)
    module.__class__ = base
    bump_epoch()


def _uninstall(module: Any, name: str, kind: type[_Recipe], label: str) -> None:
    recipe = _recipes(module).get(name)
    if not isinstance(recipe, kind):
        raise ArgumentError(
            f"remove_{label} of {name!r}", f"{label} of '{name}' not found in {module}."
        )
    with no_grad():
        value = getattr(module, name).detach().clone()
    requires_grad = getattr(module, recipe.parts()[0])._requires_grad
    for part in recipe.parts():
        delattr(module, part)
    hooks = module._forward_pre_hooks
    for key, (hook, _) in list(hooks.items()):
        if getattr(hook, "__self__", None) is recipe:
            del hooks[key]
    rest = {n: r for n, r in _recipes(module).items() if n != name}
    _set_class(module, type(module).__bases__[0], rest)
    module.register_parameter(name, Parameter(value, requires_grad))


def _weight_of(module: Any, name: str, kind: type[_Recipe], label: str) -> Any:
    if isinstance(_recipes(module).get(name), kind):
        raise StateDictError(
            f"{label} of {name!r} a second time",
            f"Cannot register two {label} hooks on the same parameter {name}.",
            f"remove_{label}(module) first",
        )
    weight = module._parameters.get(name)
    if not isinstance(weight, Tensor):
        raise ArgumentError(f"{label} of {name!r}", f"{module} has no parameter '{name}'.")
    return weight


def weight_norm(module: Any, name: str = "weight", dim: int | None = 0) -> Any:
    """Magnitude and direction of a weight as parameters ``<name>_g`` and ``<name>_v``.

    Deprecated, as in PyTorch: use ``nn.utils.parametrizations.weight_norm``.

    Args:
        module: the module.
        name: its weight.
        dim: axis with a magnitude for each index; one magnitude for all when ``None``.
    """
    warnings.warn(
        "`nn.utils.weight_norm` is deprecated in favor of `nn.utils.parametrizations.weight_norm`.",
        FutureWarning,
        stacklevel=2,
    )
    weight = _weight_of(module, name, _WeightNorm, "weight_norm")
    recipe = _WeightNorm(name, -1 if dim is None else dim)
    delattr(module, name)
    with no_grad():
        magnitude = norm_except_dim(weight.detach(), recipe.dim)
    module.register_parameter(name + "_g", Parameter(magnitude))
    module.register_parameter(name + "_v", Parameter(weight.detach()))
    _install(module, recipe)
    return module


def remove_weight_norm(module: Any, name: str = "weight") -> Any:
    """Make a weight with ``weight_norm`` a plain parameter of the same value again.

    Raises:
        ValueError: it has no ``weight_norm``.
    """
    _uninstall(module, name, _WeightNorm, "weight_norm")
    return module


def spectral_norm(
    module: Any,
    name: str = "weight",
    n_power_iterations: int = 1,
    eps: float = 1e-12,
    dim: int | None = None,
) -> Any:
    """Divide a weight by its largest singular value; the parameter becomes ``<name>_orig``.

    Each call of the module in training mode does some power iterations. Newer code uses
    ``nn.utils.parametrizations.spectral_norm``.

    Args:
        module: the module.
        name: its weight.
        n_power_iterations: iterations per call.
        eps: lower bound of norms.
        dim: axis of the outputs; default 1 for transposed convolutions, else 0.
    """
    if n_power_iterations <= 0:
        raise ArgumentError(
            f"spectral_norm with n_power_iterations={n_power_iterations}",
            "Expected n_power_iterations to be positive.",
        )
    if dim is None:
        dim = output_axis(module)
    weight = _weight_of(module, name, _SpectralNorm, "spectral_norm")
    recipe = _SpectralNorm(name, n_power_iterations, eps, dim)
    rows, columns = as_matrix(weight.detach(), dim).aval.shape
    delattr(module, name)
    module.register_parameter(name + "_orig", weight)
    for suffix, extent in (("_u", rows), ("_v", columns)):
        start = normalize(randn(extent, dtype=weight.dtype), dim=0, eps=eps)
        module.register_buffer(name + suffix, start)
    _install(module, recipe)
    module.register_forward_pre_hook(recipe.before_forward)
    return module


def remove_spectral_norm(module: Any, name: str = "weight") -> Any:
    """Make a weight with ``spectral_norm`` a plain parameter of the same value again.

    Raises:
        ValueError: it has no ``spectral_norm``.
    """
    _uninstall(module, name, _SpectralNorm, "spectral_norm")
    return module
