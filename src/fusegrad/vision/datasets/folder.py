"""What the data sets share: a folder of published files, and two transforms.

The library opens no network connection: a missing file is an error that says which one, where it
belongs and where its authors offer it.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ...errors import DatasetError, FileFormatError
from ...utils.data import Dataset


class VisionDataset(Dataset):
    """Images with labels.

    Args:
        root: folder that holds the data set's own folder.
        train: training part, else the test part.
        transform: called with each image, a uint8 array of shape (H, W) or (H, W, C).
        target_transform: called with each label.
        download: accepted; the files have to be there already.
    """

    source = ""

    def __init__(
        self,
        root: Any,
        train: bool = True,
        transform: Callable[[Any], Any] | None = None,
        target_transform: Callable[[Any], Any] | None = None,
        download: bool = False,
    ) -> None:
        self.root = Path(root).expanduser()
        self.train = train
        self.transform = transform
        self.target_transform = target_transform
        self.data: Any = ()
        self.targets: Any = ()

    def _sample(self, image: Any, target: int) -> tuple[Any, Any]:
        if self.transform is not None:
            image = self.transform(image)
        if self.target_transform is not None:
            return image, self.target_transform(target)
        return image, target

    def __len__(self) -> int:
        return len(self.data)

    def __repr__(self) -> str:
        lines = [
            f"Dataset {type(self).__name__}",
            f"    Number of datapoints: {len(self)}",
            f"    Root location: {self.root}",
            f"    Split: {'Train' if self.train else 'Test'}",
        ]
        if self.transform is not None:
            lines.append(f"    Transform: {self.transform!r}")
        return "\n".join(lines)

    def _missing(self, folder: Path, names: Sequence[str], download: bool) -> DatasetError:
        """The error for files that are not there."""
        return DatasetError(
            f"{type(self).__name__}: Dataset not found: {', '.join(names)} in {folder}",
            "fusegrad does not download: the files have to be there."
            if download
            else "The published files are read from this folder.",
            f"get them from {self.source} and put them into {folder}",
        )


class _PlainUnpickler(pickle.Unpickler):
    """Builds plain containers and NumPy arrays and nothing else."""

    allowed = frozenset(
        (
            ("numpy", "dtype"),
            ("numpy", "ndarray"),
            ("numpy.core.multiarray", "_reconstruct"),
            ("numpy._core.multiarray", "_reconstruct"),
            ("_codecs", "encode"),
        )
    )

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.allowed:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        if module == "numpy.core.multiarray":  # its place before NumPy 2
            module = "numpy._core.multiarray"
        return super().find_class(module, name)


def read_pickle(path: Path) -> Any:
    """A pickle file of containers, numbers, strings and arrays; anything else is refused.

    Raises:
        ValueError: the file is damaged, or asks for a class or function.
    """
    try:
        return _PlainUnpickler(io.BytesIO(path.read_bytes()), encoding="latin1").load()
    except OSError:
        raise
    except Exception as error:  # a damaged pickle can fail in any way
        raise FileFormatError(
            f"{path} cannot be read: {error}",
            "A data file holds arrays, lists and names; nothing else in it is run.",
            "get the file again from its authors",
        ) from None
