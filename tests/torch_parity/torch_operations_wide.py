"""More operations of random programs: of complex numbers, and between dtypes of any kind.

They are only drawn for the seeds that have more dtypes, see ``torch_dtypes.py``.
"""

from __future__ import annotations

from .torch_operations import Operation, group

WIDE_GROUPS: list[tuple[float, list[Operation]]] = []

# --- complex numbers ------------------------------------------------------------------------------
# PyTorch's conjugates are views, ours are computed at once.
group(
    4,
    "complex",
    """
    m.conj_physical({x})
    m.resolve_conj({x}.conj())
    m.real({x})
    m.imag({x})
    {x}.real
    {x}.imag
    m.view_as_real({x})
    m.resolve_conj({x:2}.mH)
    m.resolve_conj({x:2}.adjoint())
""",
    exact=True,
    groups=WIDE_GROUPS,
)
group(
    8,
    "complex",
    """
    m.abs({x})
    m.angle({x})
    m.sgn({x})
    m.exp({x} * 0.3)
    m.log({x} + 3)
    m.log2({x} + 3)
    m.log10({x} + 3)
    m.log1p({x} + 3)
    m.expm1({x} * 0.3)
    m.sqrt({x} + 3)
    m.rsqrt({x} + 3)
    m.square({x})
    m.reciprocal({x} + 3)
    m.sin({x} * 0.5)
    m.cos({x} * 0.5)
    m.tan({x} * 0.2)
    m.sinh({x} * 0.5)
    m.cosh({x} * 0.5)
    m.tanh({x} * 0.3)
    m.asin({x} * 0.3)
    m.acos({x} * 0.3)
    m.atan({x} * 0.3)
    m.asinh({x} * 0.3)
    m.acosh({x} + 3)
    m.atanh({x} * 0.3)
    m.sigmoid({x} * 0.3)
    F.silu({x} * 0.3)
    F.tanhshrink({x} * 0.3)
    {x} * {x}.conj()
    {x} + {cc}
    {cc} - {x}
    {x} * {cc}
    {x} / {cc}
    {cc} / ({x} + 3)
    {x} / ({y}.abs() + 1)
    {x} / ({y} + 3)
    {x} ** 2
    {x} ** 3
    ({x} + 3) ** {cc}
    m.pow({x} + 3, {y} * 0.5)
    {of:2|0.5|(1+1j)} ** {x}
    m.lerp({x}, {same}, {of:0.25|0.75})
    m.addcmul({x}, {y}, {z}, value={of:2|0.5|1j})
    m.addcdiv({x}, {y}, {z}.abs() + 1, value=0.5)
    m.add({x}, {y}, alpha={of:2|0.5|2j})
    m.where({b}, {x}, {cc})
    m.masked_fill({x}, {b}, {cc})
    m.vdot({x:1-1}, {x:1-1})
    m.dot({x:1-1}, {x:1-1}.conj())
    {x:2} @ {x:2}.mH
    {x:2}.mH @ {x:2}
    m.matmul({factors_of_product})
    m.einsum('...i,...j->...ij', {x:1}, {x:1}.conj())
    m.linalg.vector_norm({x}, {of:2|1|float('inf')})
    m.linalg.vector_norm({x}, dim={dims}, keepdim={keep})
    m.norm({x}, {of:2|1|3}, {dim}, keepdim={keep})
    m.var({x}, {dims}, correction=0, keepdim={keep})
    m.std({x}, {dims}, correction=0)
    m.mean({x}, {dims}, keepdim={keep})
    m.prod({x}, {dim}, keepdim={keep})
    m.cumprod({x}, {dim})
    m.cumsum({x}, {dim})
    m.fft.fft({full:1}, dim={dim}, norm={of:None|'ortho'|'forward'})
    m.fft.ifft({full:1}, {of:None|3|5}, {dim})
    m.fft.fftn({full:2-3})
    m.fft.irfft({full:1}, 4, {dim})
    m.fft.hfft({full:1}, 5, {dim})
    m.fft.fftshift({x})
    m.linalg.det({x:2} @ {x:2}.mH)
    m.linalg.inv({x:2} @ {x:2}.mH + 3 * m.eye({x:2}.shape[-2], dtype={x:2}.dtype))
    m.isclose({x}, {same})
    {x} == {y}
    {x} != {cc}
    F.linear({x:1}, {weights})
    F.conv1d({conv:1})
    F.dropout({x}, 0.5, training=False)
""",
    groups=WIDE_GROUPS,
)
group(
    1,
    "complex",
    """
    {x}.mul_({cc})
    {x}.add_({u})
    {x}[{basic}] = {cc}
    {x}.real.mul_(2)
    {x}.imag.fill_({n})
    {x}.mul_({x}.conj())
    m.view_as_real({x})[..., 0].add_(1)
    {x}.div_({u}.abs() + 1)
    {x}.conj_physical_()
    {x}[{key}] += {cc}
    {x:2}.mT.mul_(2)
""",
    mutates=True,
    groups=WIDE_GROUPS,
)
group(
    1,
    "float",
    """
    m.complex({x}, {same})
    m.polar({x}.abs(), {same})
    m.view_as_complex(m.stack([{x}, {same}], -1))
    {x} * {cc}
    {x} + {cc}
    m.fft.rfft({full:1}, dim={dim})
    m.fft.fft({full:1}, dim={dim})
    m.fft.rfft2({full:2})
""",
    groups=WIDE_GROUPS,
)
group(
    1,
    "any",
    """
    {x}.to({dtype})
    {x}.to({dtype}) * {y}
    m.zeros_like({x}, dtype={dtype}) + {y}
    {x}.to({dtype}) + {c}
    m.stack([{x}, {same}]).to({dtype})
    m.cat([{x:1}, {x:1}.to({dtype})], {dim})
    m.where({b}, {x}, {y}.to({dtype}))
    {x}.new_ones(2, dtype={dtype}) * {c}
""",
    groups=WIDE_GROUPS,
)
