"""A catalogue of mistakes: each error says what, where, why and what to try, in a few lines.

Every row is something a user wrote, the exception type that PyTorch users catch for it, and words
of the message.
"""

import os
import subprocess
import sys
import traceback
import warnings

import numpy as np
import pytest

import fusegrad as fg
from fusegrad import nn, optim
from fusegrad.errors import FusegradError, Site
from fusegrad.nn import functional as F
from fusegrad.nn.utils import parametrize
from fusegrad.utils.data import DataLoader, TensorDataset, random_split
from fusegrad.vision import datasets, transforms


def variable(*shape):
    return fg.randn(*shape, requires_grad=True)


def twice():
    loss = (variable(3) ** 2).sum()
    loss.backward()
    loss.backward()


def changed_after_saving():
    x = variable(3) * 1
    y = x.exp().exp() * x
    x.add_(1)
    y.sum().backward()


def assigned_grad(value):
    variable(3).grad = value


def frozen_result():
    (variable(3) * 2).requires_grad = False


def parameter():
    return nn.Parameter(fg.randn(3))


def accumulating_scan(x):
    w = parameter()

    def step(c, v):
        (w.sum() * v.sum()).backward()
        return c, None

    return fg.scan(step, x[0], x)


def endless_gradient(x):
    w = x.clone().requires_grad_()
    return fg.while_loop(lambda c: c.sum() < 9, lambda c: c + w, w).sum().backward()


def jitted(body, *args):
    """Call ``body`` under ``@fg.jit``."""
    return fg.jit(body)(*args)


def branch(x):
    if x.sum() > 0:
        return x
    return -x


def item(x):
    return x * x.sum().item()


def as_numpy(x):
    return fg.from_numpy(np.exp(x.numpy()))


def as_float(x):
    return float(x.sum())


def loop(x):
    while x.sum() < 3:
        x = x * 2
    return x


leaked = []


def leak(x):
    leaked.append(x * 2)
    return x


def use_leaked():
    leaked.clear()
    jitted(leak, fg.ones(3))
    return leaked[0] + 1


def use_leaked_in_another_trace():
    leaked.clear()
    jitted(leak, fg.ones(3))
    return jitted(lambda x: x + leaked[0], fg.ones(3))


def elided_grad():
    w = nn.Parameter(fg.ones(3))
    optimizer = optim.SGD([w], lr=0.1)

    @fg.jit
    def step():
        optimizer.zero_grad()
        loss = (w * w).sum()
        loss.backward()
        optimizer.step()
        return loss

    step()
    return w.grad


