"""What of PyTorch's surface is not offered and why, and which public function computes what its
core operator set names internally. ``test_operators.py`` checks both lists against what is there.
"""

from __future__ import annotations

import functools
from typing import Any

import torch

# Records without a function here: pattern -> why. Each must really be missing.
NOT_OFFERED: dict[str, str] = {}

# Records whose function differs: name -> in which stages (patterns), and what and why. It must
# differ there in full runs, and nowhere else in any.
GRADIENT = ("gradient", "* gradient")
FORWARD = ("forward", "out")
DIFFERENT: dict[str, tuple[tuple[str, ...], str]] = {
    "nn.functional.hardsigmoid": (
        GRADIENT,
        "PyTorch's gradient has 1/6 rounded to float32, in float64 too",
    ),
    "as_strided_scatter": (
        GRADIENT,
        "PyTorch's gradient by the input is zero where it is kept; here where it is replaced",
    ),
    "istft": (
        (*GRADIENT, "second derivative"),
        "PyTorch's gradient by a window that it pads is zero; here it is the derivative",
    ),
    # Against mpmath ours are within 2e-13, see test_special.py.
    "special.airy_ai": (FORWARD, "PyTorch's is accurate to 3e-9"),
    "special.bessel_j0": (FORWARD, "PyTorch's is accurate to 2e-7"),
    "special.bessel_j1": (FORWARD, "PyTorch's is accurate to 4e-8"),
    "special.bessel_y0": (FORWARD, "PyTorch's is accurate to 2e-7"),
    "special.bessel_y1": (FORWARD, "PyTorch's is accurate to 1e-6"),
    "chalf": (("forward",), "complex32 is no dtype here; the method says so"),
    # PyTorch's own tests leave these derivatives out; a gradient penalty had better be finite.
    "linalg.norm": (
        ("second derivative",),
        "the second derivative at zero is 0, as is the first; PyTorch's is nan",
    ),
}

# Core operators of the dispatcher -> the public function that computes them. "Tensor.x" is a
# method, an empty name means that no call reaches it from outside.
CORE = {
    "_adaptive_avg_pool2d": "nn.functional.adaptive_avg_pool2d",
    "_adaptive_avg_pool2d_backward": "nn.functional.adaptive_avg_pool2d",
    "_adaptive_avg_pool3d": "nn.functional.adaptive_avg_pool3d",
    "_cdist_forward": "cdist",
    "_embedding_bag": "nn.functional.embedding_bag",
    "_fft_c2r": "fft.irfft",
    "_fft_r2c": "fft.rfft",
    "_local_scalar_dense": "Tensor.item",
    "_log_softmax": "nn.functional.log_softmax",
    "_native_batch_norm_legit": "nn.functional.batch_norm",
    "_native_batch_norm_legit_no_training": "nn.functional.batch_norm",
    "_pdist_forward": "nn.functional.pdist",
    "_softmax": "nn.functional.softmax",
    "_to_copy": "Tensor.to",
    "alias": "Tensor.detach",
    "avg_pool2d_backward": "nn.functional.avg_pool2d",
    "col2im": "nn.functional.fold",
    "constant_pad_nd": "nn.functional.pad",
    "convolution": "nn.functional.conv2d",
    "convolution_backward": "nn.functional.conv2d",
    "copy": "Tensor.copy_",
    "embedding_dense_backward": "nn.functional.embedding",
    "fill": "Tensor.fill_",
    "grid_sampler_2d": "nn.functional.grid_sample",
    "index": "Tensor.__getitem__",
    "max_pool2d_with_indices": "nn.functional.max_pool2d",
    "max_pool2d_with_indices_backward": "nn.functional.max_pool2d",
    "max_pool3d_with_indices": "nn.functional.max_pool3d",
    "native_dropout": "nn.functional.dropout",
    "native_group_norm": "nn.functional.group_norm",
    "native_group_norm_backward": "nn.functional.group_norm",
    "native_layer_norm": "nn.functional.layer_norm",
    "native_layer_norm_backward": "nn.functional.layer_norm",
    "reflection_pad1d": "nn.functional.pad",
    "reflection_pad2d": "nn.functional.pad",
    "reflection_pad3d": "nn.functional.pad",
    "replication_pad2d": "nn.functional.pad",
    "replication_pad3d": "nn.functional.pad",
    "resize_": "Tensor.resize_",
    "scalar_tensor": "tensor",
    "slice": "Tensor.__getitem__",
    "split_with_sizes": "Tensor.split",
    "sym_is_contiguous": "Tensor.is_contiguous",
    "sym_numel": "Tensor.numel",
    "sym_size": "Tensor.size",
    "sym_storage_offset": "Tensor.storage_offset",
    "sym_stride": "Tensor.stride",
    "upsample_bilinear2d": "nn.functional.interpolate",
    "upsample_nearest2d": "nn.functional.interpolate",
}
PLACES = ("", "nn.functional.", "special.", "linalg.", "Tensor.")

# Names that ``torch.nn.functional`` exports without being functions of the surface -> why.
NOT_FUNCTIONS = {
    "assert_int_or_pair": "a helper of its own",
    "boolean_dispatch": "a helper of its own",
    "handle_torch_function": "PyTorch's protocol for other tensor classes",
    "has_torch_function": "PyTorch's protocol for other tensor classes",
    "has_torch_function_unary": "PyTorch's protocol for other tensor classes",
    "has_torch_function_variadic": "PyTorch's protocol for other tensor classes",
    "Optional": "a name of typing",
    "Callable": "a name of typing",
    "native_channel_shuffle": "channel_shuffle under the name of its kernel",
    "adaptive_max_pool1d_with_indices": "adaptive_max_pool1d(return_indices=True), not documented",
    "adaptive_max_pool2d_with_indices": "adaptive_max_pool2d(return_indices=True), not documented",
    "adaptive_max_pool3d_with_indices": "adaptive_max_pool3d(return_indices=True), not documented",
    "fractional_max_pool2d_with_indices": "fractional_max_pool2d(return_indices=True)",
    "fractional_max_pool3d_with_indices": "fractional_max_pool3d(return_indices=True)",
    "max_pool1d_with_indices": "max_pool1d(return_indices=True), not documented",
    "max_pool2d_with_indices": "max_pool2d(return_indices=True), not documented",
    "max_pool3d_with_indices": "max_pool3d(return_indices=True), not documented",
    "scaled_mm": "8-bit floating formats of CUDA",
    "scaled_grouped_mm": "8-bit floating formats of CUDA",
}


@functools.cache
def core_operators() -> list[str]:
    """Names of PyTorch's core operator set: the operators with the tag ``core``."""
    every = {n.split("::")[1].split(".")[0] for n in torch._C._dispatch_get_all_op_names()}
    found = []
    for name in sorted(every):
        packet: Any = getattr(torch.ops.aten, name, None)
        overloads = packet.overloads() if packet is not None else []
        if any(torch.Tag.core in getattr(packet, o).tags for o in overloads):
            found.append(name)
    return found


def functional_names() -> list[str]:
    """Public functions of ``torch.nn.functional``."""
    functional = torch.nn.functional
    return [
        name
        for name in dir(functional)
        if not name.startswith("_")
        and callable(getattr(functional, name))
        and not isinstance(getattr(functional, name), type)
        and name not in NOT_FUNCTIONS
    ]
