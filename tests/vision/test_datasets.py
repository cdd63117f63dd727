"""Published image data sets: their file formats, written small."""

from __future__ import annotations

import gzip
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fusegrad as fg
from fusegrad.errors import FusegradError
from fusegrad.utils.data import DataLoader
from fusegrad.vision import transforms
from fusegrad.vision.datasets import (
    CIFAR10,
    CIFAR100,
    EMNIST,
    KMNIST,
    MNIST,
    FashionMNIST,
    read_idx,
)

RNG = np.random.default_rng(0)
TYPES = {"u1": 8, "i1": 9, "i2": 11, "i4": 12, "f4": 13, "f8": 14}


def idx(array: np.ndarray) -> bytes:
    kind = TYPES[array.dtype.str[1:]]
    head = struct.pack(f">BBBB{array.ndim}I", 0, 0, kind, array.ndim, *array.shape)
    return head + array.astype(array.dtype.newbyteorder(">")).tobytes()


def digits(folder: Path, part: str = "train", n: int = 5, compressed: bool = False) -> Any:
    images = RNG.integers(0, 256, (n, 28, 28), np.uint8)
    labels = RNG.integers(0, 10, n).astype(np.uint8)
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in (("images-idx3", images), ("labels-idx1", labels)):
        raw = idx(array)
        if compressed:
            (folder / f"{part}-{name}-ubyte.gz").write_bytes(gzip.compress(raw))
        else:
            (folder / f"{part}-{name}-ubyte").write_bytes(raw)
    return images, labels


@pytest.mark.parametrize("kind", [MNIST, FashionMNIST, KMNIST])
@pytest.mark.parametrize("compressed", [False, True])
def test_digits(kind: Any, compressed: bool, tmp_path: Path) -> None:
    images, labels = digits(tmp_path / kind.__name__ / "raw", compressed=compressed)
    test_images, _ = digits(tmp_path / kind.__name__ / "raw", "t10k", 3, compressed)
    data = kind(str(tmp_path), download=True)
    assert len(data) == 5 and data.data.dtype is fg.uint8 and data.targets.dtype is fg.int64
    np.testing.assert_array_equal(data.data.numpy(), images)
    assert data.targets.tolist() == labels.tolist()
    image, label = data[3]
    np.testing.assert_array_equal(image, images[3])
    assert label == labels[3] and type(label) is int
    np.testing.assert_array_equal(kind(tmp_path, train=False).data.numpy(), test_images)
    assert len(data.classes) == len(data.class_to_idx) == 10
    assert f"Dataset {kind.__name__}\n    Number of datapoints: 5" in repr(data)


def test_transforms_and_loader_with_workers(tmp_path: Path) -> None:
    images, labels = digits(tmp_path / "MNIST/raw", n=7)
    steps = [transforms.ToTensor(), transforms.Normalize((0.5,), (0.5,))]
    data = MNIST(tmp_path, transform=transforms.Compose(steps), target_transform=float)
    for workers in (0, 2):
        x, y = next(iter(DataLoader(data, batch_size=7, num_workers=workers)))
        assert x.shape == (7, 1, 28, 28) and x.dtype is fg.float32 and y.dtype is fg.float64
        np.testing.assert_allclose(x.numpy()[:, 0], images / 127.5 - 1, atol=1e-6)
        assert y.tolist() == labels.tolist()


def test_emnist(tmp_path: Path) -> None:
    digits(tmp_path / "EMNIST/raw", "emnist-letters-train")
    data = EMNIST(tmp_path, "letters")
    assert len(data) == 5 and data.classes[1] == "a"
    counts = {"byclass": 62, "bymerge": 47, "balanced": 47}
    for split, count in counts.items():
        digits(tmp_path / "EMNIST/raw", f"emnist-{split}-test")
        assert len(EMNIST(tmp_path, split, train=False).classes) == count
    with pytest.raises(ValueError, match="'mixed'"):
        EMNIST(tmp_path, "mixed")


@pytest.mark.parametrize("kind", TYPES)
def test_idx_of_every_type(kind: str, tmp_path: Path) -> None:
    for shape in ((3, 4), (2, 0, 5), ()):
        array = np.asarray(RNG.standard_normal(shape) * 50).astype(kind)
        (tmp_path / "x").write_bytes(idx(array))
        got = read_idx(tmp_path / "x")
        assert got.dtype == array.dtype and got.flags.writeable
        np.testing.assert_array_equal(got, array)


