"""The scripts for a lent GPU, rehearsed on a CPU at toy size: files out, resuming, importing."""

import json
import os
import shutil
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from radford_lib import cli, weights
from radford_lib.book import provenance
from radford_lib.book.imports import import_folder
from radford_lib.book.layout import Book
from radford_lib.book.results import load_recorded
from radford_lib.errors import DivergedError, RadfordError, UsageError
from radford_lib.experiments import carry, dcgan, guidelines, mlstm
from radford_lib.experiments.nearest_label import NearestLabel
from radford_lib.experiments.session import Session, main, too_much
from radford_lib.models.dcgan import Discriminator, Generator
from radford_lib.models.language_model import ByteLanguageModel
from radford_lib.probes.neighbours import nearest
from radford_lib.weights.shards import read_shards

MLSTM = ("--bytes", "12800")
DCGAN = ("--updates", "4")
GUIDELINES = ("--nets", "paper,pooling", "--seeds", "1")


def script(repository, folder, name, *arguments):
    """Run one script as a user would; what it printed and the JSON it wrote."""
    done = subprocess.run(
        [f"scripts/h200/{name}.sh", "--device", "cpu", "--quick", "--work", str(folder / "work"),
         *arguments],
        cwd=repository, env={**os.environ, "OUT": str(folder / "out"), "PYTHON": sys.executable},
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    (written,) = (folder / "out").glob("*.json")
    return SimpleNamespace(
        folder=folder, out=folder / "out", printed=done.stdout, json=json.loads(written.read_text())
    )


def call(module, folder, *arguments):
    """The same command in this process."""
    argv = ["--device", "cpu", "--quick", "--work", str(folder / "work"),
            "--out", str(folder / "out"), *arguments]  # fmt: skip
    return main(lambda: module.build(argv))


@pytest.fixture(scope="module")
def read(repository, tmp_path_factory):
    return script(repository, tmp_path_factory.mktemp("read"), "02-mlstm", *MLSTM)


@pytest.fixture(scope="module")
def drawn(repository, tmp_path_factory):
    return script(repository, tmp_path_factory.mktemp("drawn"), "03-dcgan", *DCGAN)


@pytest.fixture(scope="module")
def ablated(repository, tmp_path_factory):
    return script(repository, tmp_path_factory.mktemp("ablated"), "04-guidelines", *GUIDELINES)


def keys(run, chapter):
    return {key.partition(".")[2] for key in run.json["records"][chapter]["results"]}


def table(run):
    """The last lines printed: one for each stage, in the order of the record."""
    return run.printed.strip().splitlines()[-len(run.json["stages"]) :]


# --- what each script writes -------------------------------------------------------------------


def test_the_language_model_is_scored_on_its_way(read):
    (curve,) = read.json["records"]["sentiment_neuron/h2048-with"]["curves"].values()
    assert [row["bytes"] for row in curve] == [0, 4096, 12032, 12800]
    assert curve[0]["valid_bits_per_byte"] > curve[-1]["valid_bits_per_byte"]
    scores = ("accuracy", "unit_accuracy", "second_accuracy", "second_unit_accuracy")
    assert all(0 <= row[score] <= 1 for row in curve for score in scores)
    found = keys(read, "sentiment_neuron/sentiment_unit")
    assert {"bits_per_byte", "accuracy", "untrained", "unit_accuracy", "train_texts"} <= found
    rows = [json.loads(line) for line in (read.out / "02-mlstm-h2048-with.jsonl").open()]
    assert {row["run"] for row in rows} == {"h2048-with", "h2048-with training"}


def test_features_come_back_of_the_strongest_units(read):
    tensors = read_shards(read.out, read.json["features"], "")
    units, weight = tensors["units"], read.json["weights"]["mlstm-2048"]
    assert len(units) == weight["architecture"]["hidden"] == 32
    assert tensors["reviews.train"].shape == (120, 32)
    assert tensors["reviews.train"].dtype == torch.float16
    assert tensors["second.reviews.test.labels"].unique().tolist() == [0, 1]


def test_the_dcgan_is_scored_as_the_chapters_do(drawn):
    transfer = keys(drawn, "dcgan/representations")
    assert {"accuracy_trained", "accuracy_random", "accuracy_pixels", "gain", "gain_narrow",
            "accuracy_trained_2", "narrow_pixels_1_labels"} <= transfer  # fmt: skip
    assert {"kid", "kid_floor", "closer_share"} <= keys(drawn, "dcgan/training")
    assert {"error_real", "error_40", "error_200"} <= keys(drawn, "dcgan/distribution")
    assert set(drawn.json["weights"]) == {
        "dcgan-imagenet32", "dcgan-imagenet32-discriminator", "dcgan-celeba64", "dcgan-mnist28",
    }  # fmt: skip


def test_every_guideline_that_was_asked_for_has_its_numbers(ablated):
    found = keys(ablated, "dcgan/guidelines")
    assert {"kid_floor", "kid_paper", "kid_pooling", "failed_paper", "accuracy_pooling"} <= found
    assert set(ablated.json["values"]) == {"paper 0", "pooling 0"}


@pytest.mark.parametrize("name", ["read", "drawn", "ablated"])
def test_a_script_hands_back_few_files_whole_records_and_a_table_last(name, request):
    run = request.getfixturevalue(name)
    assert not too_much(run.out)
    assert sum(path.suffix == ".log" for path in run.out.iterdir()) == 1
    for line, (stage, about) in zip(table(run), run.json["stages"].items(), strict=True):
        assert line == f"{stage:32s} {about['line']}"
    for record in run.json["records"].values():
        about = record["provenance"]
        assert about["device"] == run.json["card"]
        assert about["parameters"]["seed"] == about["seed"] == 0
        assert about["data"]
        assert all(one["toy"] for one in about["data"])
        assert about["seconds"] > 0
        assert len(about["library_sha256"]) == 64


# --- going on ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "module", "arguments"),
    [("read", mlstm, MLSTM), ("drawn", dcgan, DCGAN), ("ablated", guidelines, GUIDELINES)],
)
def test_a_second_call_does_nothing_again(name, module, arguments, request, capsys):
    run = request.getfixturevalue(name)
    shutil.rmtree(run.out)  # a lent machine empties it between calls
    assert call(module, run.folder, *arguments) == 0
    lines = capsys.readouterr().out.strip().splitlines()
    assert lines[1:] == table(run)
    (written,) = run.out.glob("*.json")
    again = json.loads(written.read_text())
    assert again["stages"] == run.json["stages"]
    assert {path.name for path in run.out.iterdir()} >= {
        shard["file"] for card in again["weights"].values() for shard in card["shards"]
    }


