"""A toy encyclopaedia: sober statements without an opinion, as a contrast to the reviews."""

import random

import numpy as np

from radford_lib.data.corpus import ByteCorpus
from radford_lib.data.toy.lexicon import COLOURS, MONTHS, NAMES, NUMBERS, PLACES, words
from radford_lib.data.toy.reviews import BUCKETS, SHARDS, bucket, with_articles
from radford_lib.data.toy.world import identity
from radford_lib.errors import UsageError

VERSION = 1
KINDS = {
    "bird": words("heron, falcon, crane, puffin, sparrow, starling, wren, plover, grouse, swift"),
    "mammal": words("otter, lynx, badger, marmot, weasel, bison, hedgehog, ibex, dormouse, vole"),
    "reptile": words("viper, tortoise, gecko, skink, lizard, grass snake"),
    "insect": words("beetle, moth, dragonfly, cricket, mayfly, hornet"),
    "fish": words("trout, pike, eel, perch, char, sturgeon"),
    "amphibian": words("salamander, newt, toad, tree frog"),
}
ANIMALS = tuple(name for names in KINDS.values() for name in names)
HABITATS = words("""marshes, river valleys, dry grassland, mountain forest, coastal cliffs, limestone caves, tundra,
    shallow lakes, oak woodland, salt flats, peat bogs, sandy plains, estuaries, pine forest""")
FOODS = words(
    """small fish, seeds, roots, grasses, beetles, worms, berries, bark, algae, snails, larvae, nuts, plankton"""
)
ELEMENTS = words("""copper, zinc, nickel, cobalt, tin, lead, silver, tungsten, chromium, titanium, argon, helium, boron,
    sulphur, iodine, calcium, sodium, lithium, cadmium, bismuth""")
USES = words(
    """alloys, paints, glass, batteries, magnets, fertilizer, wire, coins, lamps, ceramics, solder, pigments"""
)
BODIES = words(
    "river, lake, canal, bay, glacier, plateau, valley, peninsula, harbour, ridge, basin, strait"
)
MACHINES = words("""loom, turbine, lathe, telegraph, barometer, sextant, printing press, windmill, pump, boiler,
    crane, locomotive, microscope, clock, compass, dynamo, seismograph""")
METALS = words("iron, brass, bronze, steel, oak, ash, granite, slate, cast iron, tinplate")
TRADES = words("""clockmaker, surveyor, botanist, printer, engineer, shipwright, astronomer, cartographer, mason,
    chemist, weaver, physician, glassblower, geologist""")


def encyclopaedia_corpus(
    max_bytes: int = 10_000_000, seed: int = 0, split: str = "train"
) -> ByteCorpus:
    """About ``max_bytes`` of toy encyclopaedia articles in eight shards.

    Raises ``UsageError`` for an unknown split or too few bytes for eight shards.
    """
    if split not in BUCKETS:
        raise UsageError(f"no split '{split}' of encyclopaedia; there are: {', '.join(BUCKETS)}")
    if max_bytes < SHARDS * 1000:
        raise UsageError(f"a corpus of {max_bytes} bytes is too small: ask for {SHARDS * 1000}")
    shards = []
    for shard in range(SHARDS):
        rng = random.Random(f"encyclopaedia {seed} {split} {shard}")
        lines, size = [], 0
        while size < max_bytes // SHARDS:
            text = article(rng)
            if bucket(text) in BUCKETS[split]:
                lines.append(text)
                size += len(text) + 1
        shards.append(np.frombuffer(("\n".join(lines) + "\n").encode("ascii"), np.uint8))
    return ByteCorpus(
        shards=tuple(shards),
        name="encyclopaedia",
        split=split,
        toy=True,
        sha256=identity("encyclopaedia", VERSION, bytes=max_bytes, seed=seed, split=split),
    )


def article(rng: random.Random) -> str:
    """One article of two to five sentences on one subject."""
    subject = rng.choice((animal, element, place, machine, person))
    sentences = subject(rng)
    return with_articles(" ".join(sentences[: rng.randint(2, len(sentences))]))


def animal(rng: random.Random) -> list[str]:
    """An animal: kind, range, size, food, young."""
    pick = rng.choice
    kind = pick(tuple(KINDS))
    one, other = rng.sample(KINDS[kind], 2)
    return [
        f"The {pick(COLOURS)} {one} is a {kind} of {pick(HABITATS)} near {pick(PLACES)}.",
        f"It feeds on {pick(FOODS)} and {pick(FOODS)}.",
        f"Adults reach a length of {rng.randint(4, 180)} cm and weigh up to {rng.randint(2, 90)} kg.",
        f"The female lays {pick(NUMBERS)} eggs in {pick(MONTHS)}.",
        f"It is related to the {other} of {pick(HABITATS)}.",
    ]


def element(rng: random.Random) -> list[str]:
    """A chemical element: colour, melting point, use, discovery."""
    one, pick = rng.choice(ELEMENTS), rng.choice
    return [
        f"{one.capitalize()} is a {pick(COLOURS)} substance that melts at {rng.randint(40, 3400)} degrees.",
        f"It occurs together with {pick(ELEMENTS)} in the hills around {pick(PLACES)}.",
        f"It is used in {pick(USES)} and {pick(USES)}.",
        f"The {pick(TRADES)} {pick(NAMES)} described it in {rng.randint(1650, 1930)}.",
    ]


def place(rng: random.Random) -> list[str]:
    """A place: where it lies, size, population, trade."""
    one, pick = rng.choice(NAMES), rng.choice
    return [
        f"The {one} {pick(BODIES)} lies {rng.randint(3, 400)} km north of {pick(PLACES)}.",
        f"Its greatest depth is {rng.randint(2, 900)} metres.",
        f"The settlement on its shore had {rng.randint(200, 90000)} inhabitants in {rng.randint(1800, 2010)}.",
        f"A bridge of {pick(METALS)} was built there in {rng.randint(1700, 1990)}.",
        f"It freezes from {pick(MONTHS)} to {pick(MONTHS)}.",
    ]


def machine(rng: random.Random) -> list[str]:
    """A machine: maker, material, parts, where it is kept."""
    one, pick = rng.choice(MACHINES), rng.choice
    return [
        f"The {pick(PLACES)} {one} was built by the {pick(TRADES)} {pick(NAMES)} in {rng.randint(1600, 1940)}.",
        f"Its frame is made of {pick(METALS)} and carries {pick(NUMBERS)} wheels.",
        f"It turns {rng.randint(4, 900)} times a minute.",
        f"A second {one} of {pick(METALS)} is kept in {pick(PLACES)}.",
    ]


def person(rng: random.Random) -> list[str]:
    """A person: trade, dates, journeys."""
    one, born, pick = rng.choice(NAMES), rng.randint(1600, 1900), rng.choice
    return [
        f"{one} of {pick(PLACES)} ({born} to {born + rng.randint(30, 90)}) was a {pick(TRADES)}.",
        f"From {pick(MONTHS)} {born + 25} on, {one} lived in {pick(PLACES)} and made a {pick(MACHINES)}.",
        f"A {pick(BODIES)} near {pick(PLACES)} bears the name.",
        f"The notebooks list {rng.randint(20, 900)} kinds of {pick(ANIMALS)} and {pick(ANIMALS)}.",
    ]
