"""What random programs found: each case is the smallest program that once differed from PyTorch."""

from __future__ import annotations

import pytest
from torch_parity import torch_programs as fuzz
from torch_parity.torch_programs import Input, Line, Program


def program(
    inputs: list[Input], *lines: str, order: int = 0, raises: bool = False, quiet: bool = False
) -> Program:
    """A program that differentiates the value of its last line."""
    last = len(inputs) + len(lines) - 1
    made = tuple(Line(text, quiet) for text in lines)
    return Program(1, tuple(inputs), made, (last,), order, raises)


def floats(*shape: int, grad: bool = False, **options: str) -> Input:
    return Input(shape, options.pop("dtype", "float64"), grad=grad, **options)


def of(dtype: str, *shape: int) -> Input:
    return Input(shape, dtype)


NUMBER, INTEGER, BYTE = floats(), of("int64"), of("uint8", 3)
LEAF, VECTOR = floats(grad=True), floats(5, grad=True)
MATRIX = floats(2, 3, grad=True, layout="transposed")
ZERO = "v0 * 0.0"
ATTENTION = "F.scaled_dot_product_attention(v2, v3, v1)"

EAGER = {
    # results that lay in the memory of an operand: a change of one changed the other
    "sum of a 0-d tensor is no view": program([NUMBER], "v0.sum()", "v1.add_(1)"),
    "amax of a 0-d tensor is no view": program([NUMBER], "m.amax(v0, ())", "v1.add_(1)"),
    "max of a 0-d tensor is no view": program([NUMBER], "m.max(v0, 0)[0]", "v1.add_(1)"),
    "sort of a 0-d tensor is no view": program([NUMBER], "m.sort(v0, 0)[0]", "v1.add_(1)"),
    "topk of a 0-d tensor is no view": program([NUMBER], "m.topk(v0, 1, 0)[0]", "v1.add_(1)"),
    "mode of a 0-d tensor is no view": program([NUMBER], "m.mode(v0, 0)[0]", "v1.add_(1)"),
    "gather of a 0-d tensor is no view": program(
        [NUMBER], "m.gather(v0, 0, m.tensor(0))", "v1.add_(1)"
    ),
    "floor of integers is a copy": program([of("int64", 3)], "m.floor(v0)", "v1.add_(1)"),
    "round of integers is a copy": program([of("int64", 3)], "m.round(v0)", "v1.add_(1)"),
    "repeat of a 0-d tensor is a copy": program([NUMBER], "v0.repeat(2)", "v1.add_(1)"),
    "repeat_interleave by one is a copy": program(
        [floats(2, 1)], "m.repeat_interleave(v0, 1, dim=1)", "v1.add_(1)"
    ),
    "diag of a matrix is a copy": program([floats(3, 3)], "m.diag(v0)", "v1.add_(1)"),
    "pad by nothing is a copy": program(
        [floats(2, 3)], "F.pad(v0, (0, 0), mode='reflect')", "v1.add_(1)"
    ),
    "pool of single elements is a copy": program(
        [floats(2, 3)], "F.max_pool1d(v0, 1, stride=1)", "v1.add_(1)"
    ),
    "interpolate to the same size is a copy": program(
        [floats(1, 2, 3)], "F.interpolate(v0, size=3, mode='nearest')", "v1.add_(1)"
    ),
    "expand to the same shape is a view of its own": program(
        [LEAF], "v0.expand_as(v0)", order=0, quiet=True
    ),
    "diagonal of a transposed matrix is a view": program(
        [MATRIX._replace(grad=False)], "v0.t()", "v1.diagonal().add_(3)"
    ),
    "diagonal of permuted axes is a view": program(
        [floats(2, 3, 4)], "v0.permute(2, 0, 1)", "v1.diagonal(1, 0, 2).mul_(2)"
    ),
    "unfold is a view": program([floats(2, 5)], "v0.unfold(1, 2, 1)", "v0.add_(1)"),
    "disjoint windows may be written to": program(
        [floats(5, 2, layout="transposed")], "v0.unfold(0, 2, 2).mul_(3)"
    ),
    # 0-d operands
    "index_select of a 0-d tensor": program(
        [LEAF], "m.index_select(v0, 0, m.tensor([0]))", order=1
    ),
    "nonzero of a 0-d tensor": program([NUMBER], "m.nonzero(v0)"),
    "mask of a 0-d tensor": program([LEAF], "v0[v0 == v0]", order=1),
    "True and False as indices": program([floats(2, 3)], "v0[True]", "v0[False, :1]"),
    "movedim of a 0-d tensor": program([NUMBER], "m.movedim(v0, -1, 0)"),
    "cummin of a 0-d nan": program([NUMBER], "v0 * m.nan", "m.cummin(v1, 0)[1]"),
    "unique_consecutive of nothing": program(
        [INTEGER], "m.nonzero(v0)", "m.unique_consecutive(v1)"
    ),
    # integers and bytes
    "negative constants wrap in bytes": program([BYTE], "v0.clamp(-1, 1)"),
    "a negative constant of where wraps in bytes": program([BYTE], "m.where(v0 > 3, v0, -2)"),
    "all of bytes are bytes": program([BYTE], "m.all(v0, 0)"),
    "copysign of integers": program([of("int64", 3), of("int64", 3)], "m.copysign(v0, v1)"),
    "fmod of integers": program([of("int64", 7)], "m.fmod(v0, -3)"),
    "atan2 of integers": program([of("int64", 3), of("int32", 3)], "m.atan2(v0, v1)"),
    "relu6 of integers": program([of("int32", 5)], "F.relu6(v0 * 3)"),
    "threshold of integers": program([of("int32", 5)], "F.threshold(v0, 0.1, -2.0)"),
    "softsign of integers": program([of("int32", 5)], "F.softsign(v0)"),
    "square of booleans": program([of("bool", 3)], "m.square(v0)"),
    "tril of booleans": program([of("bool", 2, 3)], "m.tril(v0)"),
    "embedding of integers": program([of("int64", 3, 2)], "F.embedding(m.tensor([2, 0]), v0)"),
    "norm of integers": program([of("int64", 3)], "m.norm(v0)", raises=True),
    "argmax of booleans": program([of("bool", 3)], "v0.argmax()", raises=True),
    "complement of floats": program([NUMBER], "~v0", raises=True),
    # promotion
    "clamp promotes with both limits": program(
        [of("int64", 2), floats(), floats(2, dtype="float32")], "m.clamp(v0, v1, v2)"
    ),
    "products of addcmul are not rounded to less": program(
        [floats(), floats(dtype="float32")], "v0.addcmul_(v1, v1, value=0.5)"
    ),
    "alpha times other is not rounded to less": program(
        [floats(3), floats(3, dtype="float32")], "m.add(v0, v1, alpha=0.3)"
    ),
    # nan, ties, empties
    "clamp to nan is nan": program([of("int64", 3), floats()], "v1 * m.nan", "m.clamp(v0, v0, v2)"),
    "clamp passes no gradient through nan": program(
        [VECTOR], "m.log(v0)", "v1.clamp(-5, 5)", order=1
    ),
    "renorm of a row leaves the nan of another": program(
        [floats(4, 2, grad=True, numbers="special")], "m.renorm(v0, 2, 0, 1.0)", order=1
    ),
    "logsumexp of nothing": program([floats(2, 0, 3)], "m.logsumexp(v0, (1, 2))"),
    "amax of nothing": program([floats(2, 0)], "m.amax(v0, 1)", raises=True),
    "argmax of nothing": program([floats(0)], "v0.argmax()", raises=True),
    "group_norm of nothing": program([floats(2, 1, 0)], "F.group_norm(v0, 1, eps=1e-3)"),
    "halves of nothing": program([floats(0)], "F.glu(v0)"),
    "circular pad of nothing by nothing": program(
        [floats(1, 0)], "F.pad(v0, (0, 0), mode='circular')"
    ),
    "a nan of one operand lets the gradient through to both": program(
        [floats(5, grad=True, numbers="special"), VECTOR], "m.maximum(v0, v1)", order=1
    ),
    # derivatives
    "slope of atan2 at the origin": program([VECTOR], ZERO, "m.atan2(v1, v1)", order=1),
    "slope of a deviation of zero": program([LEAF], "m.std(v0, 0, correction=0)", order=1),
    "second derivative of softplus at 0": program([VECTOR], ZERO, "F.softplus(v1)", order=2),
    "second derivative of logsigmoid at 0": program([VECTOR], "F.logsigmoid(v0 - v0)", order=2),
    "second derivative of a logistic loss at 0": program(
        [floats(5, grad=True, numbers="grid")],
        "F.binary_cross_entropy_with_logits(v0, m.zeros_like(v0))",
        order=2,
    ),
    "a quotient may be changed after it": program([VECTOR], "2 / v0", "v1.add_(1)", order=1),
    "an erfinv may be changed after it": program(
        [VECTOR], "m.erfinv(m.tanh(v0))", "v1.add_(1)", order=1
    ),
    "sign of nan is 0": program(
        [floats(5, grad=True, numbers="special")], "v0.abs()", "m.sign(v1)"
    ),
    "lerp ends at its end": program(
        [floats(5, numbers="special"), floats(5)],
        "m.lerp(v0, v1, m.ones_like(v1))",
        "m.lerp(v0, v1, 1.5)",
    ),
    "cosine of two dtypes": program(
        [floats(3), of("int64", 3)], "F.cosine_similarity(v0, v1, dim=0)"
    ),
    "a nan slope of the maximum of all elements stays there": program(
        [VECTOR], "m.std(v0.max(), 0)", order=1
    ),
    "a nan slope of a maximum along axes goes everywhere": program(
        [VECTOR], "m.std(m.amax(v0, 0), 0)", order=1
    ),
    "variance of a complex number": program(
        [floats(dtype="complex128", grad=True)], "m.var(v0, (), correction=0)", order=1
    ),
    "deviation of a complex number": program([floats(dtype="complex64")], "m.std(v0)"),
    "attention whose scores are all -inf": program(
        [floats(2, 1), floats(3, 1)], "v0 * 0.0 + 1", "m.log(v1 * 0.0)", ATTENTION
    ),
    "cross entropy of no classes": program(
        [floats(2, 0)], "F.cross_entropy(v0, v0)", "F.cross_entropy(v0, v0, label_smoothing=0.1)"
    ),
    # errors
    "hardtanh of booleans": program([of("bool", 3)], "F.hardtanh(v0, -0.8, 0.9)", raises=True),
    "scatter of values that lack an axis": program(
        [floats(3, 2), floats(3)], "m.scatter(v0, 1, m.tensor([[1]]), v1)", raises=True
    ),
    "indices that do not broadcast": program(
        [floats(3, 3)], "v0[m.tensor([0, 1]), m.tensor([0, 1, 2])]", raises=True
    ),
    "lerp of two dtypes": program(
        [floats(3), floats(3, dtype="float32")], "m.lerp(v0, v1, 0.5)", raises=True
    ),
    "quantile of nothing": program([floats(0, 2)], "m.quantile(v0, 0.5, dim=1)", raises=True),
    "masked_scatter of too few": program(
        [NUMBER], "m.masked_scatter(v0, m.tensor([True, False, True]), v0)", raises=True
    ),
    "tensordot of two dtypes": program(
        [of("uint8", 2), floats(2)], "m.tensordot(v0, v1, dims=1)", raises=True
    ),
    "select outside": program([floats(3)], "m.select(v0, 0, 3)", raises=True),
    "a step of zero": program([floats(3)], "v0[::0]", raises=True),
    "outer of matrices": program([floats(2, 1)], "m.outer(v0, v0)", raises=True),
    "split of a 0-d tensor": program([NUMBER], "m.split(v0, 1)", raises=True),
    "expand by too few sizes": program([floats(2, 3)], "v0.expand(3)", raises=True),
    "repeat by too few counts": program([floats(2, 3)], "v0.repeat(2)", raises=True),
    "matrix norm over three axes": program(
        [floats(2, 2, 2)], "v0.norm(dim=(0, 1, 2))", raises=True
    ),
    "mT of a vector": program([floats(3)], "v0.mT", raises=True),
    "transposed convolution to nothing": program(
        [floats(1, 2)], "F.conv_transpose1d(v0, v0[:, :1].reshape(1, 1, 1), padding=1)", raises=True
    ),
    "group_norm of one value": program([floats(1, 2)], "F.group_norm(v0, 2)", raises=True),
}

