"""step.explain() and its parts, kernels under CPython and compiled, memory, debug aids, dumps."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pytest

import fusegrad as fg
from fusegrad import debug, nn, optim
from fusegrad.debug import assert_max_compiles, check_nan
from fusegrad.ir.primitive import REGISTRY, Primitive
from fusegrad.ir.text import parse_graph, print_graph
from fusegrad.traced import hooks

FACTOR = 0.5


def make_step(**options):
    """A small classifier, its jitted training step and a batch."""
    fg.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    loss_fn = nn.CrossEntropyLoss()

    @fg.jit(**options)
    def step(x, y, weight=1.0):
        optimizer.zero_grad()
        loss = loss_fn(model(x), y) * FACTOR * weight
        loss.backward()
        optimizer.step()
        return loss

    return step, fg.randn(16, 6), fg.randint(0, 3, (16,))


@pytest.fixture(scope="module")
def traced():
    """A step that was called with two batch sizes."""
    step, x, y = make_step()
    step(x, y)
    step(fg.randn(5, 6), fg.randint(0, 3, (5,)))
    return step


# --- the report -----------------------------------------------------------------------------------
def test_report_sections(traced):
    text = str(traced.explain())
    for heading in (
        "Signature",
        "Traces",
        "Captured graph",
        "forward",
        "backward",
        "update",
        "Kernels",
        "Memory",
        "Compile time",
        "Constants baked in at capture",
    ):
        assert heading in text
    assert "x: f32[5,6]" in text
    assert "1. first call" in text
    assert "2. x changed from f32[16,6] to f32[5,6]" in text
    assert "test_explain.py:" in text and "(backward)" in text
    assert "joins: it uses a value computed there." in text
    assert "global FACTOR = 0.5" in text
    assert "keep_grads=True" in text


def test_report_is_the_same_from_the_function(traced):
    assert str(fg.explain(traced)) == str(traced.explain())
    with pytest.raises(TypeError, match="Only functions under"):
        fg.explain(len)


def test_to_dict_is_json(traced):
    found = json.loads(json.dumps(traced.explain().to_dict()))
    assert found["name"] == "step" and len(found["traces"]) == 2
    assert found["flops"] > 0 and found["bytes"] > 0
    assert found["memory"]["peak"] == traced.memory.peak
    assert {"capture", "passes", "schedule", "codegen", "numba", "LLVM", "load"} <= set(
        found["seconds"]
    )
    assert sum(found["cache"].values()) == len(found["kernels"])
    assert all(k["reasons"] is not None and k["lines"] for k in found["kernels"])


def test_summary_is_short(traced):
    assert len(traced.explain().summary().splitlines()) <= 14


def test_before_the_first_call():
    step, _, _ = make_step()
    assert "not traced yet" in str(step.explain())
    assert step.explain().to_dict() == {"name": "step", "traces": []}
    with pytest.raises(ValueError, match="has not been traced yet"):
        step.graph()


def test_run_time_float_and_static_arguments():
    @fg.jit
    def scaled(x, factor, times, *, keys):
        return x * factor * times + keys["bias"]

    scaled(fg.ones(2), 0.5, 3, keys={"bias": fg.ones(2)})
    lines = scaled.explain().signature()
    assert lines == [
        "x: f32[2]",
        "factor: float (run-time value)",
        "times: 3 (part of the signature)",
        "keys['bias']: f32[2]",
    ]


@pytest.fixture
def sorting() -> Iterator[Primitive]:
    """A primitive that has a NumPy reference and nothing else."""
    primitive = Primitive(
        name="sorted_for_test",
        kind="host",
        arg_names=("x",),
        aval_rule=lambda x: x,
        reference=lambda x: np.sort(x, axis=-1),
        derivs=(None,),
    )
    yield primitive
    del REGISTRY[primitive.name]


def test_host_kernels_are_flagged(sorting):
    table = fg.randn(5, 3)
    ranked = fg.jit(lambda i: sorting(fg.index_select(table, 0, i) * 2) + 1)
    index = fg.tensor([0, 2, 2])
    expected = np.sort(table.numpy()[[0, 2, 2]] * 2) + 1
    np.testing.assert_allclose(ranked(index).numpy(), expected, rtol=1e-6)
    assert [k.host for k in ranked.kernels()] == [False, True, False]
    for kernel in ranked.kernels():
        line = next(
            x for x in str(ranked.explain()).splitlines() if f"{kernel.number}. {kernel.name}" in x
        )
        assert ("HOST (NumPy)" in line) == kernel.host
        if kernel.host:
            assert "no native lowering" in kernel.reasons[-1]
            assert "NumPy reference of sorted_for_test" in kernel.source
            with pytest.raises(ValueError, match="NumPy reference"):
                kernel.run_plain({})


def test_compile_does_not_run():
    step, x, y = make_step()
    assert step.compile(x, y) is step
    assert len(step.history) == 1 and step.cache_info().calls == 0
    eager, _, _ = make_step()
    assert step(x, y).item() == pytest.approx(eager.__wrapped__(x, y).item(), rel=1e-5)
    assert len(step.history) == 1


# --- graphs ---------------------------------------------------------------------------------------
def test_graphs_print_and_parse(traced):
    for graph in (traced.graph(), traced.graph(optimised=True), traced.backward_graph()):
        text = print_graph(graph, sites=False)
        assert print_graph(parse_graph(text), sites=False) == text


def test_backward_graph_holds_the_backward_equations(traced):
    captured, backward = traced.graph(), traced.backward_graph()
    assert list(backward.eqns) == [e for e in captured.eqns if e.backward]
    assert 0 < len(backward.eqns) < len(captured.eqns)
    assert backward.outputs


# --- kernels --------------------------------------------------------------------------------------
def programs():
    """Jitted functions with kernels of every kind."""

    def train():
        step, x, y = make_step()
        step(x, y)
        return step

    def rows():
        @fg.jit
        def f(x):
            return fg.softmax(x, 1), x.sum(0), x.mean()

        f(fg.randn(7, 33))
        return f

    def mask():
        @fg.jit
        def f(x, m):
            return fg.where(m > 0, x.exp(), x.sin()).transpose(0, 1) + 1, (x > 0).any(1)

        f(fg.randn(9, 17), fg.randint(0, 2, (9, 17)))
        return f

    def batched():
        @fg.jit
        def f(a, b):
            return (a @ b).tanh().sum((1, 2))

        f(fg.randn(3, 5, 6), fg.randn(3, 6, 4))
        return f

    return [train, rows, mask, batched]


@pytest.mark.parametrize("make", programs(), ids=lambda f: f.__name__)
@pytest.mark.parametrize("threads", [1, 2])
def test_kernel_text_runs_under_cpython(make, threads):
    for kernel in make().kernels():
        inputs = kernel.random_inputs(seed=kernel.number)
        parts = min(threads, kernel.threads)
        plain, native = kernel.run_plain(inputs, parts), kernel.run_compiled(inputs, parts)
        assert plain.keys() == native.keys() == inputs.keys()
        for name, expected in native.items():
            np.testing.assert_allclose(
                plain[name], expected, rtol=3e-5, atol=1e-5, err_msg=f"{kernel.name} {name}"
            )
        assert any(not np.array_equal(native[n], inputs[n].ravel()) for n in inputs)


def test_kernel_comments_change_nothing(traced):
    for kernel in traced.kernels():
        code = [line for line in kernel.source.splitlines() if not line.strip().startswith("#")]
        stripped = [line.partition("  # ")[0] for line in code]
        assert "\n".join(stripped) == kernel.canonical.rstrip("\n")
        assert kernel.source.startswith(str(kernel)) and "test_explain.py" in kernel.source


def test_kernels_name_buffers(traced):
    names = {a.what for k in traced.kernels() for a in k.buffers()}
    assert "weight" in names and "bias" in names


def test_run_plain_checks_arrays(traced):
    kernel = traced.kernels()[0]
    inputs = kernel.random_inputs()
    name = next(iter(inputs))
    with pytest.raises(ValueError, match="Every buffer of a kernel needs memory"):
        kernel.run_plain({k: v for k, v in inputs.items() if k != name})
    with pytest.raises(ValueError, match="number of elements"):
        kernel.run_plain(inputs | {name: np.zeros(1, "f4")})


# --- memory ---------------------------------------------------------------------------------------
def test_memory_counts_what_is_there():
    step, x, y = make_step(keep_grads=True)
    step.compile(x, y)
    memory = step.memory
    parameters = 6 * 8 + 8 + 8 * 3 + 3
    assert memory.state >= parameters * 4
    assert memory.outputs >= parameters * 4 + 4  # the gradients and the loss
    assert memory.arguments == x.numel() * 4 + y.numel() * 8
    assert memory.peak == memory.arena + memory.state + memory.constants + memory.outputs
    assert memory.arena <= memory.temporaries + 64 * len(memory.buffers)
    assert [b.nbytes for b in memory.top()] == sorted(
        (b.nbytes for b in memory.buffers), reverse=True
    )[:10]
    assert "peak" in str(memory)


def test_temporaries_carry_the_users_line():
    @fg.jit
    def f(a, b):
        return ((a @ b).softmax(1) @ b).sum()

    f(fg.randn(20, 20), fg.randn(20, 20))
    temporaries = [b for b in f.memory.buffers if b.kind == "temporary"]
    assert temporaries and all("test_explain.py" in b.where for b in temporaries)


# --- cache ----------------------------------------------------------------------------------------
def test_cache_info(traced):
    found = traced.cache_info()
    assert found.traces == 2 and found.calls == 2
    assert found.kernels == found.compiled + found.disk_hits + found.memory_hits
    assert found.disk.limit > 0


# --- debug aids -----------------------------------------------------------------------------------
def test_assert_max_compiles(traced):
    assert_max_compiles(traced, 2)
    with pytest.raises(AssertionError, match=r"2 times, at most 1(.|\n)*f32\[5,6\]"):
        assert_max_compiles(traced, 1)
    step, x, y = make_step()
    with pytest.raises(AssertionError, match="first call"):
        with assert_max_compiles(step, 0):
            step(x, y)
    with pytest.raises(TypeError, match="Only functions under"):
        assert_max_compiles(print, 1)


def test_check_nan_names_the_line():
    @fg.jit
    def f(x):
        shifted = x - 1
        return (shifted.log() * 0).sum()

    assert check_nan(f, fg.full((3,), 2.0)) is None
    finding = check_nan(f, fg.tensor([3.0, 1.0]))
    assert (finding.what, finding.primitive, finding.index) == ("inf", "log", (1,))
    assert finding.operands == (0.0,) and "shifted.log()" in str(finding)
    assert check_nan(f, fg.tensor([3.0, 0.0])).what == "nan"
    assert check_nan(f, fg.tensor([float("nan")])).primitive.startswith("input")


def test_check_nan_in_the_backward_pass():
    w = fg.tensor([0.0, 4.0], requires_grad=True)

    @fg.jit
    def f():
        (g,) = fg.autograd.grad(w.sqrt().sum(), w)
        return g

    assert "(backward)" in check_nan(f).where


def test_check_nan_passes_masks_over():
    @fg.jit
    def f(x):
        return fg.where(x > 0, x, -float("inf")).softmax(0)

    assert check_nan(f, fg.tensor([1.0, -1.0, 2.0])) is None


def test_check_nan_changes_nothing():
    step, x, y = make_step()
    twin, _, _ = make_step()
    assert check_nan(step, x, y) is None
    assert step(x, y).item() == twin(x, y).item()


# --- dumps and printing ---------------------------------------------------------------------------
def test_dump_files_run_alone(tmp_path):
    step, x, y = make_step()
    step(x, y)
    (folder,) = debug.dump(step, tmp_path)
    names = sorted(p.name for p in folder.iterdir())
    assert names[:4] == ["01_captured.txt", "02_optimised.txt", "03_fusion.txt", "04_memory.txt"]
    kernels = sorted(folder.glob("05_kernel_*.py"))
    assert len(kernels) == len(step.kernels())
    parse_graph((folder / "01_captured.txt").read_text())
    done = subprocess.run([sys.executable, str(kernels[0])], capture_output=True, text=True)
    assert done.returncode == 0 and "p0 [" in done.stdout, done.stderr


def test_dumps_are_the_same_every_time(tmp_path):
    folders = []
    for _ in range(2):
        step, x, y = make_step()
        step(x, y)
        folders += debug.dump(step, tmp_path)
    assert [f.name for f in folders] == ["001_step", "002_step"]
    for path in folders[0].iterdir():
        if path.name != "06_report.txt":  # it has times
            assert path.read_text() == (folders[1] / path.name).read_text()


def test_environment_switches(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("FUSEGRAD_DUMP", str(tmp_path))
    monkeypatch.setenv("FUSEGRAD_DEBUG", "trace,ir,fusion,kernels,cache,time")
    step, x, y = make_step()
    step(x, y)
    text = capsys.readouterr().err
    assert "traced step(x: f32[16,6], y: i64[16]" in text and "first call" in text
    assert "captured graph(" in text and "optimised graph(" in text
    assert "joins:" in text and "def dot" in text and "from disk" in text and "capture" in text
    assert (tmp_path / "001_step" / "01_captured.txt").exists()


def test_debug_prints_nothing_by_default(capsys):
    step, x, y = make_step()
    step(x, y)
    assert "traced" not in capsys.readouterr().err


def test_hook_sees_every_trace(traced):
    seen = []
    hooks.append(seen.append)
    try:
        step, x, y = make_step()
        step(x, y)
        step(x, y)
    finally:
        hooks.remove(seen.append)
    assert seen == step.history


def test_reasons_name_launches():
    """A sentence about another kernel gives the number that the list of kernels shows."""
    step, x, y = make_step()
    step(x, y)
    kernels = step.kernels()
    named = [int(n) for k in kernels for r in k.reasons for n in re.findall(r"kernel (\d+)", r)]
    assert named and set(named) <= {k.number for k in kernels}


def test_the_first_cotangent_is_backward_code():
    step, x, y = make_step()
    step(x, y)
    ones = [e for e in step.history[0].captured.eqns if e.primitive.name == "full" and e.backward]
    assert any(e.params == {"shape": (), "dtype": fg.float32, "value": 1} for e in ones)
