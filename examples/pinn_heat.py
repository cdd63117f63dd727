"""A network that solves the heat equation: second derivatives inside the compiled step.

u_t = u_xx / 10 on x in [0, 1], u(x, 0) = sin(pi x), u = 0 at both ends. The residual needs
derivatives of the network by its inputs, the training step one more by its weights.

Printed by python examples/pinn_heat.py:

    step     0  mean squared residual 6.56e-01
    step  1000  mean squared residual 4.44e-05
    step  2000  mean squared residual 8.00e-06
    step  3000  mean squared residual 4.80e-06
    largest error at t = 1: 3.2e-04 of 0.37
    one step: jit 140 us, eager 6520 us
"""

import math
import sys
from functools import partial
from timeit import repeat

import fusegrad as fg
from fusegrad import nn, optim

ALPHA = 0.1


def derivative(u, x):
    """du/dx, recorded so that it can be differentiated again."""
    return fg.autograd.grad(u.sum(), x, create_graph=True)[0]


def main(steps=3000, points=256):
    """Train and compare with the exact solution."""
    fg.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(2, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 1)
    )
    optimizer = optim.Adam(model.parameters(), lr=2e-3)

    def solution(x, t):
        # the factor holds the boundary and initial conditions exactly
        return fg.sin(math.pi * x) + t * x * (1 - x) * model(fg.cat([x, t], 1))

    @fg.jit
    def step(x, t):
        optimizer.zero_grad()
        u = solution(x, t)
        residual = derivative(u, t) - ALPHA * derivative(derivative(u, x), x)
        loss = (residual**2).mean()
        loss.backward()
        optimizer.step()
        return loss

    x = fg.rand(points, 1, requires_grad=True)
    t = fg.rand(points, 1, requires_grad=True)
    for k in range(steps + 1):
        loss = step(x, t)
        if k % max(1, steps // 3) == 0:
            print(f"step {k:5d}  mean squared residual {loss.item():.2e}")

    with fg.no_grad():
        grid = fg.linspace(0, 1, 101).unsqueeze(1)
        later = fg.ones(101, 1)
        exact = fg.sin(math.pi * grid) * math.exp(-ALPHA * math.pi**2)
        error = (solution(grid, later) - exact).abs().max().item()
    print(f"largest error at t = 1: {error:.1e} of {exact.max().item():.2f}")
    runs = (step, step.__wrapped__)
    times = [min(repeat(partial(run, x, t), number=1, repeat=50)) * 1e6 for run in runs]
    print("one step: jit {:.0f} us, eager {:.0f} us".format(*times))
    return error, step


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3000)
