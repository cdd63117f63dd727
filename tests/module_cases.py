"""The table of modules: how each is built and called.

The comparison with PyTorch and the tests of jit run over it, and ``tools/module_docs.py`` writes
``docs/modules.md`` from it. Needs neither library: ``build`` gets one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

ROWS, SIGNAL, IMAGE, VOLUME = (4, 6), (2, 6, 8), (2, 6, 8, 6), (1, 2, 4, 4, 6)


@dataclass(frozen=True)
class Case:
    """One module.

    Attributes:
        build: ``fusegrad`` or ``torch`` to the module.
        inputs: shapes of floating inputs, or arrays.
        second: whether second derivatives by the inputs are compared (PyTorch has them).
        training: compared in training mode; what draws random numbers is compared in evaluation.
        call: module and inputs to one tensor.
    """

    name: str
    build: Callable[[Any], Any]
    inputs: tuple[Any, ...]
    second: bool = True
    training: bool = True
    call: Callable[..., Any] = field(default=lambda module, *inputs: module(*inputs))

    def arrays(self, seed: int = 0) -> list[np.ndarray]:
        """The inputs; the same numbers every time."""
        rng = np.random.default_rng(seed)
        return [x if isinstance(x, np.ndarray) else rng.standard_normal(x) for x in self.inputs]


def case(name: str, *args: Any, inputs: tuple[Any, ...] = (ROWS,), **options: Any) -> Case:
    """A case whose module takes plain arguments."""
    known = {k: options.pop(k) for k in ("second", "training", "call") if k in options}
    return Case(name, lambda lib: getattr(lib.nn, name)(*args, **options), inputs, **known)


def _first(module: Any, *inputs: Any) -> Any:
    return module(*inputs)[0]


def _places(shape: tuple[int, ...]) -> np.ndarray:
    """Every second place of a plane that is larger by 2 along each axis."""
    plane = int(np.prod(shape[2:]))
    return np.broadcast_to(2 * np.arange(plane).reshape(shape[2:]), shape).copy()


def _fractional(dims: int) -> Callable[[Any], Any]:
    samples = np.random.default_rng(1).random((2, 2, dims))
    name = f"FractionalMaxPool{dims}d"
    return lambda lib: getattr(lib.nn, name)(2, 3, _random_samples=lib.tensor(samples))


_POINTWISE = (
    "CELU", "ELU", "GELU", "Hardshrink", "Hardsigmoid", "Hardswish", "Hardtanh", "LeakyReLU",
    "LogSigmoid", "Mish", "ReLU", "ReLU6", "SELU", "SiLU", "Sigmoid", "Softplus", "Softshrink",
    "Softsign", "Tanh", "Tanhshrink",
)  # fmt: skip
_MASK = np.triu(np.ones((5, 5), bool), 1)
_INDICES = np.array([[0, 2, 2], [6, 0, 1]])
_SEQUENCE = (5, 3, 4)

ACTIVATIONS = [
    *[case(name, second=name != "Hardsigmoid") for name in _POINTWISE],
    case("Threshold", 0.1, 20.0),
    case("RReLU", training=False),
    case("PReLU", 6),
    case("GLU"),
    case("Softmax", 1),
    case("Softmax2d", inputs=(IMAGE,)),
    case("Softmin", 1),
    case("LogSoftmax", 1),
]
DENSE = [
    case("Linear", 6, 3),
    case("Bilinear", 6, 4, 3, inputs=(ROWS, (4, 4))),
    case("Identity"),
    case("Flatten", inputs=(IMAGE,)),
    case("Unflatten", 1, (2, 3)),
    case("Embedding", 7, 3, inputs=(_INDICES,)),
    case("EmbeddingBag", 7, 3, inputs=(_INDICES,), second=False),
    case("CosineSimilarity", inputs=(ROWS, ROWS)),
    case("PairwiseDistance", inputs=(ROWS, ROWS)),
    *[
        case(name, 0.3, inputs=(IMAGE,), training=False)
        for name in ("AlphaDropout", "Dropout", "Dropout2d", "FeatureAlphaDropout")
    ],
    case("Dropout1d", 0.3, inputs=(SIGNAL,), training=False),
    case("Dropout3d", 0.3, inputs=(VOLUME,), training=False),
]
_SPATIAL = {1: SIGNAL, 2: IMAGE, 3: VOLUME}
POOLING = [
    *[case(f"MaxPool{n}d", 2, inputs=(s,)) for n, s in _SPATIAL.items()],
    *[case(f"AvgPool{n}d", 2, inputs=(s,)) for n, s in _SPATIAL.items()],
    *[case(f"LPPool{n}d", 2, 2, inputs=(s,)) for n, s in _SPATIAL.items()],
    *[case(f"AdaptiveAvgPool{n}d", 3, inputs=(s,)) for n, s in _SPATIAL.items()],
    *[case(f"AdaptiveMaxPool{n}d", 3, inputs=(s,)) for n, s in _SPATIAL.items()],
    *[case(f"MaxUnpool{n}d", 2, inputs=(s, _places(s)), second=False) for n, s in _SPATIAL.items()],
    Case("FractionalMaxPool2d", _fractional(2), ((2, 2, 8, 6),), second=False),
    Case("FractionalMaxPool3d", _fractional(3), ((2, 2, 5, 6, 5),), second=False),
]
NORMS = [
    *[case(f"BatchNorm{n}d", s[1], inputs=(s,)) for n, s in _SPATIAL.items()],
    *[case(f"InstanceNorm{n}d", s[1], affine=True, inputs=(s,)) for n, s in _SPATIAL.items()],
    case("GroupNorm", 3, 6, inputs=(IMAGE,)),
    case("LayerNorm", 6),
    case("RMSNorm", 6),
    case("LocalResponseNorm", 3, inputs=(IMAGE,)),
]
_PADS = ("Circular", "Reflection", "Replication", "Zero")
SHAPES = [
    *[case(f"{kind}Pad{n}d", 1, inputs=(s,)) for kind in _PADS for n, s in _SPATIAL.items()],
    *[case(f"ConstantPad{n}d", 1, 2.5, inputs=(s,)) for n, s in _SPATIAL.items()],
    case("PixelShuffle", 2, inputs=((2, 8, 3, 4),)),
    case("PixelUnshuffle", 2, inputs=(IMAGE,)),
    case("ChannelShuffle", 3, inputs=(IMAGE,)),
    case("Fold", (4, 5), 2, inputs=((2, 12, 12),)),
    case("Unfold", 2, inputs=(IMAGE,)),
    case("Upsample", scale_factor=1.5, mode="bilinear", inputs=(IMAGE,)),
    case("UpsamplingNearest2d", scale_factor=2, inputs=(IMAGE,)),
    case("UpsamplingBilinear2d", size=5, inputs=(IMAGE,)),
]
CONVOLUTIONS = [
    *[case(f"Conv{n}d", s[1], 4, 3, padding=1, inputs=(s,)) for n, s in _SPATIAL.items()],
    *[case(f"ConvTranspose{n}d", s[1], 4, 2, stride=2, inputs=(s,)) for n, s in _SPATIAL.items()],
]
SEQUENCES = [
    *[case(name, 4, 5, inputs=(_SEQUENCE,), call=_first) for name in ("RNN", "LSTM", "GRU")],
    case("RNNCell", 4, 5, inputs=((3, 4),)),
    case("GRUCell", 4, 5, inputs=((3, 4),)),
    case("LSTMCell", 4, 5, inputs=((3, 4),), call=_first),
    case("MultiheadAttention", 8, 2, inputs=((5, 2, 8),) * 3, call=_first),
    case("TransformerEncoderLayer", 8, 2, 16, 0.0, inputs=((5, 2, 8),)),
    case("TransformerDecoderLayer", 8, 2, 16, 0.0, inputs=((5, 2, 8),) * 2),
    Case(
        "TransformerEncoder",
        lambda lib: lib.nn.TransformerEncoder(lib.nn.TransformerEncoderLayer(8, 2, 16, 0.0), 2),
        ((5, 2, 8),),
    ),
    Case(
        "TransformerDecoder",
        lambda lib: lib.nn.TransformerDecoder(lib.nn.TransformerDecoderLayer(8, 2, 16, 0.0), 2),
        ((5, 2, 8),) * 2,
    ),
    case("Transformer", 8, 2, 1, 1, 16, 0.0, inputs=((5, 2, 8), (4, 2, 8))),
]
SECTIONS = {
    "Activations": ACTIVATIONS,
    "Dense layers, tables, dropout": DENSE,
    "Convolutions": CONVOLUTIONS,
    "Pooling": POOLING,
    "Normalization": NORMS,
    "Padding and resizing": SHAPES,
    "Sequences": SEQUENCES,
}
CASES = [c for cases in SECTIONS.values() for c in cases]
