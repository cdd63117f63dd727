"""Attention and transformer layers equal PyTorch's: outputs, weights, gradients, masks, names."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import fusegrad as fg

F, TF = fg.nn.functional, torch.nn.functional


def _causal(n: int, m: int) -> np.ndarray:
    return np.tril(np.ones((n, m), bool))


def _lonely(n: int, m: int) -> np.ndarray:
    """A mask whose second query may look nowhere."""
    mask = _causal(n, m)
    mask[1] = False
    return mask


SDPA = [
    ((2, 3, 5, 4), (2, 3, 5, 4), (2, 3, 5, 4), {}, None),
    ((2, 3, 5, 4), (2, 3, 6, 4), (2, 3, 6, 7), {"scale": 0.3}, None),
    ((5, 4), (6, 4), (6, 3), {}, None),
    ((2, 3, 5, 4), (2, 3, 5, 4), (2, 3, 5, 4), {"is_causal": True}, None),
    ((2, 3, 5, 4), (2, 3, 7, 4), (2, 3, 7, 4), {"is_causal": True}, None),
    ((2, 3, 5, 4), (2, 3, 5, 4), (2, 3, 5, 4), {}, _causal(5, 5)),
    ((2, 3, 5, 4), (2, 3, 6, 4), (2, 3, 6, 4), {}, _lonely(5, 6)),
    ((2, 3, 5, 4), (2, 3, 6, 4), (2, 3, 6, 4), {}, np.linspace(-1, 1, 30).reshape(5, 6)),
    ((2, 4, 5, 4), (2, 2, 6, 4), (2, 2, 6, 4), {"enable_gqa": True}, None),
]


@pytest.mark.parametrize(("q", "k", "v", "kwargs", "mask"), SDPA)
def test_scaled_dot_product_attention(
    compare: Any, q: Any, k: Any, v: Any, kwargs: Any, mask: Any
) -> None:
    ours = None if mask is None else fg.tensor(mask)
    theirs = None if mask is None else torch.from_numpy(mask)
    compare.check(
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v, ours, **kwargs),
        lambda q, k, v: TF.scaled_dot_product_attention(q, k, v, theirs, **kwargs),
        *[compare.randn(*s) for s in (q, k, v)],
    )


def test_attention_errors() -> None:
    x = fg.zeros(2, 4)
    with pytest.raises(RuntimeError, match="is_causal"):
        F.scaled_dot_product_attention(x, x, x, fg.ones(2, 2), is_causal=True)
    with pytest.raises(RuntimeError, match="share E"):
        F.scaled_dot_product_attention(x, fg.zeros(2, 5), x)
    with pytest.raises(RuntimeError, match="one dtype"):
        F.scaled_dot_product_attention(x, x.double(), x)


def test_second_derivative(compare: Any) -> None:
    arrays = [compare.randn(2, 2, 4, 3) for _ in range(3)]
    found = []
    for library in (fg, torch):
        q, k, v = (library.tensor(a, requires_grad=True) for a in arrays)
        attention = library.nn.functional.scaled_dot_product_attention
        with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
            out = attention(q, k, v, is_causal=True)
            grads = library.autograd.grad((out**2).sum(), (q, k, v), create_graph=True)
            second = library.autograd.grad(sum((g * g).sum() for g in grads), (q, k, v))
        found.append([s.detach().numpy() for s in second])
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-10)


# --- MultiheadAttention ---------------------------------------------------------------------------
HEADS = [
    {},
    {"bias": False},
    {"batch_first": True},
    {"add_bias_kv": True},
    {"add_zero_attn": True},
    {"add_bias_kv": True, "add_zero_attn": True, "batch_first": True},
    {"kdim": 5, "vdim": 6},
    {"kdim": 5, "vdim": 8, "bias": False, "batch_first": True},
    {"dropout": 0.0},
]
CALLS = [
    {},
    {"need_weights": False},
    {"average_attn_weights": False},
    {"attn_mask": "bool"},
    {"attn_mask": "float", "need_weights": False},
    {"attn_mask": "heads"},
    {"key_padding_mask": "bool"},
    {"key_padding_mask": "float", "attn_mask": "float"},
    {"key_padding_mask": "bool", "attn_mask": "bool", "need_weights": False},
]


def _masks(library: Any, call: dict[str, Any], n: int, rows: int, columns: int) -> dict[str, Any]:
    def get(a: np.ndarray) -> Any:
        return fg.tensor(a) if library is fg else torch.from_numpy(a)

    rng = np.random.default_rng(5)
    made = {
        ("attn_mask", "bool"): np.triu(np.ones((rows, columns), bool), 2),
        ("attn_mask", "float"): rng.standard_normal((rows, columns)),
        ("attn_mask", "heads"): rng.standard_normal((n * 2, rows, columns)),
        ("key_padding_mask", "bool"): np.arange(columns)[None] > 2 + np.arange(n)[:, None],
        ("key_padding_mask", "float"): rng.standard_normal((n, columns)),
    }
    return {k: get(made[k, v]) if isinstance(v, str) else v for k, v in call.items()}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("call", CALLS, ids=str)
@pytest.mark.parametrize("options", HEADS, ids=str)
def test_multihead(compare: Any, same_state: Any, options: Any, call: Any) -> None:
    ours = fg.nn.MultiheadAttention(8, 2, **options).double()
    theirs = torch.nn.MultiheadAttention(8, 2, **options).double()
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for p in theirs.parameters():
        torch.nn.init.normal_(p, std=0.5)
    same_state(ours, theirs)
    n, rows, columns = 3, 4, 5
    sizes = [(rows, 8), (columns, options.get("kdim", 8)), (columns, options.get("vdim", 8))]
    first = options.get("batch_first")
    arrays = [compare.randn(*((n, s, e) if first else (s, n, e))) for s, e in sizes]
    weights = []

    def run(module: Any, library: Any) -> Any:
        masks = _masks(library, call, n, rows, columns)

        def forward(*inputs: Any) -> Any:
            out, found = module(*inputs, **masks)
            weights.append(found)
            return out

        return forward

    params = (tuple(ours.parameters()), tuple(theirs.parameters()))
    compare.check(run(ours, fg), run(theirs, torch), *arrays, params=params)
    if call.get("need_weights", True):
        compare.close(*weights)
    else:
        assert weights == [None, None]


@pytest.mark.parametrize("batch_first", [False, True])
def test_self_attention_and_unbatched(compare: Any, same_state: Any, batch_first: bool) -> None:
    ours = fg.nn.MultiheadAttention(8, 2, batch_first=batch_first).double()
    theirs = torch.nn.MultiheadAttention(8, 2, batch_first=batch_first).double()
    same_state(ours, theirs)
    params = (tuple(ours.parameters()), tuple(theirs.parameters()))
    for shape in ((3, 4, 8), (4, 8)):
        compare.check(
            lambda x: ours(x, x, x)[0],
            lambda x: theirs(x, x, x)[0],
            compare.randn(*shape),
            params=params,
        )
        compare.check(
            lambda x, m: ours(x, m, m)[0],
            lambda x, m: theirs(x, m, m)[0],
            *[compare.randn(*shape), compare.randn(*shape)],
            params=params,
        )
    x, t = (lambda a: (fg.tensor(a), torch.from_numpy(a)))(compare.randn(4, 8))
    pad = np.array([False, False, True, False])
    out, weights = ours(x, x, x, key_padding_mask=fg.tensor(pad))
    want, wanted = theirs(t, t, t, key_padding_mask=torch.from_numpy(pad))
    compare.close(out, want)
    compare.close(weights, wanted)


def test_multihead_errors() -> None:
    for args in ((0, 1), (8, 3)):
        with pytest.raises(ValueError, match="divisible"):
            fg.nn.MultiheadAttention(*args)
    module = fg.nn.MultiheadAttention(8, 2)
    x = fg.zeros(4, 3, 8)
    with pytest.raises(RuntimeError, match="attn_mask"):
        module(x, x, x, attn_mask=fg.zeros(3, 3))
    with pytest.raises(RuntimeError, match="key_padding_mask"):
        module(x, x, x, key_padding_mask=fg.zeros(4, 3))
    with pytest.raises(RuntimeError, match="is_causal hint"):
        module(x, x, x, is_causal=True)
    with pytest.raises(ValueError, match="embedding dimension"):
        module(fg.zeros(4, 3, 6), x, x)


# --- transformers ---------------------------------------------------------------------------------
STACKS = [
    ("TransformerEncoderLayer", (8, 2, 16), {}),
    ("TransformerEncoderLayer", (8, 2, 16), {"norm_first": True, "batch_first": True}),
    ("TransformerEncoderLayer", (8, 2, 16), {"activation": "gelu", "bias": False}),
    ("TransformerDecoderLayer", (8, 2, 16), {}),
    ("TransformerDecoderLayer", (8, 2, 16), {"norm_first": True, "activation": "gelu"}),
]


def _build(library: Any, name: str, args: Any, kwargs: Any) -> Any:
    return getattr(library.nn, name)(*args, dropout=0.0, **kwargs).double()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(("name", "args", "kwargs"), STACKS, ids=str)
def test_layers(
    compare: Any, same_state: Any, name: str, args: Any, kwargs: Any, masked: bool
) -> None:
    ours, theirs = (_build(library, name, args, kwargs) for library in (fg, torch))
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    same_state(ours, theirs)
    decoder = "Decoder" in name
    shape = (3, 5, 8) if kwargs.get("batch_first") else (5, 3, 8)
    arrays = [compare.randn(*shape), compare.randn(4, 3, 8)] if decoder else [compare.randn(*shape)]

    def masks(library: Any) -> dict[str, Any]:
        if not masked:
            return {}
        generate = library.nn.Transformer.generate_square_subsequent_mask
        if decoder:
            return {"tgt_mask": generate(5).double(), "tgt_is_causal": True}
        padding = np.arange(5)[None] > 2 + np.arange(3)[:, None]
        keep = fg.tensor(padding) if library is fg else torch.from_numpy(padding)
        return {"src_mask": generate(5).double(), "src_key_padding_mask": keep}

    params = (tuple(ours.parameters()), tuple(theirs.parameters()))
    compare.check(
        lambda *x: ours(*x, **masks(fg)),
        lambda *x: theirs(*x, **masks(torch)),
        *arrays,
        params=params,
        rtol=1e-7,
        atol=1e-9,
    )


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("options", [{}, {"batch_first": True, "norm_first": True}], ids=str)
def test_transformer(compare: Any, same_state: Any, options: Any) -> None:
    build = [
        lib.nn.Transformer(8, 2, 2, 1, 16, dropout=0.0, **options).double() for lib in (fg, torch)
    ]
    ours, theirs = build
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    same_state(ours, theirs)
    shapes = [(3, 5, 8), (3, 4, 8)] if options else [(5, 3, 8), (4, 3, 8)]

    def run(module: Any, library: Any) -> Any:
        mask = library.nn.Transformer.generate_square_subsequent_mask(4).double()
        return lambda src, tgt: module(src, tgt, tgt_mask=mask, tgt_is_causal=True)

    params = (tuple(ours.parameters()), tuple(theirs.parameters()))
    compare.check(
        run(ours, fg),
        run(theirs, torch),
        *[compare.randn(*s) for s in shapes],
        params=params,
        rtol=1e-7,
        atol=1e-9,
    )
    with pytest.raises(RuntimeError, match="feature number"):
        ours(fg.zeros(*shapes[0][:-1], 6).double(), fg.zeros(*shapes[1]).double())


@pytest.mark.filterwarnings("ignore")
def test_encoder_and_decoder_stacks(compare: Any, same_state: Any) -> None:
    def build(library: Any) -> Any:
        nn = library.nn
        layer = nn.TransformerEncoderLayer(8, 2, 16, 0.0)
        return nn.ModuleList(
            [
                nn.TransformerEncoder(layer, 2, nn.LayerNorm(8)),
                nn.TransformerDecoder(nn.TransformerDecoderLayer(8, 2, 16, 0.0), 2),
            ]
        ).double()

    ours, theirs = build(fg), build(torch)
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    same_state(ours, theirs)
    compare.check(
        lambda x: ours[1](x, ours[0](x)),
        lambda x: theirs[1](x, theirs[0](x)),
        compare.randn(4, 2, 8),
        rtol=1e-7,
        atol=1e-9,
    )


def test_signatures() -> None:
    import inspect

    for name in (
        "MultiheadAttention",
        "Transformer",
        "TransformerEncoder",
        "TransformerDecoder",
        "TransformerEncoderLayer",
        "TransformerDecoderLayer",
    ):
        for method in ("__init__", "forward"):
            ours = inspect.signature(getattr(getattr(fg.nn, name), method)).parameters
            theirs = inspect.signature(getattr(getattr(torch.nn, name), method)).parameters
            assert list(ours) == list(theirs), (name, method)
            for key, value in theirs.items():
                if not callable(value.default):
                    assert ours[key].default == value.default
