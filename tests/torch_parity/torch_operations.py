"""The operations of the random programs in ``torch_programs.py``: one line of Python each.

A line is what a user writes with either library as ``m``; names in braces are drawn. ``{x}`` is an
earlier value of the class of its group, the rest are the kinds of ``torch_arguments.py``.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Operation:
    """A line of a program before its operands are drawn.

    Attributes:
        text: the line.
        kind: class of the values that ``{x}`` stands for.
        exact: rounds nothing, so that equal operands give equal results in every precision.
        mutates: changes ``{x}``.
    """

    text: str
    kind: str
    exact: bool
    mutates: bool

    @property
    def traceable(self) -> bool:
        """Whether jit takes it: neither shapes nor loops that depend on values."""
        return not any(name in self.text for name in VALUE_DEPENDENT)


VALUE_DEPENDENT = (
    "nonzero(", "unique", "bincount", "masked_select", "{x}[{x} >", "{x}[{b}] + 0", "m.lcm",
    "m.gcd", "histc",
)  # fmt: skip
GROUPS: list[tuple[float, list[Operation]]] = []


def group(
    weight: float,
    kind: str,
    text: str,
    exact: bool = False,
    mutates: bool = False,
    groups: list[tuple[float, list[Operation]]] = GROUPS,
) -> None:
    """A group of lines that are drawn with a common weight; a backslash continues a line."""
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    groups.append((weight, [Operation(line, kind, exact, mutates) for line in lines]))


# --- elementwise ----------------------------------------------------------------------------------
group(
    3,
    "float",
    """
    m.exp(m.tanh({x}))
    m.exp2({x} * 0.3)
    m.expm1(-m.abs({x}))
    m.tanh({x})
    m.sigmoid({x})
    m.sin({x})
    m.cos({x})
    m.tan({x} * 0.2)
    m.asin(m.tanh({x}) * 0.9)
    m.acos(m.tanh({x}) * 0.9)
    m.atan({x})
    m.sinh(m.tanh({x}))
    m.cosh(m.tanh({x}))
    m.asinh({x})
    m.acosh(m.abs({x}) + 1.1)
    m.atanh(m.tanh({x}) * 0.9)
    m.sqrt(m.abs({x}) + 0.5)
    m.sqrt({x})
    m.rsqrt({x} * {x} + 0.3)
    m.log(m.abs({x}) + 0.5)
    m.log({x})
    m.log2({x}.abs() + 0.5)
    m.log10({x}.abs() + 0.5)
    m.log1p({x}.abs())
    m.erf({x})
    m.erfc({x})
    m.erfinv(m.tanh({x}) * 0.9)
    m.lgamma({x}.abs() + 0.5)
    m.digamma({x}.abs() + 0.5)
    m.reciprocal({x}.abs() + 1)
    m.square({x}) * 0.5
    m.logit(m.sigmoid({x}))
    m.logit(m.nan_to_num({x}), eps=1e-2)
    m.sinc({x} + 0.06)
    m.deg2rad({x})
    m.rad2deg({x} * 0.01)
    m.frac({x})
    m.special.entr(m.nan_to_num({x}, 0.0, 1.0, -1.0).abs() + 0.1)
    m.special.ndtr({x})
    m.special.expit({x})
    m.special.xlog1py({x}, {y}.abs())
    m.mvlgamma({x}.abs() + 2, 2)
