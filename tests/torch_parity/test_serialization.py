"""Files between fusegrad and PyTorch: archives of torch.save, and safetensors both ways."""

from __future__ import annotations

import io
import warnings
from collections import Counter, OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

import fusegrad as fg
from fusegrad import nn, optim
from fusegrad.errors import FusegradError

DTYPES = [
    "bool", "uint8", "int8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float16",
    "float32", "float64", "complex64", "complex128",
]  # fmt: skip


def through(value: Any, tmp_path: Path) -> Any:
    torch.save(value, tmp_path / "x.pt")
    return fg.load(tmp_path / "x.pt", map_location="cpu", weights_only=True)


@pytest.mark.parametrize("name", DTYPES)
def test_every_dtype(name: str, tmp_path: Path) -> None:
    dtype = getattr(torch, name)
    x = (torch.randn(3, 4, dtype=torch.complex128) * 9).real.abs().to(dtype)
    whole = {"x": x, "t": x.t(), "part": x[1:, ::2], "zero": x[0, 0], "empty": x[:0]}
    out = through(whole, tmp_path)
    for key, value in whole.items():
        assert out[key].dtype is getattr(fg, name) and tuple(out[key].shape) == value.shape
        np.testing.assert_array_equal(out[key].numpy(), value.numpy())


def test_bfloat16_stays_bfloat16(tmp_path: Path) -> None:
    x = torch.randn(5, 6).bfloat16()
    out = through({"x": x.t()}, tmp_path)
    np.testing.assert_array_equal(out["x"].float().numpy(), x.t().float().numpy())
    assert out["x"].dtype is fg.bfloat16
    fg.save({"x": out["x"]}, tmp_path / "ours")
    theirs = safetensors.torch.load_file(tmp_path / "ours")["x"]
    assert theirs.dtype is torch.bfloat16 and torch.equal(theirs, x.t())


def test_containers_and_sharing(tmp_path: Path) -> None:
    x = torch.arange(6.0)
    value = {
        "list": [1, 2.5, None, True, "text", (1, (2,))],
        "ordered": OrderedDict(a=x, b=x[2:4]),
        "same": x,
        "counter": Counter([1, 1]),
        "set": {1, 2},
        "bytes": [b"\0\xff", b"", bytearray(b"ab"), bytearray()],
        "complex": 1 + 2j,
        "size": x.shape,
        "dtype": torch.float32,
        "device": x.device,
        "parameter": torch.nn.Parameter(torch.ones(2)),
        3: torch.ones(1, requires_grad=True),
    }
    out = through(value, tmp_path)
    assert list(out) == list(value) and out["list"] == value["list"]
    assert type(out["ordered"]) is OrderedDict and type(out["counter"]) is Counter
    for key in ("counter", "set", "bytes", "complex"):
        assert out[key] == value[key]
    assert out["size"] == (6,) and out["dtype"] is fg.float32 and str(out["device"]) == "cpu"
    assert type(out["parameter"]) is nn.Parameter and out["parameter"].requires_grad
    assert out[3].requires_grad
    out["same"].mul_(2)  # views of one storage stay views of one memory
    assert out["ordered"]["b"].tolist() == [4, 6] and out["ordered"]["a"].tolist()[5] == 10


def test_a_model_and_its_optimizer_continue(tmp_path: Path) -> None:
    theirs = torch.nn.Sequential(
        torch.nn.Linear(4, 8), torch.nn.LayerNorm(8), torch.nn.Tanh(), torch.nn.Linear(8, 2)
    ).double()
    their_optimizer = torch.optim.Adam(theirs.parameters(), lr=0.01, amsgrad=True)
    x = torch.randn(16, 4, dtype=torch.float64)

    def their_step() -> float:
        their_optimizer.zero_grad()
        loss = theirs(x).square().mean()
        loss.backward()
        their_optimizer.step()
        return loss.item()

    for _ in range(5):
        their_step()
    saved = {"model": theirs.state_dict(), "optimizer": their_optimizer.state_dict()}
    state = through(saved, tmp_path)
    ours = nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(8), nn.Tanh(), nn.Linear(8, 2))
    ours.to(fg.float64)
    ours.load_state_dict(state["model"])
    optimizer = optim.Adam(ours.parameters(), lr=0.5)
    optimizer.load_state_dict(state["optimizer"])
    y = fg.tensor(x.numpy())

    @fg.jit
    def step() -> Any:
        optimizer.zero_grad()
        loss = ours(y).square().mean()
        loss.backward()
        optimizer.step()
        return loss

    for _ in range(5):
        assert step().item() == pytest.approx(their_step(), rel=1e-9)


