"""Toy reviews: a grammar whose sentiment, stars, topic and turns of phrase are known.

Sentiment is carried by many words and by what is done to them: adjectives praise one part and blame
another, a negation turns praise around, and after a "but" the last clause counts.
"""

import random
import re
import zlib
from dataclasses import dataclass, field

import numpy as np

from radford_lib.data.corpus import ByteCorpus
from radford_lib.data.texts import LabelledTexts
from radford_lib.data.toy import lexicon as lex
from radford_lib.data.toy.world import identity
from radford_lib.errors import UsageError

VERSION = 1
SHARDS = 8
DIALECTS = ("business", "film", "mixed")
# A review's own bytes decide its split, so no review is ever in two of them
BUCKETS = {"train": range(2, 20), "valid": range(0, 1), "test": range(1, 2)}
# One star to five, as skewed as shop reviews are
STARS = (0.08, 0.06, 0.08, 0.20, 0.58)
LABELS = {1: 0, 2: 0, 4: 1, 5: 1}


@dataclass
class Review:
    """A review while it is being written: its text and what is known of it."""

    stars: int
    topic: int
    dialect: int
    text: str = ""
    negations: int = 0
    contrast: bool = False
    sentences: list[str] = field(default_factory=list)


def reviews_corpus(
    max_bytes: int = 10_000_000, seed: int = 0, split: str = "train", dialect: str = "business"
) -> ByteCorpus:
    """About ``max_bytes`` of toy reviews in eight shards, one to five stars, skewed to five.

    Raises ``UsageError`` for an unknown split or dialect, or too few bytes for eight shards.
    """
    check(split, dialect)
    if max_bytes < SHARDS * 1000:
        raise UsageError(f"a corpus of {max_bytes} bytes is too small: ask for {SHARDS * 1000}")
    share = max_bytes // SHARDS
    shards = []
    for shard in range(SHARDS):
        rng = random.Random(f"reviews corpus {seed} {split} {dialect} {shard}")
        lines, size = [], 0
        while size < share:
            review = write(rng, rng.choices(range(1, 6), STARS)[0], dialect)
            if bucket(review.text) in BUCKETS[split]:
                lines.append(review.text)
                size += len(review.text) + 1
        shards.append(np.frombuffer(("\n".join(lines) + "\n").encode("ascii"), np.uint8))
    return ByteCorpus(
        shards=tuple(shards),
        name="reviews",
        split=split,
        toy=True,
        sha256=identity(
            "reviews corpus", VERSION, bytes=max_bytes, seed=seed, split=split, dialect=dialect
        ),
    )


def reviews_texts(
    n: int = 2000, seed: int = 0, split: str = "train", dialect: str = "mixed"
) -> LabelledTexts:
    """``n`` toy reviews, half of them negative (label 0: one or two stars), none of three stars.

    ``latents``: ``stars``, ``topic``, ``dialect`` (0 business, 1 film), ``length`` (bytes),
    ``negations`` (count) and ``contrast`` (0 or 1). Review i does not depend on ``n``.
    Raises ``UsageError`` for an unknown split or dialect, or fewer than two reviews.
    """
    check(split, dialect)
    if n < 2:
        raise UsageError(f"cannot write {n} labelled reviews: n must be at least 2")
    rng = random.Random(f"reviews texts {seed} {split} {dialect}")
    written: list[Review] = []
    while len(written) < n:
        positive = len(written) % 2 == 1
        review = write(rng, rng.choice((4, 5) if positive else (1, 2)), dialect)
        if bucket(review.text) in BUCKETS[split]:
            written.append(review)
    return LabelledTexts(
        texts=tuple(review.text for review in written),
        labels=np.array([LABELS[review.stars] for review in written], np.int64),
        name="reviews",
        split=split,
        toy=True,
        sha256=identity("reviews texts", VERSION, n=n, seed=seed, split=split, dialect=dialect),
        latents={
            "stars": np.array([review.stars for review in written]),
            "topic": np.array([review.topic for review in written]),
            "dialect": np.array([review.dialect for review in written]),
            "length": np.array([len(review.text) for review in written]),
            "negations": np.array([review.negations for review in written]),
            "contrast": np.array([int(review.contrast) for review in written]),
        },
    )