""",
)
group(
    2,
    "float",
    """
    m.relu({x})
    F.relu6({x} * 3)
    F.leaky_relu({x}, {of:0.01|0.2|-0.1})
    F.elu({x} + 0.06, {of:1.0|0.5})
    F.selu({x} + 0.06)
    F.celu({x} + 0.06, {of:1.0|0.5})
    F.gelu({x}, approximate={of:'none'|'tanh'})
    F.silu({x})
    F.mish({x})
    F.hardtanh({x}, -0.8, 0.9)
    F.hardswish({x} * 2)
    F.hardsigmoid({x}.to(m.float32) * 2)
    F.hardshrink({x}, 0.4)
    F.softshrink({x}, 0.3)
    F.tanhshrink({x})
    F.softplus({x}, {of:1|2.5}, {of:20|1.1})
    F.softsign({x})
    F.logsigmoid({x})
    F.threshold({x}, 0.1, {of:0.0|-2.0})
    F.glu({even})
    F.prelu({x}, m.tensor(0.25, dtype={x}.dtype))
    F.normalize({x}, dim={dim})
    F.dropout({x}, 0.5, training=False)
""",
)
group(
    2,
    "number",
    """
    -{x}
    m.abs({x})
    m.neg({x})
    m.positive({x})
    m.sign({x})
    m.floor({x})
    m.ceil({x})
    m.round({x})
    m.trunc({x})
    m.nan_to_num({x}.detach())
    m.nan_to_num({x}.detach(), nan=1.5, posinf=2.0, neginf=-3.0)
    {x}.clamp({of:-1|-0.5|None}, {of:2|0.75})
    {x}.clamp(min={of:0|0.25})
    m.clamp({x}, max={u})
    m.clamp({x}, {u}, {u} + 1)
    {x}.clamp_min(0)
    m.maximum({x}, {y})
    m.minimum({x}, {y})
    m.fmax({x}, {y})
    m.fmin({x}, {y})
    m.where({b}, {x}, {y})
    m.where({b}, {x}, {c})
    m.where({x} > {y}, {x}, {y})
    m.masked_fill({x}, {b}, {n})
    m.heaviside({x}, {same})
    m.copysign({x}, {y})
    m.relu({x})
""",
    exact=True,
)
group(
    3,
    "number",
    """
    {x} + {y}
    {x} - {y}
    {x} * {y}
    {x} / ({y}.abs() + 1)
    {x} / ({y} + 0.06)
    {x} // ({y}.abs() + 1)
    {x} % ({y}.abs() + 1)
    {x} + {c}
    {c} - {x}
    {x} * {c}
    {x} / {nz}
    {nz} / ({x}.abs() + 1)
    {x} ** 2
    {x} ** 3
    {x} // {nz}
    {x} % {nz}
    {nz} % ({x}.abs() + 1)
    m.square({x})
    m.fmod({x}, {nz})
    m.fmod({x}, {y}.abs() + 1)
    m.remainder({x}, {nz})
    m.true_divide({x}, {nz})
    m.div({x}, {nz}, rounding_mode={of:'floor'|'trunc'|None})
    m.div({x}, {y}.abs() + 1, rounding_mode={of:'floor'|'trunc'|None})
    m.add({x}, {y}, alpha=2)
    m.sub({x}, {y}, alpha=3)
    m.rsub({x}, {y})
    m.addcmul({x}, {y}, {z}, value=2)
    m.atan2({x} * 1.0, {y} + 0.06)
    m.float_power({x}.abs() + 1, {of:0.5|2|-1}) + 0
    m.true_divide({x}, {y}.abs() + 1)
    m.exp({x} * 0.1)
    m.sqrt({x}.abs())
    m.sigmoid({x})
    m.ldexp({x}, m.tensor(2))
    m.logical_not({x})
""",
)
group(
    1.5,
    "float",
    """
    m.pow({x}.abs() + 0.5, {y})
    {x} ** {of:0|1|-2|1.5}
    ({x} + 0.0) ** {of:0.5|-1} + 0
    {of:2|0.5|1} ** {x}
    m.addcdiv({x}, {y}, {z}.abs() + 1, value=0.5)
    m.lerp({x}, {same}, {of:0.25|0.75|1.5})
    m.lerp({x}, {same}, m.sigmoid({same}))
    m.hypot({x}, {y})
    m.logaddexp(m.nan_to_num({x}), {y})
    m.logaddexp2(m.nan_to_num({x}), {y})
    m.xlogy(m.nan_to_num({x}), m.nan_to_num({y}).abs() + 0.5)
    m.add({x}, {y}, alpha=0.5)
    m.dist({x}, {y} + 0.06)
    {x} * m.tensor({c})
    m.tensor({of:2.0|-0.5}, dtype=m.float64) * {x}
