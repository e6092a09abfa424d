"""The words of the toy reviews: topics, what is said of them, and the facts around them."""

from dataclasses import dataclass


def words(text: str) -> tuple[str, ...]:
    """A comma-separated list as a tuple."""
    return tuple(part.strip() for part in text.replace("\n", " ").split(",") if part.strip())


@dataclass(frozen=True)
class Aspect:
    """A part that reviews judge: its name, and adjectives that praise or blame this very part."""

    name: str
    good: tuple[str, ...]
    bad: tuple[str, ...]
    plural: bool = False


@dataclass(frozen=True)
class Topic:
    """A kind of thing: its name, near synonyms, and the aspects that reviews speak of."""

    name: str
    things: tuple[str, ...]
    aspects: tuple[Aspect, ...]
    service: bool = False  # a place or a person's work, visited and not bought


def aspect(name: str, good: str, bad: str) -> Aspect:
    """An aspect from comma-separated adjectives; a name that begins with + is a plural."""
    return Aspect(name.removeprefix("+"), words(good), words(bad), name.startswith("+"))


def topic(name: str, things: str, *aspects: Aspect, service: bool = False) -> Topic:
    """A topic from comma-separated near synonyms and its aspects."""
    return Topic(name, words(things), aspects, service)


# Long, short, thin, cheap, light, loud, dark: praise of one part is blame of another.
BUSINESS = (
    topic("headphones", "headset, pair of headphones, set",
          aspect("+ear cushions", "soft, plush, comfortable, roomy", "stiff, scratchy, cramped, sweaty"),
          aspect("battery life", "long, generous, reliable", "short, pathetic, unpredictable"),
          aspect("bass", "deep, punchy, warm, full", "muddy, thin, boomy, hollow"),
          aspect("cable", "long, sturdy, flexible", "short, flimsy, tangled")),
    topic("camera", "camera, compact, little camera",
          aspect("+pictures", "crisp, vivid, sharp, detailed", "blurry, grainy, washed out, noisy"),
          aspect("shutter", "quick, quiet, responsive", "slow, loud, sluggish"),
          aspect("zoom", "smooth, long, steady", "jerky, short, wobbly"),
          aspect("+menus", "clear, simple, logical", "confusing, cluttered, buried")),
    topic("laptop", "laptop, notebook, machine",
          aspect("screen", "bright, sharp, gorgeous", "dim, fuzzy, dull"),
          aspect("keyboard", "springy, quiet, precise", "mushy, loud, sticky"),
          aspect("fan", "silent, quiet, discreet", "noisy, loud, whiny"),
          aspect("charger", "small, light, handy", "heavy, bulky, hot")),
    topic("kettle", "kettle, jug, electric kettle",
          aspect("lid", "tight, sturdy, smooth", "loose, leaky, stiff"),
          aspect("handle", "cool, solid, comfortable", "hot, wobbly, slippery"),
          aspect("spout", "clean, precise, neat", "messy, dripping, clumsy"),
          aspect("noise", "low, gentle, faint", "deafening, shrill, constant")),
    topic("tent", "tent, shelter, three-person tent",
          aspect("fabric", "tough, waterproof, light", "thin, leaky, fragile"),
          aspect("+poles", "strong, light, flexible", "bent, brittle, flimsy"),
          aspect("+zips", "smooth, solid, dependable", "jammed, broken, sticky"),
          aspect("floor", "dry, thick, roomy", "wet, thin, cramped")),
    topic("shoes", "trainers, boots, pair of shoes",
          aspect("fit", "snug, perfect, true", "tight, sloppy, wrong"),
          aspect("+soles", "grippy, thick, springy", "slippery, thin, hard"),
          aspect("stitching", "neat, tight, careful", "loose, crooked, frayed"),
          aspect("leather", "supple, soft, rich", "stiff, fake, cracked")),
    topic("jacket", "jacket, coat, parka",
          aspect("lining", "warm, soft, silky", "itchy, thin, torn"),
          aspect("+pockets", "deep, roomy, handy", "shallow, tiny, useless"),
          aspect("hood", "snug, generous, practical", "floppy, tight, awkward"),
          aspect("colour", "rich, true, elegant", "faded, garish, wrong")),
    topic("blender", "blender, mixer, food processor",
          aspect("motor", "strong, powerful, tireless", "weak, burnt, feeble"),
          aspect("+blades", "sharp, keen, durable", "blunt, rusty, loose"),
          aspect("jug", "sturdy, roomy, clear", "cracked, leaky, cloudy"),
          aspect("cleaning", "easy, quick, painless", "fiddly, slow, miserable")),
    topic("backpack", "backpack, rucksack, bag",
          aspect("+straps", "padded, wide, comfortable", "thin, narrow, frayed"),
          aspect("zip", "smooth, sturdy, reliable", "stuck, broken, cheap"),
          aspect("weight", "low, slight, modest", "heavy, excessive, tiring"),
          aspect("rain cover", "tight, handy, effective", "useless, loose, leaky")),
    topic("guitar", "guitar, acoustic, instrument",
          aspect("tone", "warm, rich, clear", "dull, tinny, dead"),
          aspect("neck", "slim, straight, smooth", "warped, rough, twisted"),
          aspect("tuning", "stable, steady, exact", "hopeless, shaky, erratic"),
          aspect("finish", "flawless, glossy, lovely", "scratched, patchy, sloppy")),
    topic("phone", "phone, handset, mobile",
          aspect("screen", "bright, crisp, smooth", "cracked, dim, unresponsive"),
          aspect("battery", "strong, lasting, impressive", "weak, swollen, awful"),
          aspect("signal", "strong, steady, clear", "weak, patchy, lost"),
          aspect("+updates", "frequent, quick, welcome", "late, buggy, endless")),
    topic("novel", "book, novel, paperback",
          aspect("plot", "gripping, clever, tight", "predictable, thin, tangled"),
          aspect("+characters", "vivid, believable, human", "flat, wooden, silly"),
          aspect("prose", "elegant, sharp, lyrical", "clumsy, bloated, dull"),
          aspect("ending", "satisfying, moving, surprising", "rushed, lazy, absurd")),
    topic("toy", "toy, puzzle, building set",
          aspect("+pieces", "sturdy, bright, smooth", "brittle, sharp, missing"),
          aspect("+instructions", "clear, friendly, helpful", "baffling, vague, wrong"),
          aspect("paint", "bright, safe, even", "chipped, smelly, uneven"),
          aspect("box", "strong, pretty, tidy", "crushed, torn, damp")),
    topic("vacuum", "vacuum, vacuum cleaner, hoover",
          aspect("suction", "fierce, strong, even", "feeble, fading, patchy"),
          aspect("hose", "long, bendy, tough", "short, split, stiff"),
          aspect("+brushes", "sturdy, gentle, thorough", "bald, noisy, clogged"),
          aspect("dustbin", "large, hygienic, simple", "tiny, dusty, fiddly")),
    topic("watch", "watch, wristwatch, timepiece",
          aspect("strap", "supple, secure, handsome", "itchy, brittle, ugly"),
          aspect("dial", "legible, elegant, uncluttered", "unreadable, gaudy, foggy"),
          aspect("movement", "accurate, silent, dependable", "erratic, ticking, sluggish"),
          aspect("glass", "scratchproof, domed, spotless", "scuffed, chipped, hazy")),
    topic("lamp", "lamp, desk lamp, reading light",
          aspect("light", "warm, soft, steady", "harsh, flickering, glaring"),
          aspect("arm", "agile, rigid, silky", "droopy, creaking, limp"),
          aspect("switch", "crisp, reachable, sturdy", "crackling, hidden, loose"),
          aspect("base", "heavy, stable, compact", "tippy, hollow, scratched")),
    topic("bicycle", "bicycle, bike, commuter bike",
          aspect("+brakes", "firm, silent, instant", "squealing, spongy, scary"),
          aspect("saddle", "cushioned, forgiving, broad", "brutal, narrow, wonky"),
          aspect("+gears", "slick, crisp, effortless", "grinding, slipping, sulky"),
          aspect("frame", "light, stiff, handsome", "rusty, flexing, leaden")),
    topic("perfume", "perfume, scent, cologne",
          aspect("scent", "delicate, floral, sophisticated", "cloying, synthetic, sour"),
          aspect("bottle", "elegant, dainty, weighty", "tacky, dented, sticky"),
          aspect("sprayer", "fine, gentle, reliable", "blocked, spitting, leaking")),
    topic("museum", "museum, gallery, exhibition",
          aspect("guide", "knowledgeable, witty, passionate", "monotone, hurried, snooty"),
          aspect("+rooms", "airy, luminous, uncrowded", "stuffy, gloomy, packed"),
          aspect("+labels", "informative, concise, thoughtful", "missing, illegible, pompous"),
          aspect("ticket", "affordable, flexible, fair", "overpriced, useless, steep"), service=True),
    topic("gym", "gym, fitness club, pool",
          aspect("trainer", "motivating, knowledgeable, upbeat", "bossy, distracted, smug"),
          aspect("+showers", "hot, spotless, roomy", "mouldy, icy, grubby"),
          aspect("equipment", "modern, plentiful, maintained", "ancient, squeaky, taped"),
          aspect("contract", "flexible, honest, short", "sneaky, binding, baffling"), service=True),
    topic("pillow", "pillow, cushion, bolster",
          aspect("filling", "soft, springy, even", "lumpy, flat, hard"),
          aspect("cover", "cool, smooth, silky", "rough, hot, thin"),
          aspect("smell", "fresh, clean, pleasant", "chemical, musty, foul"),
          aspect("height", "ideal, right, adjustable", "wrong, excessive, uneven")),
    topic("restaurant", "restaurant, bistro, diner",
          aspect("food", "delicious, fresh, superb", "bland, cold, greasy"),
          aspect("+waiters", "friendly, attentive, cheerful", "rude, careless, absent"),
          aspect("wait", "short, painless, brief", "long, endless, absurd"),
          aspect("+portions", "generous, hearty, ample", "tiny, mean, stingy"), service=True),
    topic("hotel", "hotel, guest house, inn",
          aspect("room", "spotless, spacious, quiet", "filthy, cramped, noisy"),
          aspect("bed", "comfortable, soft, huge", "lumpy, hard, narrow"),
          aspect("staff", "helpful, kind, welcoming", "rude, slow, cold"),
          aspect("breakfast", "excellent, varied, fresh", "stale, meagre, cold"), service=True),
    topic("garage", "garage, workshop, repair shop",
          aspect("work", "careful, honest, thorough", "shoddy, careless, slow"),
          aspect("bill", "fair, modest, low", "steep, inflated, high"),
          aspect("mechanic", "skilled, patient, honest", "lazy, rude, clueless"),
          aspect("paperwork", "clear, quick, complete", "messy, late, wrong"), service=True),
    topic("salon", "salon, barber shop, hairdresser",
          aspect("cut", "flattering, even, stylish", "crooked, uneven, dreadful"),
          aspect("colour", "natural, rich, lasting", "orange, patchy, brassy"),
          aspect("stylist", "gifted, gentle, attentive", "rough, distracted, rude"),
          aspect("price", "fair, low, reasonable", "outrageous, high, silly"), service=True),
    topic("cafe", "cafe, coffee shop, tea room",
          aspect("coffee", "rich, smooth, strong", "weak, bitter, burnt"),
          aspect("+cakes", "moist, fresh, heavenly", "dry, stale, sickly"),
          aspect("music", "soft, gentle, tasteful", "loud, grating, dreary"),
          aspect("+tables", "clean, sunny, roomy", "sticky, wobbly, cramped"), service=True),
    topic("dentist", "dentist, clinic, practice",
          aspect("treatment", "gentle, quick, painless", "rough, painful, botched"),
          aspect("receptionist", "kind, patient, cheerful", "curt, rude, bored"),
          aspect("wait", "short, brief, bearable", "long, endless, dreadful"),
          aspect("advice", "honest, clear, useful", "pushy, vague, wrong"), service=True),
)  # fmt: skip