def polarity_words() -> dict[str, int]:
    """Opinion words that mean the same of everything: 1 praises, -1 blames.

    Adjectives that praise one part and blame another (a long battery life, a long wait) are left
    out: alone they say nothing.
    """
    good, bad = set(lex.PRAISE) | set(lex.LOVE), set(lex.BLAME) | set(lex.HATE)
    for topic in (*lex.BUSINESS, *lex.FILM):
        for part in topic.aspects:
            good.update(part.good)
            bad.update(part.bad)
    return {word: 1 for word in sorted(good - bad)} | {word: -1 for word in sorted(bad - good)}


def check(split: str, dialect: str) -> None:
    """Raise ``UsageError`` for an unknown split or dialect."""
    if split not in BUCKETS:
        raise UsageError(f"no split '{split}' of reviews; there are: {', '.join(BUCKETS)}")
    if dialect not in DIALECTS:
        raise UsageError(f"no dialect '{dialect}'; there are: {', '.join(DIALECTS)}")


def bucket(text: str) -> int:
    """Which twentieth of all reviews a text falls into."""
    return zlib.crc32(text.encode("ascii")) % 20


def write(rng: random.Random, stars: int, dialect: str) -> Review:
    """One review of ``stars`` stars."""
    if dialect == "mixed":
        dialect = rng.choice(("business", "film"))
    topics = lex.FILM if dialect == "film" else lex.BUSINESS
    number = rng.randrange(len(topics))
    review = Review(stars, number, int(dialect == "film"))
    writer = Writer(rng, topics[number], review, film=dialect == "film")
    writer.compose()
    review.text = " ".join(review.sentences)
    return review


def with_articles(text: str) -> str:
    """``text`` with each "a" that stands before a vowel turned to "an"."""
    return re.sub(r"\b([Aa]) (?=[aeiouAEIOU])", r"\1n ", text)


