"""Files of safetensors with our structure in their metadata.

A file that another library wrote is a dictionary of tensors. Ours carry checksums: damage anywhere
is found before anything is returned.
"""

from __future__ import annotations

import json
import math
import zlib
from typing import Any

import numpy as np
import safetensors.numpy

from ..dtypes import bfloat16
from ..errors import FileFormatError
from ..tensor import Tensor
from .tree import Decoder, Encoder

KEY, SUM = "fusegrad", "fusegrad_crc32"
VERSION = 1
_DTYPES = {
    "BOOL": "?", "U8": "u1", "I8": "i1", "I16": "<i2", "U16": "<u2", "I32": "<i4", "U32": "<u4",
    "I64": "<i8", "U64": "<u8", "F16": "<f2", "F32": "<f4", "F64": "<f8", "C64": "<c8",
    "BF16": "<u2",
}  # fmt: skip
_NAMES = {np.dtype(v): k for k, v in _DTYPES.items() if k not in ("BF16", "C64")}
_NAMES[bfloat16.np] = "BF16"


def dump(value: Any) -> bytes:
    """The file for a nested object."""
    encoder = Encoder()
    tree = encoder.encode(value)
    arrays, sums, pairs = {}, {}, []
    for name, array in encoder.arrays.items():
        if array.dtype.kind == "c":  # as pairs of floats: the format has no complex128
            pairs.append(name)
            array = array.reshape(*array.shape, 1).view(array.real.dtype)
        raw = array.reshape(-1).view(np.uint8)
        sums[name] = _checksum(_NAMES[array.dtype], array.shape, raw)
        arrays[name] = array.view(np.uint16) if array.dtype == bfloat16.np else array
    content = {"version": VERSION, "tree": tree, "complex": pairs, "sums": sums}
    text = json.dumps(content, separators=(",", ":"))
    metadata = {KEY: text, SUM: str(zlib.crc32(text.encode()))}
    file = safetensors.numpy.save(arrays, metadata)
    return _named(file, [n for n, a in encoder.arrays.items() if a.dtype == bfloat16.np])


def _named(raw: bytes, names: list[str]) -> bytes:
    """The file with the bits under ``names`` called BF16; the library knows NumPy's dtypes only."""
    if not names:
        return raw
    size = 8 + int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8:size])
    for name in names:
        header[name]["dtype"] = "BF16"
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # the numbers start at a multiple of 8
    return len(text).to_bytes(8, "little") + text + raw[size:]


def _checksum(kind: str, shape: Any, data: Any) -> int:
    return zlib.crc32(data, zlib.crc32(f"{kind}{list(shape)}".encode()))


def parse(raw: bytes, what: str) -> Any:
    """The object in a file's bytes.

    Args:
        raw: the whole file.
        what: its name, for errors.

    Raises:
        ValueError: damaged, cut off, or with numbers of a kind that is not supported.
    """
    header, start = _header(raw, what)
    metadata = header.pop("__metadata__", None)
    metadata = metadata if isinstance(metadata, dict) else {}
    ours, checksum = metadata.get(KEY), metadata.get(SUM)
    if checksum != (None if ours is None else str(zlib.crc32(str(ours).encode()))):
        raise damaged(what, "the checksum of its structure differs")
    content = None if ours is None else _structure(ours, what)
    if content is not None and content["version"] > VERSION:
        raise FileFormatError(
            f"{what} is of version {content['version']}",
            f"This fusegrad reads versions up to {VERSION}.",
            "a newer fusegrad",
        )
    arrays = _arrays(header, memoryview(raw)[start:], what, content and content["sums"])
    if content is None:
        return {name: Tensor(array) for name, array in arrays.items()}
    for name in content["complex"]:
        pair = arrays[name]
        kind = np.complex64 if pair.dtype == np.float32 else np.complex128
        arrays[name] = pair.view(kind)[..., 0]
    try:
        return Decoder(arrays).build(content["tree"])
    except Exception:  # a checksum says nothing about who wrote the file
        raise damaged(what, "its structure is not one that fg.save writes") from None


def _structure(text: str, what: str) -> dict[str, Any]:
    try:
        content = json.loads(text)
        complete = {"version", "tree", "complex", "sums"} <= set(content)
    except (ValueError, TypeError, RecursionError):
        complete = False
    if not complete:
        raise damaged(what, "its structure is not one that fg.save writes")
    return content


def _header(raw: bytes, what: str) -> tuple[dict[str, Any], int]:
    size = int.from_bytes(raw[:8], "little")
    if len(raw) < 8 + size:
        raise damaged(what, f"its header needs {8 + size} bytes, it has {len(raw)}")
    try:
        header = json.loads(raw[8 : 8 + size])
        assert isinstance(header, dict)
    except (ValueError, AssertionError, RecursionError):
        raise damaged(what, "its header is not readable") from None
    return header, 8 + size


def _arrays(
    header: dict[str, Any], data: memoryview, what: str, sums: dict[str, int] | None
) -> dict[str, np.ndarray]:
    arrays: dict[str, np.ndarray] = {}
    end = 0
    try:
        entries = sorted(header.items(), key=lambda item: item[1]["data_offsets"])
        for name, entry in entries:
            kind, shape = entry["dtype"], entry["shape"]
            first, last = entry["data_offsets"]
            if kind not in _DTYPES:
                raise _unsupported(what, name, kind)
            dtype = np.dtype(_DTYPES[kind])
            count = math.prod(shape)
            if first != end or last - first != count * dtype.itemsize or last > len(data):
                raise damaged(what, f"the bytes of {name!r} are not all there")
            end = last
            if sums is not None and _checksum(kind, shape, data[first:last]) != sums[name]:
                raise damaged(what, f"the checksum of {name!r} differs")
            array = np.frombuffer(data, dtype, count, first) if count else np.zeros(0, dtype)
            arrays[name] = array.reshape(shape).astype(dtype.newbyteorder("="), copy=True)
            if kind == "BF16":
                arrays[name] = arrays[name].view(bfloat16.np)
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, FileFormatError):
            raise
        raise damaged(what, "its header does not describe tensors") from None
    if end != len(data) or (sums is not None and set(sums) != set(arrays)):
        raise damaged(what, "its header and its data do not fit")
    return {name: arrays[name] for name in header}


def _unsupported(what: str, name: str, kind: str) -> FileFormatError:
    return FileFormatError(
        f"{what}: {name!r} has the dtype {kind}",
        "fusegrad has no dtype for it.",
        "convert it to float32 where it was written",
    )


def damaged(what: str, how: str) -> FileFormatError:
    """The error for a file that is not whole."""
    return FileFormatError(
        f"{what} cannot be read: {how}",
        "The file is damaged or cut off; nothing of it was loaded.",
        "another copy of the file",
    )
