"""fusegrad: a training step becomes one native call.

Use it like PyTorch: tensors, ``nn``, ``optim``, ``autograd``; put ``@fusegrad.jit`` on the training
step and forward pass, backward pass and update compile to fused kernels.
"""

import importlib as _importlib
import math
from builtins import bool as _bool
from types import ModuleType as _Module
from typing import Any as _Any

from . import autograd, dtypes, ops
from .api import jit
from .autograd import (
    enable_grad,
    inference_mode,
    is_anomaly_enabled,
    is_grad_enabled,
    no_grad,
    set_grad_enabled,
)
from .dtypes import (
    DType,
    bfloat16,
    bool_,
    complex64,
    complex128,
    finfo,
    float16,
    float32,
    float64,
    get_default_dtype,
    iinfo,
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
from .explain import explain
from .functions import inplace as _inplace  # noqa: F401  registers methods of Tensor
from .functions import out as _out
from .functions import random
from .functions.arithmetic import addcdiv, addcmul, div, floor_divide, fmod, lerp, remainder
from .functions.arrangement import (
    as_strided,
    atleast_1d,
    atleast_2d,
    atleast_3d,
    block_diag,
    cartesian_prod,
    combinations,
    diag,
    diag_embed,
    diagflat,
    diagonal,
    dsplit,
    fliplr,
    flipud,
    hsplit,
    moveaxis,
    roll,
    rot90,
    row_stack,
    swapdims,
    tensor_split,
    tile,
    trace,
    tril_indices,
    triu_indices,
    vsplit,
)
from .functions.common import broadcast_shapes
from .functions.comparison import allclose, equal, isclose, logical_xor
from .functions.complex import (
    adjoint,
    angle,
    complex,
    conj,
    conj_physical,
    imag,
    is_conj,
    is_neg,
    isreal,
    polar,
    real,
    resolve_conj,
    resolve_neg,
    sgn,
    view_as_complex,
    view_as_real,
)
from .functions.control import cond, map, scan, while_loop
from .functions.conversion import clone, is_complex, is_floating_point, is_nonzero, numel
from .functions.convolution import (
    conv1d,
    conv2d,
    conv3d,
    conv_transpose1d,
    conv_transpose2d,
    conv_transpose3d,
)
from .functions.counting import (
    argwhere,
    bincount,
    histc,
    nonzero,
    unique,
    unique_consecutive,
)
from .functions.creation import (
    BFloat16Tensor,
    BoolTensor,
    ByteTensor,
    CharTensor,
    DoubleTensor,
    FloatTensor,
    HalfTensor,
    IntTensor,
    LongTensor,
    ShortTensor,
    arange,
    as_tensor,
    empty,
    empty_like,
    eye,
    from_numpy,
    full,
    full_like,
    linspace,
    logspace,
    meshgrid,
    ones,
    ones_like,
    tensor,
    tril,
    triu,
    zeros,
    zeros_like,
)
from .functions.cumulative import (
    cummax,
    cummin,
    cumprod,
    cumsum,
    cumulative_trapezoid,
    diff,
    logcumsumexp,
    trapezoid,
    trapz,
)
from .functions.einsum import einsum, tensordot
from .functions.elementary import (
    bitwise_left_shift,
    bitwise_right_shift,
    deg2rad,
    float_power,
    fmax,
    fmin,
    frac,
    gcd,
    heaviside,
    hypot,
    isneginf,
    isposinf,
    lcm,
    ldexp,
    logaddexp,
    logaddexp2,
    logit,
    mvlgamma,
    nan_to_num,
    positive,
    rad2deg,
    rsub,
    signbit,
    sinc,
    xlogy,
)
from .functions.indexing import gather, index_select
from .functions.inplace import fill, fill_, zero_
from .functions.layout import Layout as layout
from .functions.layout import MemoryFormat as memory_format
from .functions.layout import (
    channels_last,
    channels_last_3d,
    contiguous_format,
    legacy_contiguous_format,
    preserve_format,
    strided,
)
from .functions.linear import addmm, bmm, dot, matmul, mm, mv, outer
from .functions.norms import frobenius_norm, norm, nuclear_norm
from .functions.placement import device
from .functions.pointwise import (
    abs,
    acos,
    acosh,
    add,
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
    clamp_max,
    clamp_min,
    copysign,
    cos,
    cosh,
    digamma,
    eq,
    erf,
    erfc,
    erfinv,
    exp,
    exp2,
    expm1,
    floor,
    ge,
    gt,
    isfinite,
    isinf,
    isnan,
    le,
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
from .functions.printing import set_printoptions
from .functions.products import (
    addbmm,
    addmv,
    addr,
    baddbmm,
    cdist,
    chain_matmul,
    cross,
    ger,
    inner,
    kron,
    vander,
    vdot,
)
from .functions.promotion import can_cast, result_type
from .functions.random import (
    Generator,
    bernoulli,
    default_generator,
    get_rng_state,
    initial_seed,
    manual_seed,
    normal,
    rand,
    rand_like,
    randint,
    randint_like,
    randn,
    randn_like,
    randperm,
    seed,
    set_rng_state,
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
    prod,
    softmax,
    std,
    sum,
    var,
)
from .functions.scattering import (
    diagonal_scatter,
    index_add,
    index_copy,
    index_fill,
    index_put,
    index_reduce,
    masked_scatter,
    masked_select,
    put,
    scatter,
    scatter_add,
    scatter_reduce,
    select_scatter,
    slice_scatter,
    take,
    take_along_dim,
)
from .functions.shape import (
    broadcast_tensors,
    cat,
    chunk,
    column_stack,
    concat,
    concatenate,
    dstack,
    flatten,
    flip,
    hstack,
    movedim,
    narrow,
    permute,
    ravel,
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
    vstack,
)
from .functions.sorting import (
    argsort,
    bucketize,
    isin,
    kthvalue,
    median,
    mode,
    msort,
    nanmedian,
    nanquantile,
    quantile,
    searchsorted,
    sort,
    topk,
)
from .functions.statistics import (
    aminmax,
    corrcoef,
    cov,
    dist,
    nanmean,
    nansum,
    renorm,
    std_mean,
    var_mean,
)
from .runtime.threads import get_num_threads, set_num_threads
from .serialization import load, save
from .tensor import Size, Tensor

from . import cuda, fft, linalg, nn, optim, signal, special, utils  # isort: skip  # build on these
from .stft import istft, stft  # isort: skip
from .linalg.spectra import lobpcg  # isort: skip
from .linalg.classic import (  # isort: skip
    cholesky,
    cholesky_inverse,
    cholesky_solve,
    det,
    geqrf,
    inverse,
    logdet,
    lu,
    lu_solve,
    lu_unpack,
    matrix_exp,
    matrix_power,
    orgqr,
    ormqr,
    pca_lowrank,
    pinverse,
    qr,
    slogdet,
    svd,
    svd_lowrank,
    triangular_solve,
)
from .nn.functional import (  # isort: skip
    adaptive_avg_pool1d,
    avg_pool1d,
    bilinear,
    celu,
    channel_shuffle,
    cosine_similarity,
    hardshrink,
    layer_norm,
    max_pool1d,
    pairwise_distance,
    pixel_shuffle,
    pixel_unshuffle,
    prelu,
    rms_norm,
    rrelu,
    selu,
    threshold,
)
from .nn.functional import toplevel as _toplevel  # isort: skip
from .functions import memory as _memory, numeric as _numeric, samplers as _samplers  # isort: skip
from .functions import segments as _segments, settings as _settings  # isort: skip
from .functions import storages as _storages  # isort: skip
from .nn import networks as _networks  # isort: skip

# Families whose modules list what they offer at the top level.
for _module in (
    _toplevel, _samplers, _memory, _numeric, _settings, _segments, _storages, _networks,
):  # fmt: skip
    for _name in _module.__all__:
        globals()[_name] = getattr(_module, _name)
i0, igamma, igammac, polygamma = special.i0, special.igamma, special.igammac, special.polygamma
for _function in (*signal.TOP_LEVEL, *_memory.COPIES.values()):
    globals()[_function.__name__] = _function
# An in-place method is also a function: fg.relu_(x) is x.relu_().
for _owner in (Tensor, nn.functional):
    for _name in dir(_owner):
        if _name.endswith("_") and not _name.startswith("_"):
            globals().setdefault(_name, getattr(_owner, _name))
_out.accept(globals())
_out.accept(vars(nn.functional), _out.LAYERS)

dtype = DType
inf, nan, pi, e = math.inf, math.nan, math.pi, math.e
newaxis = None
absolute, clip, subtract, multiply, divide, true_divide = abs, clamp, sub, mul, div, div
greater, greater_equal, less, less_equal, not_equal = gt, ge, lt, le, ne
negative, arcsin, arccos, arctan, swapaxes = neg, asin, acos, atan, transpose
arctan2, arcsinh, arccosh, arctanh = atan2, asinh, acosh, atanh
fix = trunc
cfloat, cdouble = complex64, complex128
detach = Tensor.detach  # type: ignore[attr-defined]
broadcast_to = Tensor.broadcast_to  # type: ignore[attr-defined]


def is_tensor(obj: object) -> _bool:
    """Whether ``obj`` is a tensor."""
    return isinstance(obj, Tensor)


__all__ = [
    "BFloat16Tensor", "BoolTensor", "ByteTensor", "CharTensor", "DType", "DoubleTensor",
    "FloatTensor", "Generator", "HalfTensor", "IntTensor", "LongTensor", "ShortTensor", "Size",
    "Tensor", "abs", "absolute", "acos", "acosh", "adaptive_avg_pool1d", "add", "addbmm", "addcdiv",
    "addcmul", "addmm", "addmv", "addr", "adjoint", "all", "allclose", "amax", "amin", "aminmax",
    "any", "arange", "arccos", "arccosh", "arcsin", "arcsinh", "arctan", "arctan2", "arctanh",
    "argmax", "argmin", "argsort", "argwhere", "as_strided", "as_tensor", "asin", "asinh", "atan",
    "atan2", "atanh", "atleast_1d", "atleast_2d", "atleast_3d", "autograd", "avg_pool1d", "baddbmm",
    "bernoulli", "bfloat16", "bilinear", "bincount", "bitwise_and", "bitwise_left_shift",
    "bitwise_not", "bitwise_or", "bitwise_right_shift", "bitwise_xor", "block_diag", "bmm", "bool",
    "bool_", "broadcast_shapes", "broadcast_tensors", "broadcast_to", "bucketize", "can_cast",
    "cartesian_prod", "cat", "cdist", "ceil", "celu", "chain_matmul", "channel_shuffle",
    "channels_last", "channels_last_3d", "chunk", "clamp", "clamp_max", "clamp_min", "clip",
    "clone", "column_stack", "combinations", "complex128", "complex64", "concat", "concatenate",
    "cond", "conj", "contiguous_format", "conv1d", "conv2d", "conv3d", "conv_transpose1d",
    "conv_transpose2d", "conv_transpose3d", "copysign", "corrcoef", "cos", "cosh",
    "cosine_similarity", "count_nonzero", "cov", "cross", "cuda", "cummax", "cummin", "cumprod",
    "cumsum", "cumulative_trapezoid", "default_generator", "deg2rad", "detach", "device", "diag",
    "diag_embed", "diagflat", "diagonal", "diagonal_scatter", "diff", "digamma", "dist", "div",
    "divide", "dot", "double", "dsplit", "dstack", "dtype", "dtypes", "e", "einsum", "empty",
    "empty_like", "enable_grad", "eq", "equal", "erf", "erfc", "erfinv", "exp", "exp2", "explain",
    "expm1", "eye", "fill", "fill_", "finfo", "fix", "flatten", "flip", "fliplr", "flipud", "float",
    "float16", "float32", "float64", "float_power", "floor", "floor_divide", "fmax", "fmin", "fmod",
    "frac", "from_numpy", "full", "full_like", "gather", "gcd", "ge", "ger", "get_default_dtype",
    "get_num_threads", "get_rng_state", "greater", "greater_equal", "gt", "half", "hardshrink",
    "heaviside", "histc", "hsplit", "hstack", "hypot", "iinfo", "index_add", "index_copy",
    "index_fill", "index_put", "index_reduce", "index_select", "inf", "inference_mode",
    "initial_seed", "inner", "int", "int16", "int32", "int64", "int8", "is_anomaly_enabled",
    "is_complex", "is_floating_point", "is_grad_enabled", "is_nonzero", "is_tensor", "isclose",
    "isfinite", "isin", "isinf", "isnan", "isneginf", "isposinf", "isreal", "jit", "kron",
    "kthvalue", "layer_norm", "lcm", "ldexp", "le", "lerp", "less", "less_equal", "lgamma",
    "linspace", "load", "log", "log10", "log1p", "log2", "log_softmax", "logaddexp", "logaddexp2",
    "logcumsumexp", "logical_and", "logical_not", "logical_or", "logical_xor", "logit", "logspace",
    "logsumexp", "long", "lt", "manual_seed", "map", "masked_fill", "masked_scatter",
    "masked_select", "matmul", "max", "max_pool1d", "maximum", "mean", "median", "meshgrid", "min",
    "minimum", "mm", "mode", "moveaxis", "movedim", "msort", "mul", "multiply", "mv", "mvlgamma",
    "nan", "nan_to_num", "nanmean", "nanmedian", "nanquantile", "nansum", "narrow", "ne", "neg",
    "negative", "newaxis", "nn", "no_grad", "nonzero", "norm", "normal", "not_equal", "numel",
    "ones", "ones_like", "ops", "optim", "outer", "pairwise_distance", "permute", "pi",
    "pixel_shuffle", "pixel_unshuffle", "positive", "pow", "prelu", "preserve_format", "prod",
    "promote_types", "put", "quantile", "rad2deg", "rand", "rand_like", "randint", "randint_like",
    "randn", "randn_like", "random", "randperm", "ravel", "reciprocal", "relu", "remainder",
    "renorm", "repeat_interleave", "reshape", "result_type", "rms_norm", "roll", "rot90", "round",
    "row_stack", "rrelu", "rsqrt", "rsub", "save", "scan", "scatter", "scatter_add",
    "scatter_reduce", "searchsorted", "seed", "select", "select_scatter", "selu",
    "set_default_dtype", "set_grad_enabled", "set_num_threads", "set_printoptions", "set_rng_state",
    "sgn", "short", "sigmoid", "sign", "signbit", "sin", "sinc", "sinh", "slice_scatter", "softmax",
    "sort", "special", "split", "sqrt", "square", "squeeze", "stack", "std", "std_mean", "strided",
    "sub", "subtract", "sum", "swapaxes", "swapdims", "t", "take", "take_along_dim", "tan", "tanh",
    "tensor", "tensor_split", "tensordot", "threshold", "tile", "topk", "trace", "transpose",
    "trapezoid", "trapz", "tril", "tril_indices", "triu", "triu_indices", "true_divide", "trunc",
    "uint16", "uint32", "uint64", "uint8", "unbind", "unflatten", "unique", "unique_consecutive",
    "unsqueeze", "utils", "vander", "var", "var_mean", "vdot", "vision", "vsplit", "vstack",
    "where", "while_loop", "xlogy", "zero_", "zeros", "zeros_like",
]  # fmt: skip
__all__ += [
    "cholesky", "cholesky_inverse", "cholesky_solve", "det", "frobenius_norm", "geqrf",
    "inverse", "linalg", "lobpcg", "logdet", "lu", "lu_solve", "lu_unpack", "matrix_exp",
    "matrix_power", "nuclear_norm", "orgqr", "ormqr", "pca_lowrank", "pinverse", "qr", "slogdet",
    "svd", "svd_lowrank", "triangular_solve",
]  # fmt: skip
__all__ += [
    "angle", "cdouble", "cfloat", "complex", "conj_physical", "fft", "imag", "is_conj",
    "is_neg", "istft", "layout", "legacy_contiguous_format", "memory_format", "polar",
    "real", "resolve_conj", "resolve_neg", "stft",
    "view_as_complex", "view_as_real",
]  # fmt: skip
# What the families list themselves, and the in-place functions.
__all__ += [
    name
    for name, value in globals().items()
    if not name.startswith("_") and name not in __all__ and not isinstance(value, _Module)
]
__all__ += ["signal"]


def __getattr__(name: str) -> _Any:
    """``fg.vision`` is imported when it is asked for."""
    if name == "vision":
        return _importlib.import_module("fusegrad.vision")
    raise AttributeError(f"module 'fusegrad' has no attribute {name!r}")
