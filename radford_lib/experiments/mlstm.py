"""The byte mLSTM on reviews, scored on its way: at how many bytes does sentiment emerge?

``python -m radford_lib.experiments.mlstm --hidden 2048 --corpus with`` trains for
``--train-seconds`` (of which it makes a number of bytes by measuring its speed first) and reads the
evaluation sets after given numbers of bytes: items S-X1, and of the largest run S-E1, S-E2, S-E4,
S-F3 and S-T2, by the protocol of the chapter ``sentiment_neuron/sentiment_unit``. ``--corpus
without`` reads books instead: text without opinions, for the question of alignment.
"""

import argparse
import functools
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from radford_lib.book.results import describe
from radford_lib.data import ByteCorpus, LabelledTexts, join_corpora, load_corpus, load_texts
from radford_lib.data.packs import packs
from radford_lib.experiments.sentiment_scores import (
    score_first,
    score_second,
    strongest,
    unigram_bits,
)
from radford_lib.experiments.session import (
    ALL_BYTES,
    FILES,
    Session,
    Stage,
    Unfinished,
    common_arguments,
    main,
)
from radford_lib.interpret.units import transform
from radford_lib.models.language_model import ByteLanguageModel
from radford_lib.probes.bag_of_words import fit_bag_of_words
from radford_lib.probes.intervals import accuracy_interval
from radford_lib.training.language_model import (
    LanguageModelConfig,
    LanguageModelRun,
    bits_per_byte,
    language_model_fingerprint,
    train_language_model,
)
from radford_lib.weights.shards import SHARD_BYTES, write_shards

CHAPTER = "sentiment_neuron/sentiment_unit"
MAIN = "h2048-with"  # the run that stands for the paper's
SLACK = 0.93  # of the measured speed: validation and checkpoints take time too
OTHER_FILES = 3  # beside weights and features: record, metrics, log


@dataclass(frozen=True)
class Sizes:
    """What a rehearsal has less of; the first values are those of the run itself."""

    corpora: dict[str, tuple[str, ...]]
    evaluation: str = "sst2"
    second: str = "imdb"
    texts: int | None = None  # of each part of ``evaluation``; None for all
    second_texts: int | None = None  # of each part of ``second``, at the end
    second_on_the_way: int = 4000  # of each part, while training
    second_fit: int = 25_000  # training texts of ``second`` that its probe of all units sees
    shrink: int = 1  # of the hidden units
    embed: int = 64
    window: int = 256
    shard_bytes: int = 2_000_000
    corpus_bytes: int | None = None
    validation_bytes: int = 1_000_000
    read_batch: int = 1024  # texts read side by side
    speed_updates: int = 40
    batch: int = 128
    lr: float = 1e-3
    train_seconds: float = 360.0
    visits: tuple[float, ...] = (3e6, 10e6, 30e6, 100e6, 200e6, 400e6, 800e6, 1600e6, 3200e6)


FULL = Sizes({"with": ("amazon", "imdb-unsup"), "without": ("books",)})
QUICK = Sizes(
    {"with": ("reviews",), "without": ("encyclopaedia",)},
    evaluation="reviews", second="reviews", texts=120, second_texts=80, second_on_the_way=60,
    second_fit=60, shrink=64, embed=16, window=32, shard_bytes=20_000, corpus_bytes=120_000,
    validation_bytes=4000, read_batch=32, speed_updates=4, batch=4, lr=1e-2, train_seconds=2.0,
    visits=(4000.0, 12000.0),
)  # fmt: skip
PACKS = replace(QUICK, corpora=FULL.corpora, evaluation=FULL.evaluation, second=FULL.second)


def arguments() -> argparse.ArgumentParser:
    parser = common_arguments(__doc__)
    parser.add_argument("--hidden", type=int, choices=(2048, 1024, 512), default=2048)
    parser.add_argument("--corpus", choices=("with", "without"), default="with", help="opinions")
    parser.add_argument("--corpus-bytes", type=int, default=0, help="of text; 0 for all there is")
    parser.add_argument("--train-seconds", type=float, help="over all calls [360]")
    parser.add_argument("--bytes", type=int, default=0, help="to train on, in place of seconds")
    parser.add_argument("--batch", type=int, help="streams side by side [128]")
    parser.add_argument("--lr", type=float, help="falls linearly to zero [0.001]")
    parser.add_argument("--units", type=int, default=256, help="of whose features come back")
    return parser