""",
)
group(
    1,
    "int",
    """
    m.bitwise_and({x}, {y})
    m.bitwise_or({x}, {y})
    m.bitwise_xor({x}, {y})
    m.bitwise_not({x})
    {x} & {of:1|3|7}
    {x} | {y}
    {x} ^ {y}
    ~{x}
    ({x} % 5) << 2
    {x} >> 1
    m.gcd({x}, {y})
    m.lcm({x} % 5 + 1, {y} % 7 + 1)
    {x} * {of:2|0.5|True}
    {x} + {of:1|1.5|False}
""",
    exact=True,
)
group(
    1.5,
    "any",
    """
    {x} == {y}
    {x} != {y}
    {x} < {y}
    {x} <= {y}
    {x} > {c}
    {x} >= {c}
    m.eq({x}, {c})
    m.ne({x}, {n})
    m.logical_and({x}, {y})
    m.logical_or({x}, {y})
    m.logical_xor({x}, {y})
    m.logical_not({x})
    m.isnan({x})
    m.isinf({x})
    m.isfinite({x})
    m.isclose({x}, {same})
    m.signbit(m.nan_to_num({x}) + 0.0)
    m.isreal({x})
    m.isin({x}, {y})
""",
    exact=True,
)
group(
    1.5,
    "any",
    """
    {x}.to({dtype})
    {x}.to(m.float64)
    {x}.to(m.float32)
    {x}.double()
    {x}.bool()
    {x}.type_as({y})
    {x}.clone()
    {x}.detach()
    {x}.contiguous()
    m.zeros_like({x})
    m.ones_like({x}, dtype={dtype})
    m.full_like({x}, {n})
    {x}.new_zeros(2, 3)
    {x}.new_full((2,), {n})
    {x}.new_tensor([1, 2])
""",
    exact=True,
)
group(
    0.5,
    "bool",
    """
    ~{x}
    {x} & {y}
    {x} | {y}
    {x} ^ {y}
    {x} + {y}
    {x} * {y}
    {x}.to({dtype})
    {x}.sum({dim}, keepdim={keep})
    {x}.all({dim}, keepdim={keep})
    {x}.any({dim})
    {x}.float().mean()
    {x}.cumsum({dim})
    m.nonzero({x})
    m.count_nonzero({x})
    {x}.long() * 2
""",
    exact=True,
)

# --- reductions -----------------------------------------------------------------------------------
group(
    3,
    "number",
    """
    {x}.sum()
    m.sum({x}, {dims}, keepdim={keep})
    m.sum({x}, {dim}, keepdim={keep}, dtype={dtype})
    m.mean({x}.to(m.float64), {dims}, keepdim={keep})
    m.prod({x}.clamp(-1, 1), {dim}, keepdim={keep})
    m.nansum({x}, {dims}, keepdim={keep})
    m.cumsum({x}, {dim})
    m.cumprod({x}.clamp(-1, 1), {dim})
    m.trace({x:2-2})
    m.diff({x:1}, dim={dim})
    m.diff({x:1}, n=2, dim={dim})
    m.sort(m.nan_to_num({x}, 0.0, 1.0, -1.0) * 1.0 + {spread}, {dim})[{of:0|1}]
    m.topk(m.nan_to_num({x}, 0.0, 1.0, -1.0) * 1.0 + {spread}, {count}, {dim})[{of:0|1}]
    m.topk(m.nan_to_num({x}, 0.0, 1.0, -1.0) * 1.0 + {spread}, {count}, {dim}, largest={keep})[0]
    m.kthvalue(m.nan_to_num({x}, 0.0, 1.0, -1.0) * 1.0 + {spread}, {count}, {dim})[{of:0|1}]
    m.median(m.nan_to_num({x}, 0.0, 1.0, -1.0) * 1.0 + {spread}, {dim}, {keep})[{of:0|1}]
    m.topk({x}.detach(), {count}, {dim})[0]
    m.kthvalue({x}.detach(), {count}, {dim})[0]
    m.median({x}.detach(), {dim}, {keep})[0]
    m.mode(m.nan_to_num({x}).detach(), {dim})[0]