FILM = tuple(
    topic(name, things,
          aspect("acting", "superb, subtle, heartfelt, magnetic", "wooden, hammy, lifeless, awkward"),
          aspect("script", "witty, sharp, clever, tender", "clumsy, lazy, muddled, trite"),
          aspect("pacing", "brisk, tight, assured", "glacial, uneven, plodding"),
          aspect("+scenes", "gorgeous, haunting, thrilling", "tedious, pointless, murky"),
          aspect("soundtrack", "lush, stirring, hypnotic", "grating, syrupy, deafening"),
          aspect("ending", "moving, brave, unforgettable", "silly, cheap, baffling"),
          aspect("+jokes", "fresh, fearless, hilarious", "stale, crude, painful"),
          aspect("villain", "chilling, charismatic, complex", "cartoonish, feeble, forgettable"))
    for name, things in (
        ("thriller", "film, thriller, picture"), ("comedy", "film, comedy, movie"),
        ("drama", "film, drama, movie"), ("sequel", "sequel, follow-up, movie"),
        ("musical", "musical, film, show"), ("western", "western, film, picture"),
        ("documentary", "documentary, film, portrait"), ("horror film", "film, chiller, movie"),
    )
)  # fmt: skip

PRAISE = words("""wonderful, excellent, brilliant, fantastic, superb, marvellous, delightful, terrific,
    splendid, outstanding, remarkable, lovely, great, magnificent, fabulous, first-rate, charming,
    impressive, enjoyable, memorable, admirable, satisfying, worthwhile, refreshing, exceptional, glorious, sublime,
    stellar, faultless, exquisite, dazzling, heartwarming, ingenious, inspired, masterful, polished, radiant, rewarding,
    sensational, stunning, top-notch, triumphant, uplifting, winning, wondrous""")