def test_safetensors_both_ways(tmp_path: Path) -> None:
    theirs = torch.nn.Linear(3, 2)
    safetensors.torch.save_file(theirs.state_dict(), tmp_path / "a")
    ours = nn.Linear(3, 2)
    ours.load_state_dict(fg.load(tmp_path / "a"))
    np.testing.assert_array_equal(ours.weight.detach().numpy(), theirs.weight.detach().numpy())
    fg.save(ours.state_dict(), tmp_path / "b")
    other = torch.nn.Linear(3, 2)
    other.load_state_dict(safetensors.torch.load_file(tmp_path / "b"))
    assert torch.equal(other.weight, theirs.weight)


def refused(raw: bytes, path: Path) -> str:
    path.write_bytes(raw)
    with pytest.raises(ValueError) as caught, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fg.load(path)
    error: Any = caught.value
    assert isinstance(error, FusegradError) and error.what and error.why and error.hint
    return str(error)


def written(value: Any, **options: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer, **options)
    return buffer.getvalue()


class Evil:
    def __reduce__(self) -> Any:
        return (Path.touch, (Path("code-ran"),))  # in the working directory


def test_code_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "x"
    assert "asks for torch.nn.modules.linear.Linear" in refused(
        written(torch.nn.Linear(1, 1)), path
    )
    for value in (Evil(), {"a": [torch.ones(1), Evil()]}, print, np.float64, torch.ones):
        assert "asks for" in refused(written(value), path)
    assert not (tmp_path / "code-ran").exists()
    legacy = written({"a": torch.ones(1)}, _use_new_zipfile_serialization=False)
    assert "before version 1.6" in refused(legacy, path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.jit.script(torch.nn.Linear(2, 2))
        buffer = io.BytesIO()
        torch.jit.save(program, buffer)
    assert "TorchScript" in refused(buffer.getvalue(), path)
    assert "asks for" in refused(written(torch.ones(2).to_sparse()), path)


def test_damage_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "x"
    value = {"w": torch.arange(40.0).reshape(5, 8), "n": [1, "abc"]}
    raw = written(value)
    for k in range(0, len(raw), 41):
        refused(raw[:k], path)
    wanted = str(fg.load(io.BytesIO(raw)))
    for k in range(0, len(raw), 3):
        path.write_bytes(raw[:k] + bytes([raw[k] ^ 0x10]) + raw[k + 1 :])
        try:
            out = fg.load(path)
        except FusegradError:
            continue
        assert str(out) == wanted  # a byte of the padding or of a date
    position = raw.index(torch.arange(40.0).numpy().tobytes())
    damaged = raw[: position + 9] + b"\x55" + raw[position + 10 :]
    assert "cannot be read" in refused(damaged, path)


def test_a_tensor_outside_of_its_storage_is_refused(tmp_path: Path) -> None:
    import zipfile

    raw = written(torch.arange(10.0))
    source, target = zipfile.ZipFile(io.BytesIO(raw)), io.BytesIO()
    with zipfile.ZipFile(target, "w") as files:
        for name in source.namelist():
            data = source.read(name)
            if name.endswith("data.pkl"):
                assert data.count(b"K\x00K\n\x85") == 1
                data = data.replace(b"K\x00K\n\x85", b"K\x01K\n\x85")  # offset 1
            files.writestr(name, data)
    assert "in a storage of 10" in refused(target.getvalue(), tmp_path / "x")
