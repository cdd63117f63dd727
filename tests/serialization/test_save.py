"""fg.save and fg.load: every kind of state comes back, damage is found, resuming is exact."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from collections import Counter, OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

import fusegrad as fg
from fusegrad import dtypes, nn, optim
from fusegrad.dtypes import stored
from fusegrad.errors import FusegradError


def again(value: Any, tmp_path: Path) -> Any:
    fg.save(value, tmp_path / "x.safetensors")
    return fg.load(tmp_path / "x.safetensors")


@pytest.mark.parametrize("dtype", dtypes.ALL, ids=lambda d: d.name)
@pytest.mark.parametrize("shape", [(), (3,), (2, 0, 4), (2, 3, 4)])
def test_every_dtype_and_shape(dtype: Any, shape: Any, tmp_path: Path) -> None:
    array = np.asarray(np.random.default_rng(0).standard_normal(shape) * 9)
    if dtype.is_complex:
        array = array + 1j * array[..., ::-1] if shape else array + 2j
    if dtype is not fg.bool_ and not dtype.is_signed:
        array = abs(array)
    array = stored(array, dtype)
    for source in (array, np.swapaxes(array, 0, -1) if shape else array):
        tensor = fg.from_numpy(source)
        out = again({"a": tensor, "b": source, "c": tensor}, tmp_path)
        assert type(out["a"]) is fg.Tensor and out["a"].dtype is dtype
        assert out["a"].shape == source.shape and out["a"] is out["c"]
        np.testing.assert_array_equal(out["a"]._value, source)
        np.testing.assert_array_equal(out["b"], source)
        assert out["b"].dtype == source.dtype and out["b"].flags.writeable
        out["a"].fill_(1) if hasattr(out["a"], "fill_") else None


def test_special_numbers(tmp_path: Path) -> None:
    x = np.array([np.nan, -np.inf, np.inf, -0.0, 5e-324])
    out = again([fg.from_numpy(x), *x.tolist()], tmp_path)
    assert out[0].numpy().tobytes() == x.tobytes()
    assert np.array(out[1:]).tobytes() == x.tobytes()


def test_every_container_and_scalar(tmp_path: Path) -> None:
    value = {
        "none": None,
        "flags": (True, False),
        7: [1, 2.5, "text", 1 << 80, -3, "ü\n\"'", ""],
        (1, "a"): {"nested": {"deeper": [[], (), {}]}},
        None: 1j + 2,
        2.5: {1, 2},
        "f": frozenset("ab"),
        "bytes": b"\0\xff",
        "array": bytearray(b"abc"),
        "ordered": OrderedDict([("b", 1), ("a", 2)]),
        "counter": Counter([3, 3, 5]),
        "dtype": fg.float32,
        "device": fg.device("cpu"),
        "size": fg.ones(2, 3).shape,
        "numpy": np.float32(1.5),
        "tenth": 0.1,
    }
    out = again(value, tmp_path)
    assert out == value and list(out) == list(value)

    def kinds(x: Any) -> Any:
        if isinstance(x, dict):
            return type(x), [(type(k), kinds(v)) for k, v in x.items()]
        if isinstance(x, (list, tuple)):
            return type(x), [kinds(v) for v in x]
        return type(x)

    assert kinds(out) == kinds(value)
    assert again(3, tmp_path) == 3 and again("", tmp_path) == ""
    assert again(fg.ones(2), tmp_path).tolist() == [1, 1]


def test_tied_tensors_stay_tied(tmp_path: Path) -> None:
    model = nn.ModuleDict({"a": nn.Linear(3, 3), "b": nn.Linear(3, 3)})
    model["b"].weight = model["a"].weight
    state = model.state_dict()
    assert state["a.weight"] is not state["b.weight"]
    out = again(state, tmp_path)
    out["a.weight"].fill_(5) if hasattr(out["a.weight"], "fill_") else out["a.weight"].mul_(0).add_(
        5
    )
    assert out["b.weight"].tolist() == [[5] * 3] * 3
    raw = (tmp_path / "x.safetensors").read_bytes()
    assert len(json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])) == 1 + 3
    p = nn.Parameter(fg.ones(2))
    out = again({"p": p, "q": p, "frozen": nn.Parameter(fg.ones(1), False)}, tmp_path)
    assert out["p"] is out["q"] and type(out["p"]) is nn.Parameter and out["p"].requires_grad
    assert type(out["frozen"]) is nn.Parameter and not out["frozen"].requires_grad
    assert again(fg.ones(2, requires_grad=True), tmp_path).requires_grad


def test_names_that_collide(tmp_path: Path) -> None:
    value = {"a.b": fg.ones(1), "a": {"b": fg.zeros(1)}, "__metadata__": fg.ones(2), "": fg.ones(3)}
    out = again(value, tmp_path)
    assert out["a.b"].item() == 1 and out["a"]["b"].item() == 0
    assert out["__metadata__"].shape == (2,) and out[""].shape == (3,)


def test_a_state_dict_is_a_plain_safetensors_file(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    fg.save(model.state_dict(), tmp_path / "m.safetensors")
    plain = safetensors.numpy.load_file(tmp_path / "m.safetensors")
    assert set(plain) == set(model.state_dict())
    np.testing.assert_array_equal(plain["2.weight"], model[2].weight.detach().numpy())
    safetensors.numpy.save_file(plain, tmp_path / "n.safetensors", metadata={"format": "np"})
    other = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    other.load_state_dict(fg.load(str(tmp_path / "n.safetensors")))
    assert (other[0].weight == model[0].weight).all()


def test_files_and_buffers(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    fg.save({"x": fg.ones(2)}, buffer)
    buffer.seek(0)
    assert fg.load(buffer, map_location="cpu", weights_only=False)["x"].tolist() == [1, 1]
    with open(tmp_path / "y", "wb") as file:
        fg.save([1], file)
    assert fg.load(tmp_path / "y", map_location=fg.device("cpu")) == [1]
    with pytest.raises(RuntimeError, match="cuda"):
        fg.load(tmp_path / "y", map_location="cuda:0")
    with pytest.raises(TypeError, match="map_location"):
        fg.load(tmp_path / "y", map_location=3)
    with pytest.raises(FileNotFoundError):
        fg.load(tmp_path / "none")


def test_bfloat16_of_others(tmp_path: Path) -> None:
    values = np.array([1.0, -2.5, np.inf, 3e-39], np.float32)
    bits = (values.view(np.uint32) >> 16).astype(np.uint16)
    entry = {"dtype": "BF16", "shape": [2, 2], "data_offsets": [0, 8]}
    (tmp_path / "b").write_bytes(header({"x": entry}, bits.tobytes()))
    out = fg.load(tmp_path / "b")
    assert out["x"].dtype is fg.bfloat16 and out["x"].shape == (2, 2)
    exact = (bits.astype(np.uint32) << 16).view(np.float32)
    np.testing.assert_array_equal(out["x"].float().numpy().ravel(), exact)
    fg.save({"x": out["x"], "y": fg.ones(3)}, tmp_path / "c")  # and others read ours
    name, size = b'"dtype":"BF16"', int.from_bytes((tmp_path / "c").read_bytes()[:8], "little")
    assert name in (tmp_path / "c").read_bytes() and size % 8 == 0
    assert fg.load(tmp_path / "c")["x"].dtype is fg.bfloat16


def loop() -> Any:
    value: list[Any] = []
    value.append(value)
    return value


REFUSED = [
    ({"model": nn.Linear(1, 1)}, "model: Linear", ".state_dict()"),
    ({"a": [1, {"f": abs}]}, "a.1.f: builtin_function", "numbers"),
    ([np.array(["a"], object)], "dtype", ""),
    ({"a": object()}, "a: object", ""),
    ({"x": {"y": loop()}}, "x.y.0, which contains itself", ""),
]


@pytest.mark.parametrize(("value", "words", "hint"), REFUSED)
def test_what_is_no_data_is_refused(value: Any, words: str, hint: str, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"before")
    with pytest.raises(TypeError) as caught:
        fg.save(value, tmp_path / "x")
    assert words in str(caught.value) and hint in str(caught.value)
    assert (tmp_path / "x").read_bytes() == b"before"  # the old file is untouched
    assert list(tmp_path.iterdir()) == [tmp_path / "x"]


def test_a_failing_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fg.save([1], tmp_path / "x")

    def fail(fd: int) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        fg.save([2], tmp_path / "x")
    assert fg.load(tmp_path / "x") == [1] and len(list(tmp_path.iterdir())) == 1


def refused(raw: bytes, path: Path) -> str:
    """Loading these bytes is an error of four parts, and only that."""
    path.write_bytes(raw)
    with pytest.raises(ValueError) as caught:
        fg.load(path)
    error: Any = caught.value
    assert isinstance(error, FusegradError) and error.what and error.why and error.hint
    assert str(path) in error.what
    return str(error)


def test_every_damaged_byte_is_noticed(tmp_path: Path) -> None:
    value = {"w": fg.arange(6).reshape(2, 3), "n": [1, 0.5, "abc"], "b": fg.tensor(True)}
    fg.save(value, tmp_path / "x")
    raw = (tmp_path / "x").read_bytes()
    for k in range(len(raw)):
        damaged = raw[:k] + bytes([raw[k] ^ (1 << k % 8)]) + raw[k + 1 :]
        try:
            (tmp_path / "y").write_bytes(damaged)
            out = fg.load(tmp_path / "y")
        except FusegradError:
            continue
        # spaces that pad the header may change without a change of meaning
        assert str(out) == str(value), k
    for k in range(0, len(raw), 7):
        refused(raw[:k], tmp_path / "y")
    refused(raw + b"\0", tmp_path / "y")


def header(content: Any, data: bytes = b"") -> bytes:
    text = json.dumps(content).encode()
    return len(text).to_bytes(8, "little") + text + data


def test_foreign_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x"
    one = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
    for raw, words in (
        (b"", "nothing"),
        (b"hello world, this is text", "neither a safetensors"),
        (pickle.dumps({"a": 1}), "is a pickle"),
        (header({"x": one}, b"\0" * 3), "not all there"),
        (header({"x": one}, b"\0" * 5), "do not fit"),
        (header({"x": {**one, "dtype": "F8_E4M3"}}, b"\0" * 4), "F8_E4M3"),
        (header({"x": {**one, "shape": [-1]}}, b"\0" * 4), "not all there"),
        (header({"x": {**one, "shape": "1"}}, b"\0" * 4), ""),
        (header({"x": 3}), "does not describe"),
        (header({"x": one, "y": one}, b"\0" * 4), "not all there"),
        (b"\x05\0\0\0\0\0\0\0{abc}", "not readable"),
        (b"\xff" * 8 + b"{}", "its header needs"),
    ):
        assert words in refused(raw, path)


def forged(tree: Any, path: Path) -> None:
    import zlib

    text = json.dumps({"version": 1, "tree": tree, "complex": [], "sums": {}})
    raw = header(
        {"__metadata__": {"fusegrad": text, "fusegrad_crc32": str(zlib.crc32(text.encode()))}}
    )
    path.write_bytes(raw)


@pytest.mark.parametrize(
    "tree",
    [
        ["eval", "1"],
        ["tensor", ["x", 0, False]],
        ["dtype", "float8"],
        [1],
        ["dict", 3],
        ["list", [[]]],
    ],
)
def test_forged_structures_are_refused(tree: Any, tmp_path: Path) -> None:
    forged(["list", [1]], tmp_path / "x")
    assert fg.load(tmp_path / "x") == [1]
    forged(tree, tmp_path / "x")
    refused((tmp_path / "x").read_bytes(), tmp_path / "x")


def test_other_zip_archives_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x", "w") as files:
        files.writestr("a.txt", "text")
    assert "not one of torch.save" in refused((tmp_path / "x").read_bytes(), tmp_path / "x")
    with zipfile.ZipFile(tmp_path / "x", "w") as files:
        files.writestr("a/data.pkl", pickle.dumps(print))
    assert "asks for builtins.print" in refused((tmp_path / "x").read_bytes(), tmp_path / "x")


class Training:
    """A model with dropout, Adam, a schedule and a generator of its own."""

    def __init__(self, jit: bool) -> None:
        self.model = nn.Sequential(
            nn.Linear(6, 16), nn.ReLU(), nn.Dropout(0.4), nn.BatchNorm1d(16), nn.Linear(16, 1)
        )
        self.optimizer = optim.Adam(self.model.parameters(), lr=1e-2, amsgrad=True)
        self.schedule = optim.lr_scheduler.OneCycleLR(self.optimizer, 0.05, total_steps=40)
        self.noise = fg.Generator().manual_seed(9)
        self.step = fg.jit(self._step) if jit else self._step

    def _step(self, x: Any, y: Any) -> Any:
        self.optimizer.zero_grad()
        loss = nn.functional.mse_loss(self.model(x), y)
        loss.backward()
        self.optimizer.step()
        return loss

    def run(self, steps: int) -> list[float]:
        losses = []
        for _ in range(steps):
            x = fg.randn(8, 6, generator=self.noise)
            losses.append(self.step(x, x.sum(1, keepdim=True)).item())
            self.schedule.step()
        return losses

    def state(self) -> Any:
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "noise": self.noise,
            "rng": fg.default_generator.get_state(),
        }

    def resume(self, state: Any) -> None:
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.noise.set_state(state["noise"].get_state())
        fg.default_generator.set_state(state["rng"])


@pytest.mark.parametrize("before", [False, True], ids=["eager", "jit"])
@pytest.mark.parametrize("after", [False, True], ids=["eager", "jit"])
def test_a_resumed_run_is_bitwise_the_same(before: bool, after: bool, tmp_path: Path) -> None:
    fg.manual_seed(0)
    run = Training(before)
    run.run(7)
    fg.save(run.state(), tmp_path / "checkpoint")
    if before != after:  # continue the first one in the other mode too
        run.step = fg.jit(run._step) if after else run._step
    wanted = run.run(6)
    fg.manual_seed(123)
    other = Training(after)
    other.run(2)  # has a state, a trace and programs of its own
    other.resume(fg.load(tmp_path / "checkpoint"))
    assert other.run(6) == wanted
    for a, b in zip(run.model.state_dict().values(), other.model.state_dict().values()):
        assert a.numpy().tobytes() == b.numpy().tobytes()
    states = [r.optimizer.state_dict()["state"] for r in (run, other)]
    for k in states[0]:
        for name in states[0][k]:
            a, b = (np.asarray(s[k][name]) for s in states)
            np.testing.assert_array_equal(a, b)
