"""A small made-up set for who has no data at hand: conversations in which somebody tells an assistant about their life.

Everything is written here and drawn with a fixed seed, so it is the same everywhere. Questions use other words than their
evidence; each topic has near misses (other people, other times, plans that came to nothing); half of what is said is
small talk. It shows that a search works and what kinds of question are hard. It says little about other data: real
conversations are harder in ways that nobody thought of here.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from benchmarks.retrieval.cases import DataSet, Haystack, Question, Turn

NAME = "Synthetic"
SEED = 20261121
PEOPLE = 8
SESSIONS = 14
SMALL_TALK = 5
"""Exchanges of small talk in a session."""
FIRST_DAY = datetime(2025, 1, 12, 18, 30, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Topic:
    """Something that a person tells over time, and a question about it.

    Texts hold slots, `{city}`, which are drawn from `POOLS` for each person; `{city2}` is another one of the same pool. In
    `said` a text that begins with `assistant:` is said by the assistant.
    """

    category: str
    said: tuple[str, ...]
    """In order, each in a session of its own; what an assistant answers is in that of the question."""
    asked: str
    answer: str
    gold: tuple[int, ...]
    """Which of `said` are the evidence."""
    misses: tuple[str, ...] = ()
    """Near misses, anywhere."""


POOLS: dict[str, tuple[str, ...]] = {
    "city": ("Porto", "Leeds", "Graz", "Turku", "Ghent", "Split", "Malmö", "Cork", "Lyon", "Bergen"),
    "friend": ("Nadia", "Tomás", "Wren", "Ilse", "Kofi", "Priya", "Bruno", "Mei", "Oskar", "Leila", "Jonas", "Ada"),
    "food": ("peanuts", "shellfish", "sesame", "kiwi", "walnuts", "celery", "soy", "mustard"),
    "instrument": ("cello", "accordion", "banjo", "oboe", "harp", "trombone", "mandolin", "clarinet"),
    "dog": ("greyhound", "dachshund", "collie", "terrier", "spaniel", "poodle", "beagle", "husky"),
    "petname": ("Biscuit", "Rufus", "Olive", "Pepper", "Waffle", "Mochi", "Ziggy", "Clover"),
    "job": ("midwife", "surveyor", "baker", "librarian", "electrician", "translator", "geologist", "nurse"),
    "firm": ("Halden & Roe", "Brightwater", "Kestrel Labs", "Oakline", "Meridian Works", "Tallis", "Norrbo", "Fennick"),
    "sport": ("bouldering", "rowing", "fencing", "badminton", "trail running", "judo", "curling", "squash"),
    "colour": ("teal", "mustard yellow", "dark green", "burgundy", "slate blue", "coral", "lilac", "ochre"),
    "car": ("hatchback", "camper van", "estate car", "cargo bike", "scooter", "pickup", "tandem", "moped"),
    "book": ("The Glass Orchard", "Salt Roads", "A Winter of Bees", "The Lantern Keeper", "Nine Rivers", "Quiet Engines",
             "The Paper Coast", "Harbour Lights"),
    "plant": ("monstera", "fig tree", "jasmine", "lemon tree", "begonia", "orchid", "fern", "olive tree"),
    "sum": ("240", "365", "410", "520", "615", "780", "835", "960"),
    "pill": ("lisinopril", "levothyroxine", "metformin", "sertraline", "montelukast", "omeprazole", "warfarin", "ramipril"),
    "dish": ("mushroom risotto", "lentil dal", "fish tacos", "pumpkin soup", "ramen", "shakshuka", "gnocchi", "pierogi"),
    "course": ("pottery", "welding", "Portuguese", "sign language", "bookbinding", "beekeeping", "calligraphy", "sailing"),
    "time": ("half past five", "six", "a quarter to seven", "seven", "half past six", "a quarter past five"),
}  # fmt: skip

TOPICS: tuple[Topic, ...] = (
    Topic("fact", ("The doctor confirmed it: my throat swells up whenever I eat {food}.",),
          "Which ingredient is dangerous for me?", "{food}", (0,),
          ("{friend} can't stand {food2}, the smell alone is too much.", "I made a sauce with {food3} for the neighbours.")),
    Topic("fact", ("We collected our new {dog} from the shelter, and the kids insisted on calling her {petname}.",),
          "What is my pet called?", "{petname}", (0,),
          ("{friend}'s {dog2} chewed through the garden hose.", "A stray cat that we named {petname2} visits the balcony.")),
    Topic("fact", ("I put down a deposit of {sum} euros on the flat, which the landlord keeps until I leave.",),
          "How much money does the owner of my home hold for me?", "{sum} euros", (0,),
          ("The bill for the heating came to {sum2} euros.", "{friend} still owes me {sum3} euros for the tickets.")),
    Topic("fact", ("My grandmother left me her {instrument}, and I take lessons on it every Thursday.",),
          "Which musical instrument am I learning?", "{instrument}", (0,),
          ("The busker downstairs plays the {instrument2} all day.", "{friend} sold the old {instrument3} at last.")),
    Topic("fact", ("Each morning with breakfast I have to swallow one tablet of {pill}.",),
          "What medication am I on?", "{pill}", (0,),
          ("My father was told to stop taking {pill2}.", "The pharmacy had run out of {pill3}, said {friend}.")),
    Topic("fact", ("{friend} and I have known each other since nursery; nobody else would I call at three at night.",),
          "Who is my closest friend?", "{friend}", (0,),
          ("{friend2} from the office brought cake.", "I ran into {friend3} at the station, we barely know each other.")),
    Topic("update", ("I live in {city} now, the boxes are unpacked.", "Big news: as of this week my address is in {city2}, "
                     "the movers came on Monday.",),
          "Where is my home at present?", "{city2}", (1,),
          ("{friend} is thinking about relocating to {city3}.", "I spent a long weekend in {city4} with my sister.")),
    Topic("update", ("I work as a {job} at {firm}.", "I handed in my notice, and yesterday was my first day at {firm2}.",),
          "Who employs me these days?", "{firm2}", (1,),
          ("{friend} was turned down by {firm3}.", "I had an interview at {firm4}, but it went nowhere.")),
    Topic("update", ("My alarm rings at {time}, I like to have the kitchen to myself.",
                     "With the new shifts I get up at {time2} from now on.",),
          "When do I wake up in the morning?", "{time2}", (1,),
          ("The bakery on the corner opens at {time3}.", "{friend}'s train leaves at {time4} on weekdays.")),
    Topic("update", ("We painted the hallway {colour}.",
                     "The hallway looked gloomy, so last weekend we went over it in {colour2}.",),
          "What colour are the walls of my corridor?", "{colour2}", (1,),
          ("{friend} bought a {colour3} sofa.", "The shed door should become {colour4} one day.")),
    Topic("temporal", ("Today I ran my first ten kilometres without a break!",),
          "On what date did I manage ten kilometres in one go?", "{date0}", (0,),
          ("{friend} ran a marathon once, years ago.", "I skipped running this week, my knee hurts.")),
    Topic("temporal", ("We got the keys to the allotment this afternoon, number {sum}.",),
          "Since when have I had the garden plot?", "{date0}", (0,),
          ("{friend} has been waiting for an allotment for three years.",
           "The garden centre gave me a discount on keys for the shed.")),
    Topic("temporal", ("Handed in my thesis an hour ago. I can't believe it is over.",),
          "When did I submit my dissertation?", "{date0}", (0,),
          ("{friend}'s thesis is about {plant} diseases.", "I handed in the form for the parking permit.")),
    Topic("temporal", ("My brother's child was born last night, they chose the name {friend}.",),
          "When did I become an aunt or uncle?", "{date0}", (0,),
          ("{friend2}'s baby already sleeps through.", "My brother asked for advice about prams.")),
    Topic("multi-hop", ("{friend} finally told me about work: {friend} is a {job}.",
                        "Guess who moved in across the hall: {friend}, of all people!",),
          "What is the profession of my neighbour?", "{job}", (0, 1),
          ("{friend2} wants to become a {job2}.", "The people upstairs had a party again.")),
    Topic("multi-hop", ("The surprise party will be at the place that serves {dish}.",
                        "Only one restaurant in town still makes {dish}, and it is the one run by {friend}.",),
          "Whose restaurant hosts the celebration?", "{friend}", (0, 1),
          ("{friend2} cooked {dish2} for twelve people.", "We had {dish3} at the fair.")),
    Topic("multi-hop", ("I lent my {car} to {friend} for the summer.", "{friend} will spend the whole summer in {city}.",),
          "In which town is my vehicle during the summer?", "{city}", (0, 1),
          ("{friend2} crashed a {car2} in {city2}.", "The {car3} next door blocks our gate.")),
    Topic("listing", ("On Monday evenings I go to a {course} class.",
                      "I signed up for a course in {course2}, it begins next month.",
                      "The {course3} workshop that I booked was great, I will go every week.",),
          "Which classes have I taken up?", "{course}, {course2} and {course3}", (0, 1, 2),
          ("{friend} teaches {course4} in {city}.", "The community centre cancelled its {course5} evening.")),
    Topic("listing", ("I finished {book}, what an ending.", "Read {book2} in two nights.",
                      "{book3} kept me company on the train, I turned the last page at the terminus.",),
          "What novels have I read to the end?", "{book}, {book2} and {book3}", (0, 1, 2),
          ("{friend} recommended {book4}, it lies on the pile.", "I gave up on {book5} after thirty pages.")),
    Topic("listing", ("I put a {plant} on the window sill.", "{friend} gave me a {plant2} for my birthday.",
                      "I could not resist and took home a {plant3} from the market.",),
          "What greenery do I look after?", "{plant}, {plant2} and {plant3}", (0, 1, 2),
          ("The {plant4} in the office is plastic.", "My mother's {plant5} died in the frost.")),
    Topic("exact", ("The dentist moved my appointment, the new reference is {city}-{sum}-B.",),
          "What reference did the dentist give me?", "{city}-{sum}-B", (0,),
          ("The parcel's reference is {city2}-{sum2}-C.", "{friend} knows a good dentist in {city3}.")),
    Topic("exact", ("{friend} broke an ankle while {sport}.",), "What did {friend} break?", "an ankle", (0,),
          ("{friend} is thinking about a holiday in {city}.", "{friend2} broke a vase at the party.")),
    Topic("exact", ("The code for the bicycle shed is now {sum}, please don't let me forget.",),
          "What is the code for the bicycle shed?", "{sum}", (0,),
          ("My bicycle needs a new chain.", "The code for the office copier is {sum2}.")),
    Topic("exact", ("{firm} wants my tax number before they pay the invoice.",), "What does {firm} want from me?",
          "the tax number", (0,), ("{firm} has a new logo.", "{firm2} paid the invoice at last.")),
    Topic("exact", ("{friend} lent me {sum} euros for the deposit on the {instrument}.",),
          "How many euros did {friend} lend me?", "{sum} euros", (0,),
          ("I lent {friend2} twenty euros.", "{friend} can't tell an {instrument} from a drum.")),
    Topic("preference", ("I'd rather sit on a train for a day than take a plane, flying makes me sick with worry.",),
          "How should I get to the wedding in {city}?", "by train, not by plane", (0,),
          ("{friend} flew in from {city2}.", "The train was late again, an hour this time.")),
    Topic("preference", ("I can't stand crowds any more, an evening with four people is the most that I enjoy.",),
          "Any ideas for how I could celebrate my birthday?", "in a small circle", (0,),
          ("{friend} celebrated with a hundred guests.", "The birthday card for my aunt is still not posted.")),
    Topic("preference", ("I stopped eating meat and fish years ago, and I never missed it.",),
          "What could I cook on Sunday when everybody comes?", "something vegetarian", (0,),
          ("{friend} grills sausages every Sunday.", "We had {dish} at my cousin's on Sunday.")),
    Topic("assistant", ("My back hurts after a day at the desk.",
                        "assistant: For a stiff back I would begin with the cat-cow stretch, ten slow rounds in the morning.",),
          "Which exercise did you suggest for my spine?", "the cat-cow stretch", (1,),
          ("{friend} swears by {sport} for everything.", "The desk in the new office is far too low.")),
    Topic("assistant", ("I never know how to begin a speech.",
                        "assistant: Open the speech with the story about {petname} and the wedding cake; people will laugh "
                        "and you will breathe.",),
          "What opening did you propose for my talk?", "the story about {petname} and the wedding cake", (1,),
          ("{friend} gave a speech about {city}.", "I have to talk to the landlord about the boiler.")),
)  # fmt: skip

CHAT: tuple[tuple[str, str], ...] = (
    ("It rained all day, I did not leave the house.", "A good day for tea and a blanket."),
    ("Can you think of a word that rhymes with orange?", "Door hinge comes close, if you say it fast."),
    ("{friend} sends regards.", "How kind, send mine back."),
    ("I watched a documentary about {city}.", "What stayed with you most?"),
    ("The queue at the post office was endless.", "Some things never change."),
    ("Remind me to breathe.", "Breathe in, count to four, breathe out."),
    ("I tried {dish} for lunch, it was all right.", "All right is not a bad lunch."),
    ("My phone died in the middle of a call.", "A spare battery may help."),
    ("{friend} and I talked about {sport} for an hour.", "It sounds like time well spent."),
    ("The neighbours are renovating, the drill starts early.", "Earplugs might save your mornings."),
    ("What is the capital of Mongolia?", "Ulaanbaatar."),
    ("I can't find my keys again.", "Have you looked in yesterday's coat?"),
    ("There was a rainbow over {city} today.", "A lovely sight."),
    ("I need a title for a short poem about fog.", "How about: The Borrowed Morning."),
    ("{friend} thinks that I should buy a {car}.", "What do you think yourself?"),
    ("The supermarket had no lemons.", "Lime can step in for most things."),
    ("I fell asleep on the sofa.", "You must have needed it."),
    ("How long do eggs keep?", "About three to five weeks in the fridge."),
    ("Somebody left a {colour} scarf on the bus.", "I hope its owner finds it."),
    ("I am trying to spend less time on my phone.", "A drawer is a good place for it in the evening."),
)


def data_set() -> DataSet:
    """The same questions over the same conversations every time."""
    chance = random.Random(SEED)
    return DataSet(NAME, [question for person in range(PEOPLE) for question in _person(person, chance)])


@dataclass
class _Said:
    """A turn that waits for its place."""

    text: str
    role: str
    id: str


def _person(person: int, chance: random.Random) -> list[Question]:
    sessions: list[list[list[_Said]]] = [[] for _ in range(SESSIONS)]
    count = 0

    def put(session: int, texts: Sequence[tuple[str, str]]) -> list[str]:
        nonlocal count
        block = [_Said(text, role, f"p{person}-{count + each}") for each, (role, text) in enumerate(texts)]
        count += len(block)
        sessions[session].append(block)
        return [said.id for said in block]

    asked: list[tuple[Topic, dict[str, str], list[str], list[int]]] = []
    for topic in TOPICS:
        slots = _slots(chance)
        at = sorted(chance.sample(range(SESSIONS), len(topic.said)))
        if topic.category == "assistant":
            at = [at[0]] * len(topic.said)
        ids: list[str] = []
        if topic.category == "assistant":
            ids = put(at[0], [_speech(text, slots) for text in topic.said])
        else:
            for session, text in zip(at, topic.said, strict=True):
                ids += put(session, [_speech(text, slots)])
        for miss in topic.misses:
            put(chance.randrange(SESSIONS), [_speech(miss, slots)])
        asked.append((topic, slots, ids, at))
    for session in range(SESSIONS):
        for said, reply in chance.sample(CHAT, SMALL_TALK):
            slots = _slots(chance)
            put(session, [_speech(said, slots), _speech(f"assistant:{reply}", slots)])
        chance.shuffle(sessions[session])
    days = [FIRST_DAY + timedelta(days=9 * number + chance.randrange(6)) for number in range(SESSIONS)]
    turns = [
        Turn(said.id, said.text, f"s{number}", said.role, when=days[number])
        for number, blocks in enumerate(sessions)
        for block in blocks
        for said in block
    ]
    haystack = Haystack(f"synthetic/{person}", turns)
    made = []
    for number, (topic, slots, ids, at) in enumerate(asked):
        gold = frozenset(ids[each] for each in topic.gold)
        dated = {**slots, "date0": f"{days[at[0]]:%d %B %Y}"}
        made.append(
            Question(
                f"p{person}#{number}",
                haystack,
                topic.asked.format(**slots),
                topic.category,
                gold,
                frozenset(haystack.session_of[each] for each in gold),
                when=days[-1] + timedelta(days=7),
                answer=topic.answer.format(**dated),
            )
        )
    return made


def _slots(chance: random.Random) -> dict[str, str]:
    """Up to five different values of each pool: `city`, `city2`, ..."""
    slots = {}
    for name, pool in POOLS.items():
        for number, value in enumerate(chance.sample(pool, min(5, len(pool))), 1):
            slots[name if number == 1 else f"{name}{number}"] = value
    return slots


def _speech(text: str, slots: dict[str, str]) -> tuple[str, str]:
    filled = text.format(**slots)
    if filled.startswith("assistant:"):
        return "assistant", filled.removeprefix("assistant:").strip()
    return "user", filled