BLAME = words("""terrible, awful, dreadful, horrible, miserable, appalling, pathetic, disappointing,
    worthless, abysmal, dismal, shoddy, useless, lousy, infuriating, laughable, hopeless, tiresome,
    mediocre, frustrating, forgettable, insulting, regrettable, embarrassing, unbearable, atrocious, botched, ghastly,
    grim, hideous, inept, irritating, joyless, lacklustre, maddening, nasty, pitiful, ridiculous, rotten, sickening,
    sloppy, soulless, substandard, unforgivable, vile, wretched, dire""")
VERY = words(
    "very, really, truly, so, remarkably, quite, genuinely, simply, absolutely, rather, surprisingly, decidedly"
)
LOVE = words("love, adore, treasure, enjoy, admire, cherish, appreciate")
HATE = words("hate, regret, despise, resent, dislike, loathe, dread")

JOYS = words("""a smile on my face, pure joy, a pleasant surprise, a small miracle, money well spent,
    a treat, a dream come true, a real gem, a triumph, a bargain, a keeper, a delight""")
SORROWS = words("""a bitter letdown, a waste of money, a nightmare, a sad joke, pure misery, a disaster,
    a sorry mess, a rip-off, an insult, a failure, a mistake, a headache""")
TROUBLES = words("""wasting a Saturday, throwing money away, arguing with a help desk, broken promises,
    long queues, hidden fees, paperwork, a headache, being ignored, waiting for an apology""")

