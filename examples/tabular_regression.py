"""Regression on a table: scikit-learn's diabetes data, a small network, mini-batches.

442 patients, ten standardised features, 100 patients held out. Linear regression is the yardstick;
the network may not overfit it away, so it is small and decays its weights.

Printed by python examples/tabular_regression.py:

    epoch   1  training loss 0.8080
    epoch  20  training loss 0.4308
    epoch  40  training loss 0.4192
    epoch  60  training loss 0.4129
    test error: network 55.7, linear regression 56.8, mean 70.9
    1 trace for 360 steps
    one step: eager 1200 us, jit 6 us
"""

import sys
import timeit

import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import train_test_split

import fusegrad as fg
from fusegrad import nn, optim
from fusegrad.utils.data import DataLoader, TensorDataset


def load():
    """Standardised features and target of the two parts, and the scale of the target."""
    parts = train_test_split(*load_diabetes(return_X_y=True), test_size=100, random_state=0)
    train_x, test_x, train_y, test_y = (part.astype("float32") for part in parts)
    shift, scale = train_x.mean(0), train_x.std(0)
    middle, spread = train_y.mean(), train_y.std()
    train_x, test_x = (train_x - shift) / scale, (test_x - shift) / scale
    train_y, test_y = (train_y - middle) / spread, (test_y - middle) / spread
    return train_x, test_x, train_y, test_y, float(spread)


def main(epochs=60):
    """Train and compare with linear regression; returns the last loss and the two errors."""
    train_x, test_x, train_y, test_y, spread = load()
    fg.manual_seed(0)
    dataset = TensorDataset(fg.from_numpy(train_x), fg.from_numpy(train_y).unsqueeze(1))
    loader = DataLoader(dataset, batch_size=57, shuffle=True)
    model = nn.Sequential(nn.Linear(10, 32), nn.SiLU(), nn.Linear(32, 1))
    optimizer = optim.AdamW(model.parameters(), lr=2e-3, weight_decay=1.0)
    loss_fn = nn.MSELoss()

    def step(x, y):
        optimizer.zero_grad()
        loss = loss_fn(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    jitted = fg.jit(step)
    for epoch in range(1, epochs + 1):
        losses = [jitted(x, y).item() for x, y in loader]
        if epoch == 1 or epoch % max(1, epochs // 3) == 0:
            print(f"epoch {epoch:3d}  training loss {np.mean(losses):.4f}")

    def error(predicted):
        return float(np.sqrt(np.mean((predicted - test_y) ** 2))) * spread

    with fg.no_grad():
        network = error(model(fg.from_numpy(test_x)).numpy().ravel())
    linear = error(LinearRegression().fit(train_x, train_y).predict(test_x))
    print(f"test error: network {network:.1f}, linear regression {linear:.1f}, mean {error(0):.1f}")
    print(f"{len(jitted.history)} trace for {epochs * len(loader)} steps")
    batch = next(iter(loader))
    eager, fast = (min(timeit.repeat(lambda f=f: f(*batch), number=20)) for f in (step, jitted))
    print(f"one step: eager {eager / 20e-6:.0f} us, jit {fast / 20e-6:.0f} us")
    return float(np.mean(losses)), network, linear


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 60)
