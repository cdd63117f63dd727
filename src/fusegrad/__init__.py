"""fusegrad: a training step becomes one native call.

Use it like PyTorch: tensors, ``nn``, ``optim``, ``autograd``; put ``@fusegrad.jit`` on the training
step and forward pass, backward pass and update compile to fused kernels.
"""

import math
from builtins import bool as _bool

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
from .dtypes import bool_ as bool
from .dtypes import float16 as half
from .dtypes import float32 as float
from .dtypes import float64 as double
from .dtypes import int16 as short
from .dtypes import int32 as int
from .dtypes import int64 as long
from .functions import inplace, random
from .functions.common import broadcast_shapes
from .functions.creation import (
    BoolTensor,
    DoubleTensor,
    FloatTensor,
    IntTensor,
    LongTensor,
    arange,
    as_tensor,
    clone,
    device,
    empty,
    empty_like,
    eye,
    from_numpy,
    full,
    full_like,
    is_floating_point,
    linspace,
    numel,
    ones,
    ones_like,
    tensor,
    tril,
    triu,
    zeros,
    zeros_like,
)
from .functions.indexing import gather, index_select
from .functions.linear import addmm, bmm, dot, matmul, mm, mv, outer
from .functions.pointwise import (
    abs,
    acos,
    acosh,
    add,
    addcdiv,
    addcmul,
    asin,
    asinh,
    atan,
    atan2,
    atanh,
    bitwise_and,
    bitwise_not,
    bitwise_or,
    bitwise_xor,
    ceil,
    clamp,
    clamp_min,
    copysign,
    cos,
    cosh,
    digamma,
    div,
    eq,
    erf,
    erfc,
    erfinv,
    exp,
    exp2,
    expm1,
    floor,
    floor_divide,
    fmod,
    ge,
    gt,
    isfinite,
    isinf,
    isnan,
    le,
    lerp,
    lgamma,
    log,
    log1p,
    log2,
    log10,
    logical_and,
    logical_not,
    logical_or,
    lt,
    masked_fill,
    maximum,
    minimum,
    mul,
    ne,
    neg,
    pow,
    reciprocal,
    relu,
    remainder,
    round,
    rsqrt,
    sigmoid,
    sign,
    sin,
    sinh,
    sqrt,
    square,
    sub,
    tan,
    tanh,
    trunc,
    where,
)
from .functions.random import (
    Generator,
    bernoulli,
    default_generator,
    initial_seed,
    manual_seed,
    normal,
    rand,
    rand_like,
    randint,
    randn,
    randn_like,
    randperm,
)
from .functions.reduction import (
    all,
    amax,
    amin,
    any,
    argmax,
    argmin,
    count_nonzero,
    log_softmax,
    logsumexp,
    max,
    mean,
    min,
    norm,
    prod,
    softmax,
    std,
    sum,
    var,
)
from .functions.shape import (
    broadcast_tensors,
    cat,
    chunk,
    concat,
    concatenate,
    flatten,
    flip,
    movedim,
    narrow,
    permute,
    repeat_interleave,
    reshape,
    select,
    split,
    squeeze,
    stack,
    t,
    transpose,
    unbind,
    unflatten,
    unsqueeze,
)
from .tensor import Size, Tensor

from . import nn, optim, utils  # isort: skip  # they build on the names above

dtype = DType
inf, nan, pi, e = math.inf, math.nan, math.pi, math.e
newaxis = None
absolute, clip, subtract, multiply, divide, true_divide = abs, clamp, sub, mul, div, div
greater, greater_equal, less, less_equal, not_equal = gt, ge, lt, le, ne
negative, arcsin, arccos, arctan, swapaxes = neg, asin, acos, atan, transpose
broadcast_to = Tensor.broadcast_to  # type: ignore[attr-defined]


def is_tensor(obj: object) -> _bool:
    """Whether ``obj`` is a tensor."""
    return isinstance(obj, Tensor)