def four_parts(error: Any) -> str:
    assert isinstance(error, FusegradError) and error.what and error.why and error.hint
    return str(error)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda raw: raw[:-1], "needs 3936 bytes, it has 3935"),
        (lambda raw: raw + b"x", "it has 3937"),
        (lambda raw: raw[:9], "ends inside the extents"),
        (lambda raw: raw[:3], "it starts with"),
        (lambda raw: b"", "it starts with"),
        (lambda raw: b"\x1f\x8b" + raw, "it starts with '1f 8b"),
        (lambda raw: raw[:2] + b"\7" + raw[3:], "00 00 07 03"),
        (lambda raw: idx(np.zeros((5, 784), np.uint8)), "images (5, 784)"),
        (lambda raw: idx(np.zeros((4, 28, 28), np.uint8)), "labels (5,)"),
        (lambda raw: idx(np.zeros((5, 28, 28), np.float32)), "float32 images"),
    ],
)
def test_damaged_idx_files(damage: Any, words: str, tmp_path: Path) -> None:
    digits(tmp_path / "MNIST/raw")
    path = tmp_path / "MNIST/raw/train-images-idx3-ubyte"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError) as caught:
        MNIST(tmp_path)
    assert words in four_parts(caught.value)


def test_other_damage(tmp_path: Path) -> None:
    digits(tmp_path / "MNIST/raw", compressed=True)
    path = tmp_path / "MNIST/raw/train-labels-idx1-ubyte.gz"
    whole = path.read_bytes()
    for raw in (whole[:-9], b"no gzip", whole[:20] + bytes([whole[20] ^ 255]) + whole[21:]):
        path.write_bytes(raw)
        with pytest.raises(ValueError) as caught:
            MNIST(tmp_path)
        four_parts(caught.value)
    path.write_bytes(gzip.compress(idx(np.full(5, 11, np.uint8))))
    with pytest.raises(ValueError, match="label 11 of 10 classes"):
        MNIST(tmp_path)


@pytest.mark.parametrize("download", [False, True])
@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (MNIST, ["train-images-idx3-ubyte (or .gz)", "MNIST/raw", "ossci-datasets"]),
        (FashionMNIST, ["train-labels-idx1-ubyte", "FashionMNIST/raw", "fashion-mnist"]),
        (CIFAR10, ["data_batch_5", "batches.meta", "cifar-10-batches-py", "cs.toronto.edu"]),
        (CIFAR100, ["train", "meta", "cifar-100-python", "cs.toronto.edu"]),
    ],
)
def test_missing_files_are_named(
    kind: Any, words: list[str], download: bool, tmp_path: Path
) -> None:
    with pytest.raises(RuntimeError, match="Dataset not found") as caught:
        kind(tmp_path, download=download)
    text = four_parts(caught.value)
    assert all(word in text for word in words)
    assert ("does not download" in text) == download


def photographs(n: int) -> np.ndarray:
    return RNG.integers(0, 256, (n, 3072), np.uint8)


def write_cifar10(folder: Path, protocol: int = 2) -> Any:
    folder.mkdir(parents=True, exist_ok=True)
    names = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "t"]
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": names}, protocol))
    parts = []
    for k, name in enumerate([*CIFAR10.train_files, *CIFAR10.test_files]):
        rows, labels = photographs(k + 1), RNG.integers(0, 10, k + 1).tolist()
        batch = {"batch_label": name, "labels": labels, "data": rows, "filenames": ["a.png"]}
        (folder / name).write_bytes(pickle.dumps(batch, protocol))
        parts.append((rows, labels))
    return parts


@pytest.mark.parametrize("protocol", [2, 4])
def test_cifar10(protocol: int, tmp_path: Path) -> None:
    parts = write_cifar10(tmp_path / "cifar-10-batches-py", protocol)
    data = CIFAR10(tmp_path)
    rows = np.concatenate([p[0] for p in parts[:5]])
    labels = [v for p in parts[:5] for v in p[1]]
    assert len(data) == 15 and data.data.shape == (15, 32, 32, 3) and data.targets == labels
    image, label = data[7]
    assert label == labels[7] and image.shape == (32, 32, 3)
    assert image[2, 5].tolist() == [rows[7][c * 1024 + 2 * 32 + 5] for c in range(3)]
    assert len(CIFAR10(tmp_path, train=False)) == 6 and data.class_to_idx["bird"] == 2


