"""``radford bench``: its tables and files, what rows of probes and readers say, what it refuses."""

import json
import shutil
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner, Result

from benchmarks import data, probe
from benchmarks.table import as_table
from radford_lib.cli import main


def bench(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["bench", *arguments])


def pretend(monkeypatch: pytest.MonkeyPatch, **functions: object) -> None:
    """A benchmark of ready rows in the place of the data's."""
    rows = [{"what": "nothing", "per_second": 1.0}]
    module = {"run": lambda device, quick: rows, "as_text": lambda rows: f"{len(rows)} rows"}
    monkeypatch.setitem(sys.modules, "benchmarks.data", SimpleNamespace(**module | functions))


@pytest.fixture
def checkout(tmp_path, monkeypatch, repository):
    """A folder that looks like the repository, and is the book's."""
    (tmp_path / "chapters").mkdir()
    (tmp_path / "benchmarks").mkdir()
    shutil.copy(repository / "_toc.yml", tmp_path)
    shutil.copy(repository / "benchmarks" / "record.py", tmp_path / "benchmarks")
    monkeypatch.setenv("RADFORD_BOOK", str(tmp_path))
    monkeypatch.setattr(sys, "path", list(sys.path))
    return tmp_path


def test_probes_are_compared_with_the_papers_solvers(tmp_path):
    out = tmp_path / "new folder" / "probe.json"
    done = bench("probe", "--device", "cpu", "--quick", "--out", str(out))
    assert done.exit_code == 0, done.output
    assert "L2-SVM, 400 x 64 float32, 4 classes, 2 C" in done.output
    kept = json.loads(out.read_text())
    assert kept["kind"] == "probe"
    origin = kept["provenance"]
    assert origin["quick"] is True
    assert {"commit", "dirty", "processor", "cores", "threads", "date", "seed"} < set(origin)
    rows = {(row["task"], row["solver"]): row for row in kept["rows"]}
    assert len(rows) == 5
    for (_, solver), row in rows.items():
        assert row["seconds"] > 0
        if solver == "ours":
            assert row["objective_excess"] < 1e-4
            assert row["gflops"] > 0
        if solver in ("LinearSVC", "liblinear"):
            assert row["agreement"] >= 0.999


def test_reading_is_compared_with_plain_readers(monkeypatch, tmp_path):
    done = bench("data", "--device", "cpu", "--quick")
    assert done.exit_code == 0, done.output
    assert "kept in" not in done.output
    for reader in ("ours", "DataLoader, PNG files", "memory map, random"):
        assert reader in done.output


def test_readers_give_the_same_images(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), np.uint8)
    files, arrays = data.Files(images, tmp_path), data.Arrays(images)
    for i in range(5):
        np.testing.assert_array_equal(files[i], arrays[i])
    assert arrays[0].shape == (3, 8, 8)
    assert float(arrays[0].abs().max()) <= 1


def test_objectives_are_those_of_the_solvers():
    for case in probe.CASES_QUICK:
        made = probe.make_data(case)
        weights = np.zeros((len(case.grid), 4 if case.classes > 2 else 1, case.features + 1))
        each = 1.0 if case.task == "L2-SVM" else np.log(2)  # the loss of a margin of zero
        expected = np.array(case.grid)[:, None] * case.examples * each
        found = probe.objectives(case, made, weights)
        np.testing.assert_allclose(found, np.broadcast_to(expected, found.shape))


def test_rows_are_kept_under_the_devices_name(checkout, monkeypatch):
    pretend(monkeypatch)
    done = bench("data", "--device", "cpu")
    assert done.exit_code == 0, done.output
    path = checkout / "benchmarks" / "results" / "data-cpu.json"
    assert json.loads(path.read_text())["rows"] == [{"what": "nothing", "per_second": 1.0}]
    assert done.output == f"1 rows\nkept in {path}\n"


def test_a_run_that_breaks_off_leaves_nothing(checkout, monkeypatch):
    def broken(device, quick):
        raise MemoryError

    pretend(monkeypatch, run=broken)
    assert bench("data", "--device", "cpu").exit_code != 0
    assert list((checkout / "benchmarks" / "results").iterdir()) == []


def test_a_row_that_failed_is_kept_and_said(checkout, monkeypatch):
    pretend(monkeypatch, run=lambda device, quick: [{"what": "a", "error": "too large"}, {}])
    done = bench("data", "--device", "cpu")
    assert done.exit_code == 1
    assert "1 of 2 rows failed: too large" in done.output
    assert (checkout / "benchmarks" / "results" / "data-cpu.json").exists()


def test_outside_a_checkout_it_says_so(checkout):
    (checkout / "benchmarks" / "record.py").unlink()
    done = bench("data")
    assert done.exit_code == 1
    assert done.output == (
        f"Error: no benchmarks in {checkout}: run inside a checkout of the repository\n"
    )


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["speed"], 2, "'speed' is not one of 'mlstm', 'dcgan', 'probe', 'data'"),
        (["--out", "rows.json"], 2, "--out needs the one benchmark it is meant for"),
        (["data", "probe", "--out", "rows.json"], 2, "--out needs the one benchmark"),
        (["data", "--device", "tpu"], 2, "'tpu' is not one of 'cpu', 'cuda'"),
        (["data", "--out", "."], 2, "--out . is a folder: name a file in it"),
        (["data", "--device", "cuda"], 1, "no CUDA device here: run with --device cpu"),
    ],
)
def test_bad_calls_get_one_line(monkeypatch, arguments, code, message):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    done = bench(*arguments)
    assert done.exit_code == code
    assert message in done.output


def test_a_folder_that_cannot_be_written_is_found_before_anything_is_measured(
    checkout, monkeypatch
):
    measured = []
    pretend(monkeypatch, run=lambda device, quick: measured.append(device))
    (checkout / "benchmarks" / "results").write_text("a file in the way")
    done = bench("data", "--device", "cpu")
    assert done.exit_code == 1
    assert "cannot write" in done.output
    assert not measured


def test_a_table_leaves_out_what_no_row_has():
    rows = [{"a": 1.0, "note": "slow"}, {"a": 20.0, "b": 3}]
    lines = as_table(rows, {"a": "{:.1f}", "b": "{}", "c": "{}"})
    assert lines == ["   a  b", " 1.0  -  slow", "20.0  3"]
