"""What autograd tutorials do, written once for PyTorch and for fusegrad under the name ``torch``.

Each function takes the library and returns what a reader would print: numbers, lists, flags and
the class of the error caught. ``tests/torch_parity/test_tutorials.py`` compares the two libraries,
``tests/test_tutorials.py`` runs the marked ones under ``jit`` too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

SNIPPETS: dict[str, Callable[[Any], Any]] = {}


def snippet(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Enter a function in the table."""
    SNIPPETS[function.__name__] = function
    return function


def caught(function: Callable[[], Any]) -> str:
    """The builtin class of the error that ``function`` raises."""
    try:
        function()
    except Exception as error:
        for kind in (IndexError, TypeError, ValueError, RuntimeError):
            if isinstance(error, kind):
                return kind.__name__
        raise
    return "nothing"


# --- the first pages ------------------------------------------------------------------------------
@snippet
def tensors_from_everything(torch: Any) -> Any:
    data = [[1, 2], [3, 4]]
    a = torch.tensor(data)
    b = torch.from_numpy(np.array(data))
    c = torch.ones_like(a)
    d = torch.zeros_like(a, dtype=torch.float)
    e = torch.FloatTensor([1, 2, 3])
    f = torch.arange(0, 1, 0.25)
    g = torch.linspace(0, 1, 5)
    h = torch.logspace(0, 2, 3)
    i = torch.full((2, 2), 7.0)
    j = torch.eye(2, 3)
    k = torch.empty(2, 3).shape
    x, y = torch.meshgrid(torch.arange(2), torch.arange(3), indexing="ij")
    u, v = torch.meshgrid(torch.arange(2), torch.arange(3), indexing="xy")
    out = [t.tolist() for t in (a, b, c, d, e, f, g, h, i, j, x, y, u, v)]
    return (
        out,
        tuple(k),
        a.new_zeros(2).tolist(),
        a.new_full((1,), 3).tolist(),
        a.new_ones(1, 2).tolist(),
    )


@snippet
def attributes(torch: Any) -> Any:
    x = torch.rand(3, 4)
    return (
        tuple(x.shape), tuple(x.size()), x.size(0), x.dim(), x.ndim, x.ndimension(), x.numel(),
        x.nelement(), x.element_size(), x.itemsize, x.nbytes, x.is_leaf, x.requires_grad,
        x.grad is None, x.grad_fn is None, str(x.dtype).split(".")[1], str(x.device), len(x),
        x.type().split(".")[1], x.long().type().split(".")[1], x.is_floating_point(),
        x.double().dtype == torch.float64, x.type(torch.DoubleTensor).dtype == torch.float64,
        x.is_contiguous(), x.t().is_contiguous(), x.stride(), isinstance(x, torch.Tensor),
        torch.is_tensor(x), x.type_as(x.long()).dtype == torch.int64, x.is_complex(),
        isinstance(x, torch.FloatTensor), isinstance(x, torch.LongTensor), x.data_ptr() != 0,
    )  # fmt: skip


@snippet
def operations(torch: Any) -> Any:
    x, y = torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.ones(2, 2)
    y.add_(x)
    x[:, 1] = 0
    z = torch.cat([x, y], dim=1)
    agg = z.sum()
    return (
        y.tolist(), z.tolist(), agg.item(), (x @ y.T).tolist(), x.matmul(y).tolist(),
        (x * y).tolist(), torch.stack([x, y]).shape == (2, 2, 2), x.view(4).tolist(),
        x.reshape(1, -1).tolist(), z.argmax().item(), z.argmax(dim=1).tolist(),
        torch.where(x > 0, x, -y).tolist(), x.t().tolist(), y.mean().item(), y.std().item(),
        y.max(), y.max(1).indices.tolist(), torch.allclose(x, x + 1e-9), torch.equal(x, y),
        x.unsqueeze(0).shape == (1, 2, 2), x.mul_(2).tolist(), (x ** 2).tolist(), (2**x).tolist(),
        x.clamp(max=3).tolist(), torch.hstack([x, y]).tolist(), torch.vstack([x, y]).tolist(),
        x.flatten().tolist(), x.ravel().tolist(), x.reshape_as(y).tolist(), y.bool().tolist(),
    )[:-1]  # fmt: skip