""",
)
group(
    2.5,
    "float",
    """
    {x}.mean()
    m.mean({x}, {dims}, keepdim={keep})
    m.var({x}, {dims}, correction={of:0|1}, keepdim={keep})
    m.std({x}, {dims}, correction={of:0|1}, keepdim={keep})
    m.var({x}, {dim}, unbiased={keep})
    {x:2}.var()
    {x:2}.std()
    m.var_mean(m.nan_to_num({x}, 0.0, 1.0, -1.0), {dims}, correction={of:0|1})[{of:0|1}]
    m.std_mean(m.nan_to_num({x}, 0.0, 1.0, -1.0), {dim}, keepdim={keep})[{of:0|1}]
    m.nanmean(m.nan_to_num({x}, m.nan, 1.0, -1.0), {dims})
    m.norm({x})
    m.norm({x}, {of:1|2|3|float('inf')}, {dim}, keepdim={keep})
    {x}.norm(dim={dims})
    m.logsumexp({x}, {dims}, keepdim={keep})
    m.softmax({x}, {dim})
    m.log_softmax({x}, {dim})
    F.softmin({x}, {dim})
    m.softmax({x}, {dim}, dtype=m.float64)
    m.logcumsumexp({x}.detach(), {dim})
    m.cov({x:2-2})
    m.corrcoef({x:2-2})
    m.trapezoid(m.nan_to_num({full:1}, 0.0, 1.0, -1.0), dim={dim})
    m.renorm({x:2}, 2, {dim}, 1.0)
    F.cosine_similarity({x}, {same}, dim={dim})
    F.pairwise_distance({x:1}, {same} * 1.0)
""",
)
group(
    3,
    "number",
    """
    m.nan_to_num({x}).max()
    m.nan_to_num({x}).min()
    m.max({x}, {dim}, keepdim={keep})[{of:0|1}]
    m.min({x}, {dim}, {keep})[{of:0|1}]
    m.amax({x}, {dims}, keepdim={keep})
    m.amin({x}, {dims}, keepdim={keep})
    m.aminmax({x}, dim={dim})[{of:0|1}]
    m.argmax({x}, {dim}, keepdim={keep})
    m.argmin({x}, {dim})
    {x}.argmax()
    m.all({x}, {dim})
    m.any({x}, {dim}, keepdim={keep})
    {x}.all()
    m.count_nonzero({x}, {dim})
    m.sort({x}, dim={dim}, descending={keep}, stable=True)[{of:0|1}]
    m.argsort({x}, dim={dim}, stable=True)
    {x}.median()
    {x}.nanmedian()
    m.cummax({x}, {dim})[{of:0|1}]
    m.cummin({x}, {dim})[{of:0|1}]
    m.msort({x:1})
    m.unique({x})
    m.unique({x}, return_inverse=True)[1]
    m.unique({x}, return_counts=True)[1]
    m.unique_consecutive({x})
    m.searchsorted(m.sort(m.nan_to_num({full:1}), -1)[0], m.nan_to_num({full:1}))
    m.bucketize({x}, m.tensor([-1, 0, 1]), right={keep})
    m.nonzero({x})