COMPILED = {
    "products with a gradient of zeros": program(
        [VECTOR], "m.matmul(v0, v0)", "m.sign(v1)", order=1
    ),
    "zeros keep their sign": program([VECTOR], ZERO, "(v1 + 0.0) ** -1 + 0"),
    "a gradient on its way to no element": program(
        [floats(1, 5, 3, grad=True)], "m.trapezoid(v0, dim=0)", "m.sin(v1.sum(0)) + v0[0]", order=1
    ),
    "a sum and a product of booleans": program(
        [of("int64", 2, 3)], "m.sum(v0, 0, dtype=m.bool)", "m.prod(v0, 0, dtype=m.bool) ^ v1"
    ),
    "a product of constant integer matrices": program(
        [of("int16", 2, 2)], "m.full_like(v0, 2)", "m.matmul(v1, v1) + v0"
    ),
    "a norm of no half": program(
        [of("bfloat16", 2, 2)], "v0[:5, 4:]", "F.layer_norm(v1, v1.shape[-1:])"
    ),
    "no complex number of many": program(
        [of("complex64", 2, 2)], "v0[3:, m.tensor([[1]])]", "m.reciprocal(v1 + 3)"
    ),
    "the product of equal elements": program(
        [NUMBER], "v0 * m.prod(m.full((3, 2), 2.0, dtype=m.float64), 0)"
    ),
    "the product of no element": program(
        [NUMBER], "v0 * m.prod(m.full((3, 0), 2.0, dtype=m.float64), 1)"
    ),
    "copies of several dtypes in one launch": program(
        [floats(2, dtype="float32", grad=True), floats(2)],
        "(v0 * v1.to(v0.dtype)).sum()",
        "v0 * 1",
        order=1,
    ),
    "a sum of differences of nan is nan": program(
        [floats()], "m.sin(v0) * m.nan", "(v1 + 1) - v1", "v2.sum(0)"
    ),
    "a difference of nan is nan": program(
        [floats(5, numbers="special", grad=True)], "v0 + (-v0)", "(v1 + 1) - v1", order=1
    ),
    "products of integer matrices": program([of("int32", 4, 4)], "v0 @ v0.mT", "v1 + 1"),
    "products of byte matrices": program([of("uint8", 2, 3, 3)], "m.bmm(v0, v0)"),
    "a change through traced windows": program(
        [floats(5, 3)], "v0.t().unfold(1, 2, 2).mul_(5)", "v0 * 1"
    ),
    "a change through a traced diagonal": program([floats(3, 4)], "v0.t().diagonal(1).mul_(5)"),
}


@pytest.mark.parametrize("name", EAGER)
def test_eager(name: str) -> None:
    failure = fuzz.check(EAGER[name], jit=False)
    assert failure is None, failure


@pytest.mark.parametrize("name", COMPILED)
def test_compiled(name: str) -> None:
    failure = fuzz.check(COMPILED[name], jit=True)
    assert failure is None, failure


def test_the_checker_notices_a_wrong_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fuzzer that cannot fail is worth nothing: scale one derivative and look."""
    from fusegrad.ops import elementwise, transcendental

    original = transcendental.tanh.derivs[0]
    case = program([VECTOR], "v0 + 1", "m.tanh(v1)", "v2 * 2", order=1)
    assert fuzz.check(case, jit=False) is None
    wrong = (lambda g, out: elementwise.mul(original(g, out), 1 + 1e-12),)
    object.__setattr__(transcendental.tanh, "derivs", wrong)
    try:
        assert "gradient 1 of leaf 0" in str(fuzz.check(case, jit=False))
        assert len(fuzz.shrink(case, jit=False).lines) == 1
    finally:
        object.__setattr__(transcendental.tanh, "derivs", (original,))