MISTAKES = [
    # shapes
    (lambda: fg.randn(2, 3) @ fg.randn(4, 5), RuntimeError, "f32[2,3]"),
    (lambda: fg.randn(2, 3) + fg.randn(4), RuntimeError, "f32[4]"),
    (lambda: fg.randn(2, 3).double() @ fg.randn(3, 5), RuntimeError, "same dtype"),
    (lambda: nn.Linear(3, 4)(fg.randn(2, 3).double()), RuntimeError, "f64[2,3]"),
    (lambda: fg.randn(-1), RuntimeError, "[-1]"),
    (lambda: fg.arange(0, 1, 0), RuntimeError, "step"),
    (lambda: fg.linspace(0, 1, -2), RuntimeError, "steps=-2"),
    (lambda: fg.randint(3, 3, (2,)), RuntimeError, "from 3 to 3"),
    (lambda: fg.randn(3)[1.5], IndexError, "1.5"),
    (lambda: fg.randn(3)["a"], TypeError, "'a'"),
    (lambda: fg.meshgrid(fg.zeros(2), indexing="yx"), RuntimeError, "'yx'"),
    (lambda: F.cross_entropy(fg.randn(2, 3), fg.tensor([0, 1]).int()), RuntimeError, "Long"),
    (lambda: F.multi_margin_loss(fg.randn(2, 3), fg.tensor([0, 3])), RuntimeError, "target 3"),
    (lambda: F.huber_loss(fg.randn(2), fg.randn(2), delta=0.0), RuntimeError, "delta=0.0"),
    (lambda: nn.TripletMarginLoss(margin=0.0), ValueError, "margin=0.0"),
    (lambda: fg.autograd.functional.vjp(lambda x: x, fg.ones(2)), RuntimeError, "without v"),
    (lambda: fg.mm(fg.randn(3), fg.randn(3, 2)), RuntimeError, "f32[3]"),
    (lambda: fg.bmm(fg.randn(2, 3, 4), fg.randn(3, 4, 5)), RuntimeError, "f32[3,4,5]"),
    (lambda: fg.dot(fg.randn(3), fg.randn(4)), RuntimeError, "f32[4]"),
    (lambda: fg.addmm(fg.randn(3), fg.randn(2, 3), fg.randn(2, 3)), RuntimeError, "f32[2,3]"),
    (lambda: fg.randn(2, 3).reshape(-1, -1), RuntimeError, "reshape"),
    (lambda: fg.stack([fg.randn(2), fg.randn(3)]), RuntimeError, "stack"),
    (lambda: fg.randn(2, 3).permute(0, 0), RuntimeError, "permute"),
    (lambda: fg.randn(2, 3).expand(4, 3), RuntimeError, "[4, 3]"),
    (lambda: fg.randn(5).split([2, 2]), RuntimeError, "split"),
    (lambda: fg.where(fg.randn(2) > 0, fg.randn(3), fg.randn(2)), RuntimeError, "f32[3]"),
    (lambda: fg.randn(3).__setitem__(slice(None), fg.randn(4)), RuntimeError, "f32[4]"),
    (lambda: nn.Linear(3, 4)(fg.randn(2, 5)), RuntimeError, "f32[2,5]"),
    (lambda: fg.randn(2, 3).view(5), RuntimeError, "[5]"),
    (lambda: fg.cat([fg.randn(2, 3), fg.randn(2, 4)]), RuntimeError, "f32[2,4]"),
    (lambda: fg.randn(0).max(), RuntimeError, "f32[0]"),
    (lambda: fg.randn(3).unflatten(0, (2, 2)), RuntimeError, "[2, 2]"),
    (lambda: fg.bitwise_and(fg.randn(2), fg.randn(2)), RuntimeError, "f32[2]"),
    (lambda: jitted(lambda x: print(x), fg.ones(3)), RuntimeError, "print"),
    # dimensions and indices
    (lambda: fg.randn(2, 3).sum(5), IndexError, "dim 5"),
    (lambda: fg.randn(2, 3).softmax(2), IndexError, "dim 2"),
    (lambda: fg.randn(2, 3).transpose(0, 2), IndexError, "dim 2"),
    (lambda: fg.randn(2, 3).squeeze(4), IndexError, "dim 4"),
    (lambda: fg.randn(2, 3)[5], IndexError, "index 5"),
    (lambda: fg.randn(2, 3)[0, 0, 0], IndexError, "too many indices"),
    (lambda: fg.tensor(1.0).sum(1), IndexError, "dim 1"),
    # dtypes and values
    (lambda: fg.tensor([1, 2]).mean(), RuntimeError, "mean"),
    (lambda: fg.tensor([1, 2], requires_grad=True), RuntimeError, "require"),
    (lambda: fg.gather(fg.randn(2, 3), 1, fg.randn(2, 1)), RuntimeError, "gather"),
    (lambda: fg.tensor([[1, 2], [3]]), ValueError, "ragged"),
    (lambda: fg.cat([]), ValueError, "no tensors"),
    (lambda: fg.from_numpy([1, 2]), TypeError, "list"),
    (lambda: list(fg.tensor(1.0)), TypeError, "0-d"),
    (lambda: fg.randn(3).clamp(), RuntimeError, "clamp"),
    (lambda: fg.randn(3).item(), RuntimeError, "item"),
    (lambda: bool(fg.randn(3)), RuntimeError, "bool"),
    (lambda: fg.set_num_threads(0), ValueError, "set_num_threads"),
    # gradients
    (lambda: variable(3).numpy(), RuntimeError, "detach"),
    (lambda: variable(3).backward(), RuntimeError, "scalar"),
    (lambda: fg.randn(1).backward(), RuntimeError, "does not require grad"),
    (lambda: (variable(3) * 2).backward(fg.ones(4)), RuntimeError, "f32[4]"),
    (twice, RuntimeError, "second time"),
    (lambda: fg.autograd.grad(variable(3).sum(), variable(3)), RuntimeError, "allow_unused"),
    (lambda: fg.autograd.grad(variable(3).sum(), fg.randn(3)), RuntimeError, "requires_grad_"),
    (lambda: fg.randn(3).register_hook(print), RuntimeError, "register_hook"),
    (lambda: assigned_grad(fg.ones(4)), RuntimeError, "f32[4]"),
    (lambda: assigned_grad(3), TypeError, "int"),
    (frozen_result, RuntimeError, "leaf"),
    # in place
    (lambda: variable(3).add_(1), RuntimeError, "no_grad"),
    (changed_after_saving, RuntimeError, "changed in place"),
    (lambda: fg.randn(3).add_(fg.randn(2, 3)), RuntimeError, "f32[2,3]"),
    (lambda: fg.randn(1, 3).expand(2, 3).add_(1), RuntimeError, "clone"),
    # losses and layers
    (lambda: F.cross_entropy(fg.randn(4, 3), fg.randint(0, 3, (5,))), ValueError, "i64[5]"),
    (lambda: F.cross_entropy(fg.randn(4, 3), fg.tensor([0, 1, 2, 3])), IndexError, "3"),
    (lambda: F.binary_cross_entropy(fg.rand(4), fg.rand(5)), ValueError, "f32[5]"),
    (lambda: F.mse_loss(fg.randn(4, 3), fg.randn(4, 2)), RuntimeError, "f32[4,2]"),
    (lambda: F.mse_loss(fg.randn(3), fg.randn(3), reduction="avg"), ValueError, "avg"),
    (lambda: nn.Dropout(1.5), ValueError, "1.5"),
    (lambda: nn.Sequential(3), TypeError, "int"),
    (lambda: nn.Linear(3, 4).load_state_dict({}), RuntimeError, "weight"),
    (lambda: nn.Linear(3, 4).load_state_dict(nn.Linear(3, 5).state_dict()), RuntimeError, "[5, 3]"),
    # optimizers and schedules
    (lambda: optim.SGD([], lr=0.1), ValueError, "empty"),
    (lambda: optim.Adam([parameter()], lr=-1), ValueError, "learning rate"),
    (lambda: optim.Adam([parameter()], betas=(1.5, 0.9)), ValueError, "1.5"),
    (lambda: optim.SGD([parameter()], lr=0.1, nesterov=True), ValueError, "nesterov"),
    (lambda: optim.SGD([variable(3) * 2], lr=0.1), ValueError, "leaf"),
    (lambda: optim.SGD(variable(3), lr=0.1), TypeError, "iterable"),
    (lambda: optim.SGD(["weight"], lr=0.1), TypeError, "str"),
    (lambda: optim.lr_scheduler.StepLR("optimizer", 3), TypeError, "Optimizer"),
    (lambda: optim.Muon([parameter()]), ValueError, "2D"),
    (
        lambda: optim.Muon([nn.Parameter(fg.ones(2, 2))], adjust_lr_fn="a"),
        ValueError,
        "adjust_lr_fn",
    ),
    (lambda: optim.Rprop([parameter()], etas=(1.2, 0.5)), ValueError, "1.2, 0.5"),
    (lambda: optim.Adadelta([parameter()], rho=2.0), ValueError, "rho"),
    (lambda: optim.LBFGS([{"params": [parameter()]}] * 2), ValueError, "more than one"),
    (lambda: optim.LBFGS([parameter()], line_search_fn="a").step(float), RuntimeError, "wolfe"),
    (
        lambda: jitted(optim.LBFGS([parameter()]).step, float),
        RuntimeError,
        "@fg.jit on the closure",
    ),
    (lambda: jitted(lambda x: optim.SGD([x], lr=0.1), fg.ones(3)), RuntimeError, "outside"),
    (lambda: optim.swa_utils.get_ema_avg_fn(1.5), ValueError, "1.5"),
    # parametrizations and initial values
    (lambda: parametrize.remove_parametrizations(nn.Linear(2, 2), "weight"), ValueError, "weight"),
    (
        lambda: parametrize.register_parametrization(nn.Linear(2, 2), "w", nn.ReLU()),
        ValueError,
        "w",
    ),
    (lambda: nn.utils.parametrizations.orthogonal(nn.Linear(2, 2), "bias"), ValueError, "matrix"),
    (lambda: nn.utils.parametrizations.spectral_norm(nn.Linear(2, 2), dim=5), IndexError, "5"),
    (lambda: nn.utils.remove_weight_norm(nn.Linear(2, 2)), ValueError, "not found"),
    (lambda: nn.utils.skip_init(nn.ReLU), RuntimeError, "device"),
    (lambda: nn.init.dirac_(fg.ones(3)), ValueError, "3, 4, or 5"),
    # data
    (lambda: DataLoader([1, 2], batch_size=0), ValueError, "batch_size"),
    (lambda: DataLoader([1, 2], shuffle=True, sampler=[0, 1]), ValueError, "shuffle"),
    (lambda: TensorDataset(fg.randn(3), fg.randn(4)), ValueError, "f32[4]"),
    (lambda: random_split([1, 2, 3], [1, 1]), ValueError, "random_split"),
    (lambda: DataLoader([1, 2], prefetch_factor=2), ValueError, "num_workers > 0"),
    (lambda: DataLoader([1], num_workers=1, multiprocessing_context="fork"), ValueError, "fork"),
    (lambda: iter(DataLoader([twice, lambda: 1], num_workers=1)), TypeError, "dataset[1]"),
    (lambda: list(DataLoader([[1], [1, 2]], batch_size=2)), RuntimeError, "equal size"),
    (lambda: datasets.MNIST("nowhere", download=True), RuntimeError, "nowhere/MNIST/raw"),
    (lambda: transforms.RandomCrop(9)(np.ones((4, 4))), ValueError, "(4, 4)"),
    (lambda: transforms.Normalize(0, 0)(fg.ones(1, 2, 2)), ValueError, "std"),
    (lambda: fg.save({"model": nn.Linear(1, 1)}, "x"), TypeError, "state_dict"),
    (lambda: fg.load(__file__), ValueError, "safetensors"),
    (lambda: fg.load(__file__, map_location=3), TypeError, "map_location"),
    # loops, branches and recurrent layers
    (lambda: fg.scan(lambda c, x: (c[:1], x), fg.ones(2), fg.ones(3, 2)), RuntimeError, "step 0"),
    (lambda: fg.scan(lambda c, x: c, fg.ones(2), fg.ones(3, 2)), TypeError, "a Tensor"),
    (
        lambda: fg.scan(lambda c, x: (c, None), fg.ones(2), [fg.ones(3), fg.ones(4)]),
        ValueError,
        "f32[4]",
    ),
    (lambda: fg.scan(lambda c, x: (c, None), fg.ones(2)), ValueError, "length=10"),
    (lambda: jitted(accumulating_scan, fg.ones(3, 2)), RuntimeError, "autograd.grad"),
    (lambda: jitted(endless_gradient, fg.ones(3)), RuntimeError, "fg.scan"),
    (
        lambda: jitted(lambda x: fg.cond(x.sum() > 0, lambda: x, lambda: x[:1]), fg.ones(3)),
        RuntimeError,
        "f32[1]",
    ),
    (lambda: fg.while_loop(lambda c: c > 0, lambda c: c, fg.ones(3)), RuntimeError, ".all()"),
    (lambda: nn.LSTM(3, 5)(fg.ones(4, 2, 7)), RuntimeError, "got 7"),
    (lambda: nn.GRU(3, 5)(fg.ones(4, 2, 3), fg.ones(1, 3, 5)), RuntimeError, "hidden[0]"),
    (lambda: nn.RNN(3, 5, nonlinearity="sine"), ValueError, "sine"),
    (lambda: nn.LSTMCell(3, 5)(fg.ones(2, 4)), RuntimeError, "got 4"),
    (
        lambda: nn.utils.rnn.pack_padded_sequence(fg.ones(4, 2), [2, 3]),
        RuntimeError,
        "enforce_sorted=False",
    ),
    (
        lambda: nn.CTCLoss(blank=4)(fg.zeros(5, 1, 3), fg.ones(1, 2).long(), [5], [2]),
        RuntimeError,
        "blank=4",
    ),
    # inside a jitted function
    (lambda: jitted(branch, fg.ones(3)), RuntimeError, "fg.where"),
    (lambda: jitted(loop, fg.ones(3)), RuntimeError, "bool()"),
    (lambda: jitted(item, fg.ones(3)), RuntimeError, "item"),
    (lambda: jitted(as_float, fg.ones(3)), RuntimeError, "float()"),
    (lambda: jitted(as_numpy, fg.ones(3)), RuntimeError, "numpy"),
    (use_leaked, RuntimeError, "outside"),
    (use_leaked_in_another_trace, RuntimeError, "trace"),
    (elided_grad, RuntimeError, "keep_grads=True"),
    (lambda: jitted(lambda x: x @ x, fg.ones(2, 3)), RuntimeError, "f32[2,3]"),
    (lambda: fg.jit(branch)(fg.ones(3), y=1), TypeError, "unexpected keyword argument 'y'"),
    (lambda: fg.explain(len), TypeError, "@fg.jit"),
    (lambda: fg.jit(branch).kernels(), ValueError, "branch.compile"),
]