""",
    exact=True,
)
group(
    0.7,
    "float",
    """
    m.quantile(m.nan_to_num({full}, 0.0, 1.0, -1.0) + {spread}, {of:0.25|0.5|1.0}, dim={dim}, \
keepdim={keep})
    m.quantile(m.nan_to_num({full}.double(), 0.0, 1.0, -1.0) + {spread}, m.tensor([0.1, 0.7], \
dtype=m.float64), dim={dim})
    m.quantile(m.nan_to_num({full}, 0.0, 1.0, -1.0) + {spread}, 0.3, \
interpolation={of:'lower'|'higher'|'nearest'|'midpoint'|'linear'})
    m.nanquantile(m.nan_to_num({full}, 0.0, 1.0, -1.0) + {spread}, 0.6, dim={dim})
    m.histc({x}, bins=5, min=-2, max=2)
""",
)

# --- shapes ---------------------------------------------------------------------------------------
group(
    5,
    "any",
    """
    {x}.reshape({shape})
    m.reshape({x}, {shape})
    {x}.view({shape})
    {x}.permute({perm})
    m.permute({x}, ({perm},))
    {x}.transpose({dim}, {dim:2})
    m.movedim({x}, {dim}, {dim:2})
    {x:0-2}.t()
    {x:2}.mT
    m.squeeze({x})
    {x}.squeeze({dim})
    {x}.unsqueeze({newdim})
    m.flatten({x})
    {x}.flatten({dim0}, {dim1})
    {x}.ravel()
    {x}.expand({expand})
    m.broadcast_to({x}, ({expand},))
    {x}.expand_as({y})
    {x}.unflatten({factors})
    m.flip({x}, {dims})
    m.roll({x}, {int:-3:4}, {dim})
    m.roll({x}, {int:-3:4})
    m.rot90({x:2}, {int:-2:4})
    {x}.repeat({repeats})
    m.tile({x}, ({repeats},))
    m.repeat_interleave({x}, {of:1|2|3}, dim={dim})
    m.narrow({x:1}, {dim}, {start_length})
    m.select({x:1}, {dim}, {pos})
    m.unbind({x:1}, {dim})[{pos}]
    m.split({x:1}, {of:1|2|3}, dim={dim})[0]
    m.split({x:1}, {of:1|2|3}, {dim})[-1]
    m.chunk({x:1}, {of:1|2|3}, {dim})[{of:0|-1}]
    m.tensor_split({x:1}, {of:1|2|3}, {dim})[{of:0|-1}]
    {x:1}.unfold({dim}, {window})
    m.diagonal({x:2}, {int:-2:3})
    m.diagonal({x:2}, {int:-1:2}, {dim0}, {dim1})
    m.diag({x:1-2}, {int:-1:2})
    m.diag_embed({x:1}, {int:-1:2})
    m.tril({x:2}, {int:-2:3})
    m.triu({x:2}, {int:-2:3})
    m.cat([{x:1}, {cat}], {dim})
    m.cat(({x:1}, {cat}, {x:1}), dim={dim})
    m.stack([{x}, {same}], {newdim})
    m.stack([{x}, {same}, {x}])
    m.hstack([{x}, {same}])
    m.vstack([{x}, {same}])
    m.atleast_2d({x})
    m.swapaxes({x}, {dim}, {dim:2})
    m.meshgrid({x:1-1}, {x:1-1}, indexing={of:'ij'|'xy'})[{of:0|1}]
    m.broadcast_tensors({x}, {y})[{of:0|1}]
    F.pad({x:1}, {pads}, value={n})
    F.pad({x:1}, {pads})
    F.pad({x:2-3}, {pads1}, mode={of:'reflect'|'replicate'|'circular'})
    F.pad({x:3-4}, {pads2}, mode={of:'reflect'|'replicate'|'circular'})
    F.one_hot({x:0-1}.abs().long() % 4, 4)
    F.pixel_shuffle({x:3}.repeat_interleave(4, -3), 2)