def test_cifar10_as_python_2_wrote_it(tmp_path: Path) -> None:
    """Strings of Python 2 are opcodes of their own; arrays come from NumPy's old module."""
    write_cifar10(tmp_path / "cifar-10-batches-py")
    rows = photographs(1)
    text = pickle.dumps({"data": rows, "labels": [3]}, 2)
    assert b"cnumpy._core.multiarray\n" in text
    old = text.replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")
    key = b"X\x04\x00\x00\x00data"
    assert key in old
    old = old.replace(key, b"U\x04data")  # SHORT_BINSTRING
    (tmp_path / "cifar-10-batches-py/test_batch").write_bytes(old)
    data = CIFAR10(tmp_path, train=False)
    np.testing.assert_array_equal(data.data[0, :, :, 1].ravel(), rows[0, 1024:2048])


def test_cifar100_and_binary_versions(tmp_path: Path) -> None:
    names = [f"class{k}" for k in range(100)]
    rows, fine, coarse = photographs(4), [5, 99, 0, 42], [1, 2, 3, 4]
    folder = tmp_path / "python/cifar-100-python"
    folder.mkdir(parents=True)
    batch = {"data": rows, "fine_labels": fine, "coarse_labels": coarse}
    (folder / "train").write_bytes(pickle.dumps(batch, 2))
    (folder / "meta").write_bytes(pickle.dumps({"fine_label_names": names}, 2))
    one = CIFAR100(tmp_path / "python")
    folder = tmp_path / "binary/cifar-100-binary"
    folder.mkdir(parents=True)
    heads = np.array([coarse, fine], np.uint8).T
    (folder / "train.bin").write_bytes(np.hstack([heads, rows]).tobytes())
    (folder / "fine_label_names.txt").write_text("\n".join(names) + "\n")
    two = CIFAR100(tmp_path / "binary")
    assert one.targets == two.targets == fine and one.classes == two.classes == names
    np.testing.assert_array_equal(one.data, two.data)
    folder = tmp_path / "cifar-10-batches-bin"
    folder.mkdir()
    ten = np.hstack([np.array([[3], [9]], np.uint8), photographs(2)])
    (folder / "test_batch.bin").write_bytes(ten.tobytes())
    (folder / "batches.meta.txt").write_text("\n".join(names[:10]))
    assert CIFAR10(tmp_path, train=False).targets == [3, 9]
    (folder / "test_batch.bin").write_bytes(ten.tobytes()[:-1])
    with pytest.raises(ValueError, match="not rows of 3073"):
        CIFAR10(tmp_path, train=False)


class Evil:
    def __reduce__(self) -> Any:
        return (Path.touch, (Path("code-ran"),))  # in the working directory


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (Evil(), "it asks for"),
        ({"data": np.zeros((1, 3072), np.uint8), "labels": [Evil()]}, "it asks for"),
        (print, ".print"),
        ([1, 2], "it has no 'data'"),
        ({"data": [1], "labels": [1]}, "it has no 'data'"),
        ({"data": np.zeros((1, 3072), np.uint8), "labels": ["cat"]}, "not a list of integers"),
        ({"data": np.zeros((2, 3072), np.uint8), "labels": [1]}, "with 1 labels"),
        ({"data": np.zeros((1, 3072)), "labels": [1]}, "float64"),
        ({"data": np.zeros((1, 3072), np.uint8), "labels": [10]}, "of 10 classes"),
    ],
)
def test_cifar_refuses_what_is_no_batch(
    content: Any, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "cifar-10-batches-py"
    write_cifar10(folder)
    (folder / "test_batch").write_bytes(pickle.dumps(content, 2))
    with pytest.raises(ValueError) as caught:
        CIFAR10(tmp_path, train=False)
    assert words in four_parts(caught.value)
    assert not (tmp_path / "code-ran").exists()


def test_damaged_cifar(tmp_path: Path) -> None:
    folder = tmp_path / "cifar-10-batches-py"
    write_cifar10(folder)
    whole = (folder / "test_batch").read_bytes()
    for raw in (whole[: len(whole) // 2], b"", b"\xff" * 40, b"PK\3\4" + whole):
        (folder / "test_batch").write_bytes(raw)
        with pytest.raises(ValueError, match="cannot be read") as caught:
            CIFAR10(tmp_path, train=False)
        four_parts(caught.value)
    (folder / "test_batch").write_bytes(whole)
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": ["a"]}, 2))
    with pytest.raises(ValueError, match="does not list 10 class names"):
        CIFAR10(tmp_path, train=False)