@snippet
def numpy_bridge(torch: Any) -> Any:
    t = torch.ones(3)
    n = t.numpy()
    t.add_(1)
    a = np.ones(2)
    b = torch.from_numpy(a)
    np.add(a, 1, out=a)
    x = torch.ones(2, requires_grad=True)
    return (
        n.tolist(),
        b.tolist(),
        caught(x.numpy),
        x.detach().numpy().tolist(),
        np.sin(np.asarray(b)).sum(),
    )


@snippet
def seeds(torch: Any) -> Any:
    torch.manual_seed(3)
    a = torch.rand(4)
    state = torch.get_rng_state()
    b = torch.randn(2)
    torch.manual_seed(3)
    same = torch.equal(a, torch.rand(4))
    torch.set_rng_state(state)
    perm = torch.randperm(5).tolist()
    drawn = torch.randint(0, 3, (50,))
    return (
        same, not torch.equal(b, torch.randn(2)), sorted(perm), drawn.min().item(),
        drawn.max().item(), torch.randint_like(drawn, 5).dtype == torch.int64,
        torch.rand_like(a).shape == a.shape, torch.randn_like(a).shape == a.shape,
        tuple(torch.normal(0.0, 1.0, (2, 2)).shape), torch.initial_seed(),
    )[:-1]  # fmt: skip


# --- gradients ------------------------------------------------------------------------------------
@snippet
def one_layer(torch: Any) -> Any:
    x, y = torch.ones(5), torch.zeros(3)
    w = torch.full((5, 3), 0.25, requires_grad=True)
    b = torch.full((3,), -0.5, requires_grad=True)
    z = torch.matmul(x, w) + b
    loss = torch.nn.functional.binary_cross_entropy_with_logits(z, y)
    loss.backward()
    return (
        loss.item(),
        w.grad.tolist(),
        b.grad.tolist(),
        z.grad_fn is not None,
        w.is_leaf,
        z.is_leaf,
    )


@snippet
def a_scalar_chain(torch: Any) -> Any:
    x = torch.ones(2, 2, requires_grad=True)
    y = x + 2
    z = y * y * 3
    out = z.mean()
    out.backward()
    return x.grad.tolist(), out.item(), y.requires_grad, out.grad_fn is not None


@snippet
def a_vector_needs_a_cotangent(torch: Any) -> Any:
    x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    y = x * 2
    count = 0
    while y.data.norm() < 100:
        y = y * 2
        count += 1
    missing = caught(y.backward)
    v = torch.tensor([0.1, 1.0, 0.0001], dtype=torch.float)
    wrong = caught(lambda: y.backward(torch.ones(2)))
    y.backward(v)
    return missing, wrong, count, x.grad.tolist()


@snippet
def gradients_accumulate(torch: Any) -> Any:
    inp = torch.eye(4, 5, requires_grad=True)
    out = (inp + 1).pow(2).t()
    out.backward(torch.ones_like(out), retain_graph=True)
    first = inp.grad.tolist()
    out.backward(torch.ones_like(out), retain_graph=True)
    second = inp.grad.tolist()
    inp.grad.zero_()
    out.backward(torch.ones_like(out))
    third = inp.grad.tolist()
    again = caught(lambda: out.backward(torch.ones_like(out)))
    inp.grad = None
    return first, second, third, again, inp.grad is None


@snippet
def external_gradient(torch: Any) -> Any:
    a = torch.tensor([2.0, 3.0], requires_grad=True)
    b = torch.tensor([6.0, 4.0], requires_grad=True)
    q = 3 * a**3 - b**2
    q.backward(gradient=torch.tensor([1.0, 1.0]))
    return (9 * a**2 == a.grad).tolist(), (-2 * b == b.grad).tolist()


