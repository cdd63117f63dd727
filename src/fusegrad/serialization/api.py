"""``save`` and ``load``: files appear whole or not at all, and loading runs no code."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..errors import ArgumentTypeError, FileFormatError
from ..functions.placement import device


def save(obj: Any, f: Any) -> None:
    """Write nested state to a safetensors file.

    State is made of tensors, arrays, numbers, strings, bytes, dtypes, random generators, and
    dictionaries, lists, tuples and sets of them. Tensors that are the same memory (tied weights)
    stay so. A flat ``state_dict`` becomes a file that every safetensors reader understands.

    Args:
        obj: the state, such as ``{"model": model.state_dict(), "epoch": 3}``.
        f: path, or a binary file. A path is replaced when the new file is complete.

    Raises:
        TypeError: something in ``obj`` is not data; the message says where.

    Example:
        >>> import tempfile, pathlib, fusegrad as fg
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "checkpoint.safetensors"
        >>> fg.save({"weight": fg.ones(2), "epoch": 3}, path)
        >>> fg.load(path)
        {'weight': tensor([1., 1.]), 'epoch': 3}
    """
    from . import native  # with json and safetensors: only programs that save pay for them

    raw = native.dump(obj)
    if hasattr(f, "write"):
        f.write(raw)
        return
    path = Path(f)
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with open(draft, "xb") as file:
            file.write(raw)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def load(f: Any, map_location: Any = None, *, weights_only: bool = True) -> Any:
    """Read a file of ``save``, any safetensors file, or an archive of ``torch.save``.

    Nothing in the file is run. Of PyTorch's archives, tensors, numbers, strings and containers are
    read; anything else is refused.

    Args:
        f: path, or a binary file.
        map_location: accepted: every tensor is loaded to the cpu.
        weights_only: accepted: loading never runs code, whatever it says.

    Returns:
        what was saved; for another library's safetensors file a dictionary of tensors.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, of another format, or asks for more than data.
    """
    if isinstance(map_location, str):
        device(map_location)
    elif not (map_location is None or isinstance(map_location, (device, dict, Callable))):  # type: ignore[arg-type]
        raise ArgumentTypeError(
            f"load with map_location of type {type(map_location).__name__}",
            "map_location is a device, its name, a dictionary or a function.",
            "map_location='cpu'",
        )
    if hasattr(f, "read"):
        raw, what = f.read(), getattr(f, "name", "the file")
    else:
        raw, what = Path(f).read_bytes(), str(f)
    from . import archive, native

    if raw[:4] == b"PK\3\4":
        return archive.parse(raw, what)
    if raw[8:9] == b"{":
        return native.parse(raw, what)
    if raw[:1] == b"\x80":
        raise FileFormatError(
            f"{what} is a pickle, or written by torch.save before version 1.6",
            "Such files are programs: reading one runs it.",
            "torch.save(torch.load(f, weights_only=True), f) in PyTorch writes the new format",
        )
    raise FileFormatError(
        f"{what} cannot be read: it starts with {raw[:8].hex(' ') or 'nothing'}",
        "It is neither a safetensors file nor an archive of torch.save.",
        "fg.save writes files that fg.load reads",
    )
