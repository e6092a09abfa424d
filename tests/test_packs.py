"""Packs: every layout read back, checked against its manifest, cached whole."""

import hashlib
import io
import itertools
import json
import lzma
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from radford_lib.cache import cache_folder, cached_folder
from radford_lib.data import load_corpus, load_images, load_texts, official_weights_path
from radford_lib.data.commands import data_group
from radford_lib.data.image_packs import resize
from radford_lib.data.npy_stream import write_npy
from radford_lib.data.packs import builtin_manifest, packs
from radford_lib.data.text_packs import clean_document, split_of
from radford_lib.errors import RadfordError, UsageError


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty data folder with an empty cache beside it."""
    folder = tmp_path / "data"
    folder.mkdir()
    monkeypatch.setenv("RADFORD_DATA", str(folder))
    monkeypatch.setenv("RADFORD_CACHE", str(tmp_path / "cache"))
    return folder


def manifest(folder: Path, name: str, kind: str, layout: str, files: dict[str, tuple]) -> None:
    """Write ``NAME.manifest.json``; ``files`` is path to (split, count)."""
    listed = [
        {
            "path": path,
            "sha256": hashlib.sha256((folder / path).read_bytes()).hexdigest(),
            "bytes": (folder / path).stat().st_size,
            "split": split,
            "count": count,
        }
        for path, (split, count) in files.items()
    ]
    about = {"title": "made here", "licence": "none", "origin": "a test"}
    entry = {"kind": kind, "layout": layout, **about, "files": listed}
    (folder / f"{name}.manifest.json").write_text(json.dumps(entry))


def jpeg_pack(path: Path, pixels: np.ndarray, **columns: np.ndarray) -> np.ndarray:
    """Write JPEG bytes with their shared beginning apart; return what they decode to."""
    files = []
    for image in pixels:
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, "jpeg")
        files.append(buffer.getvalue())
    shared = zip(min(files), max(files), strict=False)
    header = files[0][
        : sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], shared))
    ]
    rests = [file[len(header) :] for file in files]
    np.savez(
        path,
        header=np.frombuffer(header, np.uint8),
        data=np.frombuffer(b"".join(rests), np.uint8),
        offsets=np.cumsum([0, *map(len, rests)]).astype(np.uint32),
        **columns,
    )
    return np.stack([np.asarray(Image.open(io.BytesIO(file))) for file in files])


def noise(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


@pytest.fixture
def cifar(data: Path) -> np.ndarray:
    """A CIFAR-10 pack of 40 + 10 images; its training images."""
    classes = np.array([f"class {i}" for i in range(10)])
    parts = []
    for name, count in (("train_0", 20), ("train_1", 20), ("test", 10)):
        columns = {"labels": (np.arange(count) % 10).astype(np.uint8), "classes": classes}
        columns["number"] = np.arange(count).astype(np.uint16)
        pixels = noise(count + len(parts), count, 32, 32, 3)
        parts.append(jpeg_pack(data / f"{name}.npz", pixels, **columns))
    files = {"train_0.npz": ("train", 20), "train_1.npz": ("train", 20), "test.npz": ("test", 10)}
    manifest(data, "cifar10", "images", "jpeg-npz", files)
    return np.concatenate(parts[:2])


def test_jpeg_pack_is_decoded_once_and_mapped(cifar: np.ndarray, tmp_path: Path) -> None:
    train = load_images("cifar10", "train")
    assert isinstance(train.images, np.memmap)
    np.testing.assert_array_equal(train.images, cifar)
    assert train.labels is not None
    np.testing.assert_array_equal(train.labels, np.tile(np.arange(10), 4))
    assert train.labels.dtype == np.int64
    assert train.classes[3] == "class 3"
    assert not train.toy
    (decoded,) = (tmp_path / "cache/images").glob("*/images.npy")
    written = decoded.stat().st_mtime_ns
    again = load_images("cifar10", "train", size=32)
    assert decoded.stat().st_mtime_ns == written
    assert again.sha256 == train.sha256
    assert load_images("cifar10", "test").sha256 != train.sha256
    assert [
        path.name for path in (tmp_path / "cache/images").iterdir() if path.name[0] == "."
    ] == []


def test_selection_is_seeded_and_balanced(cifar: np.ndarray) -> None:
    first = load_images("cifar10", n=25, seed=1)
    again = load_images("cifar10", n=25, seed=1)
    other = load_images("cifar10", n=25, seed=2)
    np.testing.assert_array_equal(first.images, again.images)
    assert first.sha256 == again.sha256
    assert first.sha256 != other.sha256
    assert not np.array_equal(first.extra["number"], other.extra["number"])
    assert first.labels is not None
    assert set(np.bincount(first.labels, minlength=10)) == {2, 3}
    fewer = load_images("cifar10", n=12, seed=1)
    np.testing.assert_array_equal(fewer.images, first.images[:12])
    distinct = load_images("cifar10", n=40, seed=3).images.reshape(40, -1)
    assert len(np.unique(distinct, axis=0)) == 40


def test_undivided_pack_keeps_its_last_tenth_for_test(data: Path) -> None:
    attributes = (noise(1, 20, 2) > 127).astype(np.uint8)
    pixels = jpeg_pack(
        data / "celeba_0.npz",
        noise(2, 20, 109, 89, 3),
        attributes=attributes,
        attribute_names=np.array(["Smiling", "Male"]),
        image_id=np.arange(1, 21).astype(np.uint32),
    )
    manifest(data, "celeba", "images", "jpeg-npz", {"celeba_0.npz": ("all", 20)})
    train, test = load_images("celeba", "train", size=89), load_images("celeba", "test", size=89)
    assert (len(train), len(test)) == (18, 2)
    np.testing.assert_array_equal(train.images, pixels[:18, 10:99])
    np.testing.assert_array_equal(test.extra["image_id"], [19, 20])
    np.testing.assert_array_equal(test.attributes, attributes[18:])
    assert test.attribute_names == ("Smiling", "Male")
    assert train.labels is None
    assert load_images("celeba").images.shape == (18, 64, 64, 3)
    with pytest.raises(UsageError, match="from 1 to 89, not 128"):
        load_images("celeba", size=128)


def save_sheet(path: Path, tiles: np.ndarray, columns: int) -> None:
    """Write tiles (N, H, W, 3), row by row, as one picture (lossless, whatever its name)."""
    count, height, width, _ = tiles.shape
    rows = -(-count // columns)
    sheet = np.zeros((rows * columns, height, width, 3), np.uint8)
    sheet[:count] = tiles
    sheet = sheet.reshape(rows, columns, height, width, 3).swapaxes(1, 2)
    Image.fromarray(sheet.reshape(rows * height, columns * width, 3)).save(path, "png")


def test_sheets_with_labels(data: Path) -> None:
    tiles = noise(3, 11, 32, 32, 3)
    save_sheet(data / "train_0.jpg", tiles[:6], 4)
    save_sheet(data / "val.jpg", tiles[6:], 4)
    np.savez(
        data / "labels.npz",
        train=np.array([0, 1, 0, 1, 0, 1], np.uint8),
        val=np.array([1, 0, 1, 0, 1], np.uint8),
        wnids=np.array(["n1", "n2"]),
        names=np.array(["goldfish, Carassius", "bullfrog"]),
    )
    files = {"train_0.jpg": ("train", 6), "val.jpg": ("test", 5), "labels.npz": ("labels", 11)}
    manifest(data, "tiny-imagenet32", "images", "sheet-labels", files)
    train, test = load_images("tiny-imagenet32"), load_images("tiny-imagenet32", "test")
    np.testing.assert_array_equal(train.images, tiles[:6])
    np.testing.assert_array_equal(test.images, tiles[6:])
    np.testing.assert_array_equal(test.labels, [1, 0, 1, 0, 1])
    assert train.classes == ("goldfish", "bullfrog")


def test_houses_by_kind_and_together(data: Path) -> None:
    tiles = noise(4, 5, 80, 104, 3)
    save_sheet(data / "bedroom.jpg", tiles[:3], 2)
    save_sheet(data / "kitchen.jpg", tiles[3:], 2)
    np.savez(data / "houses_ids.npz", bedroom=np.array([7, 8, 9]), kitchen=np.array([7, 8]))
    files = {"bedroom.jpg": ("bedroom", 3), "kitchen.jpg": ("kitchen", 2)}
    manifest(data, "houses", "images", "sheet-kinds", {**files, "houses_ids.npz": ("ids", 5)})
    bedrooms = load_images("houses-bedroom", size=80)
    np.testing.assert_array_equal(bedrooms.images, tiles[:3, :, 12:92])
    np.testing.assert_array_equal(bedrooms.extra["house"], [7, 8, 9])
    assert bedrooms.name == "houses-bedroom"
    rooms = load_images("houses")
    assert rooms.images.shape == (5, 64, 64, 3)
    np.testing.assert_array_equal(rooms.labels, [0, 0, 0, 1, 1])
    assert rooms.classes == ("bedroom", "kitchen")
    with pytest.raises(UsageError, match="houses-bedroom, houses-kitchen"):
        load_images("houses-cellar")
    with pytest.raises(UsageError, match="splits: train"):
        load_images("houses", "test")


def test_mnist(data: Path) -> None:
    x, y = noise(5, 6, 28, 28), np.arange(6, dtype=np.uint8)
    np.savez_compressed(data / "m.npz", x_train=x[:4], y_train=y[:4], x_test=x[4:], y_test=y[4:])
    manifest(data, "mnist", "images", "mnist-npz", {"m.npz": ("all", 6)})
    test = load_images("mnist", "test")
    np.testing.assert_array_equal(test.images[..., 0], x[4:])
    np.testing.assert_array_equal(test.labels, [4, 5])
    assert load_images("mnist", size=14).images.shape == (4, 14, 14, 1)


def test_a_source_that_holds_less_than_it_announces(tmp_path: Path) -> None:
    pixels = noise(7, 5, 4, 4, 3)
    write_npy(tmp_path / "a.npy", (5, 4, 4, 3), [pixels[:3], pixels[3:]])
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy", mmap_mode="r"), pixels)
    for shape in ((6, 4, 4, 3), (4, 4, 4, 3), (5, 4, 4, 1)):
        with pytest.raises(RadfordError, match="does not hold the"):
            write_npy(tmp_path / "b.npy", shape, [pixels])


def test_resize_is_by_area() -> None:
    images = noise(6, 3, 8, 8, 3)
    blocks = images.reshape(3, 4, 2, 4, 2, 3).astype(float).mean((2, 4))
    np.testing.assert_array_equal(resize(images, 4), np.rint(blocks))
    np.testing.assert_array_equal(resize(np.full((1, 9, 7, 1), 41, np.uint8), 5), 41)
    ramp = np.tile(np.arange(0, 180, 20, dtype=np.uint8), (9, 1))[None, ..., None]
    # 9 to 6: an output pixel covers one input pixel and half of its neighbour
    np.testing.assert_array_equal(resize(ramp, 6)[0, 0, :2, 0], [7, 33])
    assert abs(float(resize(ramp, 6).mean()) - float(ramp.mean())) < 0.5


REVIEWS = [
    f"Review number {i}.<br /><br />It&amp;s line one\nand two\r\nand {i * i} " for i in range(300)
]


@pytest.fixture
def corpus(data: Path) -> list[str]:
    """A corpus of 300 documents in two files without splits; the cleaned documents."""
    for part in range(2):
        rows = [json.dumps({"text": text, "id": 1}) for text in REVIEWS[part::2]]
        (data / f"{part}.jsonl.xz").write_bytes(lzma.compress("\n".join(rows).encode()))
    files = {"0.jsonl.xz": ("all", 150), "1.jsonl.xz": ("all", 150)}
    manifest(data, "imdb-unsup", "corpus", "jsonl-xz", files)
    return [clean_document(text) for text in REVIEWS]


def test_corpus_is_one_clean_line_a_document(corpus: list[str], tmp_path: Path) -> None:
    assert corpus[2] == "Review number 2.  It&s line one and two and 4"
    found: dict[str, list[str]] = {}
    for split in ("train", "valid", "test"):
        read = load_corpus("imdb-unsup", split)
        assert all(isinstance(shard, np.memmap) for shard in read.shards)
        assert all(shard[-1] == ord("\n") for shard in read.shards)
        text = b"".join(shard.tobytes() for shard in read.shards).decode()
        found[split] = text.removesuffix("\n").split("\n")
    assert sorted(itertools.chain(*found.values())) == sorted(corpus)
    for split, documents in found.items():
        wanted = {clean_document(text) for text in REVIEWS if split_of(text) == split}
        assert set(documents) == wanted
    shards = list((tmp_path / "cache/corpora").glob("*/train.bytes"))
    written = {path: path.stat().st_mtime_ns for path in shards}
    load_corpus("imdb-unsup")
    assert {path: path.stat().st_mtime_ns for path in shards} == written
    assert len(shards) == 2


def test_corpus_ends_at_a_document(corpus: list[str]) -> None:
    whole = load_corpus("imdb-unsup")
    for max_bytes in (100, 5000, len(whole.shards[0]), whole.bytes - 1):
        part = load_corpus("imdb-unsup", max_bytes=max_bytes)
        assert max_bytes - 60 < part.bytes <= max_bytes
        assert part.shards[-1][-1] == ord("\n")
        assert part.sha256 != whole.sha256
    assert load_corpus("imdb-unsup", max_bytes=whole.bytes).bytes == whole.bytes
    with pytest.raises(UsageError, match="longer than 5 bytes"):
        load_corpus("imdb-unsup", max_bytes=5)
    with pytest.raises(UsageError, match="splits: train, valid, test"):
        load_corpus("imdb-unsup", "dev")


def test_two_processes_may_unpack_at_once(corpus: list[str], tmp_path: Path) -> None:
    script = "from radford_lib.data import load_corpus; print(load_corpus('imdb-unsup').bytes)"
    command = [sys.executable, "-c", script]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    sizes = [int(process.communicate(timeout=60)[0]) for process in both]
    assert sizes == [load_corpus("imdb-unsup").bytes] * 2
    assert len(list((tmp_path / "cache/corpora").iterdir())) == 2


def test_texts(data: Path) -> None:
    import pyarrow
    import pyarrow.parquet as parquet

    rows = {
        "text": ["fine", "so so", "bad", "good"],
        "stars": [5, 3, 1, None],
        "label": [1, None, 0, 1],
        "subset": ["yelp10k", "yelp10k", "yelp_full_5k", "yelp_full_5k"],
    }
    parquet.write_table(pyarrow.table(rows), data / "yelp.parquet")
    manifest(data, "yelp", "texts", "parquet", {"yelp.parquet": ("all", 4)})
    everything = load_texts("yelp", "all")
    assert everything.texts == ("fine", "bad", "good")
    np.testing.assert_array_equal(everything.labels, [1, 0, 1])
    np.testing.assert_array_equal(everything.latents["stars"], [5, 1, -1])
    assert load_texts("yelp", "yelp10k").texts == ("fine",)
    assert sorted(load_texts("yelp", "all", n=2).labels) == [0, 1]
    with pytest.raises(UsageError, match="'yelp' has no split 'train'; splits: all, yelp10k"):
        load_texts("yelp", "train")
    pairs = {"text_a": ["a", "b"], "text_b": ["c", "d"], "score": [np.float32(3.6), np.float32(1)]}
    parquet.write_table(pyarrow.table(pairs), data / "sick.parquet")
    manifest(data, "sick", "texts", "parquet", {"sick.parquet": ("test", 2)})
    sick = load_texts("sick", "test")
    assert sick.pairs == ("c", "d")
    assert sick.labels.dtype == np.float64
    np.testing.assert_array_equal(sick.labels, [3.6, 1.0])
    assert load_texts("sick", "test", n=1).pairs is not None


def test_missing_pack_names_the_command(data: Path) -> None:
    with pytest.raises(RadfordError) as caught:
        load_images("cifar10")
    assert str(caught.value) == (
        f"pack 'cifar10' is not in {data}: run `radford data fetch cifar10`, or set RADFORD_DATA"
    )
    assert caught.value.exit_code == 1
    with pytest.raises(RadfordError, match=r"pack 'books' is not in .*: copy its files into"):
        load_corpus("books")


def test_incomplete_short_and_corrupt_packs(cifar: np.ndarray, data: Path) -> None:
    mend = r"run `radford data fetch cifar10`$"
    load_images("cifar10", "train")
    path = data / "train_1.npz"
    whole = path.read_bytes()
    path.write_bytes(whole[:-7])
    size = len(whole)
    with pytest.raises(RadfordError, match=f"train_1.npz has {size - 7} bytes, not {size}: {mend}"):
        load_images("cifar10", "train")
    path.write_bytes(whole[:-7] + b"garbage")
    with pytest.raises(RadfordError, match=rf"train_1.npz is corrupt \(.*\): {mend}"):
        load_images("cifar10", "train")
    path.unlink()
    with pytest.raises(RadfordError, match=f"train_1.npz is missing: {mend}"):
        load_images("cifar10", "train")
    assert len(load_images("cifar10", "test")) == 10
    path.write_bytes(whole)
    assert len(load_images("cifar10", "train")) == 40


def test_checked_files_are_not_read_again(
    cifar: np.ndarray, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_images("cifar10", "test")

    def refuse(*arguments: object) -> str:
        raise AssertionError("the file was hashed again")

    monkeypatch.setattr("radford_lib.data.packs.hash_with_progress", refuse)
    load_images("cifar10", "test")
    with pytest.raises(AssertionError):
        load_images("cifar10", "train")


def test_bad_requests(cifar: np.ndarray) -> None:
    with pytest.raises(UsageError, match=r"toy worlds are faces, rooms, things; packs are cifar10"):
        load_images("imagenet")
    with pytest.raises(UsageError, match=r"no data called 'cifar10': .*amazon"):
        load_corpus("cifar10")
    with pytest.raises(UsageError, match="splits: train, test"):
        load_images("cifar10", "valid")
    with pytest.raises(UsageError, match=r"cifar10 \(train\) has 40 items, fewer than n = 41"):
        load_images("cifar10", n=41)
    with pytest.raises(UsageError, match="n must be positive"):
        load_images("faces", n=0)
    with pytest.raises(UsageError, match="holds images of 32x32"):
        load_images("cifar10", size=64)


def test_bad_manifest(data: Path) -> None:
    (data / "svhn.manifest.json").write_text("{")
    with pytest.raises(RadfordError, match=r"is not a pack manifest .* fetch svhn"):
        packs()


def test_cache_is_whole_or_built_again(data: Path) -> None:
    built = []

    def build(folder: Path) -> None:
        built.append(folder)
        (folder / "a.bytes").write_bytes(b"12345")

    folder = cached_folder("some/thing", build)
    assert cached_folder("some/thing", build) == folder
    assert len(built) == 1
    (folder / "a.bytes").write_bytes(b"123")
    assert (cached_folder("some/thing", build) / "a.bytes").read_bytes() == b"12345"
    assert len(built) == 2

    def fail(folder: Path) -> None:
        (folder / "a.bytes").write_bytes(b"1")
        raise RadfordError("broken on the way")

    with pytest.raises(RadfordError, match="broken on the way"):
        cached_folder("some/other", fail)
    assert [path.name for path in folder.parent.iterdir()] == ["thing"]


def test_leftovers_of_killed_processes_are_removed(data: Path, tmp_path: Path) -> None:
    for name, age in ((".thing.old", 2 * 24 * 3600), (".thing.new", 60)):
        folder = tmp_path / "cache" / name
        folder.mkdir(parents=True)
        (folder / "a.bytes").write_bytes(b"1")
        for path in (folder / "a.bytes", folder):
            os.utime(path, (time.time() - age,) * 2)
    cached_folder("thing", lambda folder: None)
    left = {path.name for path in (tmp_path / "cache").iterdir()}
    assert left == {"thing", ".thing.new"}


def test_unwritable_cache_falls_back(
    cifar: np.ndarray,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("RADFORD_CACHE", str(tmp_path / "file" / "cache"))
    np.testing.assert_array_equal(load_images("cifar10").images, cifar)
    assert cache_folder() == cache_folder()
    notice = [line for line in capsys.readouterr().err.splitlines() if "cache" in line]
    assert len(notice) == 1
    assert "set RADFORD_CACHE to a folder you can write" in notice[0]


def test_builtin_manifest_is_complete() -> None:
    paths = [file["path"] for entry in builtin_manifest().values() for file in entry["files"]]
    assert len(paths) == len(set(paths))
    for entry in builtin_manifest().values():
        assert entry["licence"]
        assert entry["origin"]
        for file in entry["files"]:
            assert len(bytes.fromhex(file["sha256"])) == 32
            assert file["bytes"] > 0
            assert file["what"]


def test_importing_the_package_is_light() -> None:
    script = (
        "import sys, radford_lib.data, radford_lib.data.commands; "
        "print([m for m in ('torch', 'PIL', 'pyarrow', 'pooch', 'scipy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


def run(*arguments: str) -> tuple[int, str]:
    """Exit code and all output of ``radford data ...``."""
    result = CliRunner().invoke(data_group, arguments)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


def test_commands(cifar: np.ndarray, data: Path, tmp_path: Path) -> None:
    code, listed = run("list")
    assert code == 0
    lines = {line.split()[0]: line for line in listed.splitlines()}
    assert {"faces", "reviews", "cifar10", "books", "svhn", "dcgan-svhn"} <= set(lines)
    assert "fetched" in lines["cifar10"]
    assert "missing" in lines["books"]
    assert "public domain" in lines["books"]
    code, shown = run("where")
    assert code == 0
    assert str(data) in shown
    assert str(tmp_path / "cache") in shown
    code, checked = run("check")
    assert code == 0
    assert "cifar10            3 files  good" in checked
    assert "not there, not checked: amazon" in checked


def test_check_finds_what_is_wrong(cifar: np.ndarray, data: Path) -> None:
    path = data / "test.npz"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    (data / "train_0.npz").unlink()
    code, output = run("check", "cifar10")
    assert code == 1
    assert "cifar10: test.npz is corrupt" in output
    assert "cifar10: train_0.npz is missing: run `radford data fetch cifar10`" in output
    assert "Error: 2 files are wrong" in output
    assert run("check", "mnist")[0] == 1
    assert run("check", "cifar11") == (2, run("check", "cifar11")[1])
    assert "no pack is called 'cifar11'" in run("check", "cifar11")[1]
    assert run("check", "--bogus")[0] == 2


def test_check_without_any_pack(data: Path) -> None:
    code, output = run("check")
    assert code == 1
    assert output.strip().endswith("run `radford data fetch NAME`, or set RADFORD_DATA")


REAL_IMAGES = [
    ("cifar10", "train", (50_000, 32, 32, 3), 5_000),
    ("cifar10", "test", (10_000, 32, 32, 3), 1_000),
    ("tiny-imagenet32", "train", (100_000, 32, 32, 3), 500),
    ("tiny-imagenet32", "test", (10_000, 32, 32, 3), 50),
    ("celeba", "train", (9_000, 64, 64, 3), None),
    ("celeba", "test", (1_000, 64, 64, 3), None),
    ("houses", "train", (1_605, 64, 64, 3), 535),
    ("houses-kitchen", "train", (535, 64, 64, 3), None),
]


@pytest.mark.real_data
@pytest.mark.parametrize(("name", "split", "shape", "a_class"), REAL_IMAGES)
def test_real_images(
    name: str,
    split: str,
    shape: tuple[int, ...],
    a_class: int | None,
    real_data: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RADFORD_DATA", str(real_data))
    images = load_images(name, split)
    assert images.images.shape == shape
    if a_class:
        assert set(np.bincount(images.labels)) == {a_class}
        assert len(images.classes) == len(np.unique(images.labels))
    sample = images.images[:: len(images) // 500]
    assert 60 < sample.mean() < 180
    assert sample.std() > 30


@pytest.mark.real_data
def test_real_mnist_is_the_original(real_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The idx files rebuilt from the pack have the MD5 sums of the published ones."""
    monkeypatch.setenv("RADFORD_DATA", str(real_data))
    train, test = load_images("mnist", "train"), load_images("mnist", "test")
    assert train.images.shape == (60_000, 28, 28, 1)
    header = bytes([0, 0, 8, 3]) + np.array([60_000, 28, 28], ">i4").tobytes()
    assert hashlib.md5(header + train.images.tobytes()).hexdigest() == (
        "6bbc9ace898e44ae57da46a324031adb"
    )
    assert train.labels is not None
    header = bytes([0, 0, 8, 1]) + np.array([60_000], ">i4").tobytes()
    labels = train.labels.astype(np.uint8).tobytes()
    assert hashlib.md5(header + labels).hexdigest() == "a25bea736e30d166cdddb491f175f624"
    header = bytes([0, 0, 8, 3]) + np.array([10_000, 28, 28], ">i4").tobytes()
    assert hashlib.md5(header + test.images.tobytes()).hexdigest() == (
        "2646ac647ad5339dbf082846283269ea"
    )


