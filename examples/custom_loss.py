"""A loss with a derivative of its own: autograd.Function, eager and compiled.

The clipped square error counts large errors linearly; its backward pass clips the gradient. Noisy
data with outliers show what that is good for.

Printed by python examples/custom_loss.py:

    true line:     slope 3.00, intercept 1.00
    square error:  slope 3.58, intercept 3.00
    clipped error: slope 3.02, intercept 1.05
"""

import sys

import fusegrad as fg
from fusegrad import nn, optim


class ClippedSquare(fg.autograd.Function):
    """``x ** 2`` with a gradient between -1 and 1."""

    @staticmethod
    def forward(ctx, x):
        """The value."""
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, g):
        """The cotangent of ``x``."""
        (x,) = ctx.saved_tensors
        return g * (2 * x).clamp(-1, 1)


def fit(loss_fn, x, y, steps):
    """Slope and intercept found with a loss, and the jitted step."""
    fg.manual_seed(0)
    model = nn.Linear(1, 1)
    optimizer = optim.Adam(model.parameters(), lr=0.05)

    @fg.jit
    def step(x, y):
        optimizer.zero_grad()
        loss = loss_fn(model(x) - y)
        loss.backward()
        optimizer.step()
        return loss

    for _ in range(steps):
        step(x, y)
    return model.weight.item(), model.bias.item(), step


def main(steps=500):
    """Fit a line through data of which every tenth point is far off."""
    fg.manual_seed(1)
    x = fg.randn(200, 1)
    y = 3 * x + 1 + 0.1 * fg.randn(200, 1)
    y = fg.where((fg.arange(200) % 10 == 0).unsqueeze(1), y + 20, y)
    print("true line:     slope 3.00, intercept 1.00")
    for name, loss_fn in {
        "square": lambda e: (e * e).mean(),
        "clipped": lambda e: ClippedSquare.apply(e).mean(),
    }.items():
        slope, intercept, step = fit(loss_fn, x, y, steps)
        print(f"{name + ' error:':<14} slope {slope:.2f}, intercept {intercept:.2f}")
    return slope, intercept, step


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 500)