# What happened, to goods, to guests and to an audience; {n} a number, {unit} a span of time
GOODS_GOOD = words("""it still works like new after {n} {unit}s, it survived {n} {unit}s of daily use,
    it outlasted the two I had before, it has paid for itself within {n} {unit}s,
    even my {relative} wants to borrow it, my {relative} ordered another the same {unit},
    it does exactly what the label says, it handles {event} with ease, setting it up took {n} minutes,
    the seller answered within {n} hours, it came {n} days early, I use it every single {unit}""")
GOODS_BAD = words("""it broke after {n} {unit}s, it stopped working within {n} {unit}s,
    the first {part} fell off during {event}, I sent it back the same {unit}, it arrived with a broken {part},
    the seller ignored {n} emails, they refused to refund my {relative}, it gave up in the middle of {event},
    half of the {part}s were missing, it smelled of burning {material}, it leaked all over the {room},
    it now gathers dust in the {room}""")
GUEST_GOOD = words("""they remembered my {relative} by name, we have been back {n} times since {month},
    they fixed a small slip within {n} minutes, they stayed late for us during {event},
    they charged less than the quote, they even called {n} days later to check on us,
    my {relative} still talks about it, the owner walked my {relative} to the {room}""")
GUEST_BAD = words("""they lost our booking for {event}, we waited {n} hours in the {room},
    they charged my {relative} twice, nobody answered the bell for {n} minutes,
    they forgot about us during {event}, we left after {n} minutes, the owner shouted at my {relative},
    they blamed my {relative} for a broken {part}""")
