"""Sources: downloads that continue, and publishers' layouts converted into packs."""

import dataclasses
import gzip
import hashlib
import io
import json
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import radford_lib.data.sources as sources_module
from radford_lib.data import load_corpus, load_images, load_texts
from radford_lib.data.commands import data_group
from radford_lib.data.download import ATTEMPTS, download
from radford_lib.data.packs import packs
from radford_lib.data.sources import SourceFile, fetch, sources
from radford_lib.data.text_packs import clean_document, split_of
from radford_lib.errors import RadfordError, UsageError


class Publisher:
    """What a local server serves, how it misbehaves, and the ranges it was asked for."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.ranges: list[str | None] = []
        self.stops: list[int] = []  # after how many bytes the next answers break off
        self.sends_ranges = True
        self.address = ""

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        wanted = request.headers.get("Range")
        self.ranges.append(wanted)
        body = self.files.get(request.path.lstrip("/"))
        if body is None:
            request.send_error(404)
            return
        start = 0
        if wanted and self.sends_ranges:
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
            if start >= len(body):
                request.send_response(416)
                request.send_header("Content-Range", f"bytes */{len(body)}")
                request.end_headers()
                return
            request.send_response(206)
            request.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        else:
            request.send_response(200)
        request.send_header("Content-Length", str(len(body) - start))
        request.end_headers()
        stop = self.stops.pop(0) if self.stops else None
        request.wfile.write(body[start:] if stop is None else body[start : start + stop])


@pytest.fixture
def publisher(monkeypatch: pytest.MonkeyPatch) -> Iterator[Publisher]:
    """A server on this machine."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    state = Publisher()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.answer(self)

        def log_message(self, format: str, *arguments: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield state
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder that is not there yet, with an empty cache."""
    folder = tmp_path / "data"
    monkeypatch.setenv("RADFORD_DATA", str(folder))
    monkeypatch.setenv("RADFORD_CACHE", str(tmp_path / "cache"))
    return folder


BODY = np.random.default_rng(0).bytes(100_000)
MD5 = "md5:" + hashlib.md5(BODY).hexdigest()


def test_interrupted_download_asks_only_for_the_rest(publisher: Publisher, tmp_path: Path) -> None:
    publisher.files["a.bin"] = BODY
    publisher.stops = [30_000]
    path = download(f"{publisher.address}/a.bin", tmp_path, "a.bin", MD5)
    assert path.read_bytes() == BODY
    assert publisher.ranges == [None, "bytes=30000-"]
    assert [file.name for file in tmp_path.iterdir()] == ["a.bin"]
    download(f"{publisher.address}/a.bin", tmp_path, "a.bin", MD5)
    assert len(publisher.ranges) == 2, "a file that is there is not downloaded again"


def test_download_continues_in_the_next_run(publisher: Publisher, tmp_path: Path) -> None:
    publisher.files["a.bin"] = BODY
    publisher.stops = [10_000] * ATTEMPTS
    with pytest.raises(RadfordError, match=r"stopped \(.*\): run the command again to continue"):
        download(f"{publisher.address}/a.bin", tmp_path, "a.bin", MD5)
    assert not (tmp_path / "a.bin").exists()
    assert (tmp_path / "a.bin.part").read_bytes() == BODY[: 10_000 * ATTEMPTS]
    publisher.ranges.clear()
    download(f"{publisher.address}/a.bin", tmp_path, "a.bin", MD5)
    assert publisher.ranges == [f"bytes={10_000 * ATTEMPTS}-"]
    assert (tmp_path / "a.bin").read_bytes() == BODY


def test_download_begins_again_without_ranges(publisher: Publisher, tmp_path: Path) -> None:
    publisher.files["a.bin"] = BODY
    publisher.sends_ranges = False
    publisher.stops = [30_000]
    path = download(f"{publisher.address}/a.bin", tmp_path, "a.bin", MD5)
    assert path.read_bytes() == BODY


def test_download_with_everything_already_there(publisher: Publisher, tmp_path: Path) -> None:
    publisher.files["a.bin"] = BODY
    (tmp_path / "a.bin.part").write_bytes(BODY)
    assert download(f"{publisher.address}/a.bin", tmp_path, "a.bin", MD5).read_bytes() == BODY
    publisher.files["b.bin"] = BODY
    (tmp_path / "b.bin.part").write_bytes(BODY + b"of an older, longer file")
    assert download(f"{publisher.address}/b.bin", tmp_path, "b.bin", MD5).read_bytes() == BODY


def test_download_of_something_else(publisher: Publisher, tmp_path: Path) -> None:
    publisher.files["a.bin"] = BODY[:-1] + b"?"
    with pytest.raises(RadfordError, match=f"is not what its publisher documents .*{MD5}"):
        download(f"{publisher.address}/a.bin", tmp_path, "a.bin", MD5)
    with pytest.raises(RadfordError, match=r"answers 404 .* give it with --from"):
        download(f"{publisher.address}/b.bin", tmp_path, "b.bin", None)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(RadfordError, match=r"stopped \(.*refused"):
        download("http://127.0.0.1:9/a.bin", tmp_path, "a.bin", None)


@pytest.fixture
def serve(publisher: Publisher, data: Path, monkeypatch: pytest.MonkeyPatch):
    """Replace a source's files by small ones, with their true hashes where it has hashes."""
    changed = dict(sources())
    monkeypatch.setattr(sources_module, "sources", lambda: changed)

    def replace(name: str, *contents: bytes) -> None:
        files = []
        assert len(contents) == len(changed[name].files)
        for file, body in zip(changed[name].files, contents, strict=True):
            publisher.files[file.name] = body
            known = f"md5:{hashlib.md5(body).hexdigest()}" if file.hash else None
            files.append(SourceFile(f"{publisher.address}/{file.name}", known))
        changed[name] = dataclasses.replace(changed[name], files=tuple(files))

    return replace


def tar_gz(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, body in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(body)
            archive.addfile(member, io.BytesIO(body))
    return buffer.getvalue()


def zipped(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, body in files.items():
            archive.writestr(name, body)
    return buffer.getvalue()


def noise(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def picture(pixels: np.ndarray) -> bytes:
    """Lossless, whatever it will be called."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "png")
    return buffer.getvalue()


def test_cifar10(serve, data: Path, tmp_path: Path) -> None:
    planes, labels = noise(1, 12, 3, 32, 32), np.arange(12, dtype=np.uint8) % 10
    records = [
        bytes([label]) + image.tobytes() for label, image in zip(labels, planes, strict=True)
    ]
    names = ["airplane", "automobile", *"abcdefgh"]
    archive = {f"cifar-10-batches-bin/data_batch_{i + 1}.bin": b"".join(records[2 * i : 2 * i + 2])
               for i in range(5)}  # fmt: skip
    archive["cifar-10-batches-bin/test_batch.bin"] = b"".join(records[10:])
    archive["cifar-10-batches-bin/batches.meta.txt"] = "\n".join([*names, ""]).encode()
    serve("cifar10", tar_gz(archive))
    pack = fetch("cifar10")
    assert pack.fetched
    assert packs()["cifar10"].title == "CIFAR-10, lossless"
    train, test = load_images("cifar10"), load_images("cifar10", "test")
    as_fetched = np.array(train.images)
    assert isinstance(train.images, np.memmap)
    np.testing.assert_array_equal(train.images, planes[:10].transpose(0, 2, 3, 1))
    np.testing.assert_array_equal(test.labels, [0, 1])
    assert train.classes[:2] == ("airplane", "automobile")
    assert load_images("cifar10", size=16, n=4).images.shape == (4, 16, 16, 3)
    assert sorted(path.name for path in data.iterdir()) == [
        Path(pack.files[0].path).parts[0],
        "cifar10.manifest.json",
    ]
    result = CliRunner().invoke(data_group, ["check", "cifar10"])
    assert result.exit_code == 0
    np.save(data / pack.files[0].path, planes)
    with pytest.raises(RadfordError, match="run `radford data fetch cifar10`"):
        load_images("cifar10")
    fetch("cifar10")  # what the line said mends it
    np.testing.assert_array_equal(load_images("cifar10").images, as_fetched)


def test_fetching_again_replaces_the_pack(serve, data: Path) -> None:
    serve("cr", b"good\n", b"bad\n")
    first = fetch("cr")
    serve("cr", b"good\nbetter\n", b"bad\n")
    for path in (Path(data).parent / "cache/downloads").rglob("custrev.*"):
        path.unlink()
    second = fetch("cr")
    assert load_texts("cr", "all").texts == ("good", "better", "bad")
    assert first.files[0].path != second.files[0].path
    assert len(list(data.iterdir())) == 2


def test_svhn(serve, data: Path) -> None:
    from scipy.io import savemat

    bodies = []
    pixels = noise(2, 4, 32, 32, 3)
    for _ in range(3):
        buffer = io.BytesIO()
        savemat(buffer, {"X": pixels.transpose(1, 2, 3, 0), "y": np.array([[1], [10], [9], [2]])})
        bodies.append(buffer.getvalue())
    serve("svhn", *bodies)
    fetch("svhn")
    for split in ("train", "test", "extra"):
        images = load_images("svhn", split)
        np.testing.assert_array_equal(images.images, pixels)
        np.testing.assert_array_equal(images.labels, [1, 0, 9, 2])


def test_mnist(serve, data: Path) -> None:
    pixels, labels = noise(3, 5, 28, 28), np.array([4, 0, 9, 1, 2], np.uint8)
    images = bytes([0, 0, 8, 3]) + np.array([5, 28, 28], ">i4").tobytes() + pixels.tobytes()
    digits = bytes([0, 0, 8, 1]) + np.array([5], ">i4").tobytes() + labels.tobytes()
    serve("mnist", *map(gzip.compress, (images, digits, images, digits)))
    fetch("mnist")
    test = load_images("mnist", "test")
    np.testing.assert_array_equal(test.images[..., 0], pixels)
    np.testing.assert_array_equal(test.labels, labels)


def test_tiny_imagenet(serve, data: Path) -> None:
    root = "tiny-imagenet-200/"
    big = noise(4, 6, 64, 64, 3)
    files = {
        f"{root}wnids.txt": b"n02\nn01\n",
        f"{root}words.txt": b"n01\tgoldfish, Carassius\nn02\tbullfrog\nn03\tother\n",
        f"{root}val/val_annotations.txt": b"val_0.JPEG\tn02\t0\t9\nval_1.JPEG\tn01\t0\t9\n",
        f"{root}test/images/test_0.JPEG": b"not read",
    }
    names = ["train/n01/images/n01_0", "train/n01/images/n01_10", "train/n02/images/n02_0",
             "train/n02/images/n02_10", "val/images/val_0", "val/images/val_1"]  # fmt: skip
    files |= {f"{root}{name}.JPEG": picture(big[i]) for i, name in enumerate(names)}
    serve("tiny-imagenet32", zipped(files))
    fetch("tiny-imagenet32")
    small = np.rint(big.reshape(6, 32, 2, 32, 2, 3).astype(float).mean((2, 4)))
    train, test = load_images("tiny-imagenet32"), load_images("tiny-imagenet32", "test")
    np.testing.assert_array_equal(train.images, small[[0, 2, 1, 3]])
    np.testing.assert_array_equal(train.labels, [0, 1, 0, 1])
    np.testing.assert_array_equal(test.images, small[4:])
    np.testing.assert_array_equal(test.labels, [1, 0])
    assert train.classes == ("goldfish", "bullfrog")


def test_celeba(data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "downloaded"
    folder.mkdir()
    faces = noise(5, 4, 218, 178, 3)
    archive = {f"img_align_celeba/{i + 1:06d}.jpg": picture(faces[i]) for i in range(4)}
    (folder / "img_align_celeba.zip").write_bytes(zipped(archive))
    rows = ["000001.jpg  1 -1", "000002.jpg -1 -1", "000003.jpg  1  1", "000004.jpg -1  1"]
    (folder / "list_attr_celeba.txt").write_text("\n".join(["4", "Smiling Male ", *rows, ""]))
    partition = "000001.jpg 0\n000002.jpg 0\n000003.jpg 1\n000004.jpg 2\n"
    (folder / "list_eval_partition.txt").write_text(partition)
    fetch("celeba", given=folder / "img_align_celeba.zip", size=89)
    train = load_images("celeba")
    centre = faces[:2, 20:198].reshape(2, 89, 2, 89, 2, 3).astype(float).mean((2, 4))
    np.testing.assert_array_equal(train.images, np.rint(centre))
    np.testing.assert_array_equal(train.attributes, [[1, 0], [0, 0]])
    assert train.attribute_names == ("Smiling", "Male")
    np.testing.assert_array_equal(load_images("celeba", "test").extra["image_id"], [4])
    assert len(load_images("celeba", "valid")) == 1
    (folder / "list_eval_partition.txt").unlink()
    with pytest.raises(RadfordError, match=r"list_eval_partition.txt is missing"):
        fetch("celeba", given=folder)
    assert len(load_images("celeba")) == 2


def test_folder_of_pictures(data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "bedrooms"
    (folder / "a" / "b").mkdir(parents=True)
    (folder / "a" / "b" / "1.webp").write_bytes(picture(noise(6, 70, 90, 3)))
    (folder / "a" / "2.jpg").write_bytes(picture(noise(7, 64, 64)))
    fetch("lsun-bedroom", given=folder)
    assert load_images("lsun-bedroom").images.shape == (2, 64, 64, 3)
    with pytest.raises(RadfordError, match=r"2.jpg is 64x64, smaller than --size 65"):
        fetch("lsun-bedroom", given=folder, size=65)
    (folder / "a" / "3.jpg").write_bytes(b"no picture")
    with pytest.raises(RadfordError, match=r"3.jpg cannot be decoded"):
        fetch("lsun-bedroom", given=folder)
    assert len(load_images("lsun-bedroom")) == 2
    assert len(list(data.iterdir())) == 2


def test_imagenet32(data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "imagenet"
    (folder / "train").mkdir(parents=True)
    pixels = noise(8, 6, 3, 32, 32)
    for name, part in (
        ("train/train_data_batch_10", 2),
        ("train/train_data_batch_2", 1),
        ("val_data", 0),
    ):
        rows = pixels[2 * part : 2 * part + 2].reshape(2, -1)
        np.savez(folder / name, data=rows, labels=np.array([1, 1000]), mean=rows.mean(0))
    fetch("imagenet32", given=folder)
    train, test = load_images("imagenet32"), load_images("imagenet32", "test")
    np.testing.assert_array_equal(train.images, pixels[2:].transpose(0, 2, 3, 1))
    np.testing.assert_array_equal(train.labels, [0, 999, 0, 999])
    np.testing.assert_array_equal(test.images, pixels[:2].transpose(0, 2, 3, 1))


def test_amazon_streams_into_shards(data: Path, tmp_path: Path) -> None:
    texts = [f"Review {i}: it&#34;s\n{'good ' * (i % 7)}" for i in range(500)]
    rows = [{"reviewText": text, "overall": 5.0, "asin": "B0"} for text in texts]
    rows.append({"overall": 1.0})
    lines = [json.dumps(row) if i % 2 else repr(row) for i, row in enumerate(rows)]
    path = tmp_path / "aggressive_dedup.json.gz"
    path.write_bytes(gzip.compress("\n".join(lines).encode()))
    pack = fetch("amazon", given=path)
    found = []
    for split in ("train", "valid", "test"):
        corpus = load_corpus("amazon", split)
        assert all(isinstance(shard, np.memmap) for shard in corpus.shards)
        documents = b"".join(shard.tobytes() for shard in corpus.shards).decode().splitlines()
        assert set(documents) == {clean_document(text) for text in texts if split_of(text) == split}
        found += documents
    assert len(found) == len(texts)
    assert sum(file.count or 0 for file in pack.files) == len(texts)
    assert len(load_corpus("amazon").shards) > 300
    path.write_bytes(gzip.compress(b"asin,text\n1,2\n"))
    with pytest.raises(
        RadfordError, match=r"not 'amazon' as its publisher gives it .*a line is no"
    ):
        fetch("amazon", given=path)
    path.write_bytes(gzip.compress("\n".join(lines).encode())[:-20])
    with pytest.raises(RadfordError, match="not 'amazon' as its publisher gives it"):
        fetch("amazon", given=path)
    assert len(load_corpus("amazon").shards) > 300
    assert len(list(data.iterdir())) == 2


def test_imdb_and_its_unlabelled_part(serve, data: Path) -> None:
    archive = {
        "aclImdb/README": b"read me",
        "aclImdb/train/pos/1_9.txt": b"Fine.<br />Really.",
        "aclImdb/train/pos/0_7.txt": "Caf\u00e9".encode(),
        "aclImdb/train/neg/0_2.txt": b"Poor.",
        "aclImdb/test/neg/5_1.txt": b"Worst.",
        "aclImdb/test/pos/5_10.txt": b"Best.",
        "aclImdb/train/unsup/0_0.txt": b"Something else<br />\nentirely",
        "aclImdb/train/unsup/1_0.txt": b"something else, entirely!",
        "aclImdb/train/unsup/2_0.txt": b"best",
        "aclImdb/train/labeledBow.feat": b"1 2:3",
    }
    serve("imdb", tar_gz(archive))
    serve("imdb-unsup", tar_gz(archive))
    fetch("imdb")
    train = load_texts("imdb", "train")
    assert train.texts == ("Caf\u00e9", "Fine.<br />Really.", "Poor.")
    np.testing.assert_array_equal(train.labels, [1, 1, 0])
    np.testing.assert_array_equal(train.latents["stars"], [7, 9, 2])
    assert load_texts("imdb", "test").texts == ("Best.", "Worst.")
    pack = fetch("imdb-unsup")
    assert sum(file.count or 0 for file in pack.files) == 1
    split = pack.files[0].split
    (shard,) = load_corpus("imdb-unsup", split).shards
    assert shard.tobytes().lower().replace(b",", b"").rstrip(b"!\n").split() == (
        b"something else entirely".split()
    )


def test_sentence_sets(serve, data: Path) -> None:
    serve("sst2", *[b'label,sentence\n1,"Fine, really"\n0,Poor\n'] * 3)
    fetch("sst2")
    valid = load_texts("sst2", "valid")
    assert valid.texts == ("Fine, really", "Poor")
    np.testing.assert_array_equal(valid.labels, [1, 0])

    mr = {"rt-polaritydata/rt-polarity.pos": "touch\u00e9 \n".encode("cp1252"),
          "rt-polaritydata/rt-polarity.neg": b"dull \nflat \n"}  # fmt: skip
    serve("mr", tar_gz(mr))
    fetch("mr")
    assert load_texts("mr", "all").texts == ("touch\u00e9", "dull", "flat")
    np.testing.assert_array_equal(load_texts("mr", "all").labels, [1, 0, 0])

    serve("subj", tar_gz({"quote.tok.gt9.5000": b"smart\n", "plot.tok.gt9.5000": b"he goes\n"}))
    fetch("subj")
    assert load_texts("subj", "all").texts == ("smart", "he goes")

    serve("mpqa", b"support\n\nhope\n", b"fear\n")
    fetch("mpqa")
    assert load_texts("mpqa", "all").texts == ("support", "", "hope", "fear")
    np.testing.assert_array_equal(load_texts("mpqa", "all").labels, [1, 1, 1, 0])


def test_sentence_pairs(serve, data: Path) -> None:
    header = "\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\n".encode()
    serve("msrp", *[header + b'1\t70\t71\tHe said "yes.\tHe agreed.\r\n0\t72\t73\ta\tb\n'] * 2)
    fetch("msrp")
    msrp = load_texts("msrp", "test")
    assert msrp.texts == ('He said "yes.', "a")
    assert msrp.pairs == ("He agreed.", "b")
    np.testing.assert_array_equal(msrp.labels, [1, 0])
    header = b"pair_ID\tsentence_A\tsentence_B\trelatedness_score\tentailment_judgment\n"
    serve("sick", *[header + b"4\tA boy plays \tNo boy plays \t3.6\tCONTRADICTION\n"] * 3)
    fetch("sick")
    sick = load_texts("sick", "valid")
    assert (sick.texts, sick.pairs) == (("A boy plays",), ("No boy plays",))
    np.testing.assert_array_equal(sick.labels, [3.6])


def test_yelp(data: Path, tmp_path: Path) -> None:
    rows = b'"1","Bad.\\nVery ""bad""."\n"2","Good, really"\n'
    files = {f"yelp_review_polarity_csv/{name}.csv": rows for name in ("train", "test")}
    path = tmp_path / "yelp.tar.gz"
    path.write_bytes(tar_gz(files))
    fetch("yelp", given=path)
    texts = load_texts("yelp", "train")
    assert texts.texts == ('Bad.\nVery "bad".', "Good, really")
    np.testing.assert_array_equal(texts.labels, [0, 1])


def test_files_that_the_user_has(serve, data: Path, tmp_path: Path) -> None:
    serve("cr", b"good\n", b"bad\n")
    (tmp_path / "custrev.pos").write_bytes(b"nice\n")
    with pytest.raises(UsageError, match=r"needs a folder with custrev.pos, custrev.neg"):
        fetch("cr", given=tmp_path)
    (tmp_path / "custrev.neg").write_bytes(b"nasty\n")
    fetch("cr", given=tmp_path)
    assert load_texts("cr", "all").texts == ("nice", "nasty")
    serve("cifar10", b"the true archive")
    (tmp_path / "other.tar.gz").write_bytes(b"another")
    with pytest.raises(
        RadfordError, match=r"other.tar.gz is not the published file \(expected md5"
    ):
        fetch("cifar10", given=tmp_path / "other.tar.gz")


def test_nothing_is_left_of_a_failed_conversion(serve, data: Path) -> None:
    serve("cifar10", b"this is no archive")
    with pytest.raises(RadfordError, match="not 'cifar10' as its publisher gives it"):
        fetch("cifar10")
    serve("mr", tar_gz({"rt-polaritydata/rt-polarity.pos": b"only one\n"}))
    with pytest.raises(RadfordError, match="not 'mr' as its publisher gives it"):
        fetch("mr")
    assert list(data.iterdir()) == []


def test_unwritable_data_folder(
    serve, publisher: Publisher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("RADFORD_DATA", str(tmp_path / "file" / "data"))
    serve("cr", b"good\n", b"bad\n")
    with pytest.raises(RadfordError, match="set RADFORD_DATA to a folder you can write"):
        fetch("cr")
    assert publisher.ranges == [], "found out before anything is downloaded"


def test_fetch_command(serve, data: Path, publisher: Publisher) -> None:
    serve("cr", b"good\n", b"bad\n")
    run = CliRunner()
    done = run.invoke(data_group, ["fetch", "cr"])
    assert done.exit_code == 0
    assert "all.parquet  2 in all" in done.output
    assert f"pack 'cr' is in {data}; licence: MIT (repository)" in done.output
    for arguments, code, line in (
        (["nothing"], 2, "nothing called 'nothing' can be fetched: cifar10"),
        (["celeba"], 2, "Google Drive only: from https://mmlab"),
        (["imagenet32"], 2, "image-net.org needs a login"),
        (["celeba", "--from", "/nowhere"], 2, "there is no such file or folder"),
        (["cr", "--size", "32"], 2, "--size does not apply to 'cr'"),
        (["cr", "--size", "0"], 2, "0 is not in the range"),
    ):
        result = run.invoke(data_group, ["fetch", *arguments])
        assert (result.exit_code, line in result.output) == (code, True), result.output
    publisher.files.clear()
    serve("mpqa", b"", b"")
    publisher.files.clear()
    result = run.invoke(data_group, ["fetch", "mpqa"])
    assert result.exit_code == 1
    assert result.output.startswith("Error: http://127.0.0.1")
    assert len(result.output.splitlines()) == 1


def test_every_source_is_described() -> None:
    from radford_lib.data.image_converters import IMAGE_CONVERTERS
    from radford_lib.data.text_converters import TEXT_CONVERTERS

    for source in sources().values():
        assert source.converter in {**IMAGE_CONVERTERS, **TEXT_CONVERTERS}
        assert bool(source.files) != bool(source.by_hand)
        assert source.licence
        for file in source.files:
            assert file.url.startswith("http")
            assert file.hash is None or len(file.hash) == len("md5:") + 32