""",
    exact=True,
)

# --- indexing -------------------------------------------------------------------------------------
group(
    4,
    "any",
    """
    {x}[{key}]
    {x}[{key}]
    {x}[{key}]
    {x}[{basic}]
    {x}[{b}] + 0
    {x}[{x} > {n}]
    m.index_select({x}, {dim}, {index})
    m.gather({x}, {dim}, {gather})
    m.take({x}, {take})
    m.take_along_dim({x}, {gather}, {dim})
    m.masked_select({x}, {b})
    m.index_fill({x}, {dim}, {index}, {n})
    m.index_copy({x:1}, {dim}, {index_once}, {sliced})
    m.scatter({x}, {dim}, {gather_once}, {n})
    m.masked_scatter({x}, {b}, {same})
    m.select_scatter({x:1}, {selected}, {dim}, {pos})
    m.where({b}, {x}, {y})
    m.index_put({x:1}, ({index},), {x:1}[:1])
    m.take({x}, {take}).reshape(-1)
""",
    exact=True,
)
group(
    1.5,
    "number",
    """
    m.index_add({x:1}, {dim}, {index}, {sliced})
    m.index_add({x:1}, {dim}, {index}, {sliced}, alpha=2)
    m.scatter_add({x}, {dim}, {gather}, {same})
    m.scatter({x}, {dim}, {gather_once}, {same})
    m.scatter_reduce({x}, {dim}, {gather}, {same}, reduce={of:'sum'|'amax'|'amin'|'mean'}, \
include_self={keep})
    m.index_put({x:1}, ({index},), {x:1}[:1], accumulate=True)
    m.index_reduce({x:1}, {dim}, {index}, {sliced}, {of:'amax'|'amin'|'mean'})
    m.bincount({x}.reshape(-1).abs().long() % 6)
    F.embedding({index}, {x:2-2}.clone()) if {dim} in (0, -2) else {x:2-2} * 1
""",
)

# --- assignment and in-place ----------------------------------------------------------------------
group(
    2,
    "any",
    """
    {x}[{key}] = {n}
    {x}[{basic}] = {n}
    {x}[{b}] = {n}
    {x}[{basic}] = {x}[{basic}] * 2
    {x}[{basic}] = {x}[{basic}].sum()
    {x}.fill_({n})
    {x}.zero_()
    {x}.copy_({u})
    {x}[{basic}].fill_({n})
    {x}[{basic}].copy_({x}[{basic}].clone() * 0)
    {x}.masked_fill_({b}, {n})
    {x}.index_fill_({dim}, {index}, {n})
    {x}.index_copy_({dim}, {index_once}, {sliced}.clone())
    {x}.scatter_({dim}, {gather_once}, {n})
    {x:1}.select({dim}, {pos}).fill_({n})
    {x:2}.diagonal().fill_({n})
    {x:2}.mT.fill_({n})
    {x:1}.index_put_(({index},), {x:1}[:1].clone())
    m.unbind({x:1}, {dim})[{pos}].zero_()
    m.split({x:1}, 2, {dim})[0].fill_({n})
""",
    exact=True,
    mutates=True,
)
group(
    2,
    "number",
    """
    {x}.add_({u})
    {x}.sub_({u}, alpha=2)
    {x}.mul_({u})
    {x}.add_({n})
    {x}.mul_({n})
    {x}.clamp_(-1, 1)
    {x}.neg_()
    {x}.abs_()
    {x}[{basic}].add_({n})
    {x}[{basic}].mul_(2)
    {x}[{basic}] += {n}
    {x}[{key}] += {n}
    {x}[{basic}] *= {x}[{basic}]
    {x} += {u}
    {x} -= {n}
    {x} *= {u}
    {x}.index_add_({dim}, {index}, {sliced}.clone())
    {x}.scatter_add_({dim}, {gather}, {same}.clone())
    {x:2}.diagonal().add_({n})
    {x:2}.t().mul_(2) if {x:2}.dim() == 2 else {x:2}.mul_(2)
    {x}.cumsum_({dim})
    {x}.pow_(2)
    {x}.square_()
    {x}.floor_()
    {x}.sign_()
    {x}.remainder_(3)