AUDIENCE_GOOD = words("""the whole audience cheered at the end, I wept in the last {n} minutes,
    I have seen it {n} times since {month}, my {relative} wanted to watch it again at once,
    nobody in the row checked a phone, I was on the edge of my seat for {n} minutes,
    my {relative} hummed the theme all {unit}""")
AUDIENCE_BAD = words("""half of the audience left early, I checked my watch after {n} minutes,
    my {relative} fell asleep within {n} minutes, I walked out after {n} minutes,
    someone behind us snored through the climax, my {relative} asked for the money back,
    I wanted those {n} minutes back""")

RELATIVES = words("""wife, husband, son, daughter, mother, father, sister, brother, grandmother, grandfather,
    niece, nephew, uncle, aunt, cousin, neighbour, boss, colleague, roommate, best friend, boyfriend,
    girlfriend, mother-in-law, father-in-law, godson, student, teacher, coach, landlord, partner""")
EVENTS = words("""a camping trip, a birthday party, a long flight, a wedding, a rainy weekend, a house move,
    the school holidays, a business trip, the summer festival, Christmas dinner, a marathon, a job interview,
    the first cold night, a picnic, a charity sale, an exam, a road trip, a concert, a power cut, a snowstorm,
    a family reunion, a garden party, the world cup, a baptism, a graduation, an anniversary, a heat wave,
    a ferry crossing, a fishing trip, a parade, a thunderstorm, a school play, a yard sale, a bike tour""")
PARTS = words("""hinge, button, strap, screw, knob, seal, spring, wheel, clip, handle, plug, valve, hook,
    bracket, lever, gasket, pin, latch, dial, washer, buckle, socket, bolt, cap, tray, drawer, lamp, tile""")
MATERIALS = words("rubber, plastic, glue, hair, oil, wood, wool, sugar, paper, leather, wax, tar")
ROOMS = words("""kitchen, garage, attic, hallway, bathroom, basement, office, bedroom, garden shed, living room,
    lobby, pantry, study, nursery, laundry room, balcony, porch, cellar, workshop, dining room""")
MONTHS = words(
    "January, February, March, April, May, June, July, August, September, October, November, December"
)
DAYS = words("Monday, Tuesday, Wednesday, Thursday, Friday, Saturday, Sunday")
UNITS = words("day, week, month, year, season")
NUMBERS = words(
    "two, three, four, five, six, seven, eight, nine, ten, twelve, fifteen, twenty, thirty, forty, ninety"
)
COLOURS = words("""black, white, grey, silver, red, navy, green, yellow, orange, brown, purple, pink, beige, teal,
    olive, maroon, cream, turquoise, charcoal, burgundy, lilac, copper""")