@pytest.mark.parametrize(
    "mistake, kind, words", MISTAKES, ids=[f"{k}-{m[2]}" for k, m in enumerate(MISTAKES)]
)
def test_error_has_four_parts(mistake, kind, words):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(kind) as caught:
            mistake()
    error = caught.value
    assert isinstance(error, FusegradError), "a plain Python error reached the user"
    text = str(error)
    assert words in text
    assert len(text.splitlines()) <= 15
    assert error.what and error.why and error.hint
    assert isinstance(error.site, Site)
    assert error.site.code.co_filename == __file__
    assert f"at test_errors.py:{error.site.line}" in text
    lines = text.splitlines()
    assert text.startswith(error.what) and lines[-1] == f"  Try: {error.hint}"


def test_catalogue_is_large():
    assert len(MISTAKES) >= 40


def test_site_is_the_line_of_the_mistake():
    with pytest.raises(RuntimeError) as caught:
        jitted(branch, fg.ones(3))
    assert "in branch   if x.sum() > 0:" in str(caught.value)


def test_backward_errors_name_the_forward_line():
    with pytest.raises(RuntimeError) as caught:
        twice()
    assert "loss = (variable(3) ** 2).sum()" in str(caught.value)


def frames(error):
    return [frame.filename for frame in traceback.extract_tb(error.__traceback__)]