def test_training_that_is_cut_off_goes_on(read, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(Session, "deadline", lambda *_, **__: time.perf_counter())
    assert call(mlstm, tmp_path, *MLSTM) == 0
    said = capsys.readouterr().out
    assert "unfinished: 0.0 of 0.0 MB read; call again" in said
    assert "left out: no time" in said
    monkeypatch.undo()
    assert call(mlstm, tmp_path, *MLSTM) == 0
    assert "unfinished" not in capsys.readouterr().out
    found = json.loads((tmp_path / "out" / "02-mlstm-h2048-with.json").read_text())
    curves = [
        run["records"]["sentiment_neuron/h2048-with"]["curves"]["h2048-with"]
        for run in (found, read.json)
    ]
    for row, whole in zip(*curves, strict=True):
        assert row == pytest.approx(whole, rel=1e-4)


def test_nothing_is_begun_without_time(tmp_path, capsys):
    assert call(guidelines, tmp_path, *GUIDELINES, "--limit", "0") == 0
    assert capsys.readouterr().out.count("left out: no time") == 3


def test_runs_of_another_machine_are_taken_over_by_their_record(ablated, tmp_path, capsys):
    record = tmp_path / "earlier" / "04-guidelines.json"
    shutil.copytree(ablated.folder / "work" / "04-guidelines-quick" / "files", record.parent)
    arguments = (*GUIDELINES, "--limit", "0", "--resume", str(record))
    assert call(guidelines, tmp_path, *arguments) == 0
    assert "left out" not in capsys.readouterr().out
    assert call(guidelines, tmp_path, *arguments, "--epochs", "2") == 0
    assert "not taken over" in capsys.readouterr().out


def test_a_run_that_diverges_is_an_outcome_and_one_that_breaks_is_not(
    tmp_path, monkeypatch, capsys
):
    def diverge(config, *_, **__):
        if config.nets == "paper":
            raise DivergedError("the loss is nan")
        raise ValueError("broken")

    monkeypatch.setattr(guidelines, "train_gan", diverge)
    assert call(guidelines, tmp_path, *GUIDELINES) == 1
    found = json.loads((tmp_path / "out" / "04-guidelines.json").read_text())
    assert set(found["stages"]) == {"floor", "paper 0"}
    results = found["records"]["dcgan/guidelines"]["results"]
    assert results["D-X1.failed_paper"]["value"] == 1
    assert "D-X1.kid_paper" not in results
    assert "FAILED ValueError: broken" in capsys.readouterr().out


def test_what_a_user_gets_wrong_is_one_line(tmp_path, capsys):
    assert call(guidelines, tmp_path, "--nets", "resnet") == 2
    assert "no nets 'resnet'; there are: paper, pooling" in capsys.readouterr().out
    assert call(mlstm, tmp_path, "--resume", "nowhere.json") == 2
    assert "there is no nowhere.json" in capsys.readouterr().out
    (tmp_path / "x.json").write_text("[]")
    assert call(mlstm, tmp_path, "--resume", str(tmp_path / "x.json")) == 2
    assert "x.json is no record of a run" in capsys.readouterr().out
    if not torch.cuda.is_available():
        assert main(lambda: mlstm.build([])) == 2
        assert "there is no GPU here" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        call(dcgan, tmp_path, "--jobs", "cats")


# --- taking it over ----------------------------------------------------------------------------


@pytest.fixture
def book(tmp_path):
    for folder in ("chapters", "profiles/h200"):
        (tmp_path / "book" / folder).mkdir(parents=True)
    return Book(tmp_path / "book")


def test_records_and_weights_are_imported(read, drawn, ablated, book, tmp_path):
    target = tmp_path / "weights"
    options = {"weights_folder": target, "allow_dirty": True, "allow_quick": True}
    for run in (read, drawn, ablated):
        import_folder(book, "h200", run.out, **options)
    found = load_recorded(book, "h200")
    assert found["D-T1.accuracy_trained"]["chapter"] == "dcgan/representations"
    assert found["D-X1.kid_paper"]["provenance"]["profile"] == "h200"
    assert found["S-X1.h2048_with_accuracy"]["n"] == 120
    kinds = {"mlstm-2048": ByteLanguageModel, "dcgan-imagenet32": Generator,
             "dcgan-imagenet32-discriminator": Discriminator}  # fmt: skip
    for name, kind in kinds.items():
        assert isinstance(weights.load(name, folder=target), kind)
    # once more is the same; from another folder a result would be there twice
    import_folder(book, "h200", read.out, **options)
    other = tmp_path / "other"
    other.mkdir()
    run = json.loads((ablated.out / "04-guidelines.json").read_text())
    run["records"] = {"dcgan/other": run["records"]["dcgan/guidelines"]}
    (other / "x.json").write_text(json.dumps(run))
    with pytest.raises(RadfordError, match="recorded by dcgan/guidelines already"):
        import_folder(book, "h200", other, **options)


def test_the_command_imports_and_says_what(ablated, book, monkeypatch):
    monkeypatch.setenv("RADFORD_BOOK", str(book.root))
    (book.root / "_toc.yml").touch()
    arguments = ["results", "import", str(ablated.out), "--allow-dirty", "--allow-quick"]
    done = CliRunner().invoke(cli.main, arguments)
    assert done.exit_code == 0, done.output
    assert done.output == "results/h200/dcgan/guidelines.json\n"
    done = CliRunner().invoke(cli.main, [*arguments, "--profile", "h300"])
    assert done.exit_code == 2
    assert "no profile 'h300'" in done.output


def test_what_is_no_result_is_not_imported(ablated, book, tmp_path):
    with pytest.raises(RadfordError, match="rehearsal at toy size"):
        import_folder(book, "h200", ablated.out, allow_dirty=True)
    with pytest.raises(RadfordError, match="holds no record"):
        import_folder(book, "h200", tmp_path)
    run = json.loads((ablated.out / "04-guidelines.json").read_text())
    for record in run["records"].values():
        record["provenance"] |= {"commit": None, "dirty": None}
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "04-guidelines.json").write_text(json.dumps(run))
    with pytest.raises(RadfordError, match="uncommitted or unknown"):
        import_folder(book, "h200", tmp_path / "out", allow_quick=True)
    assert not list(book.root.rglob("*.json"))