class Writer:
    """Writes one review: facts, then opinions that its stars call for, then a verdict."""

    def __init__(self, rng: random.Random, topic: lex.Topic, review: Review, film: bool) -> None:
        self.rng, self.topic, self.review, self.film = rng, topic, review, film
        self.thing = rng.choice(topic.things)
        self.relative = rng.choice(lex.RELATIVES)
        self.parts = rng.sample(topic.aspects, len(topic.aspects))
        self.told: set[int] = set()  # forms of facts already used, each at most once a review

    def compose(self) -> None:
        """Choose how many opinions there are and which way each of them points."""
        stars, rng = self.review.stars, self.rng
        main = 1 if stars >= 4 or (stars == 3 and rng.random() < 0.5) else -1
        count = rng.choices((1, 2, 3, 4), (0.25, 0.4, 0.25, 0.1))[0]
        if rng.random() < 0.65:
            self.say(self.fact())
        for _ in range(count):
            if stars in (2, 3, 4) and rng.random() < 0.5:
                self.contrast(main if stars != 3 else rng.choice((1, -1)))
            elif stars == 3:
                self.opinion(rng.choice((1, -1)))
            else:
                self.opinion(main)
            if rng.random() < 0.25:
                self.say(self.fact())
        if stars == 3:
            self.say(rng.choice(("In the end it is neither good nor bad.", "So it goes.",
                                 "I am in two minds about it.", "It is what it is.")))  # fmt: skip
        elif rng.random() < 0.6:
            self.verdict(main)

    def say(self, sentence: str) -> None:
        """Add a sentence, its first letter capital."""
        sentence = with_articles(sentence)
        self.review.sentences.append(sentence[0].upper() + sentence[1:])

    def pick(self, choices: tuple[str, ...]) -> str:
        """One of ``choices``."""
        return self.rng.choice(choices)

    def part(self) -> lex.Aspect:
        """An aspect not yet spoken of, as long as there is one."""
        return self.parts.pop() if len(self.parts) > 1 else self.parts[0]

    def fill(self, text: str) -> str:
        """Put words into the slots of a template."""
        return text.format(
            n=self.pick(lex.NUMBERS), unit=self.pick(lex.UNITS), relative=self.relative,
            event=self.pick(lex.EVENTS), part=self.pick(lex.PARTS), room=self.pick(lex.ROOMS),
            material=self.pick(lex.MATERIALS), month=self.pick(lex.MONTHS),
        )  # fmt: skip

    def happening(self, way: int) -> str:
        """Something that happened, to the good or the bad."""
        if self.film:
            choices = lex.AUDIENCE_GOOD if way > 0 else lex.AUDIENCE_BAD
        elif self.topic.service:
            choices = lex.GUEST_GOOD if way > 0 else lex.GUEST_BAD
        else:
            choices = lex.GOODS_GOOD if way > 0 else lex.GOODS_BAD
        return self.fill(self.pick(choices))

    def judgement(self, way: int) -> str:
        """A clause that praises or blames a part, plainly or by denying its opposite."""
        part, rng = self.part(), self.rng
        verb = "are" if part.plural else "is"
        if self.film or self.topic.service:
            verb = "were" if part.plural else "was"
        if rng.random() < 0.42:
            self.review.negations += 1
            opposite = self.pick(part.bad if way > 0 else part.good)
            return rng.choice((
                f"the {part.name} {verb} not {opposite} at all",
                f"the {part.name} {verb} never {opposite}",
                f"I would not call the {part.name} {opposite}",
                f"nobody could say that the {part.name} {verb} {opposite}",
                f"the {part.name} {verb} anything but {opposite}",
            ))  # fmt: skip
        word = self.pick(part.good if way > 0 else part.bad)
        return rng.choice((
            f"the {part.name} {verb} {word}",
            f"the {part.name} {verb} {self.pick(lex.VERY)} {word}",
            f"I found the {part.name} {word}",
            f"my {self.relative} called the {part.name} {word}",
        ))  # fmt: skip

    def feeling(self, way: int) -> str:
        """A clause on the whole: felt, compared, denied or mocked."""
        rng, thing = self.rng, self.thing
        praise, blame = self.pick(lex.PRAISE), self.pick(lex.BLAME)
        word, opposite = (praise, blame) if way > 0 else (blame, praise)
        kind = rng.randrange(9)
        if kind == 0:
            return f"this {thing} is {self.pick(lex.VERY)} {word}"
        if kind == 1:
            self.review.negations += 1
            return rng.choice((f"I can not call this {thing} {opposite}",
                               f"this {thing} is far from {opposite}",
                               f"there is nothing {opposite} about it"))  # fmt: skip
        if kind == 2:
            verb = self.pick(lex.LOVE if way > 0 else lex.HATE)
            return f"I {verb} this {thing} more every time"
        if kind == 3:
            self.review.negations += 1
            verb = self.pick(lex.HATE if way > 0 else lex.LOVE)
            return f"I do not {verb} it for a moment"
        if kind == 4:
            return f"it was {self.pick(lex.JOYS if way > 0 else lex.SORROWS)}"
        if kind == 5:
            self.review.negations += 1
            return rng.choice(("I could not be happier", "I have no complaints",
                               "it never let us down", "you can not go wrong with it")
                              if way > 0 else
                              ("I could not be more disappointed", "I see no reason to praise it",
                               "it never lived up to its name", "nothing about it felt right"))  # fmt: skip
        if kind == 6:
            worse = f"the one from {self.pick(lex.PLACES)}"
            return (f"{worse} looks {blame} next to it" if way > 0
                    else f"{worse} was {praise} next to it")  # fmt: skip
        if kind == 7:
            expected = f"{self.pick(lex.NAMES)} told me it would be {opposite}"
            self.review.negations += 1
            return f"{expected}, and it was not"
        if way > 0:
            self.review.negations += 1
            return "my only regret is that I did not find it sooner"
        return f"{praise}, if you enjoy {self.pick(lex.TROUBLES)}"

    def clause(self, way: int) -> str:
        """Any clause that points ``way``."""
        kind = self.rng.random()
        if kind < 0.45:
            return self.judgement(way)
        return self.happening(way) if kind < 0.65 else self.feeling(way)

    def opinion(self, way: int) -> None:
        """A sentence that points ``way``, of one clause or two."""
        text = self.clause(way)
        if self.rng.random() < 0.3:
            text += f"{self.pick((', and', ', and', ';'))} {self.clause(way)}"
        self.say(text + self.pick((".", ".", ".", ".", "!")))

    def contrast(self, way: int) -> None:
        """One clause against, then one that counts."""
        self.review.contrast = True
        against, counts = self.clause(-way), self.clause(way)
        form = self.pick((
            "{a}, but {b}.", "{a}, yet {b}.", "Although {a}, {b}.", "{a}. Still, {b}.",
            "While {a}, {b}.", "True, {a}; all the same {b}.", "{a}, but in the end {b}.",
        ))  # fmt: skip
        self.say(form.format(a=against, b=counts))

    def verdict(self, way: int) -> None:
        """A closing word to the reader."""
        relative, thing = self.relative, self.thing
        choices: tuple[str, ...]
        if way > 0:
            choices = (
                f"Get one for your {relative} too." if not self.topic.service and not self.film
                else f"Take your {relative} there." if not self.film
                else f"Take your {relative} to see it.",
                "Highly recommended.", "Well worth the price.", "Do not hesitate.",
                f"I will be back for another {thing}." if not self.topic.service
                else "We will be back.",
                "Five stars are not enough.", "Ignore the grumblers.", "You will not regret it.",
            )  # fmt: skip
        else:
            choices = (
                "Save your money.", "Look elsewhere.", "Stay away.", "Not recommended.",
                f"Spare your {relative} the trouble.", "One star is one too many.",
                "Do not believe the praise.", "You will regret it.", "Never again.",
            )  # fmt: skip
        self.say(self.pick(choices))

    def fact(self) -> str:
        """A sentence that says nothing of worth either way."""
        thing = self.thing
        name, place, month = self.pick(lex.NAMES), self.pick(lex.PLACES), self.pick(lex.MONTHS)
        if self.film:
            return self.untold((
                f"We saw it in {place} on a {self.pick(lex.DAYS)} in {month}.",
                f"My {self.relative} picked this {thing} for {self.pick(lex.EVENTS)}.",
                f"{name} lent me the {self.topic.name} because {self.pick(lex.REASONS)}.",
                f"The story follows {name}, a teacher from {place}, and her {self.relative}.",
                f"It is set in {place} and runs for {self.pick(lex.NUMBERS)} chapters.",
                f"{name} plays the {self.relative} of the {self.pick(lex.COLOURS)} rider.",
            ))  # fmt: skip
        if self.topic.service:
            return self.untold((
                f"We went there on a {self.pick(lex.DAYS)} in {month}, after {self.pick(lex.EVENTS)}.",
                f"It is the {self.topic.name} near the station in {place}.",
                f"{name} from work sent us there because {self.pick(lex.REASONS)}.",
                f"My {self.relative} had booked the {self.topic.name} for {self.pick(lex.EVENTS)}.",
                f"There is a {self.pick(lex.COLOURS)} door and a sign with the name {name}.",
            ))  # fmt: skip
        return self.untold((
            f"I bought it in {month} from {self.pick(lex.SHOPS)} in {place}.",
            f"It was a present for my {self.relative}, who lives in {place}.",
            f"Mine is the {self.pick(lex.COLOURS)} one with the {self.pick(lex.COLOURS)} {self.pick(lex.PARTS)}.",
            f"{name} told me about this {thing} because {self.pick(lex.REASONS)}.",
            f"I keep it in the {self.pick(lex.ROOMS)} next to the {self.pick(lex.PARTS)}s.",
            f"We took it along to {self.pick(lex.EVENTS)} in {place}.",
            f"It came on a {self.pick(lex.DAYS)} in a {self.pick(lex.COLOURS)} box.",
        ))  # fmt: skip

    def untold(self, facts: tuple[str, ...]) -> str:
        """One of ``facts`` whose form this review has not used yet."""
        left = [number for number in range(len(facts)) if number not in self.told]
        number = self.rng.choice(left or range(len(facts)))
        self.told.add(number)
        return facts[number]
