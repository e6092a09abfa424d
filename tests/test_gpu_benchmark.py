"""The GPU benchmark, rehearsed on a CPU at toy sizes: what it writes, leaves out and takes over."""

import json
import os
import subprocess
import sys

import pytest
import torch
from test_mlstm import make_inputs, outputs_and_gradients

pytest.importorskip("triton", reason="Triton is not installed")
from benchmarks.mlstm_peers import LibrarySteps
from radford_lib.kernels import sequence_triton


def kernels(repository, out, *arguments):
    return subprocess.run(
        ["scripts/h200/01-kernels.sh", "--device", "cpu", "--quick", *arguments],
        cwd=repository,
        env={**os.environ, "OUT": str(out), "PYTHON": sys.executable},
        capture_output=True,
        text=True,
    )


def test_the_script_checks_writes_and_goes_on(repository, tmp_path):
    first = kernels(repository, tmp_path, "--only", "check")
    assert first.returncode == 0, first.stdout + first.stderr
    rows = json.loads((tmp_path / "h200_kernels.json").read_text())["rows"]
    checks = {key: row for key, row in rows.items() if key.startswith("check")}
    assert len(checks) == 3
    assert all(row["ok"] and row["bitwise_repeatable"] for row in checks.values())
    table = first.stdout[first.stdout.index("TFLOP/s") :].splitlines()
    assert len(table) == 1 + len(rows)

    again = kernels(repository, tmp_path, "--only", "check,peers", "--limit", "0")
    assert again.returncode == 0, again.stdout + again.stderr
    assert "check lstm T2 B5 H16 bfloat16" in again.stdout
    assert again.stdout.count("left out: no time") == 7
    kept = json.loads((tmp_path / "h200_kernels.json").read_text())["rows"]
    assert all(kept[key] == row for key, row in checks.items())


def test_the_dcgan_is_among_the_jobs(repository, tmp_path):
    done = kernels(repository, tmp_path, "--only", "dcgan")
    assert done.returncode == 0, done.stdout + done.stderr
    rows = json.loads((tmp_path / "h200_kernels.json").read_text())["rows"]
    assert list(rows) == ["dcgan svhn32 4", "dcgan batch norm"]
    assert all(row["rows"] for row in rows.values())
    assert "1.00 x ours" in done.stdout


def test_unknown_jobs_are_named(repository, tmp_path):
    done = kernels(repository, tmp_path, "--only", "speed")
    assert done.returncode == 2
    assert "unknown job speed: choose from check, mlstm, tune, peers, dcgan" in done.stdout


def test_the_peer_without_our_kernels_computes_the_same(monkeypatch):
    bytes_, tensors = make_inputs("mlstm", 5, 3, 12)
    expected = outputs_and_gradients("mlstm", bytes_, tensors, None, "reference")
    monkeypatch.setattr(sequence_triton, "_Steps", LibrarySteps)
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    found = outputs_and_gradients("mlstm", bytes_, tensors, None, "triton")
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
