"""SummaryWriter: what it writes, read by TensorBoard's own reader."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fusegrad as fg
from fusegrad import nn, optim
from fusegrad.errors import FusegradError
from fusegrad.utils.tensorboard import SummaryWriter

pytest.importorskip("tensorboard")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def read(folder: Any) -> Any:
    """All events of a folder."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    reader = EventAccumulator(str(folder), size_guidance=dict.fromkeys(LISTS, 0))
    return reader.Reload()


LISTS = ("scalars", "histograms", "images", "tensors", "graph", "meta_graph")


def test_scalars(tmp_path: Path) -> None:
    with SummaryWriter(tmp_path) as writer:
        for k in range(20):
            writer.add_scalar("loss/train", fg.tensor(1 / (k + 1)), k, walltime=100.0 + k)
        writer.add_scalar("np", np.float64(2.5), fg.tensor(7))
        writer.add_scalar("a tag: with (odd) letters", 3, 1)
        writer.add_scalar("exact", 0.1, 1, double_precision=True)
        writer.add_scalar("new", 0.5, 1, new_style=True)
        assert writer.get_logdir() == str(tmp_path)
    events = read(tmp_path)
    points = events.Scalars("loss/train")
    assert [p.step for p in points] == list(range(20))
    assert [p.wall_time for p in points] == [100.0 + k for k in range(20)]
    assert [p.value for p in points] == pytest.approx([1 / (k + 1) for k in range(20)])
    assert events.Scalars("np")[0].step == 7 and events.Scalars("np")[0].value == 2.5
    assert "a tag_ with _odd_ letters" in events.Tags()["scalars"]
    assert events.Tensors("exact")[0].tensor_proto.double_val[0] == 0.1
    assert events.Tensors("new")[0].tensor_proto.float_val[0] == 0.5


def test_several_curves(tmp_path: Path) -> None:
    with SummaryWriter(tmp_path) as writer:
        for k in range(3):
            writer.add_scalars("a/b", {"sin": k, "cos": fg.tensor(-k)}, k)
    assert [p.value for p in read(tmp_path / "a_b_sin").Scalars("a/b")] == [0, 1, 2]
    assert [p.value for p in read(tmp_path / "a_b_cos").Scalars("a/b")] == [0, -1, -2]


def test_histograms(tmp_path: Path) -> None:
    x = np.concatenate([np.random.default_rng(0).standard_normal(1000), [np.nan, np.inf, 0.0]])
    with SummaryWriter(tmp_path) as writer:
        writer.add_histogram("x", fg.tensor(x), 1)
        writer.add_histogram("x", x, 2, bins="auto")
        writer.add_histogram("x", [1, 2, 2, 3], 3, bins=[0, 1.5, 2.5, 9, 12])
        writer.add_histogram("x", x, 4, max_bins=10)
        writer.add_histogram("x", nn.Parameter(fg.full((2, 3), 5.0)), 5)
    one, two, three, four, five = (e.histogram_value for e in read(tmp_path).Histograms("x"))
    finite = x[np.isfinite(x)]
    for histogram in (one, two, four):
        assert histogram.num == sum(histogram.bucket) == 1001
        assert histogram.min == finite.min() and histogram.max == finite.max()
        assert histogram.sum == pytest.approx(finite.sum())
        assert histogram.sum_squares == pytest.approx((finite**2).sum())
        assert len(histogram.bucket) == len(histogram.bucket_limit)
        below = np.cumsum(histogram.bucket)
        for limit, count in list(zip(histogram.bucket_limit, below))[:-1]:
            assert count == (finite < limit).sum()
    assert three.bucket_limit == [0, 1.5, 2.5, 9] and three.bucket == [0, 1, 2, 1]
    assert len(four.bucket) <= 11 and five.bucket[-1] == 6


def pixels(event: Any) -> np.ndarray:
    Image = pytest.importorskip("PIL.Image")
    return np.asarray(Image.open(io.BytesIO(event.encoded_image_string)))


