"""Handwritten digits and data sets in their format: IDX files, plain or compressed.

IDX (LeCun, Cortes, Burges: the MNIST database): two zero bytes, a type, the number of axes, the
extents as big-endian 32-bit integers, the elements.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import ArgumentError, FileFormatError
from ...tensor import Tensor
from .folder import VisionDataset

_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def read_idx(path: Any) -> np.ndarray:
    """The array in an IDX file, which may be compressed with gzip (name ending in ``.gz``).

    Raises:
        ValueError: the file is not in this format, or damaged.

    Example:
        >>> import pathlib, tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "labels-idx1-ubyte"
        >>> _ = path.write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 3, 7, 2, 1]))
        >>> read_idx(path)
        array([7, 2, 1], dtype=uint8)
    """
    path = Path(path)
    raw = path.read_bytes()
    if path.suffix == ".gz":
        try:
            raw = gzip.decompress(raw)
        except (OSError, EOFError, zlib.error) as error:
            raise _bad(path, f"it does not decompress: {error}") from None
    if len(raw) < 4 or raw[:2] != b"\0\0" or raw[2] not in _TYPES:
        raise _bad(path, f"it starts with {raw[:4].hex(' ')!r}, not with 00 00 and a type")
    dtype, axes = np.dtype(_TYPES[raw[2]]), raw[3]
    start = 4 + 4 * axes
    if len(raw) < start:
        raise _bad(path, f"it ends inside the extents of {axes} axes")
    shape = struct.unpack(f">{axes}I", raw[4:start])
    wanted = start + math.prod(shape) * dtype.itemsize
    if len(raw) != wanted:
        raise _bad(path, f"shape {shape} needs {wanted} bytes, it has {len(raw)}")
    array = np.frombuffer(raw, dtype, offset=start).reshape(shape)
    return array.astype(dtype.newbyteorder("="))


def _bad(path: Path, what: str) -> FileFormatError:
    return FileFormatError(
        f"{path}: {what}",
        "It is not a whole IDX file.",
        "get the file again from its authors",
    )


class MNIST(VisionDataset):
    """Handwritten digits: 60,000 + 10,000 images of 28 x 28 grey values.

    Reads ``root/MNIST/raw/train-images-idx3-ubyte`` and its three siblings, or the same names with
    ``.gz``. ``data`` is uint8 (N, 28, 28), ``targets`` int64 (N); a sample is a uint8 array (28,
    28) and an integer.

    Args:
        root: folder that holds ``MNIST/raw``.
        train: training part, else the test part.
        transform: called with each image.
        target_transform: called with each label.
        download: accepted; the files have to be there already.

    Raises:
        RuntimeError: a file is missing.
        ValueError: a file is damaged, or images and labels do not fit.
    """

    source = "https://ossci-datasets.s3.amazonaws.com/mnist/"
    classes = [
        "0 - zero", "1 - one", "2 - two", "3 - three", "4 - four", "5 - five", "6 - six",
        "7 - seven", "8 - eight", "9 - nine",
    ]  # fmt: skip

    def __init__(
        self,
        root: Any,
        train: bool = True,
        transform: Callable[[Any], Any] | None = None,
        target_transform: Callable[[Any], Any] | None = None,
        download: bool = False,
    ) -> None:
        super().__init__(root, train, transform, target_transform, download)
        images, labels = self._read(self._names(), download)
        if images.ndim != 3 or labels.ndim != 1 or len(images) != len(labels):
            raise FileFormatError(
                f"{type(self).__name__}: images {images.shape} and labels {labels.shape} in "
                f"{self.raw_folder}",
                "There is one label per image of two axes.",
                "take both files from the same release",
            )
        if images.dtype != np.uint8 or labels.dtype != np.uint8:
            raise FileFormatError(
                f"{type(self).__name__}: {images.dtype} images, {labels.dtype} labels",
                "Grey values and labels are bytes.",
                "get the files again from their authors",
            )
        if labels.size and labels.max() >= len(self.classes):
            raise FileFormatError(
                f"{type(self).__name__}: label {labels.max()} of {len(self.classes)} classes",
                "The labels belong to another data set.",
                "the folder of this data set",
            )
        self.data = Tensor(images)
        self.targets = Tensor(labels.astype(np.int64))

    @property
    def raw_folder(self) -> Path:
        """Where the published files are."""
        return self.root / type(self).__name__ / "raw"

    @property
    def class_to_idx(self) -> dict[str, int]:
        """Label by name."""
        return {name: k for k, name in enumerate(self.classes)}

    def _names(self) -> tuple[str, str]:
        part = "train" if self.train else "t10k"
        return f"{part}-images-idx3-ubyte", f"{part}-labels-idx1-ubyte"

    def _read(self, names: tuple[str, str], download: bool) -> list[np.ndarray]:
        found = {}
        for name in names:
            for path in (self.raw_folder / name, self.raw_folder / f"{name}.gz"):
                if path.is_file():
                    found[name] = path
                    break
        missing = [f"{name} (or .gz)" for name in names if name not in found]
        if missing:
            raise self._missing(self.raw_folder, missing, download)
        return [read_idx(found[name]) for name in names]

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        return self._sample(self.data._value[index], int(self.targets._value[index]))


class FashionMNIST(MNIST):
    """Articles of clothing in the format of MNIST, in ``root/FashionMNIST/raw`` (Xiao, Rasul,
    Vollgraf 2017)."""

    source = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
    classes = [
        "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag",
        "Ankle boot",
    ]  # fmt: skip


class KMNIST(MNIST):
    """Japanese cursive characters in the format of MNIST, in ``root/KMNIST/raw`` (Clanuwat and
    others 2018)."""

    source = "http://codh.rois.ac.jp/kmnist/dataset/kmnist/"
    classes = ["o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"]


class EMNIST(MNIST):
    """Handwritten letters and digits, in ``root/EMNIST/raw`` (Cohen and others 2017).

    The images are stored transposed, and are returned so.

    Args:
        root: folder that holds ``EMNIST/raw``.
        split: ``byclass``, ``bymerge``, ``balanced``, ``letters``, ``digits`` or ``mnist``.
        kwargs: options of MNIST.
    """

    source = "https://www.nist.gov/itl/products-and-services/emnist-dataset"
    _counts = {
        "byclass": 62, "bymerge": 47, "balanced": 47, "letters": 27, "digits": 10, "mnist": 10,
    }  # fmt: skip

    def __init__(self, root: Any, split: str, **kwargs: Any) -> None:
        if split not in self._counts:
            raise ArgumentError(
                f"EMNIST split {split!r}", f"There are {', '.join(self._counts)}.", "'balanced'"
            )
        self.split = split
        self.classes = _letters(split)
        super().__init__(root, **kwargs)

    def _names(self) -> tuple[str, str]:
        part = f"emnist-{self.split}-{'train' if self.train else 'test'}"
        return f"{part}-images-idx3-ubyte", f"{part}-labels-idx1-ubyte"


def _letters(split: str) -> list[str]:
    """Class names in the order of the labels."""
    digits = [chr(c) for c in range(ord("0"), ord("9") + 1)]
    upper = [chr(c) for c in range(ord("A"), ord("Z") + 1)]
    lower = [c.lower() for c in upper]
    merged = set("cijklmopsuvwxyz")  # look like their capitals
    return {
        "byclass": digits + upper + lower,
        "bymerge": digits + upper + [c for c in lower if c not in merged],
        "balanced": digits + upper + [c for c in lower if c not in merged],
        "letters": ["N/A", *lower],
        "digits": digits,
        "mnist": digits,
    }[split]
