"""The disk cache: damage, limits, folders that cannot be used, racing processes."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from runtime_helpers import HANGS, SOURCE

from fusegrad.runtime import cache
from fusegrad.runtime.cache import DiskCache

KERNEL = '''
import ctypes, sys
import numpy as np
from fusegrad.codegen.kernel import KernelSource
from fusegrad.runtime import compile as compiler
text = """
def add_one(n, x, thread, threads):
    for i in range(n):
        x[i] += float32(1.0)
"""
source = KernelSource("add_one", text, (("n", "i64"), ("x", "f32*")))
address = compiler.load_kernel(source)
x = np.zeros(4, "f4")
block = np.array([4, x.ctypes.data])
abi = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)
abi(address)(block.ctypes.data, 0, 1)
assert x.tolist() == [1.0] * 4
print(compiler.counters.compiles)
'''


@pytest.fixture
def disk(tmp_path: Path) -> DiskCache:
    return DiskCache(tmp_path / "cache", 1 << 20)


def test_round_trip(disk):
    assert disk.read("a") is None
    disk.write("a", b"payload")
    assert disk.read("a") == b"payload"
    assert disk.info().entries == 1


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[: len(data) // 2],
        lambda data: data[:-1] + bytes([data[-1] ^ 1]),
        lambda data: b"x" + data[1:],
        lambda data: os.urandom(len(data)),
        lambda data: data + b"more",
    ],
)
def test_damaged_entry_is_absent_and_replaced(disk, damage):
    disk.write("a", b"payload" * 10)
    path = next(disk.folder.iterdir())
    path.write_bytes(damage(path.read_bytes()))
    assert disk.read("a") is None
    disk.write("a", b"again")
    assert disk.read("a") == b"again"


def test_entry_under_a_foreign_name_is_absent(disk):
    disk.write("a", b"payload")
    (disk.folder / "a.fgo").rename(disk.folder / "b.fgo")
    assert disk.read("b") is None


def test_entry_that_is_a_folder_is_absent(disk):
    disk.write("a", b"payload")
    (disk.folder / "b.fgo").mkdir()
    assert disk.read("b") is None
    assert disk.clear() == 1


def test_least_recently_used_entries_go_first(tmp_path):
    disk = DiskCache(tmp_path, 10_000)
    for index in range(9):
        disk.write(f"k{index}", bytes(1000))
        os.utime(tmp_path / f"k{index}.fgo", (index, index))
    disk.read("k0")
    disk.write("k9", bytes(1500))
    assert disk.info().size <= 10_000
    assert disk.read("k0") is not None
    assert disk.read("k1") is None
    assert disk.read("k9") is not None


def test_doctor_finds_and_removes_damage(disk):
    disk.write("good", b"payload")
    disk.write("bad", b"payload")
    (disk.folder / "bad.fgo").write_bytes(b"nonsense")
    (disk.folder / "left.tmp").write_bytes(b"interrupted write")
    report = disk.doctor(repair=False)
    assert (report.good, len(report.bad)) == (1, 2)
    disk.doctor()
    assert disk.doctor() == cache.Checkup(1, ())


def test_clear(disk):
    disk.write("a", b"1")
    disk.write("b", b"2")
    assert disk.clear() == 2
    assert disk.info().entries == 0
    disk.write("c", b"3")
    assert disk.read("c") == b"3"


def test_key_depends_on_every_part():
    keys = {cache.make_key(parts) for parts in (["a", "b"], ["ab", ""], ["a", "c"], ["a"])}
    assert len(keys) == 4
    assert cache.make_key(["a", "b"]) == cache.make_key(["a", "b"])


def test_folder_that_cannot_be_created(tmp_path, capsys, monkeypatch):
    blocked = tmp_path / "file"
    blocked.write_text("")
    disk = DiskCache(blocked / "cache", 1000)
    monkeypatch.setenv("FUSEGRAD_DEBUG", "cache")
    disk.write("a", b"payload")
    disk.write("b", b"payload")
    assert disk.read("a") is None
    notes = [line for line in capsys.readouterr().err.splitlines() if "cannot be written" in line]
    assert len(notes) == 1
    assert not disk.info().writable


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere"
)
def test_read_only_folder(disk):
    disk.write("a", b"payload")
    disk.folder.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        disk.write("b", b"payload")
        assert disk.read("a") == b"payload"
        assert disk.read("b") is None
    finally:
        disk.folder.chmod(stat.S_IRWXU)


def test_kernels_work_without_any_usable_folder(python, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    assert python(KERNEL, FUSEGRAD_CACHE_DIR=str(blocked / "cache")).strip() == "1"
    assert python(KERNEL, FUSEGRAD_CACHE_DIR=str(blocked / "cache")).strip() == "1"


def test_kernels_work_without_a_home(python, tmp_path):
    (tmp_path / "file").write_text("")
    nowhere = {"HOME": str(tmp_path / "file"), "XDG_CACHE_HOME": "", "FUSEGRAD_CACHE_DIR": ""}
    assert python(KERNEL, **nowhere).strip() == "1"


def test_damaged_kernel_is_compiled_again(python, tmp_path):
    folder = str(tmp_path / "kernels")
    assert python(KERNEL, FUSEGRAD_CACHE_DIR=folder).strip() == "1"
    for path in Path(folder).glob("*.fgo"):
        data = path.read_bytes()
        path.write_bytes(data[:100] + bytes(len(data) - 100))
    assert python(KERNEL, FUSEGRAD_CACHE_DIR=folder).strip() == "1"
    assert python(KERNEL, FUSEGRAD_CACHE_DIR=folder).strip() == "0"


def test_two_processes_race_for_one_entry(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(SOURCE), "FUSEGRAD_CACHE_DIR": str(tmp_path)}
    racers = [
        subprocess.Popen([sys.executable, "-c", KERNEL], env=environment, stdout=subprocess.PIPE)
        for _ in range(2)
    ]
    assert all(racer.wait(HANGS) == 0 for racer in racers)
    for racer in racers:
        racer.stdout.close()
    assert len(list(tmp_path.glob("*.fgo"))) == 1
    assert not list(tmp_path.glob("*.tmp"))
    assert DiskCache(tmp_path, 1 << 30).doctor().bad == ()


def test_settings_choose_the_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("FUSEGRAD_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("FUSEGRAD_CACHE_BYTES", "12345")
    assert (cache.current().folder, cache.current().limit) == (tmp_path, 12345)
    monkeypatch.setenv("FUSEGRAD_CACHE_BYTES", "plenty")
    assert cache.current().limit == 1 << 30