""",
    mutates=True,
)
group(
    1,
    "float",
    """
    {x}.div_({u}.abs() + 1)
    {x} /= {nz}
    {x}.exp_().clamp_(0, 5)
    {x}.tanh_()
    {x}.sigmoid_()
    {x}.sqrt_()
    {x}.relu_()
    {x}[{basic}].tanh_()
    {x}[{basic}].div_(2)
    {x}.lerp_({same}, 0.25)
    {x}.addcmul_({u}, {u}, value=0.5)
    {x}.addcdiv_({u}, {u}.abs() + 1)
    {x}.sin_()
    F.relu({x}, inplace=True)
    {x:2}.mT.add_(1.5)
""",
    mutates=True,
)

# --- products -------------------------------------------------------------------------------------
group(
    3,
    "number",
    """
    m.matmul({factors_of_product})
    m.matmul({factors_of_product})
    {x:2} @ {x:2}.mT
    {x:2}.mT @ {x:2}
    m.bmm({x:3-3}, {x:3-3}.transpose(1, 2))
    m.mm({x:2-2}, {x:2-2}.t())
    m.mv({x:2-2}, {x:2-2}[0])
    m.dot({x:1-1}, {x:1-1})
    m.outer({x:1-1}, {x:1-1})
    m.inner({x:1}, {x:1})
    m.einsum('...i,...j->...ij', {x:1}, {same})
    m.einsum('ij,kj->ik', {x:2-2}, {x:2-2})
    m.einsum('ij->ji', {x:2-2})
    m.einsum('ij->', {x:2-2} * 1.0)
    m.einsum('bij,bkj->bik', {x:3-3}, {x:3-3})
    m.einsum('...i,...i', {x:1}, {same})
    m.tensordot({x:2}, {same:2}, dims=({x:2}.dim() - 1))
    m.tensordot({x:1}, {same:1}, dims=([0], [0]))
    m.kron({x:0-2}, {x:0-2}[:1] if {x:0-2}.dim() else {x:0-2})
    m.addmm({x:2-2}[:1, :1], {x:2-2}, {x:2-2}.t(), beta=2, alpha=3)
    m.baddbmm({x:3-3}[:, :1, :1], {x:3-3}, {x:3-3}.transpose(1, 2))
    m.vander({x:1-1}.clamp(-1, 1), 3)
