"""Small colour photographs: CIFAR-10 and CIFAR-100 (Krizhevsky 2009).

Both published forms are read: Python pickles, through a reader that builds arrays and plain
containers only, and the binary version, rows of label bytes and 3,072 colour values.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import FileFormatError
from .folder import VisionDataset, read_pickle

PIXELS = 3 * 32 * 32


class CIFAR10(VisionDataset):
    """60,000 photographs of 32 x 32 in ten classes.

    Reads ``root/cifar-10-batches-py`` (``data_batch_1`` to ``5``, ``test_batch``, ``batches.meta``)
    or ``root/cifar-10-batches-bin``. ``data`` is a uint8 array (N, 32, 32, 3), ``targets`` a list;
    a sample is a uint8 array (32, 32, 3) and an integer.

    Args:
        root: folder that holds the unpacked folder.
        train: training part, else the test part.
        transform: called with each image.
        target_transform: called with each label.
        download: accepted; the files have to be there already.

    Raises:
        RuntimeError: a file is missing.
        ValueError: a file is damaged or of another data set.
    """

    source = "https://www.cs.toronto.edu/~kriz/cifar.html"
    base_folder = "cifar-10-batches-py"
    binary_folder = "cifar-10-batches-bin"
    train_files = [f"data_batch_{k}" for k in range(1, 6)]
    test_files = ["test_batch"]
    meta_file, meta_text, names_key = "batches.meta", "batches.meta.txt", "label_names"
    label_keys = ("labels",)
    label_bytes = 1
    count = 10

    def __init__(
        self,
        root: Any,
        train: bool = True,
        transform: Callable[[Any], Any] | None = None,
        target_transform: Callable[[Any], Any] | None = None,
        download: bool = False,
    ) -> None:
        super().__init__(root, train, transform, target_transform, download)
        names = self.train_files if train else self.test_files
        pickled, binary = self.root / self.base_folder, self.root / self.binary_folder
        if not pickled.is_dir() and binary.is_dir():
            files, meta = [f"{name}.bin" for name in names], self.meta_text
            folder, read, read_names = binary, self._read_binary, _read_lines
        else:
            files, meta, folder = names, self.meta_file, pickled
            read, read_names = self._read_batch, self._read_meta
        missing = [name for name in [*files, meta] if not (folder / name).is_file()]
        if missing:
            raise self._missing(folder, missing, download)
        parts = [read(folder / name) for name in files]
        rows = np.concatenate([part[0] for part in parts])
        self.data = np.ascontiguousarray(rows.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))
        self.targets = [int(v) for part in parts for v in part[1]]
        self.classes = self._checked_names(read_names(folder / meta), folder / meta)
        self.class_to_idx = {name: k for k, name in enumerate(self.classes)}

    def _read_batch(self, path: Path) -> tuple[np.ndarray, np.ndarray]:
        content = read_pickle(path)
        key = next((k for k in self.label_keys if isinstance(content, dict) and k in content), None)
        if key is None or not isinstance(content.get("data"), np.ndarray):
            raise _bad(path, f"it has no 'data' and {self.label_keys[0]!r}")
        labels = content[key]
        if not isinstance(labels, list) or not all(type(v) is int for v in labels):
            raise _bad(path, f"{key!r} is not a list of integers")
        return self._checked(content["data"], np.array(labels, np.int64), path)

    def _read_binary(self, path: Path) -> tuple[np.ndarray, np.ndarray]:
        raw = np.fromfile(path, np.uint8)
        head = self.label_bytes
        if raw.size % (PIXELS + head):
            raise _bad(path, f"{raw.size} bytes are not rows of {PIXELS + head}")
        rows = raw.reshape(-1, PIXELS + head)
        return self._checked(rows[:, head:], rows[:, head - 1].astype(np.int64), path)

    def _checked(
        self, data: np.ndarray, labels: np.ndarray, path: Path
    ) -> tuple[np.ndarray, np.ndarray]:
        if data.dtype != np.uint8 or data.shape != (len(labels), PIXELS):
            raise _bad(
                path, f"images {data.dtype} {data.shape} with {len(labels)} labels, expected "
                f"uint8 ({len(labels)}, {PIXELS})"
            )  # fmt: skip
        if labels.size and not 0 <= labels.min() <= labels.max() < self.count:
            raise _bad(path, f"labels {labels.min()} to {labels.max()} of {self.count} classes")
        return data, labels

    def _read_meta(self, path: Path) -> Any:
        content = read_pickle(path)
        return content.get(self.names_key) if isinstance(content, dict) else None

    def _checked_names(self, names: Any, path: Path) -> list[str]:
        if not isinstance(names, list) or len(names) != self.count:
            raise _bad(path, f"it does not list {self.count} class names")
        return names

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        return self._sample(self.data[index], self.targets[index])


class CIFAR100(CIFAR10):
    """60,000 photographs of 32 x 32 in 100 classes.

    Reads ``root/cifar-100-python`` (``train``, ``test``, ``meta``) or ``root/cifar-100-binary``;
    labels are the fine ones. Options as those of CIFAR10.
    """

    base_folder = "cifar-100-python"
    binary_folder = "cifar-100-binary"
    train_files = ["train"]
    test_files = ["test"]
    meta_file, meta_text, names_key = "meta", "fine_label_names.txt", "fine_label_names"
    label_keys = ("fine_labels",)
    label_bytes = 2  # a row of the binary version starts with the coarse label
    count = 100


def _read_lines(path: Path) -> list[str]:
    return path.read_text().split()


def _bad(path: Path, what: str) -> FileFormatError:
    return FileFormatError(
        f"{path}: {what}",
        "It is not a batch of this data set.",
        "get the file again from its authors",
    )
