"""From publishers' text files to packs: corpora stream into shards, sets become Parquet."""

import ast
import csv
import gzip
import io
import json
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path

from radford_lib.data.pack_writer import PackWriter
from radford_lib.data.text_packs import clean_document, digest_of, split_of

AMAZON_SHARDS = 1000  # the paper's, section 3
IMDB_SHARDS = 8
REVIEW_PATH = re.compile(r"aclImdb/(train|test)/(pos|neg|unsup)/(\d+)_(\d+)\.txt$")


def amazon(paths: list[Path], writer: PackWriter, size: int | None) -> None:
    """``aggressive_dedup.json.gz``: a review a line, as JSON or as the literal of a Python dict.

    A review's shard and split follow from the SHA-1 of its text, so that shards mix all products.
    """
    from tqdm import tqdm

    def documents() -> Iterator[tuple[str, int, str]]:
        with gzip.open(paths[0], "rt", encoding="utf-8") as lines:
            for line in tqdm(lines, desc="converting", unit="review", disable=None):
                yield from placed(review_text(line), AMAZON_SHARDS)

    writer.documents(documents())


def review_text(line: str) -> str:
    """``reviewText`` of a line, "" where it has none. Raises ``ValueError`` for another format."""
    try:
        review = json.loads(line)
    except ValueError:
        try:
            review = ast.literal_eval(line.strip())
        except (SyntaxError, ValueError):
            review = None
    if not isinstance(review, dict):
        raise ValueError(f"a line is no review: {line[:60]!r}")
    return review.get("reviewText") or ""


def placed(text: str, shards: int) -> Iterator[tuple[str, int, str]]:
    """(split, shard number, cleaned text); nothing where the text is empty."""
    document = clean_document(text)
    if document:
        split = split_of(text)
        yield split, int(digest_of(text)[8:16], 16) % shards if split == "train" else 0, document


def imdb_reviews(path: Path) -> Iterator[tuple[str, str, int, int, str]]:
    """(split, kind, id, stars, text) of every review in ``aclImdb_v1.tar.gz``."""
    from tqdm import tqdm

    with tarfile.open(path) as archive:
        for member in tqdm(archive, desc=f"reading {path.name}", unit="file", disable=None):
            match = REVIEW_PATH.search(member.name)
            stream = archive.extractfile(member) if match else None
            if match and stream:
                text = stream.read().decode("utf-8")
                yield match[1], match[2], int(match[3]), int(match[4]), text


def imdb(paths: list[Path], writer: PackWriter, size: int | None) -> None:
    """The labelled reviews with their stars, positive ones first, by number."""
    rows: dict[str, list[tuple[int, int, int, str]]] = {"train": [], "test": []}
    for split, kind, number, stars, text in imdb_reviews(paths[0]):
        if kind != "unsup":
            rows[split].append((0 if kind == "pos" else 1, number, stars, text))
    for split, found in rows.items():
        found.sort(key=lambda row: row[:2])
        writer.texts(
            split,
            {
                "text": [row[3] for row in found],
                "label": [1 - row[0] for row in found],
                "stars": [row[2] for row in found],
                "id": [row[1] for row in found],
            },
        )


def imdb_unsup(paths: list[Path], writer: PackWriter, size: int | None) -> None:
    """The unlabelled reviews, without repeats and without what is also a labelled review."""
    seen, unlabelled = set(), []
    for _, kind, _, _, text in imdb_reviews(paths[0]):
        if kind == "unsup":
            unlabelled.append(text)
        else:
            seen.add(letters_and_digits(text))
    kept = []
    for text in sorted(unlabelled, key=digest_of):
        letters = letters_and_digits(text)
        if letters not in seen:
            seen.add(letters)
            kept.append(text)
    writer.documents(row for text in kept for row in placed(text, IMDB_SHARDS))


def letters_and_digits(text: str) -> str:
    """A text without tags, case, spacing and punctuation: what makes two reviews the same."""
    return re.sub(r"<br\s*/?>|[\W_]", "", text).lower()


def sst2(paths: list[Path], writer: PackWriter, size: int | None) -> None:
    """``{train,dev,test}_binary_sent.csv``: label, sentence."""
    for split, path in zip(("train", "valid", "test"), paths, strict=True):
        rows = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"), newline="")))
        writer.texts(
            split,
            {
                "text": [row["sentence"] for row in rows],
                "label": [int(row["label"]) for row in rows],
            },
        )


