"""The command line, the JSON report and the comparison of two reports."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest

from fusegrad.bench.command import main, register
from fusegrad.bench.compare import changes, differences_in_setup
from fusegrad.bench.peers import parse_peers
from fusegrad.bench.results import (
    FAILED,
    ColdResult,
    Report,
    Row,
    WorkloadResult,
    check_report,
    load_report,
)


def make_report(milliseconds: float) -> Report:
    """Return a report of one workload and three peers."""
    steady = [milliseconds * 1e-3 * factor for factor in (0.99, 1.0, 1.0, 1.01)]
    rows = [
        Row("fusegrad", samples=steady, block=10, losses=[1.0, 0.5]),
        Row("torch", samples=[2e-3, 2e-3], block=10),
        Row("jax", status=FAILED, reason="no reason given"),
    ]
    workload = WorkloadResult("mnist_mlp", {"batch": 64}, 1e6, 1e5, 5e-4, rows)
    return Report(
        machine={"cpu": "test", "cores": 2},
        versions={"numpy": "2.0"},
        settings={"threads": 2},
        date="2025-01-01T00:00:00+00:00",
        commit=None,
        workloads=[workload],
        cold=[ColdResult("mnist_mlp", "torch", "none", import_s=1.0, first_step_s=0.1)],
    )


def test_report_survives_json(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    report = make_report(1.0)
    report.save(path)
    assert load_report(path) == report


def test_report_writes_out_medians() -> None:
    row = make_report(1.0).to_dict()["workloads"][0]["rows"][0]
    assert row["median_s"] == pytest.approx(1e-3)
    assert row["min_s"] == pytest.approx(0.99e-3)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("schema", 99, "schema is 99"),
        ("machine", [], "machine has type list"),
        ("workloads", [{"name": "x"}], r"workloads\[0\].sizes is missing"),
    ],
)
def test_broken_report_names_the_field(field: str, value: object, message: str) -> None:
    document = make_report(1.0).to_dict()
    document[field] = value
    with pytest.raises(ValueError, match=message):
        check_report(document)


def test_disturbed_blocks_count_only_when_calm_ones_are_few() -> None:
    calm = Row("torch", samples=[1.0] * 6, disturbed=[9.0] * 4)
    calm.settle()
    assert calm.median == 1.0
    assert calm.reason == ""
    busy = Row("torch", samples=[1.0], disturbed=[5.0, 9.0, 9.0, 12.0])
    busy.settle()
    assert busy.median == 9.0
    assert "4 of 5 blocks" in busy.reason


def test_changes_beyond_the_spread_are_named() -> None:
    found = changes(make_report(1.0), make_report(1.5))
    assert [(one.peer, one.verdict) for one in found] == [("fusegrad", "slower"), ("torch", "same")]
    assert found[0].ratio == pytest.approx(1.5)


def test_setup_differences_are_sentences() -> None:
    old, new = make_report(1.0), make_report(1.0)
    new.settings = {"threads": 1}
    assert differences_in_setup(old, new) == ["threads: 2 -> 1"]


def test_list_shows_workloads_and_peers(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    shown = capsys.readouterr().out
    assert "pointwise_chain" in shown
    assert "torch_compile" in shown


def test_compare_fails_above_the_threshold(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = tmp_path / "old.json", tmp_path / "new.json"
    make_report(1.0).save(old)
    make_report(1.5).save(new)
    assert main(["compare", str(old), str(new)]) == 0
    assert main(["compare", str(old), str(new), "--fail-above", "1.2"]) == 1
    assert main(["compare", str(old), str(tmp_path / "none.json")]) == 2
    assert "slower" in capsys.readouterr().out


def test_unknown_workload_and_peer_are_usage_errors(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "linregg"]) == 2
    assert main(["run", "linreg", "--against", "tensorflow"]) == 2
    assert "try: linreg" in capsys.readouterr().err


def test_register_adds_bench_to_a_parser() -> None:
    parser = argparse.ArgumentParser()
    register(parser.add_subparsers())
    args = parser.parse_args(["bench", "run", "gmm", "--threads", "1"])
    assert args.workloads == ["gmm"]
    assert callable(args.handler)


def test_peers_parse_in_order_without_repeats() -> None:
    assert [peer.name for peer in parse_peers("jax,torch,jax")] == ["jax", "torch"]


@pytest.mark.torch
def test_run_measures_checks_and_writes_json(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    path = tmp_path / "report.json"
    arguments = ["run", "linreg", "--only-peers", "--against", "torch", "--size", "tiny"]
    assert main([*arguments, "--quick", "--rounds", "1", "--no-limit", "--json", str(path)]) == 0
    document = json.loads(path.read_text())
    row = check_report(document).workloads[0].rows[0]
    assert row.status == "ok"
    assert row.median is not None
    assert 0 < row.median < 1
    assert len(row.losses) == 5
    assert document["settings"]["threads"] >= 1
