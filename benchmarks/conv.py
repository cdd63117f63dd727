"""Convolution throughput: forward, input gradient and weight gradient beside PyTorch's.

    python benchmarks/conv.py [--layers cifar|resnet|all] [--threads 1 2] [--batch N] [--no-torch]

Prints GFLOP/s for the layers of ``cifar_cnn`` and ``resnet_small``: fusegrad, PyTorch with images
in its default order (NCHW), and PyTorch with channels-last images and weights. FLOPs count every
product of the window, also those with the zeros of the padding, which fusegrad leaves out: figures
may exceed the multiply-add peak. Figures are the best of several runs that take turns. With one
thread they count the CPU time of the calling thread, which other processes do not take part in;
with several they are wall times and want a quiet machine.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import fusegrad as fg
from fusegrad.ops import window

Layer = tuple[str, int, int, int, int, int, int, int]

# name, batch, channels, outputs, extent, window, stride, padding
CIFAR: list[Layer] = [
    ("conv 5x5 3-32 @32", 64, 3, 32, 32, 5, 1, 2),
    ("conv 5x5 32-32 @16", 64, 32, 32, 16, 5, 1, 2),
    ("conv 5x5 32-64 @8", 64, 32, 64, 8, 5, 1, 2),
]
RESNET: list[Layer] = [
    ("stem 3x3 3-16 @32", 32, 3, 16, 32, 3, 1, 1),
    ("conv 3x3 16-16 @32", 32, 16, 16, 32, 3, 1, 1),
    ("down 3x3 16-32 @32", 32, 16, 32, 32, 3, 2, 1),
    ("conv 3x3 32-32 @16", 32, 32, 32, 16, 3, 1, 1),
    ("down 3x3 32-64 @16", 32, 32, 64, 16, 3, 2, 1),
    ("conv 3x3 64-64 @8", 32, 64, 64, 8, 3, 1, 1),
    ("skip 1x1 16-32 @32", 32, 16, 32, 32, 1, 2, 0),
]
LAYERS = {"cifar": CIFAR, "resnet": RESNET, "all": CIFAR + RESNET}
Run = Callable[[], Any]


def fusegrad_runs(x: Any, w: Any, g: Any, stride: int, padding: int) -> list[Run]:
    """The three convolutions as compiled functions of one equation."""
    X, W, G = fg.tensor(x), fg.tensor(w), fg.tensor(g)
    options: dict[str, Any] = {
        "stride": (stride,) * 2, "low": (padding,) * 2, "dilation": (1, 1), "groups": 1,
    }  # fmt: skip
    forward = fg.jit(lambda x, w: window.conv(x, w, size=g.shape[2:], **options))
    inputs = fg.jit(lambda g, w: window.conv_input(g, w, size=x.shape[2:], **options))
    weights = fg.jit(lambda x, g: window.conv_weight(x, g, size=w.shape[2:], **options))
    return [lambda: forward(X, W), lambda: inputs(G, W), lambda: weights(X, G)]


def torch_runs(x: Any, w: Any, g: Any, stride: int, padding: int, last: bool) -> list[Run]:
    """The same in PyTorch; ``last``: channels-last memory."""
    import torch

    X, W, G = (torch.from_numpy(a) for a in (x, w, g))
    if last:
        X, W, G = (t.to(memory_format=torch.channels_last) for t in (X, W, G))
    geometry = (None, [stride] * 2, [padding] * 2, [1, 1], False, [0, 0], 1)

    def backward(inputs: bool, weights: bool) -> Any:
        wanted = [inputs, weights, False]
        return torch.ops.aten.convolution_backward(G, X, W, *geometry, wanted)

    return [
        lambda: torch.nn.functional.conv2d(X, W, None, stride, padding),
        lambda: backward(True, False),
        lambda: backward(False, True),
    ]


def best(rows: list[list[Run]], clock: Callable[[], float], rounds: int) -> list[list[float]]:
    """Least seconds of every run; all of them take turns."""
    found = [[float("inf")] * len(row) for row in rows]
    for round_ in range(rounds + 2):
        for row, seconds in zip(rows, found, strict=True):
            for k, run in enumerate(row):
                start = clock()
                run()
                if round_ >= 2:  # the first two compile and warm up
                    seconds[k] = min(seconds[k], clock() - start)
    return found


def report(layers: list[Layer], threads: int, batch: int, compare: bool, rounds: int) -> None:
    """Print one table."""
    fg.set_num_threads(threads)
    names = ["fusegrad", *(["torch", "torch channels-last"] if compare else [])]
    if compare:
        import torch

        torch.set_num_threads(threads)
    clock = time.thread_time if threads == 1 else time.perf_counter
    print(f"{threads} thread(s), GFLOP/s: forward, input gradient, weight gradient")
    print(f"{'layer':<22}" + "".join(f"{name:>24}" for name in names))
    rng = np.random.default_rng(0)
    for name, images, channels, outputs, extent, k, stride, padding in layers:
        n = batch or images
        size = (extent + 2 * padding - k) // stride + 1
        shapes = (
            (n, channels, extent, extent),
            (outputs, channels, k, k),
            (n, outputs, size, size),
        )
        arrays = [rng.standard_normal(s, dtype=np.float32) for s in shapes]
        rows = [fusegrad_runs(*arrays, stride, padding)]
        if compare:
            rows += [torch_runs(*arrays, stride, padding, last) for last in (False, True)]
        flops = 2.0 * n * outputs * channels * (k * size) ** 2
        cells = [
            " ".join(f"{flops / s / 1e9:7.0f}" for s in seconds)
            for seconds in best(rows, clock, rounds)
        ]
        print(f"{name:<22}" + "".join(f"{cell:>24}" for cell in cells), flush=True)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", choices=sorted(LAYERS), default="all")
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--batch", type=int, default=0, help="images instead of the layer's own")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--no-torch", action="store_true", help="measure fusegrad alone")
    options = parser.parse_args()
    for threads in options.threads:
        layers = LAYERS[options.layers]
        report(layers, threads, options.batch, not options.no_torch, options.rounds)


if __name__ == "__main__":
    main()