def test_images(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    colour = rng.integers(0, 256, (3, 5, 7), np.uint8)
    batch = rng.integers(0, 256, (10, 3, 4, 6), np.uint8)
    clear = rng.integers(0, 256, (5, 7, 4), np.uint8)
    floats = np.array([[0, 0.5, 1, 2, -1, np.nan]], np.float32)
    with SummaryWriter(tmp_path) as writer:
        writer.add_image("chw", fg.tensor(colour), 3)
        writer.add_image("hwc", colour.transpose(1, 2, 0), dataformats="HWC")
        writer.add_image("hw", colour[0], dataformats="hw")
        writer.add_image("floats", floats, dataformats="HW")
        writer.add_image("clear", clear, dataformats="HWC")
        writer.add_images("batch", fg.tensor(batch))
        writer.add_images("list", [colour[0] / 255, colour[1] / 255], dataformats="HW")
    events = read(tmp_path)
    hwc = colour.transpose(1, 2, 0)
    event = events.Images("chw")[0]
    assert (event.step, event.height, event.width) == (3, 5, 7)
    np.testing.assert_array_equal(pixels(event), hwc)
    np.testing.assert_array_equal(pixels(events.Images("hwc")[0]), hwc)
    np.testing.assert_array_equal(pixels(events.Images("hw")[0]), colour[0])
    np.testing.assert_array_equal(pixels(events.Images("clear")[0]), clear)
    assert pixels(events.Images("floats")[0]).tolist() == [[0, 127, 255, 255, 0, 0]]
    grid = pixels(events.Images("batch")[0])
    assert grid.shape == (8, 48, 3)
    np.testing.assert_array_equal(grid[4:, 6:12], batch[9].transpose(1, 2, 0))
    assert not grid[4:, 12:].any()
    assert pixels(events.Images("list")[0]).shape == (5, 14)


def test_figures(tmp_path: Path) -> None:
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(2, 1), dpi=50)
    axes.plot([1, 2])
    with SummaryWriter(tmp_path) as writer:
        writer.add_figure("plot", figure, 1)
        writer.add_figure("two", [figure, figure], 1)
    assert not pyplot.get_fignums()
    image = pixels(read(tmp_path).Images("plot")[0])
    assert image.shape == (50, 100, 3) and image.min() < 255
    assert pixels(read(tmp_path).Images("two")[0]).shape == (50, 200, 3)


def test_texts(tmp_path: Path) -> None:
    with SummaryWriter(tmp_path) as writer:
        writer.add_text("note", "**bold** ü", 2)
    events = read(tmp_path)
    (event,) = events.Tensors("note/text_summary")
    assert event.tensor_proto.string_val[0].decode() == "**bold** ü" and event.step == 2
    metadata = events.SummaryMetadata("note/text_summary")
    assert metadata.plugin_data.plugin_name == "text"


def make_step() -> Any:
    model = nn.Linear(3, 2)
    optimizer = optim.SGD(model.parameters(), lr=0.1)

    @fg.jit
    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = ((model(x) - y) ** 2).mean()
        loss.backward()
        optimizer.step()
        return loss

    return model, step


def checked_graph(folder: Path) -> dict[str, Any]:
    """The nodes by name; every input is a node before."""
    nodes: dict[str, Any] = {}
    for node in read(folder).Graph().node:
        assert node.name not in nodes and all(name in nodes for name in node.input)
        nodes[node.name] = node
    return nodes


def test_graph_of_a_step(tmp_path: Path) -> None:
    _, step = make_step()
    step(fg.randn(4, 3), fg.zeros(4, 2))
    with SummaryWriter(tmp_path) as writer:
        writer.add_graph(step)
    nodes = checked_graph(tmp_path)
    assert len(nodes) >= len(step.graph().eqns)
    assert "inputs/x" in nodes and nodes["inputs/x"].op == "Placeholder"
    line = make_step.__code__.co_firstlineno + 7
    forward = [name for name in nodes if name.startswith(f"test_tensorboard.py/step_line_{line}/")]
    backward = [n for n in nodes if n.startswith(f"backward/test_tensorboard.py/step_line_{line}/")]
    assert forward and backward and any(name.startswith("outputs/") for name in nodes)
    node = nodes[forward[0]]
    assert node.attr["source"].s.decode() == "loss = ((model(x) - y) ** 2).mean()"
    shapes = [d.size for d in nodes["inputs/x"].attr["_output_shapes"].list.shape[0].dim]
    assert shapes == [4, 3] and nodes["inputs/x"].attr["dtype"].s == b"float32"


def test_graph_of_a_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, step = make_step()
    with SummaryWriter(tmp_path / "model") as writer:
        writer.add_graph(model, fg.ones(1, 3), verbose=True)
        with pytest.raises(ValueError, match="without inputs"):
            writer.add_graph(model)
        with pytest.raises(ValueError, match="without inputs"):
            writer.add_graph(step)
    assert "graph(" in capsys.readouterr().out
    assert any(node.op == "dot" for node in checked_graph(tmp_path / "model").values())
    with SummaryWriter(tmp_path / "step") as writer:
        writer.add_graph(step, (fg.ones(1, 3), fg.ones(1, 2)))
    assert len(checked_graph(tmp_path / "step")) > 5
    with SummaryWriter(tmp_path / "graph") as writer:
        writer.add_graph(step.graph())
    assert len(checked_graph(tmp_path / "graph")) > 5


