"""Handwritten digits in a few seconds: the whole training step is one native call.

    python examples/digits.py

scikit-learn's 1,797 real 8x8 images, an MLP with Adam, a held-out test set. Prints the accuracy, the
time of a step under @fg.jit and eagerly (measured in turns), what was compiled and one kernel.
"""

import argparse
import statistics
import time

from rich.live import Live
from rich.table import Table
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import fusegrad as fg
from fusegrad import nn, optim
from fusegrad.utils.data import DataLoader, TensorDataset


def load():
    """Training and test images in [0, 1] with their labels, always the same split."""
    images, labels = load_digits(return_X_y=True)
    return train_test_split((images / 16).astype("float32"), labels, test_size=360, random_state=0,
                            stratify=labels)


def make_step(seed=0):
    """A model and its training step; put @fg.jit on the step and it compiles."""
    fg.manual_seed(seed)
    model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(),
                          nn.Linear(64, 10))
    optimizer = optim.Adam(model.parameters(), lr=2e-3)
    loss_fn = nn.CrossEntropyLoss()

    def step(images, labels):
        optimizer.zero_grad()
        scores = model(images)
        loss = loss_fn(scores, labels)
        loss.backward()
        optimizer.step()
        return loss, (scores.argmax(1) == labels).sum()

    return model, step


def accuracy(model, images, labels):
    """Share of right answers."""
    with fg.no_grad():
        return (model(fg.from_numpy(images)).argmax(1) == fg.from_numpy(labels)).float().mean().item()


def train(epochs):
    """Train with live progress; returns the model, the jitted step and the test accuracy."""
    train_x, test_x, train_y, test_y = load()
    loader = DataLoader(TensorDataset(fg.from_numpy(train_x), fg.from_numpy(train_y)),
                        batch_size=64, shuffle=True, drop_last=True)
    model, step = make_step()
    step = fg.jit(step)
    table = Table("epoch", "loss", "train accuracy", "test accuracy", title="digits")
    with Live(table, refresh_per_second=10):
        for epoch in range(1, epochs + 1):
            results = [step(images, labels) for images, labels in loader]
            loss = sum(r[0].item() for r in results) / len(results)
            right = sum(r[1].item() for r in results) / (64 * len(results))
            found = accuracy(model, test_x, test_y)
            if epoch % max(1, epochs // 10) == 0:
                table.add_row(str(epoch), f"{loss:.4f}", f"{right:.2%}", f"{found:.2%}")
    return step, found, (fg.from_numpy(train_x[:64]), fg.from_numpy(train_y[:64]))


def compare(batch, rounds):
    """Median seconds of a step, jitted and eager, measured in turns."""
    steps = {"jit": fg.jit(make_step()[1]), "eager": make_step()[1]}
    times = {name: [] for name in steps}
    for turn in range(rounds + 3):
        for name, step in steps.items():
            started = time.perf_counter()
            for _ in range(5):
                step(*batch)
            if turn >= 3:
                times[name].append((time.perf_counter() - started) / 5)
    return {name: statistics.median(t) for name, t in times.items()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few epochs, for tests")
    quick = parser.parse_args().quick
    started = time.perf_counter()
    step, found, batch = train(3 if quick else 40)
    print(f"test accuracy {found:.2%} after {time.perf_counter() - started:.1f} s\n")
    seconds = compare(batch, 5 if quick else 50)
    print(f"one step of 64 images: jit {seconds['jit'] * 1e6:.0f} us, eager (NumPy) "
          f"{seconds['eager'] * 1e6:.0f} us, {seconds['eager'] / seconds['jit']:.1f}x\n")
    print(step.explain().summary(), "\n")
    print(min(step.kernels(), key=lambda k: abs(len(k.source.splitlines()) - 30)))
