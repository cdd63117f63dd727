"""Handwritten digits in a few seconds: the whole training step is one native call.

scikit-learn's 1,797 real 8x8 images, an MLP with dropout, Adam and a learning-rate schedule, 360
images held out. Prints the accuracy, the time of a step under @fg.jit and eagerly (measured in
turns), what was compiled, and one generated kernel. Run: python examples/digits.py
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
    images, held_out = (images / 16).astype("float32"), {"test_size": 360, "random_state": 0}
    parts = train_test_split(images, labels, stratify=labels, **held_out)
    return [fg.from_numpy(part) for part in parts]


def make_step():
    """A model, its optimizer and training step; put @fg.jit on the step and it compiles."""
    hidden = [
        layer
        for width in (64, 256)
        for layer in (nn.Linear(width, 256), nn.ReLU(), nn.Dropout(0.3))
    ]
    model = nn.Sequential(*hidden, nn.Linear(256, 10))
    optimizer = optim.Adam(model.parameters(), lr=3e-3)
    loss_fn = nn.CrossEntropyLoss()

    def step(images, labels):
        optimizer.zero_grad()
        scores = model(images)
        loss = loss_fn(scores, labels)
        loss.backward()
        optimizer.step()
        return loss, (scores.argmax(1) == labels).float().mean()

    return model, optimizer, step


def accuracy(model, images, labels):
    """Share of right answers."""
    model.eval()
    with fg.no_grad():
        right = model(images).argmax(1) == labels
    model.train()
    return right.float().mean().item()


def train(epochs):
    """Train with live progress; returns the jitted step, the test accuracy and a batch."""
    train_x, test_x, train_y, test_y = load()
    dataset = TensorDataset(train_x, train_y)
    loader = DataLoader(dataset, batch_size=64, shuffle=True, drop_last=True)
    model, optimizer, step = make_step()
    step = fg.jit(step)
    schedule = optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=epochs)
    table = Table("epoch", "loss", "train accuracy", "test accuracy", title="digits")
    with Live(table, refresh_per_second=10):
        for epoch in range(1, epochs + 1):
            results = [step(images, labels) for images, labels in loader]
            schedule.step()  # a new learning rate is not a new compile
            loss, right = (sum(x.item() for x in column) / len(results) for column in zip(*results))
            found = accuracy(model, test_x, test_y)
            if epoch % max(1, epochs // 10) == 0:
                table.add_row(str(epoch), f"{loss:.4f}", f"{right:.2%}", f"{found:.2%}")
    return step, found, (train_x[:64], train_y[:64])


def compare(batch, rounds):
    """Median seconds of a step, jitted and eager, measured in turns."""
    steps = {"jit": fg.jit(make_step()[2]), "eager": make_step()[2]}
    times = {name: [] for name in steps}
    for turn in range(rounds + 3):
        for name, step in steps.items():
            started = time.perf_counter()
            step(*batch)
            if turn >= 3:
                times[name].append(time.perf_counter() - started)
    return [statistics.median(t) * 1e6 for t in times.values()]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few epochs, for tests")
    quick = parser.parse_args().quick
    fg.manual_seed(0)
    started = time.perf_counter()
    step, found, batch = train(3 if quick else 30)
    print(f"\ntest accuracy {found:.2%} after {time.perf_counter() - started:.1f} s")
    jit, eager = compare(batch, 10 if quick else 100)
    print(f"one step: jit {jit:.0f} us, eager with NumPy {eager:.0f} us, {eager / jit:.1f}x\n")
    print(step.explain().summary(), step.kernels()[0], sep="\n\n")