def test_hyperparameters(tmp_path: Path) -> None:
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    with SummaryWriter(tmp_path) as writer:
        hparams = {"lr": 0.1, "layers": 3, "name": "adam", "nesterov": True, "x": fg.tensor(2.0)}
        writer.add_hparams(
            hparams, {"accuracy": 0.9}, {"name": ["adam", "sgd"]}, run_name="one", global_step=5
        )
        with pytest.raises(TypeError, match="'sizes' of type list"):
            writer.add_hparams({"sizes": [1, 2]}, {})
    events = read(tmp_path / "one")
    assert events.Scalars("accuracy")[0].value == pytest.approx(0.9)
    assert events.Scalars("accuracy")[0].step == 5
    content = {
        tag: HParamsPluginData.FromString(events.SummaryMetadata(tag).plugin_data.content)
        for tag in events.Tags()["tensors"]
    }
    assert all(events.SummaryMetadata(tag).plugin_data.plugin_name == "hparams" for tag in content)
    start = content["_hparams_/session_start_info"].session_start_info.hparams
    assert start["lr"].number_value == 0.1 and start["layers"].number_value == 3
    assert start["name"].string_value == "adam" and start["nesterov"].bool_value is True
    experiment = content["_hparams_/experiment"].experiment
    assert {info.name for info in experiment.hparam_infos} == set(hparams)


def test_resuming_hides_later_events(tmp_path: Path) -> None:
    with SummaryWriter(tmp_path) as writer:
        for k in range(10):
            writer.add_scalar("x", k, k)
    with SummaryWriter(tmp_path, purge_step=6, filename_suffix=".second") as writer:
        writer.add_scalar("x", 60, 6)
    assert [p.value for p in read(tmp_path).Scalars("x")] == [0, 1, 2, 3, 4, 5, 60]
    assert len(list(tmp_path.glob("events.out.tfevents.*"))) == 2


def test_flush_and_close(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    writer = SummaryWriter(comment="_try")
    assert writer.log_dir.startswith("runs/") and writer.log_dir.endswith("_try")
    writer.add_scalar("x", 1)
    writer.flush()
    assert read(writer.log_dir).Scalars("x")[0].value == 1
    writer.close()
    writer.close()
    writer.flush()
    with pytest.raises(ValueError, match="is closed"):
        writer.add_scalar("x", 1)


MISTAKES = [
    (lambda w: w.add_scalar("x", fg.ones(2)), ValueError, "shape (2,)"),
    (lambda w: w.add_scalar("x", "3"), TypeError, "str"),
    (lambda w: w.add_scalar(3, 3), TypeError, "int"),
    (lambda w: w.add_histogram("x", fg.ones(0)), ValueError, "no values"),
    (lambda w: w.add_histogram("x", np.array([np.nan])), ValueError, "no values"),
    (lambda w: w.add_histogram("x", [5.0], bins=[0, 1]), ValueError, "outside"),
    (lambda w: w.add_image("x", fg.ones(2, 2)), ValueError, "'CHW'"),
    (lambda w: w.add_image("x", fg.ones(2, 2), dataformats="HH"), ValueError, "'HH'"),
    (lambda w: w.add_image("x", fg.ones(2, 2, 2)), ValueError, "2 channels"),
]


@pytest.mark.parametrize(("mistake", "kind", "words"), MISTAKES)
def test_mistakes(mistake: Any, kind: Any, words: str, tmp_path: Path) -> None:
    with SummaryWriter(tmp_path) as writer, pytest.raises(kind) as caught:
        mistake(writer)
    error: Any = caught.value
    assert isinstance(error, FusegradError) and words in error.what and error.why and error.hint


def test_values_inside_a_trace_are_refused(tmp_path: Path) -> None:
    with SummaryWriter(tmp_path) as writer:

        @fg.jit
        def step(x: Any) -> Any:
            writer.add_scalar("x", x.sum())
            return x

        with pytest.raises(RuntimeError, match="add_scalar"):
            step(fg.ones(2))


def test_without_the_package(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['tensorboard'] = None\n"
        "from fusegrad.utils.tensorboard import SummaryWriter\n"
        "try:\n    SummaryWriter('x')\n"
        "except ImportError as error:\n    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(fg.__file__).parent.parent)},
    )
    assert "pip install tensorboard" in done.stdout, done.stderr
    assert not list(tmp_path.iterdir())