@snippet
def not_recording(torch: Any) -> Any:
    x = torch.tensor([1.0], requires_grad=True)
    with torch.no_grad():
        y = x * 2
        with torch.enable_grad():
            inner = (x * 2).requires_grad

    @torch.no_grad()
    def double(x: Any) -> Any:
        return x * 2

    @torch.set_grad_enabled(False)
    def triple(x: Any) -> Any:
        return x * 3

    with torch.inference_mode():
        z = x * 2
    with torch.inference_mode(False):
        w = x * 2
    after = (x * 2).requires_grad
    with torch.set_grad_enabled(False):
        off = (x * 2).requires_grad
    torch.set_grad_enabled(False)
    flag = torch.is_grad_enabled()
    torch.set_grad_enabled(True)
    return (
        y.requires_grad, inner, double(x).requires_grad, triple(x).requires_grad, z.requires_grad,
        w.requires_grad, after, off, flag, torch.is_grad_enabled(),
    )  # fmt: skip


@snippet
def detached(torch: Any) -> Any:
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = x.detach()
    y[0] = 5.0  # the same memory
    z = x * y
    z.sum().backward()
    w = x.clone().detach().requires_grad_(True)
    u = x.data
    return x.tolist(), x.grad.tolist(), y.requires_grad, w.is_leaf, w.requires_grad, u.requires_grad


@snippet
def freezing(torch: Any) -> Any:
    a = torch.ones(2)
    before = (a * 2).requires_grad
    a.requires_grad_(True)
    b = (a * a).sum()
    frozen = torch.nn.Linear(2, 2)
    for p in frozen.parameters():
        p.requires_grad = False
    out = frozen(a)
    flags = [p.requires_grad for p in frozen.parameters()]
    leafless = caught(lambda: setattr(b, "requires_grad", False))
    integers = caught(lambda: torch.tensor([1]).requires_grad_())
    return before, b.requires_grad, out.requires_grad, flags, leafless, integers


@snippet
def non_leaf_gradients(torch: Any) -> Any:
    x = torch.tensor([2.0], requires_grad=True)
    y = x * 3
    y.retain_grad()
    z = y * y
    flags = x.retains_grad, y.retains_grad, z.retains_grad
    z.backward()
    return flags, y.grad.tolist(), x.grad.tolist(), y.is_leaf


@snippet
def grad_function(torch: Any) -> Any:
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = torch.tensor([3.0, 4.0], requires_grad=True)
    out = (x * y).sum()
    gx, gy = torch.autograd.grad(out, [x, y], create_graph=True)
    (gxy,) = torch.autograd.grad(gx.sum(), y)
    unused = caught(lambda: torch.autograd.grad((x * 2).sum(), y))
    none = torch.autograd.grad((x * 2).sum(), [x, y], allow_unused=True)
    zeros = torch.autograd.grad((x * 2).sum(), [x, y], materialize_grads=True)
    weighted = torch.autograd.grad(x * y, x, grad_outputs=torch.tensor([1.0, 10.0]))
    return (
        gx.tolist(), gy.tolist(), gxy.tolist(), unused, none[1] is None, zeros[1].tolist(),
        weighted[0].tolist(), x.grad is None,
    )  # fmt: skip


@snippet
def higher_derivatives(torch: Any) -> Any:
    x = torch.tensor(2.0, requires_grad=True)
    y = x**3
    out = []
    for _ in range(3):
        (y,) = torch.autograd.grad(y, x, create_graph=True)
        out.append(y.item())
    z = x**4
    z.backward(create_graph=True)
    first = x.grad.clone()
    x.grad = None
    first.backward()
    return out, x.grad.item()


@snippet
def the_graph(torch: Any) -> Any:
    x = torch.tensor([1.0], requires_grad=True)
    y = x * 2
    node = y.grad_fn
    into = node.next_functions
    leaf = into[0][0]
    return (
        len(into), into[1][0] is None, leaf.variable is x, into[0][1], leaf.next_functions,
        x.grad_fn is None, y.detach().grad_fn is None, type(leaf).__name__,
    )  # fmt: skip


@snippet
def in_place_errors(torch: Any) -> Any:
    x = torch.ones(2, requires_grad=True)
    leaf = caught(lambda: x.add_(1))
    view = caught(lambda: x[0].add_(1))
    with torch.no_grad():
        x.add_(1)
    y = x.exp()
    y.mul_(2)
    saved = caught(lambda: y.sum().backward())
    a = torch.ones(2, requires_grad=True)
    b = a * 1
    version = b._version
    b[0] = 3.0
    after = b._version
    (b * b).sum().backward()
    return leaf, view, x.tolist(), saved, version, after, a.grad.tolist()