@pytest.mark.real_data
def test_real_celeba_attributes(real_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RADFORD_DATA", str(real_data))
    parts = [load_images("celeba", split) for split in ("train", "test")]
    names = parts[0].attribute_names
    table = np.concatenate([part.attributes for part in parts])
    assert table.shape == (10_000, 40)
    smiling, male = (table[:, names.index(name)] == 1 for name in ("Smiling", "Male"))
    assert int((smiling & ~male).sum()) == 3_165
    assert int((~smiling & male).sum()) == 2_560
    ids = np.concatenate([part.extra["image_id"] for part in parts])
    np.testing.assert_array_equal(ids, np.arange(1, 10_001))


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "documents"), [("amazon", 209_100), ("imdb-unsup", 48_858), ("books", 51_686)]
)
def test_real_corpora(
    name: str, documents: int, real_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many newlines as the source has documents: each ends in one and holds none."""
    monkeypatch.setenv("RADFORD_DATA", str(real_data))
    read = {split: load_corpus(name, split) for split in ("train", "valid", "test")}
    ends = {
        split: sum(int((shard == ord("\n")).sum()) for shard in corpus.shards)
        for split, corpus in read.items()
    }
    assert sum(ends.values()) == documents
    for split in ("valid", "test"):
        assert 0.008 < ends[split] / documents < 0.012
    for corpus in read.values():
        assert all(shard[-1] == ord("\n") for shard in corpus.shards)
    assert b"<br" not in read["valid"].shards[0].tobytes()


REAL_TEXTS = [
    ("sst2", "train", 6_920, 3_610),
    ("sst2", "valid", 872, 444),
    ("sst2", "test", 1_821, 909),
    ("imdb", "train", 25_000, 12_500),
    ("imdb", "test", 25_000, 12_500),
    ("mr", "all", 10_662, 5_331),
    ("cr", "all", 3_775, 2_407),
    ("subj", "all", 10_000, 5_000),
    ("mpqa", "all", 10_606, 3_312),
    ("yelp", "all", 16_513, 10_824),
    ("msrp", "train", 4_076, 2_753),
    ("msrp", "test", 1_725, 1_147),
]


@pytest.mark.real_data
@pytest.mark.parametrize(("name", "split", "rows", "positive"), REAL_TEXTS)
def test_real_texts(
    name: str,
    split: str,
    rows: int,
    positive: int,
    real_data: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RADFORD_DATA", str(real_data))
    texts = load_texts(name, split)
    assert len(texts) == rows
    assert np.bincount(texts.labels).tolist() == [rows - positive, positive]
    assert (texts.pairs is not None) == (name == "msrp")


@pytest.mark.real_data
def test_real_sick_and_official_weights(real_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RADFORD_DATA", str(real_data))
    sizes = [len(load_texts("sick", split)) for split in ("train", "valid", "test")]
    assert sizes == [4_500, 500, 4_927]
    scores = load_texts("sick", "train").labels
    assert (scores.min(), scores.max()) == (1.0, 5.0)
    from safetensors.numpy import load_file

    weights = load_file(official_weights_path("generator"))
    assert weights["deconv4.weight"].shape == (64, 3, 5, 5)
    with pytest.raises(UsageError, match="it has: generator, discriminator"):
        official_weights_path("critic")


@pytest.mark.real_data
def test_real_check_passes_on_everything(real_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RADFORD_DATA", str(real_data))
    code, output = run("check", *builtin_manifest())
    assert code == 0
    assert output.count("good") == len(builtin_manifest())
    listed = {file["path"] for entry in builtin_manifest().values() for file in entry["files"]}
    there = {
        path.relative_to(real_data).as_posix()
        for path in real_data.rglob("*")
        if path.is_file() and path.name != "README.md"
    }
    assert there == listed