def mr(paths: list[Path], writer: PackWriter, size: int | None) -> None:
    """``rt-polarity.{pos,neg}`` of ``rt-polaritydata.tar.gz``."""
    write_two_classes(writer, tar_lines(paths[0], ("rt-polarity.pos", "rt-polarity.neg")))


def subj(paths: list[Path], writer: PackWriter, size: int | None) -> None:
    """``quote.tok.gt9.5000`` (subjective) and ``plot.tok.gt9.5000`` of ``rotten_imdb.tar.gz``."""
    write_two_classes(writer, tar_lines(paths[0], ("quote.tok.gt9.5000", "plot.tok.gt9.5000")))


def positive_negative(paths: list[Path], writer: PackWriter, size: int | None) -> None:
    """One file of positive lines, one of negative lines (CR, MPQA)."""
    write_two_classes(writer, [decoded_lines(path.read_bytes()) for path in paths])


def write_two_classes(writer: PackWriter, lines: list[list[str]]) -> None:
    """Lines of class 1, then lines of class 0, as the split ``all``."""
    positive, negative = lines
    labels = [1] * len(positive) + [0] * len(negative)
    writer.texts("all", {"text": positive + negative, "label": labels})


def tar_lines(path: Path, names: tuple[str, ...]) -> list[list[str]]:
    """Lines of the named files of a tar archive. Raises ``KeyError`` where one is missing."""
    found = {}
    with tarfile.open(path) as archive:
        for member in archive:
            name, stream = Path(member.name).name, archive.extractfile(member)
            if name in names and stream:
                found[name] = decoded_lines(stream.read())
    return [found[name] for name in names]


def decoded_lines(data: bytes) -> list[str]:
    """Stripped lines of a file in UTF-8 or, where it is not that, Windows-1252; empty ones too."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("cp1252", "replace")
    return [line.strip() for line in text.removesuffix("\n").split("\n")]


def yelp(paths: list[Path], writer: PackWriter, size: int | None) -> None:
    """``yelp_review_polarity_csv``: class 1 or 2 and a text with its newlines escaped."""
    with tarfile.open(paths[0]) as archive:
        for member in archive:
            name, stream = Path(member.name).name, archive.extractfile(member)
            if stream and name in ("train.csv", "test.csv"):
                rows = csv.reader(io.TextIOWrapper(stream, encoding="utf-8", newline=""))
                labels, texts = zip(*rows, strict=True)
                writer.texts(
                    name.removesuffix(".csv"),
                    {
                        "text": [text.replace("\\n", "\n").replace('\\"', '"') for text in texts],
                        "label": [int(label) - 1 for label in labels],
                    },
                )


def msrp(paths: list[Path], writer: PackWriter, size: int | None) -> None:
    """``msr_paraphrase_{train,test}.txt``: label, two ids, two sentences; tabs, no quoting."""
    for split, path in zip(("train", "test"), paths, strict=True):
        rows = [line.split("\t") for line in decoded_lines(path.read_bytes())[1:]]
        writer.texts(
            split,
            {
                "text_a": [row[3] for row in rows],
                "text_b": [row[4] for row in rows],
                "label": [int(row[0]) for row in rows],
            },
        )


def sick(paths: list[Path], writer: PackWriter, size: int | None) -> None:
    """``SICK_{train,dev,test}.txt``: id, two sentences, score, entailment; tabs, no quoting."""
    for split, path in zip(("train", "valid", "test"), paths, strict=True):
        rows = [line.split("\t") for line in decoded_lines(path.read_bytes())[1:]]
        writer.texts(
            split,
            {
                "text_a": [row[1].strip() for row in rows],
                "text_b": [row[2].strip() for row in rows],
                "score": [float(row[3]) for row in rows],
                "entailment": [row[4] for row in rows],
            },
        )


TEXT_CONVERTERS = {
    function.__name__: function
    for function in (
        amazon,
        imdb,
        imdb_unsup,
        sst2,
        mr,
        subj,
        positive_negative,
        yelp,
        msrp,
        sick,
    )
}
