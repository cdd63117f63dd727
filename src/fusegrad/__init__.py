"""fusegrad: a training step becomes one native call.

Use it like PyTorch: tensors, ``nn``, ``optim``, ``autograd``; put ``@fusegrad.jit`` on the training
step and forward pass, backward pass and update compile to fused kernels.
"""

from . import autograd, dtypes, ops
from .autograd import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    no_grad,
    set_grad_enabled,
)
from .dtypes import (
    DType,
    bool_,
    complex64,
    complex128,
    float16,
    float32,
    float64,
    get_default_dtype,
    int8,
    int16,
    int32,
    int64,
    promote_types,
    set_default_dtype,
    uint8,
    uint16,
    uint32,
    uint64,
)
from .functions import common, creation, indexing, inplace, linear, pointwise, random, reduction, shape
from .tensor import Size, Tensor