def test_traceback_ends_in_the_users_code(monkeypatch):
    with pytest.raises(RuntimeError) as caught:
        jitted(branch, fg.ones(3))
    assert frames(caught.value)[-1] == __file__
    monkeypatch.setenv("FUSEGRAD_FULL_TRACEBACK", "1")
    with pytest.raises(RuntimeError) as caught:
        jitted(branch, fg.ones(3))
    assert frames(caught.value)[-1].endswith("tensor.py")


def test_errors_of_the_users_own_code_pass_through():
    def step(x):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        jitted(step, fg.ones(3))
    assert (fg.ones(2) * 2).sum().item() == 4  # the capture is over


def test_a_failed_trace_leaves_no_trace_behind():
    w = nn.Parameter(fg.ones(3))

    @fg.jit
    def step(x):
        with fg.no_grad():
            w.mul_(2)
        return branch(x * w)

    with pytest.raises(RuntimeError):
        step(fg.ones(3))
    assert w.tolist() == [1, 1, 1] and step.history == []


def test_unknown_thread_setting():
    done = subprocess.run(
        [sys.executable, "-c", "import fusegrad as fg; fg.get_num_threads()"],
        env=dict(os.environ, FUSEGRAD_NUM_THREADS="many"),
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0
    assert "FUSEGRAD_NUM_THREADS='many' is not a number of threads" in done.stderr