class Mlstm:
    """One run: a size and a corpus."""

    def __init__(self, session: Session, asked: argparse.Namespace, sizes: Sizes) -> None:
        self.session, self.asked, self.sizes = session, asked, sizes
        self.label = label_of(asked)
        workers = 1 if session.device == "cpu" else max(1, (os.cpu_count() or 2) - 2)
        self.pool = ThreadPoolExecutor(workers)  # probes, while the GPU trains
        self.pending: list[Future[dict[str, Any]]] = []

    # --- data -----------------------------------------------------------------------------------

    @functools.cached_property
    def corpus(self) -> ByteCorpus:
        return self._joined("train", self.asked.corpus_bytes or self.sizes.corpus_bytes)

    @functools.cached_property
    def unseen(self) -> ByteCorpus:
        return self._joined("valid", self.sizes.corpus_bytes)

    def _joined(self, split: str, max_bytes: int | None) -> ByteCorpus:
        names = self.sizes.corpora[self.asked.corpus]
        part = None if max_bytes is None else max_bytes // len(names)
        loaded = [load_corpus(name, split, max_bytes=part, seed=self.asked.seed) for name in names]
        return join_corpora(loaded, self.sizes.shard_bytes)

    @functools.cached_property
    def labelled(self) -> dict[str, LabelledTexts]:
        """Parts of the evaluation set."""
        return {
            part: load_texts(self.sizes.evaluation, part, n=self.sizes.texts, seed=self.asked.seed)
            for part in ("train", "valid", "test")
        }

    @functools.cache  # noqa: B019  # one object a process
    def second(self, count: int | None) -> dict[str, LabelledTexts]:
        """Parts of the second set, ``count`` texts each."""
        return {
            part: load_texts(self.sizes.second, part, n=count, seed=self.asked.seed)
            for part in ("train", "test")
        }

    # --- the run --------------------------------------------------------------------------------

    def config(self, total_bytes: int = 1 << 40) -> LanguageModelConfig:
        return LanguageModelConfig(
            hidden=self.asked.hidden // self.sizes.shrink,
            embed=self.sizes.embed,
            batch=self.asked.batch,
            window=self.sizes.window,
            total_bytes=total_bytes,
            lr=self.asked.lr,
            validation_bytes=self.sizes.validation_bytes,
            seed=self.asked.seed,
        )

    def plan(self) -> str:
        """Decide on the bytes to train on: as many as fit into the seconds, at a speed measured."""
        total = self.asked.bytes or int(SLACK * self.speed() * self.asked.train_seconds)
        self.session.state["values"]["total_bytes"] = total
        return f"{total / 1e6:.1f} MB to train on, of {self.corpus.bytes / 1e6:.1f} MB of text"

    def speed(self) -> float:
        """Bytes a second of a few updates, the first of which compile and are left out."""
        per_update = self.asked.batch * self.sizes.window
        trial = self.config(self.sizes.speed_updates * per_update)
        run = train_language_model(trial, self.corpus, progress=False, device=self.session.device)
        middle, end = run.history[len(run.history) // 2], run.history[-1]
        return (end["bytes"] - middle["bytes"]) / (end["seconds"] - middle["seconds"])

    def untrained(self) -> str:
        """Score the network before training: the control."""
        model = self.model().to(self.session.device)
        self.visit(model, 0)
        self.collect(wait=True)
        return self.row_line(self.rows[0])

    def model(self) -> ByteLanguageModel:
        config = self.config()
        return ByteLanguageModel(config.cell, config.hidden, config.embed, seed=config.seed)

    def train(self) -> LanguageModelRun:
        """The finished run; ``Unfinished`` where time is up before."""
        total = self.session.state["values"]["total_bytes"]
        config = self.config(total)
        fingerprint = language_model_fingerprint(config, self.corpus, self.unseen)
        per_update = config.batch * config.window
        last = config.updates * per_update
        run = train_language_model(
            config,
            self.corpus,
            validation=self.unseen,
            checkpoint_dir=self.session.checkpoint(self.label, fingerprint),
            deadline=self.session.deadline(reserve=75),
            visit=self.visit,
            visit_at=[*(int(v) for v in self.sizes.visits if v < last), last],
            progress=self.session.progress,
            device=self.session.device,
        )
        self.session.metrics[f"{self.label} training"] = run.history
        self.collect(wait=True)
        if not run.finished:
            raise Unfinished(f"{run.bytes_seen / 1e6:.1f} of {last / 1e6:.1f} MB read")
        return run

    def training(self) -> str:
        run = self.train()
        speed = run.bytes_seen / run.seconds
        return f"{speed / 1e6:.3f} MB/s; {self.row_line(self.rows[-1])}"

    # --- scores ---------------------------------------------------------------------------------

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The emergence curve so far, a row for each visit in the order of bytes."""
        found = self.session.metrics.get(self.label, [])
        return sorted(found, key=lambda row: row["bytes"])

    def read(self, model: ByteLanguageModel, texts: LabelledTexts) -> np.ndarray:
        dtype = self.config().dtype(self.session.device)
        return transform(model, texts.texts, batch=self.sizes.read_batch, dtype=dtype)

    def visit(self, model: ByteLanguageModel, count: int) -> None:
        """Read the evaluation sets with the model as it is; probes are fitted while it goes on."""
        bits = bits_per_byte(
            model, self.unseen, max_bytes=self.sizes.validation_bytes,
            dtype=self.config().dtype(self.session.device),
        )  # fmt: skip
        features = {part: self.read(model, texts) for part, texts in self.labelled.items()}
        second = self.second(self.sizes.second_on_the_way)
        seen = {part: self.read(model, texts) for part, texts in second.items()}
        about = {"bytes": count, "valid_bits_per_byte": bits}
        self.pending.append(self.pool.submit(self.scored, about, features, seen, second))
        if count:
            self.keep_weights(model, count, bits)
        self.collect()

    def scored(
        self,
        about: dict[str, Any],
        features: dict[str, np.ndarray],
        seen: dict[str, np.ndarray],
        second: dict[str, LabelledTexts],
    ) -> dict[str, Any]:
        first, unit = score_first(self.labelled, features, self.asked.seed)
        later = score_second(second, seen, unit, self.sizes.second_fit, self.asked.seed)
        return {**about, **first, **{f"second_{key}": value for key, value in later.items()}}

    def collect(self, wait: bool = False) -> None:
        """Keep the rows of the visits whose probes are fitted; of all of them with ``wait``."""
        due = [future for future in self.pending if wait or future.done()]
        self.pending = [future for future in self.pending if future not in due]
        for row in (future.result() for future in due):
            others = [old for old in self.rows if old["bytes"] != row["bytes"]]
            self.session.metrics[self.label] = sorted([*others, row], key=lambda r: r["bytes"])
        self.session.save()

    @staticmethod
    def row_line(row: dict[str, Any]) -> str:
        return (
            f"{row['valid_bits_per_byte']:.3f} bits/byte, all units {row['accuracy']:.1%}, "
            f"one {row['unit_accuracy']:.1%}; second {row['second_accuracy']:.1%}, "
            f"{row['second_unit_accuracy']:.1%}"
        )

    def keep_weights(self, model: ByteLanguageModel, count: int, bits: float) -> None:
        config = self.config()
        name = f"mlstm-{self.label.removeprefix('h')}".removesuffix("-with")
        known = packs()
        named = [known[n] for n in self.sizes.corpora[self.asked.corpus] if n in known]
        done = {row["bytes"]: row for row in self.rows}.get(count, {})
        self.session.keep_weights(
            name,
            model,
            {
                "architecture": {
                    "kind": "byte-language-model", "cell": config.cell,
                    "hidden": config.hidden, "embed": config.embed,
                },
                "data": describe(self.corpus),
                "licence": "; ".join(f"{p.name}: {p.licence}" for p in named) or "toy text",
                "steps": count // (config.batch * config.window),
                "seconds": self.session.state["seconds"],
                "loss": {"valid_bits_per_byte": bits},
                "scores": {key: v for key, v in done.items() if "accuracy" in key},
            },
        )  # fmt: skip

    # --- the end --------------------------------------------------------------------------------

    def final(self) -> str:
        """Read all of both sets, record the results, write the strongest units' features."""
        run = self.train()
        features = {part: self.read(run.model, texts) for part, texts in self.labelled.items()}
        words = self.pool.submit(self.word_counts)
        first, unit = score_first(self.labelled, features, self.asked.seed)
        second = self.second(self.sizes.second_texts)
        seen = {part: self.read(run.model, texts) for part, texts in second.items()}
        later = score_second(second, seen, unit, self.sizes.second_fit, self.asked.seed)
        bits = run.valid_bits_per_byte or float("nan")
        row = {"bytes": run.bytes_seen, "valid_bits_per_byte": bits, **first}
        row |= {f"second_{key}": value for key, value in later.items()}
        others = [old for old in self.rows if old["bytes"] != run.bytes_seen]
        self.session.metrics[self.label] = [*others, row]
        self.record_curve(row, second)
        if self.label == MAIN:
            self.record_chapter(run, row, words.result(), second)
        self.keep_weights(run.model, run.bytes_seen, bits)
        order = strongest(first["weights"], features["train"], self.labelled["train"].labels)
        self.keep_features(features, seen, second, order)
        return self.row_line(row)

    def word_counts(self) -> dict[str, float]:
        """What counting words, or runs of bytes, tells of the same labels."""
        train, valid, test = self.labelled.values()
        kinds = {"bag_of_words": ("words", 1), "bag_of_bytes": ("bytes", 4)}
        found = {}
        for name, (of, longest) in kinds.items():
            bag = fit_bag_of_words(
                train.texts, train.labels, valid.texts, valid.labels,
                of=of, longest=longest, seed=self.asked.seed,
            )  # fmt: skip
            found[name] = float(np.mean(bag.predict(test.texts) == test.labels))
        return found

    def record_curve(self, row: dict[str, Any], second: dict[str, LabelledTexts]) -> None:
        chapter, prefix = f"sentiment_neuron/{self.label}", self.label.replace("-", "_")
        first = list(self.labelled.values())
        test, second_test = self.labelled["test"], second["test"]
        keep = functools.partial(self.session.record, chapter, "S-X1")
        keep(f"{prefix}_bytes", row["bytes"], data=self.corpus, unit="bytes")
        keep(
            f"{prefix}_bits_per_byte", row["valid_bits_per_byte"],
            data=[self.corpus, self.unseen], unit="bits/byte",
        )  # fmt: skip
        for key, texts in {
            "accuracy": first, "unit_accuracy": first,
            "second_accuracy": list(second.values()), "second_unit_accuracy": list(second.values()),
        }.items():  # fmt: skip
            n = len(second_test if key.startswith("second") else test)
            name = f"{prefix}_{key}".replace("second", self.sizes.second)
            keep(name, row[key], n=n, ci=accuracy_interval(row[key], n), data=texts)
        curve = [{k: v for k, v in r.items() if k != "weights"} for r in self.rows]
        self.session.state["records"][chapter]["curves"] = {self.label: curve}

    def record_chapter(
        self,
        run: LanguageModelRun,
        row: dict[str, Any],
        words: dict[str, float],
        second: dict[str, LabelledTexts],
    ) -> None:
        """The results under the chapter's own names."""
        first, untrained = list(self.labelled.values()), self.rows[0]
        train, test = self.labelled["train"], self.labelled["test"]
        keep = functools.partial(self.session.record, CHAPTER)
        bits = {"data": [self.corpus, self.unseen], "unit": "bits/byte"}
        keep("S-E1", "bits_per_byte", row["valid_bits_per_byte"], **bits)
        keep("S-E1", "unigram_bits", unigram_bits(self.unseen), **bits)
        keep("S-E1", "bytes_seen", run.bytes_seen, data=self.corpus, unit="bytes")
        keep("S-E1", "corpus_bytes", self.corpus.bytes, data=self.corpus, unit="bytes")
        keep("S-E1", "bytes_per_second", run.bytes_seen / run.seconds, unit="bytes/s")
        keep("S-E1", "seconds", run.seconds, unit="s")
        keep("S-E1", "updates", run.config.updates)
        keep("S-E1", "hidden", run.config.hidden)
        keep("S-E1", "parameters", sum(p.numel() for p in run.model.parameters()))
        commonest = np.bincount(train.labels).argmax()
        shares = {
            ("S-E2", "accuracy"): row["accuracy"],
            ("S-E2", "untrained"): untrained["accuracy"],
            ("S-E2", "bag_of_words"): words["bag_of_words"],
            ("S-E2", "bag_of_bytes"): words["bag_of_bytes"],
            ("S-E2", "majority"): float(np.mean(test.labels == commonest)),
            ("S-E4", "unit_accuracy"): row["unit_accuracy"],
            ("S-E4", "searched_unit_accuracy"): row["searched_unit_accuracy"],
            ("S-E4", "untrained_unit_accuracy"): untrained["searched_unit_accuracy"],
            ("S-F3", "unit_accuracy"): row["unit_accuracy"],
        }
        for (item, metric), share in shares.items():
            ci = accuracy_interval(share, len(test))
            keep(item, metric, share, n=len(test), ci=ci, data=first)
        for metric in ("c", "nonzero"):
            keep("S-E2", metric, row[metric], data=first)
        keep("S-E2", "train_texts", len(train), data=train)
        for metric in ("unit", "dominance", "weight_share", "searched_unit"):
            keep("S-E4", metric, row[metric], data=first)
        keep("S-F3", "separation", row["separation"], data=test)
        for metric in ("accuracy", "unit_accuracy"):
            n = len(second["test"])
            share = row[f"second_{metric}"]
            ci = accuracy_interval(share, n)
            keep("S-T2", metric, share, n=n, ci=ci, data=list(second.values()))
        keep("S-T2", "train_texts", row["second_fit_texts"], data=second["train"])

    def keep_features(
        self,
        features: dict[str, np.ndarray],
        seen: dict[str, np.ndarray],
        second: dict[str, LabelledTexts],
        order: np.ndarray,
    ) -> None:
        """Write labels and float16 features of as many of the strongest units as may come back."""
        names = {f"{self.sizes.evaluation}.{part}": x for part, x in features.items()}
        names |= {f"second.{self.sizes.second}.{part}": x for part, x in seen.items()}
        labels = {f"{self.sizes.evaluation}.{p}": t.labels for p, t in self.labelled.items()}
        labels |= {f"second.{self.sizes.second}.{p}": t.labels for p, t in second.items()}
        shards = [s for card in self.session.state["weights"].values() for s in card["shards"]]
        room = min(
            (FILES - OTHER_FILES - len(shards)) * SHARD_BYTES,
            ALL_BYTES - (3 << 20) - sum(shard["bytes"] for shard in shards),
        )
        texts = sum(len(x) for x in names.values())
        units = order[: max(1, min(self.asked.units, len(order), int(0.95 * room) // (2 * texts)))]
        tensors = {"units": torch.from_numpy(units.astype(np.int32))}
        for name, x in names.items():
            tensors[name] = torch.from_numpy(x[:, units].astype(np.float16))
            tensors[f"{name}.labels"] = torch.from_numpy(labels[name].astype(np.uint8))
        name = f"{self.session.name}-features"
        self.session.state["features"] = write_shards(self.session.files, name, tensors)


def label_of(asked: argparse.Namespace) -> str:
    """The run's name: what sets it apart from its sisters."""
    text = f"-{asked.corpus_bytes // 1_000_000}mb" if asked.corpus_bytes else ""
    seed = f"-seed{asked.seed}" if asked.seed else ""
    return f"h{asked.hidden}-{asked.corpus}{text}{seed}"


def build(argv: Sequence[str] | None = None) -> tuple[Session, list[Stage]]:
    """The session and the stages of what the command line asks for."""
    started = time.perf_counter()
    asked = arguments().parse_args(argv)
    sizes = (PACKS if asked.packs else QUICK) if asked.quick else FULL
    for name in ("batch", "lr", "train_seconds"):
        if getattr(asked, name) is None:
            setattr(asked, name, getattr(sizes, name))
    session = Session(f"02-mlstm-{label_of(asked)}", asked, started, sizes)
    run = Mlstm(session, asked, sizes)
    return session, [
        Stage("plan", run.plan, 30),
        Stage("before training", run.untrained, 20),
        Stage("training", run.training, 60),
        Stage("final", run.final, 60),
    ]


if __name__ == "__main__":
    sys.exit(main(build))