""",
)
group(
    1,
    "float",
    """
    F.linear({x:1}, {weights})
    F.linear({x:1}, {weights}, {x:1}.sum())
    m.cdist({x:2}, {x:2} + 1.5)
    F.bilinear({x:2-2}, {same:2}, m.ones(2, {x:2-2}.shape[1], {x:2-2}.shape[1], \
dtype={x:2-2}.dtype))
    F.scaled_dot_product_attention({x:2}, {same:2}, {same:2})
    m.cross({x:1}.unsqueeze(-1).expand(*{x:1}.shape, 3), {x:1}.unsqueeze(-1) * m.tensor([1., 2., \
-1.], dtype={x:1}.dtype), dim=-1)
""",
)

# --- neural networks ------------------------------------------------------------------------------
group(
    2.5,
    "float",
    """
    F.layer_norm({x:1}, {x:1}.shape[-1:])
    F.layer_norm({x:1}, {x:1}.shape[-1:], {x:1}.reshape(-1)[:{x:1}.shape[-1]], eps=1e-3)
    F.rms_norm({x:1}, {x:1}.shape[-1:], eps=1e-3)
    F.group_norm({x:2}, 1, eps=1e-3)
    F.group_norm({x:2}, {x:2}.shape[1], eps=1e-3)
    F.batch_norm({x:2}, None, None, training=True, eps=1e-3)
    F.batch_norm({x:2}, m.zeros({x:2}.shape[1], dtype={x:2}.dtype), m.ones({x:2}.shape[1], \
dtype={x:2}.dtype))
    F.instance_norm({x:3}, eps=1e-3)
    F.local_response_norm({x:3}, 2)
    F.conv1d({conv:1})
    F.conv2d({conv:2})
    F.conv_transpose1d({convt:1})
    F.conv_transpose2d({convt:2})
    F.max_pool1d({pool:1})
    F.max_pool2d({pool:2})
    F.avg_pool1d({pool:1})
    F.avg_pool2d({pool:2}, count_include_pad={keep})
    F.adaptive_avg_pool1d({full:2-3}, {of:1|2|3})
    F.adaptive_avg_pool2d({full:3-4}, {of:1|2|(2, 3)})
    F.adaptive_max_pool2d({full:3-4}, {of:1|2})
    F.lp_pool1d({x:2-3}.abs() + 0.5, 2, 1) + 0
    F.interpolate({full:3-3}, size={of:2|5}, mode={of:'nearest'|'linear'|'nearest-exact'})
    F.interpolate({full:4-4}, size={of:(2, 3)|(5, 4)}, \
mode={of:'nearest'|'bilinear'|'bicubic'|'area'})
    F.interpolate({full:4-4}, scale_factor={of:2|1.5|0.5}, mode='bilinear', align_corners={keep})
    F.interpolate({full:4-4}, scale_factor={of:2|1.5}, mode='nearest')
    F.unfold({x:4-4}, {of:1|2})
""",
)
group(
    2,
    "float",
    """
    F.mse_loss({x}, {same}, reduction={reduction})
    F.l1_loss({x}, {same}, reduction={reduction})
    F.smooth_l1_loss({x}, {same}, reduction={reduction}, beta={of:1.0|0.5})
    F.huber_loss({x}, {same}, reduction={reduction}, delta={of:1.0|0.5})
    F.binary_cross_entropy(m.sigmoid({x}.to(m.float32)), \
m.sigmoid({same}).to(m.float32).detach(), reduction={reduction})
    F.binary_cross_entropy_with_logits({x}, m.sigmoid({same}), reduction={reduction})
    F.kl_div(m.log_softmax({full:1}, -1), m.softmax({same:1} * 0.5, -1) * 0.9, \
reduction={of:'batchmean'|'sum'|'none'})
    F.cross_entropy({x:2-2}, {labels}, reduction={reduction}, label_smoothing={of:0.0|0.1})
    F.cross_entropy({x:2-2}, {labels}, ignore_index=0)
    F.cross_entropy({x:2-2}, m.softmax({same:2}, 1))
    F.nll_loss(m.log_softmax({x:2-2}, 1), {labels}, reduction={reduction})
    F.poisson_nll_loss({x}, {same}.abs(), reduction={reduction})
    F.gaussian_nll_loss({x:1}, {same:1}, {same:1}.abs() + 0.5, reduction={reduction})
    F.hinge_embedding_loss({x}, m.ones_like({x}), reduction={reduction})
    F.soft_margin_loss({x}, m.ones_like({x}), reduction={reduction})
    F.margin_ranking_loss({x}, {same}, m.ones_like({x}), reduction={reduction})
    F.cosine_embedding_loss({x:2-2}, {same:2}, m.ones({x:2-2}.shape[0]), reduction={reduction})
    F.triplet_margin_loss({x:2-2}, {same:2}, {x:2-2} * 0.5 + 1, reduction={reduction})
    F.multi_margin_loss(m.nan_to_num({x:2-2}, 0.0, 1.0, -1.0), {labels}, reduction={reduction})
    F.multilabel_soft_margin_loss({full:2-2}, m.sigmoid({same:2}).detach(), reduction={reduction})
""",
)
