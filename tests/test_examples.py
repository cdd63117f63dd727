"""Every example runs: at tiny size here, and what its header prints is what it prints."""

import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parent.parent / "examples"
NUMBER = re.compile(r"-?\d+\.?\d*(?:e[+-]?\d+)?")


def load(name):
    return runpy.run_path(str(FOLDER / f"{name}.py"), run_name="example")


def header(name):
    """The output block in the docstring of an example."""
    text = load(name)["__doc__"].partition(f"Printed by python examples/{name}.py:")[2]
    return [line.strip() for line in text.strip().splitlines()]


def test_every_example_is_tested():
    here = Path(__file__).read_text()
    for path in FOLDER.glob("*.py"):
        assert f'"{path.stem}"' in here
        longer = {
            "digits": 105,
            "ode_fit": 100,
            "reinforce": 100,
            "vae": 90,
            "cifar_cnn": 88,
            "gpt": 85,
        }
        most = longer.get(path.stem, 80)
        assert len(path.read_text().splitlines()) <= most


@pytest.mark.parametrize(
    "name, tolerance",
    [
        ("autograd_basics", 0),
        ("linear_regression", 1e-4),
        ("custom_loss_function", 0.02),
        ("gaussian_process", 0.01),
        ("tabular_regression", 0.01),
    ],
)
def test_header_is_what_is_printed(name, tolerance, capsys):
    load(name)["main"]()
    printed = [line.strip() for line in capsys.readouterr().out.strip().splitlines()]
    expected = header(name)
    assert [NUMBER.sub("#", line) for line in printed] == [
        NUMBER.sub("#", line) for line in expected
    ]
    for line, wanted in zip(printed, expected):
        if wanted.startswith("one step:"):  # times: the jitted step is the faster one
            eager, jitted = map(float, NUMBER.findall(line))
            assert jitted < eager
            continue
        found, numbers = NUMBER.findall(line), NUMBER.findall(wanted)
        assert list(map(float, found)) == pytest.approx(
            list(map(float, numbers)), rel=tolerance, abs=1e-9 + 1e-12 * bool(tolerance)
        )


def test_linear_regression_is_exact():
    found, exact = load("linear_regression")["main"](500)
    assert found == pytest.approx(exact, abs=1e-4)


def test_custom_loss_is_robust():
    slope, intercept, step = load("custom_loss_function")["main"]()
    assert slope == pytest.approx(3, abs=0.1) and intercept == pytest.approx(1, abs=0.1)
    assert len(step.history) == 1


def test_tabular_regression_at_a_small_size(capsys):
    loss, network, linear = load("tabular_regression")["main"](3)
    assert loss < 1 and network < 1.2 * linear


def test_tabular_regression_is_as_good_as_linear_regression(capsys):
    loss, network, linear = load("tabular_regression")["main"]()
    assert loss < 0.43 and network < 1.01 * linear


def test_heat_equation():
    error, step = load("pinn_heat")["main"](300, 64)
    assert error < 0.1 and len(step.history) == 1


def same_lines(name, capsys):
    """The lines printed are those of the header but for their numbers."""
    printed = capsys.readouterr().out.strip().splitlines()
    masked = [[NUMBER.sub("#", x.strip()) for x in lines] for lines in (printed, header(name))]
    assert [x.split() for x in masked[0]] == [x.split() for x in masked[1]]


def test_heat_equation_prints_its_header(capsys):
    load("pinn_heat")["main"](30, 16)
    same_lines("pinn_heat", capsys)


def test_vae_compresses_digits(capsys):
    pytest.importorskip("sklearn")
    bound, error, step = load("vae")["main"](15)
    assert bound < 25.5 and error < 0.055 and len(step.history) == 1
    same_lines("vae", capsys)


def test_gan_finds_the_modes(capsys):
    good, found, step = load("gan")["main"](3000)
    assert good > 0.7 and found == 8 and len(step.history) == 1
    same_lines("gan", capsys)


def test_ode_parameters_lie_within_their_error_bars(capsys):
    module = load("ode_fit")
    found, bars, step = module["main"](1500)
    assert (abs(found - module["TRUE"].numpy()) < 2 * bars).all() and (bars < 0.05).all()
    assert len(step.history) == 1
    same_lines("ode_fit", capsys)


def test_gaussian_process_finds_the_noise():
    noise, inside, step = load("gaussian_process")["main"](200)
    assert abs(noise - 0.1) < 0.02 and inside > 0.9 and len(step.history) == 1


def test_reinforce_balances_the_pole(capsys):
    reached, step = load("reinforce")["main"](60)
    assert reached > 150 and len(step.history) == 1
    same_lines("reinforce", capsys)


def test_gpt(capsys):
    """A small one: the loss falls, the text has the letters asked for, one trace for all steps."""
    loss, step = load("gpt")["main"](60, 32, 1, 8, 40)
    assert loss < 3.4 and len(step.history) == 1  # the logarithm of the alphabet is 4.6
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines[:3]] == [["step", str(k)] for k in (20, 40, 60)]
    assert 20 <= len(" ".join(lines[3:-1])) <= 40  # runs of spaces are one
    assert lines[-1].startswith("one step: eager")
    assert header("gpt")[0].startswith("step 300  loss")


def test_digits():
    """ "digits" in its quick form, as a user starts it."""
    pytest.importorskip("sklearn")
    done = subprocess.run(
        [sys.executable, str(FOLDER / "digits.py"), "--quick"],
        capture_output=True,
        text=True,
        env=dict(os.environ),
    )
    assert done.returncode == 0, done.stderr
    assert "test accuracy" in done.stdout and "one step: jit" in done.stdout
    assert "step: 1 trace" in done.stdout and "def dot" in done.stdout


def test_digits_reaches_97_percent():
    pytest.importorskip("sklearn")
    module = load("digits")
    module["fg"].manual_seed(0)
    step, accuracy, _ = module["train"](30)
    assert accuracy >= 0.97 and len(step.history) == 1


def test_lstm_sequence(capsys):
    pytest.importorskip("sklearn")
    accuracy, step = load("lstm_sequence")["main"](6)
    assert accuracy > 0.8 and len(step.history) == 1
    assert any(line.startswith("epoch 25") for line in header("lstm_sequence"))


def test_cifar_cnn(tmp_path, capsys):
    pytest.importorskip("sklearn")
    pytest.importorskip("tensorboard")
    accuracy, step = load("cifar_cnn")["main"](2, 500, tmp_path)
    assert accuracy > 0.15 and len(step.history) == 1
    assert any(tmp_path.rglob("events.out.tfevents*"))
    assert header("cifar_cnn")[0].startswith("epoch 2")
