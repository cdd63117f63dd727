"""Linear regression on the diabetes data of scikit-learn, checked against the exact solution.

Printed by python examples/linear_regression.py:

    step     0  loss 1.493870
    step   500  loss 0.482252
    step  1000  loss 0.482252
    step  1500  loss 0.482252
    step  2000  loss 0.482252
    largest difference to least squares: 8.3e-16
    1 trace, 1 kernel(s)
    one step: eager 622 us, jit 4 us
"""

import sys
import timeit

import numpy as np
from sklearn.datasets import load_diabetes

import fusegrad as fg
from fusegrad import nn, optim


def main(steps=2000):
    """Fit by gradient descent and compare with least squares."""
    features, target = load_diabetes(return_X_y=True, scaled=False)
    features = (features - features.mean(0)) / features.std(0)
    target = (target - target.mean()) / target.std()
    x, y = fg.tensor(features), fg.tensor(target).unsqueeze(1)

    fg.manual_seed(0)
    model = nn.Linear(10, 1, dtype=fg.float64)
    optimizer = optim.SGD(model.parameters(), lr=0.2, momentum=0.9)
    loss_fn = nn.MSELoss()

    def step(x, y):
        optimizer.zero_grad()
        loss = loss_fn(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    jitted = fg.jit(step)
    for k in range(steps + 1):
        loss = jitted(x, y)
        if k % max(1, steps // 4) == 0:
            print(f"step {k:5d}  loss {loss.item():.6f}")

    exact, *_ = np.linalg.lstsq(features, target, rcond=None)
    found = model.weight.detach().numpy().ravel()
    print(f"largest difference to least squares: {np.abs(found - exact).max():.1e}")
    print(f"{len(jitted.history)} trace, {len(jitted.kernels())} kernel(s)")
    eager, fast = (min(timeit.repeat(lambda f=f: f(x, y), number=20)) for f in (step, jitted))
    print(f"one step: eager {eager / 20e-6:.0f} us, jit {fast / 20e-6:.0f} us")
    return found, exact


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000)
