"""``device=`` and its companions: the cpu is taken everywhere, anything else is an error."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import fusegrad as fg
from fusegrad import nn

X = fg.ones(2, 3)
# What each function or class that takes a device is called with beside it.
ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "arange": (3,), "as_tensor": ([1.0],), "asarray": ([1.0],), "empty": (2,), "eye": (2,),
    "empty_like": (X,), "empty_permuted": ((2, 3), (1, 0)), "empty_strided": ((2, 3), (1, 2)),
    "fft.fftfreq": (4,), "fft.rfftfreq": (4,), "from_dlpack": (np.ones(2),), "full": ((2,), 1.0),
    "from_file": ("unread",), "full_like": (X, 2.0), "linspace": (0, 1, 3),
    "logspace": (0, 1, 3), "normal": (0.0, 1.0, (2,)),
    "ones": (2,), "ones_like": (X,), "rand": (2,), "rand_like": (X,), "randint": (0, 3, (2,)),
    "randint_like": (X, 3), "randn": (2,), "randn_like": (X,), "randperm": (3,), "range": (0, 2),
    "scalar_tensor": (1.0,), "tensor": ([1.0],), "tril_indices": (2, 2), "triu_indices": (2, 2),
    "zeros": (2,), "zeros_like": (X,), "set_default_device": (), "Generator": (),
    "bartlett_window": (4,), "blackman_window": (4,), "hamming_window": (4,), "hann_window": (4,),
    "kaiser_window": (4,), "signal.windows.exponential": (4,), "signal.windows.gaussian": (4,),
    "signal.windows.general_hamming": (4,),
    "Tensor.is_pinned": (X,), "Tensor.to": (X,), "Tensor.new_empty": (X, 2),
    "Tensor.new_empty_strided": (X, (2,), (1,)), "Tensor.new_full": (X, (2,), 1.0),
    "Tensor.new_ones": (X, 2), "Tensor.new_tensor": (X, [1.0]), "Tensor.new_zeros": (X, 2),
    "nn.Bilinear": (2, 2, 2), "nn.Embedding": (3, 2), "nn.EmbeddingBag": (3, 2), "nn.PReLU": (),
    "nn.GroupNorm": (1, 2), "nn.LayerNorm": (2,), "nn.RMSNorm": (2,), "nn.Linear": (2, 2),
    "nn.MultiheadAttention": (2, 1), "nn.Transformer": (2, 1, 1, 1, 2),
    "nn.RNNBase": ("LSTM", 2, 2), "nn.RNNCellBase": (2, 2, True, 1),
    "nn.TransformerDecoderLayer": (2, 1, 2), "nn.TransformerEncoderLayer": (2, 1, 2),
    "optim.swa_utils.AveragedModel": (nn.Linear(1, 1),),
    "optim.swa_utils.update_bn": ([], nn.ReLU()),
}  # fmt: skip
OPTIONS = {"signal.windows.general_cosine": {"a": [1.0, 0.5]}}
# Families: the start of a name, and the arguments of all that have it.
FAMILIES = {
    "signal.windows.": (4,), "nn.Conv": (1, 1, 1), "nn.LazyConv": (1, 1), "nn.BatchNorm": (2,),
    "nn.InstanceNorm": (2, 1e-5, 0.1, True), "nn.RNN": (2, 2), "nn.LSTM": (2, 2), "nn.GRU": (2, 2),
}  # fmt: skip
PLACES = {
    "": fg, "fft.": fg.fft, "signal.windows.": fg.signal.windows, "nn.": nn, "Tensor.": fg.Tensor,
    "optim.swa_utils.": fg.optim.swa_utils, "nn.functional.": nn.functional,
}  # fmt: skip


def _takes_device(name: str, value: Any) -> bool:
    if name.endswith("_like") or name.startswith(("new_", "empty_")):
        return True
    try:
        return "device" in inspect.signature(value).parameters
    except ValueError:  # built-in functions have no signature
        return False


def _public() -> Iterator[tuple[str, Callable[..., Any]]]:
    for place, owner in PLACES.items():
        for name in getattr(owner, "__all__", dir(owner)):
            value = getattr(owner, name)
            if not name.startswith("_") and callable(value) and _takes_device(name, value):
                yield place + name, value


FOUND = dict(_public())


def _called(name: str, **options: Any) -> Any:
    arguments = ARGUMENTS.get(name)
    if arguments is None:
        arguments = next(v for start, v in FAMILIES.items() if name.startswith(start))
    return FOUND[name](*arguments, **OPTIONS.get(name, {}), **options)


def test_the_table_is_of_what_there_is() -> None:
    assert set(ARGUMENTS) <= set(FOUND), set(ARGUMENTS) - set(FOUND)
    assert len(FOUND) > 90


@pytest.mark.parametrize("name", FOUND)
def test_device(name: str) -> None:
    for place in ("cpu", "cpu:0", fg.device("cpu"), None):
        _called(name, device=place)
    for place in ("cuda", "cuda:0", "abc", "", "cpu:x", 0):
        with pytest.raises(RuntimeError) as caught:
            _called(name, device=place)
        what, where, why, repair = str(caught.value).split("\n")
        assert what.startswith("device ") and repr(place) in what
        assert "test_devices.py" in where and "cpu" in why and repair.startswith("  Try: device=")
    with pytest.raises(TypeError, match="string such as"):
        _called(name, device=1.5)


def test_devices() -> None:
    assert fg.device("cpu") == fg.device("cpu:0") == fg.device(fg.device("cpu")) == X.device
    assert fg.device("cpu", 1).index == fg.device("cpu:1").index == 1
    assert str(X.device) == "cpu" and repr(X.device) == "device(type='cpu')"
    with pytest.raises(TypeError):
        fg.device("cpu", "x")


@pytest.mark.parametrize("name", [n for n in FOUND if n.rpartition(".")[2] in fg.__all__])
def test_other_keywords_of_new_tensors(name: str) -> None:
    """``layout``, ``pin_memory`` and ``requires_grad`` belong to every function of the family."""
    if "pin_memory" not in inspect.signature(FOUND[name]).parameters:
        return
    made = _called(name, layout=fg.strided, pin_memory=False)
    assert made.layout is fg.strided and not made.requires_grad
    if made.dtype.is_floating_point:
        assert _called(name, requires_grad=True).requires_grad
    with pytest.raises(RuntimeError, match="pinned"):
        _called(name, pin_memory=True)
    with pytest.raises(TypeError, match="must be a layout"):
        _called(name, layout="strided")


@pytest.mark.parametrize("name", ["empty", "zeros_like", "ones_like", "rand_like", "randn_like"])
def test_memory_format_of_new_tensors(name: str) -> None:
    shape = fg.zeros(1, 2, 3, 4)
    made = FOUND[name](
        *(shape.shape if name == "empty" else (shape,)), memory_format=fg.channels_last
    )
    assert made.is_contiguous(memory_format=fg.channels_last) and made.shape == shape.shape
