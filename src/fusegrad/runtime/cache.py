"""The kernel cache on disk: one object file per kernel, named by the hash of all it depends on.

In: keys and object bytes from ``compile.py``. Out: object bytes whose checksum is right. An entry
that is missing, damaged, foreign or unreadable is simply absent and will be written anew; a folder
that cannot be written is used read-only or not at all. Nothing here is executed or unpickled.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.machinery
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from .. import config

MAGIC = b"fusegrad-object-2\n"
DIGEST_BYTES = 32
SUFFIX = ".fgo"
TEMPORARY = ".tmp"
# Evict down to this share of the bound, so that a full cache is not scanned at every write.
EVICT_TO = 0.8
PACKAGE = Path(__file__).resolve().parent.parent
# Sources whose change changes the code generated for an unchanged kernel text.
GENERATORS = ("runtime", "codegen")


@dataclass(frozen=True)
class CacheInfo:
    """What ``fusegrad cache info`` prints."""

    folder: Path
    entries: int
    size: int
    limit: int
    writable: bool


@dataclass(frozen=True)
class Checkup:
    """Result of :func:`doctor`."""

    good: int
    bad: tuple[Path, ...]


def _package_version(name: str) -> bytes:
    """Version file of an installed package, read without importing the package."""
    spec = importlib.machinery.PathFinder.find_spec(name)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        try:
            return Path(folder, "_version.py").read_bytes()
        except OSError:
            continue
    return b"unknown"


@functools.cache
def build_tag() -> bytes:
    """Hash of the compilers' versions and of fusegrad's own code generators."""
    digest = hashlib.sha256(MAGIC)
    for name in ("numba", "llvmlite"):
        digest.update(_package_version(name))
    for folder in GENERATORS:
        for path in sorted(Path(PACKAGE, folder).glob("*.py")):
            digest.update(path.read_bytes())
    digest.update(sys.implementation.cache_tag.encode() if sys.implementation.cache_tag else b"")
    return digest.digest()


def _note(message: str) -> None:
    if config.debug("cache"):
        sys.stderr.write(f"fusegrad: cache: {message}\n")


class DiskCache:
    """Object files under one folder, bounded in bytes, least recently used ones evicted first.

    Args:
        folder: where entries live; created at the first write.
        limit: upper bound of the sum of entry sizes in bytes.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self.folder = folder
        self.limit = limit
        self._size: int | None = None
        self._writable = True

    def _path(self, key: str) -> Path:
        return self.folder / (key + SUFFIX)

    def read(self, key: str) -> bytes | None:
        """Object bytes of ``key``, or None when there is no intact entry."""
        path = self._path(key)
        try:
            with open(path, "rb", buffering=0) as file:
                data = file.read()
        except OSError as error:
            if not isinstance(error, FileNotFoundError):
                _note(f"{path} cannot be read: {error}")
            return None
        payload = _unpack(data, key)
        if payload is None:
            _note(f"{path} is damaged and will be replaced")
            return None
        try:
            os.utime(path)
        except OSError:
            pass
        return payload

    def write(self, key: str, payload: bytes) -> None:
        """Store an entry atomically; a folder that cannot be written is left alone."""
        if not self._writable:
            return
        data = _pack(payload, key)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            # Unique among the threads (they hold the compile lock) and processes of a machine.
            name = self.folder / f"{key}.{os.getpid()}{TEMPORARY}"
            try:
                name.write_bytes(data)
                os.replace(name, self._path(key))
            except BaseException:
                name.unlink(missing_ok=True)
                raise
        except OSError as error:
            self._writable = False
            _note(f"{self.folder} cannot be written, kernels stay in memory: {error}")
            return
        if self._size is None:
            self._size = sum(size for _, size, _ in self._entries())
        else:
            self._size += len(data)
        if self._size > self.limit:
            self._evict()

    def _entries(self) -> Iterator[tuple[float, int, Path]]:
        """(modification time, size, path) of every entry."""
        try:
            with os.scandir(self.folder) as found:
                for item in found:
                    if item.name.endswith((SUFFIX, TEMPORARY)):
                        try:
                            status = item.stat()
                        except OSError:
                            continue
                        yield status.st_mtime, status.st_size, Path(item.path)
        except OSError:
            return

    def _evict(self) -> None:
        entries = sorted(self._entries())
        total = sum(size for _, size, _ in entries)
        for _, size, path in entries:
            if total <= self.limit * EVICT_TO:
                break
            try:
                path.unlink()
            except OSError:
                continue
            total -= size
        self._size = total

    def info(self) -> CacheInfo:
        """Number and size of the entries."""
        sizes = [size for _, size, _ in self._entries()]
        writable = self._writable and os.access(_existing(self.folder), os.W_OK)
        return CacheInfo(self.folder, len(sizes), sum(sizes), self.limit, writable)

    def clear(self) -> int:
        """Delete all entries and return how many there were."""
        count = 0
        for _, _, path in self._entries():
            try:
                path.unlink()
                count += 1
            except OSError as error:
                _note(f"{path} cannot be deleted: {error}")
        self._size = None
        return count

    def doctor(self, repair: bool = True) -> Checkup:
        """Verify every entry's header and checksum; damaged ones are deleted when ``repair``."""
        good, bad = 0, []
        for _, _, path in self._entries():
            try:
                intact = path.suffix == SUFFIX and _unpack(path.read_bytes(), path.stem) is not None
            except OSError:
                intact = False
            if intact:
                good += 1
                continue
            bad.append(path)
            if repair:
                try:
                    path.unlink()
                except OSError as error:
                    _note(f"{path} cannot be deleted: {error}")
        self._size = None
        return Checkup(good, tuple(sorted(bad)))


def _existing(folder: Path) -> Path:
    """The folder itself or its nearest parent that exists."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder


def _pack(payload: bytes, key: str) -> bytes:
    """Header (magic, key, checksum) and payload; the key guards against a renamed file."""
    digest = hashlib.sha256(key.encode() + payload).digest()
    return MAGIC + digest + payload


def _unpack(data: bytes, key: str) -> bytes | None:
    start = len(MAGIC) + DIGEST_BYTES
    if len(data) <= start or not data.startswith(MAGIC):
        return None
    payload = data[start:]
    digest = hashlib.sha256(key.encode() + payload).digest()
    return payload if digest == data[len(MAGIC) : start] else None


@functools.cache
def _cache_at(folder: Path, limit: int) -> DiskCache:
    return DiskCache(folder, limit)


def current() -> DiskCache:
    """The cache that the settings name."""
    try:
        limit = int(config.CACHE_BYTES.get())
    except ValueError:
        limit = int(config.CACHE_BYTES.default)
    return _cache_at(config.cache_dir(), limit)


def make_key(parts: Iterable[str]) -> str:
    """Key of an entry: hash of ``parts`` and of :func:`build_tag`."""
    digest = hashlib.sha256(build_tag())
    for part in parts:
        data = part.encode()
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return digest.hexdigest()[:40]
