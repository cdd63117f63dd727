"""Settings that PyTorch has and that change nothing here, or little: kept so that programs run.

Results are repeatable at a fixed number of threads in any case, products of matrices keep the
precision of their operands, and there is one device.
"""

from __future__ import annotations

from typing import Any

from ..errors import ArgumentError, RangeError
from ..tensor import Tensor
from .common import method
from .placement import device as as_device
from .placement import on_cpu

__all__ = [
    "are_deterministic_algorithms_enabled", "get_default_device", "get_deterministic_debug_mode",
    "get_device", "get_float32_matmul_precision", "get_num_interop_threads", "is_distributed",
    "is_deterministic_algorithms_warn_only_enabled", "is_inference", "is_inference_mode_enabled",
    "is_warn_always_enabled", "set_default_device", "set_deterministic_debug_mode",
    "set_float32_matmul_precision", "set_flush_denormal", "set_num_interop_threads",
    "set_warn_always", "use_deterministic_algorithms",
]  # fmt: skip

_state: dict[str, Any] = {
    "deterministic": False, "warn_only": False, "matmul": "highest", "warn_always": False,
    "interop": 1,
}  # fmt: skip


def get_default_device() -> as_device:
    """The device new tensors are on: the cpu."""
    return as_device("cpu")


def set_default_device(device: Any) -> None:
    """Accepted for the cpu, the only device.

    Raises:
        RuntimeError: another device.
    """
    on_cpu(device)


def use_deterministic_algorithms(mode: bool, *, warn_only: bool = False) -> None:
    """Noted, without effect: results are repeatable already."""
    _state.update(deterministic=bool(mode), warn_only=bool(warn_only))


def are_deterministic_algorithms_enabled() -> bool:
    """What ``use_deterministic_algorithms`` was told."""
    return bool(_state["deterministic"])


def is_deterministic_algorithms_warn_only_enabled() -> bool:
    """What ``use_deterministic_algorithms`` was told."""
    return bool(_state["warn_only"])


def set_deterministic_debug_mode(debug_mode: int | str) -> None:
    """``use_deterministic_algorithms`` by number or name: 0 default, 1 warn, 2 error."""
    names = {"default": 0, "warn": 1, "error": 2}
    mode = names.get(debug_mode, -1) if isinstance(debug_mode, str) else debug_mode
    if mode not in (0, 1, 2):
        raise RangeError(f"debug mode {debug_mode!r}", "It is 0, 1, 2, default, warn or error.")
    use_deterministic_algorithms(mode > 0, warn_only=mode == 1)


def get_deterministic_debug_mode() -> int:
    """0, 1 or 2, see ``set_deterministic_debug_mode``."""
    return 0 if not _state["deterministic"] else 1 if _state["warn_only"] else 2


def set_float32_matmul_precision(precision: str) -> None:
    """Noted, without effect: products of float32 matrices compute in float32."""
    if precision not in ("highest", "high", "medium"):
        raise ArgumentError(
            f"set_float32_matmul_precision({precision!r})", "It is highest, high or medium."
        )
    _state["matmul"] = precision


def get_float32_matmul_precision() -> str:
    """What ``set_float32_matmul_precision`` was told."""
    return str(_state["matmul"])


def set_flush_denormal(mode: bool) -> bool:
    """Not available: False."""
    return False


def set_warn_always(b: bool) -> None:
    """Noted, without effect: Python's filters decide about warnings."""
    _state["warn_always"] = bool(b)


def is_warn_always_enabled() -> bool:
    """What ``set_warn_always`` was told."""
    return bool(_state["warn_always"])


def set_num_interop_threads(threads: int) -> None:
    """Noted, without effect: one pool of threads works for everything."""
    if threads < 1:
        raise RangeError(f"{threads} threads", "expects a positive integer.")
    _state["interop"] = int(threads)


def get_num_interop_threads() -> int:
    """What ``set_num_interop_threads`` was told."""
    return int(_state["interop"])


def is_inference_mode_enabled() -> bool:
    """Whether gradients are off by ``inference_mode``: it is ``no_grad`` here, so False."""
    return False


@method()
def is_inference(input: Tensor) -> bool:
    """Whether a tensor was made in inference mode, which makes ordinary tensors here: False."""
    return False


@method()
def is_distributed(input: Tensor) -> bool:
    """Whether a tensor is spread over processes: False."""
    return False


@method()
def get_device(input: Tensor) -> int:
    """The index of the device, -1 for the cpu."""
    return -1


@method("is_pinned")
def is_pinned(input: Tensor, device: object = None) -> bool:
    """Whether the memory is page-locked for a GPU: False."""
    on_cpu(device)
    return False


@method("is_shared")
def is_shared(input: Tensor) -> bool:
    """Whether processes share the memory: False."""
    return False