def test_a_damaged_shard_is_not_imported(drawn, book, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(drawn.out, out)
    (out / "dcgan-mnist28-1-of-1.safetensors").write_bytes(b"no weights")
    options = {"weights_folder": tmp_path / "w", "allow_dirty": True, "allow_quick": True}
    with pytest.raises(RadfordError, match=r"is damaged .* fetch 'dcgan-mnist28' again"):
        import_folder(book, "h200", out, **options)


def test_the_commit_is_told_where_there_is_no_repository(monkeypatch, tmp_path):
    monkeypatch.setenv("RADFORD_COMMIT", "abc123 dirty")
    assert provenance.commit(Book(tmp_path)) == {"commit": "abc123", "dirty": True}
    monkeypatch.setenv("RADFORD_COMMIT", "abc123")
    assert provenance.commit(Book(tmp_path)) == {"commit": "abc123", "dirty": False}
    monkeypatch.delenv("RADFORD_COMMIT")
    assert provenance.commit(Book(tmp_path)) == {"commit": None, "dirty": None}


@pytest.mark.real_data
def test_packs_are_gathered_to_travel(real_data, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("RADFORD_DATA", str(real_data))
    (tmp_path / "h" / "old").mkdir(parents=True)
    assert carry.main([str(tmp_path / "h"), "sst2"]) == 0
    files = sorted(p.name for p in (tmp_path / "h").rglob("*") if p.is_file())
    assert files == ["commit", "sst2_dev.parquet", "sst2_test.parquet", "sst2_train.parquet"]
    assert "with the checkout" in capsys.readouterr().out
    monkeypatch.setattr(carry, "LIMIT_BYTES", 1000)
    assert carry.main([str(tmp_path / "h"), "sst2"]) == 1
    with pytest.raises(UsageError, match="no pack 'ssst2'"):
        carry.carry(tmp_path / "h", ["ssst2"])


# --- parts -------------------------------------------------------------------------------------


def test_the_nearest_label_is_kept_over_batches():
    rng = np.random.default_rng(0)
    query, base = (rng.normal(size=(n, 6)).astype(np.float32) for n in (50, 300))
    labels = rng.integers(0, 10, 300)
    found = NearestLabel(torch.from_numpy(query))
    assert found.label.tolist() == [-1] * 50
    for start in range(0, 300, 70):
        rows = slice(start, start + 70)
        found.add(torch.from_numpy(base[rows]), torch.from_numpy(labels[rows]))
    assert np.array_equal(found.label.numpy(), labels[nearest(query, base)[0]])


def test_too_many_or_too_large_files_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr("radford_lib.experiments.session.FILE_BYTES", 3)
    (tmp_path / "a").write_text("abcd")
    assert too_much(tmp_path) == ["a is over 0 MiB"]
    for name in "bcdefghi":
        (tmp_path / name).write_text("")
    assert too_much(tmp_path)[1].endswith("has 9 files, 0 MiB in all")
