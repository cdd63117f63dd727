"""Gaussian-process regression: length, height and noise of a kernel from the data alone.

Adam follows the log marginal likelihood, whose gradient flows through a Cholesky factorisation and
a triangular solve; the whole step is one compiled call.

Printed by python examples/gaussian_process.py:

    step 100  -log likelihood -26.74
    step 200  -log likelihood -26.75
    step 300  -log likelihood -26.75
    length 0.93, height 0.96, noise 0.105, true 0.1
    within two standard deviations of the mean: 96%
"""

import math
import sys

import fusegrad as fg
from fusegrad import optim

POINTS, NOISE = 60, 0.1


def kernel(a, b, length, height):
    """Covariances of two sets of points under a squared-exponential kernel."""
    return height**2 * (-0.5 * ((a[:, None] - b) / length).square()).exp()


def whiten(p, x, right):
    """The Cholesky factor L of the covariance of observations at ``x``, and ``L^-1 right``."""
    length, height, noise = p.exp().unbind()
    covariance = kernel(x, x, length, height) + noise**2 * fg.eye(len(x), dtype=x.dtype)
    L = fg.linalg.cholesky(covariance)
    return L, fg.linalg.solve_triangular(L, right, upper=False)


def surprise(p, x, y):
    """The negative log marginal likelihood of the observations."""
    L, white = whiten(p, x, y[:, None])
    return 0.5 * white.square().sum() + L.diagonal().log().sum() + 0.5 * len(x) * math.log(math.tau)


def predict(p, x, y, at):
    """Mean and standard deviation of the function at new points."""
    length, height, _ = p.exp().unbind()
    _, white = whiten(p, x, fg.cat([y[:, None], kernel(x, at, length, height)], 1))
    seen, cross = white[:, 0], white[:, 1:]
    return cross.T @ seen, (height**2 - cross.square().sum(0)).sqrt()


def main(steps=300):
    fg.manual_seed(0)
    x = 6 * fg.rand(POINTS, dtype=fg.float64)
    y = (2 * x).sin() + NOISE * fg.randn(POINTS, dtype=fg.float64)
    p = fg.zeros(3, dtype=fg.float64, requires_grad=True)  # logarithms of what is looked for
    optimizer = optim.Adam([p], lr=0.05)

    @fg.jit
    def step(x, y):
        optimizer.zero_grad()
        loss = surprise(p, x, y)
        loss.backward()
        optimizer.step()
        return loss

    for k in range(1, steps + 1):
        loss = step(x, y)
        if k % 100 == 0:
            print(f"step {k}  -log likelihood {loss.item():.2f}")
    at = fg.linspace(0.5, 5.5, 50, dtype=fg.float64)
    mean, deviation = predict(p.detach(), x, y, at)
    inside = ((mean - (2 * at).sin()).abs() < 2 * deviation).float().mean().item()
    length, height, noise = p.exp().tolist()
    print(f"length {length:.2f}, height {height:.2f}, noise {noise:.3f}, true {NOISE}")
    print(f"within two standard deviations of the mean: {inside:.0%}")
    return noise, inside, step


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