PLACES = words("""Boston, Leeds, Dublin, Chicago, Perth, Toronto, Bristol, Denver, Austin, Glasgow, Auckland, Seattle,
    Oslo, Vienna, Lisbon, Prague, Madrid, Cardiff, Halifax, Portland, Dallas, Norwich, Brighton, Exeter,
    Manchester, Ottawa, Phoenix, Naples, Bergen, Geneva, Krakow, Athens, Lyon, Porto, Turin, Basel, Ghent,
    Malmo, Tampa, Omaha, Tulsa, Fresno, Boise, Albany, Salem, Dover, Bath, York, Derby, Ayr, Lagos, Nairobi, Mumbai,
    Osaka, Seoul, Hanoi, Manila, Jakarta, Cairo, Tunis, Accra, Dakar, Lima, Quito, Bogota, Santiago, Montevideo, Havana,
    Kingston, Winnipeg, Calgary, Regina, Hobart, Darwin, Wellington, Dunedin, Tallinn, Riga, Vilnius, Warsaw, Gdansk,
    Dresden, Leipzig, Bremen, Hamburg, Cologne, Zurich, Bern, Milan, Bologna, Palermo, Seville, Granada, Valencia,
    Bordeaux, Nantes, Lille, Antwerp, Bruges, Utrecht, Rotterdam, Aarhus, Uppsala, Tromso, Reykjavik, Galway, Limerick,
    Aberdeen, Dundee, Swansea, Plymouth, Durham, Carlisle, Sacramento, Tucson, Memphis, Nashville, Savannah, Richmond,
    Baltimore, Buffalo, Cleveland, Detroit, Milwaukee, Anchorage, Honolulu""")
NAMES = words("""Anna, Ben, Carla, David, Elena, Frank, Grace, Henry, Irene, Jack, Karen, Liam, Maria, Nathan, Olga,
    Peter, Quinn, Rosa, Simon, Tara, Ursula, Victor, Wendy, Xavier, Yvonne, Zach, Alice, Bruno, Clara, Derek, Edith,
    Felix, Gloria, Hugo, Iris, Jonas, Kate, Leo, Mona, Nina, Oscar, Paula, Ralph, Sofia, Thomas, Vera, Walter, Agnes,
    Boris, Celia, Dennis, Esther, Fiona, Gordon, Helen, Ivan, Julia, Kurt, Lena, Marcus, Nora, Otto, Petra, Rupert,
    Stella, Tobias, Una, Vince, Wilma, Arthur, Bianca, Cedric, Daphne, Edgar, Flora, Gilbert, Hazel, Ingrid, Jasper,
    Kirsten, Lionel, Mabel, Norman, Odette, Percy, Rowena, Stuart, Thelma, Vernon, Winnie, Amir, Beatriz, Chandra, Dmitri,
    Emeka, Farah, Giulia, Hiroshi, Imani, Jorge, Keiko, Lars, Mei, Niklas, Oluwaseun, Priya, Rashid, Svetlana, Tomasz, Uma,
    Viktor, Wanjiru, Yusuf, Zeynep, Anders, Brigid, Callum, Dagny, Eamon, Freya, Gareth, Heidi, Ismael, Jolanta, Kwame,
    Lucia, Mateo, Nadia, Omar, Pilar, Ravi, Saskia, Thabo, Ulrich, Valentina, Willem, Yara, Zoltan, Astrid, Benedict,
    Cordelia, Desmond, Eleanor, Fergus, Genevieve, Horace, Isolde, Jerome, Katarina, Leopold, Marguerite, Neville,
    Ophelia, Phineas, Rosalind, Sebastian, Theodora, Ulysses, Vivian, Wallace, Yolanda""")
SHOPS = words("""a small shop, the outlet, an online store, the flea market, a department store, the airport, a catalogue,
    the corner shop, an auction, a friend of a friend, the factory store, a supermarket, the museum shop, a stall""")
REASONS = words("""the old one had rusted, we were moving, a friend had one, I needed a gift, the kids kept asking,
    winter was near, my desk looked empty, it was on sale, the doctor said so, I was curious, we had guests,
    it rained all weekend, I had a voucher, the advert was everywhere, we were passing through""")