@snippet
def hooks(torch: Any) -> Any:
    seen: list[Any] = []
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = x * 3
    handle = y.register_hook(lambda g: seen.append(g.tolist()))
    x.register_hook(lambda g: g * 10)
    y.sum().backward()
    handle.remove()
    (x * 3).sum().backward()
    done: list[Any] = []
    p = torch.ones(2, requires_grad=True)
    late = p.register_post_accumulate_grad_hook(lambda q: done.append(q.grad.tolist()))
    (p * 2).sum().backward()
    late.remove()
    (p * 2).sum().backward()
    return seen, x.grad.tolist(), done, p.grad.tolist()


@snippet
def custom_functions(torch: Any) -> Any:
    class LegendrePolynomial3(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, input: Any) -> Any:
            ctx.save_for_backward(input)
            return 0.5 * (5 * input**3 - 3 * input)

        @staticmethod
        def backward(ctx: Any, grad_output: Any) -> Any:
            (input,) = ctx.saved_tensors
            return grad_output * 1.5 * (5 * input**2 - 1)

    class MulConstant(torch.autograd.Function):
        @staticmethod
        def forward(x: Any, constant: Any) -> Any:
            return x * constant

        @staticmethod
        def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
            ctx.constant = inputs[1]

        @staticmethod
        def backward(ctx: Any, grad_output: Any) -> Any:
            return grad_output * ctx.constant, None

    class Clamp(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            mask = x > 0
            ctx.mark_non_differentiable(mask)
            ctx.save_for_backward(mask)
            return x * mask, mask

        @staticmethod
        @torch.autograd.function.once_differentiable
        def backward(ctx: Any, grad_output: Any, _: Any) -> Any:
            (mask,) = ctx.saved_tensors
            return grad_output * mask if ctx.needs_input_grad[0] else None

    x = torch.tensor([0.5, -1.0], requires_grad=True)
    LegendrePolynomial3.apply(x).sum().backward()
    first = x.grad.tolist()
    (g,) = torch.autograd.grad(MulConstant.apply(x, 5.5).sum(), x)
    y, mask = Clamp.apply(x)
    (h,) = torch.autograd.grad(y.sum(), x, create_graph=True)
    twice = caught(lambda: torch.autograd.grad(h.sum(), x))
    return first, g.tolist(), h.tolist(), mask.requires_grad, twice, y.tolist()


@snippet
def straight_through(torch: Any) -> Any:
    class Round(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return torch.round(x)

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g

    x = torch.tensor([0.4, 1.6], requires_grad=True)
    (Round.apply(x) * torch.tensor([1.0, 3.0])).sum().backward()
    return x.grad.tolist()


@snippet
def variables_of_old(torch: Any) -> Any:
    x = torch.autograd.Variable(torch.ones(2), requires_grad=True)
    y = (x * x).sum()
    y.backward()
    return x.grad.tolist(), x.data.tolist(), isinstance(x, torch.Tensor), y.data.item()


@snippet
def checking_gradients(torch: Any) -> Any:
    x = torch.tensor([0.3, -0.7], dtype=torch.float64, requires_grad=True)
    w = torch.tensor([[1.0, 2.0]], dtype=torch.float64, requires_grad=True)

    class Wrong(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x * 2

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g * 3

    check = torch.autograd.gradcheck
    return (
        check(lambda x, w: torch.nn.functional.linear(x, w).tanh(), (x, w), eps=1e-6, atol=1e-4),
        caught(lambda: check(Wrong.apply, (x,))),
        check(Wrong.apply, (x,), raise_exception=False),
        torch.autograd.gradgradcheck(lambda x: x.sin() * x, (x,)),
    )


@snippet
def anomalies(torch: Any) -> Any:
    x = torch.zeros(1, requires_grad=True)

    def backward() -> Any:
        with torch.autograd.detect_anomaly():
            y = x.sqrt() * 0
            y.sum().backward()

    (x.sqrt() * 0).sum().backward()
    silent = bool(x.grad.isnan().any())
    return silent, caught(backward), torch.is_anomaly_enabled()


# --- whole functions ------------------------------------------------------------------------------
@snippet
def jacobians(torch: Any) -> Any:
    functional = torch.autograd.functional
    x, y = torch.tensor([[0.1, 0.2], [0.3, 0.4]]), torch.tensor([1.0, 2.0])

    def exp_reducer(x: Any) -> Any:
        return x.exp().sum(dim=1)

    def two(x: Any, y: Any) -> Any:
        return 2 * x @ y, x.sum() * y

    ((a, b), (c, d)) = functional.jacobian(two, (x, y))
    j = functional.jacobian(exp_reducer, x)
    h = functional.hessian(lambda y: (y**3).sum(), y)
    blocks = functional.hessian(lambda x, y: (x.exp() @ y).sum(), (x, y))
    made = functional.jacobian(lambda y: y**2, y.requires_grad_(), create_graph=True)
    strict = caught(lambda: functional.jacobian(lambda y: torch.ones(2), y, strict=True))
    return (
        j.tolist(), a.tolist(), b.tolist(), c.tolist(), d.tolist(), h.tolist(),
        [[m.tolist() for m in row] for row in blocks], made.requires_grad, strict,
        caught(lambda: functional.hessian(lambda y: y, y)),
    )  # fmt: skip


@snippet
def products(torch: Any) -> Any:
    functional = torch.autograd.functional
    x = torch.tensor([[0.1, 0.2], [0.3, 0.4]])
    v, u = torch.tensor([1.0, 2.0]), torch.tensor([[1.0, 0.0], [0.5, 2.0]])

    def exp_reducer(x: Any) -> Any:
        return x.exp().sum(dim=1)

    def cubes(x: Any) -> Any:
        return (x**3).sum()

    value, g = functional.vjp(exp_reducer, x, v)
    _, t = functional.jvp(exp_reducer, x, u)
    _, hv = functional.hvp(cubes, x, u)
    _, vh = functional.vhp(cubes, x, u)
    _, pair = functional.vjp(lambda x, y: (x * y, x + y), (v, v * 2), (v, v))
    missing = caught(lambda: functional.vjp(exp_reducer, x))
    also_missing = caught(lambda: functional.jvp(exp_reducer, x))
    misshapen = caught(lambda: functional.vjp(exp_reducer, x, torch.ones(3)))
    return (
        value.tolist(), g.tolist(), t.tolist(), hv.tolist(), vh.tolist(),
        [p.tolist() for p in pair], missing, also_missing, misshapen,
        functional.vjp(cubes, x)[1].tolist(),
    )  # fmt: skip


@snippet
def fitting_a_sine(torch: Any) -> Any:
    """The polynomial of PyTorch's learning-by-examples pages, with a fixed start."""
    import math

    x = torch.linspace(-math.pi, math.pi, 200)
    y = torch.sin(x)
    a, b, c, d = (torch.tensor(v, requires_grad=True) for v in (0.1, -0.2, 0.3, -0.1))
    rate = 1e-5
    for _ in range(40):
        prediction = a + b * x + c * x**2 + d * x**3
        loss = (prediction - y).pow(2).sum()
        loss.backward()
        with torch.no_grad():
            for p in (a, b, c, d):
                p -= rate * p.grad
                p.grad = None
    return [p.item() for p in (a, b, c, d)], loss.item()


@snippet
def fitting_with_modules(torch: Any) -> Any:
    x = torch.linspace(-1, 1, 20).unsqueeze(-1).pow(torch.tensor([1, 2, 3]))
    y = torch.sin(3 * x[:, 0])
    model = torch.nn.Sequential(torch.nn.Linear(3, 1), torch.nn.Flatten(0, 1))
    with torch.no_grad():
        for p in model.parameters():
            p.fill_(0.1)
    loss_fn = torch.nn.MSELoss(reduction="sum")
    optimizer = torch.optim.RMSprop(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(20):
        loss = loss_fn(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses, model[0].weight.tolist()
