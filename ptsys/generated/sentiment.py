"""Tasks on the tone of a text: praise or complaint, emotion, opinion or fact, manners."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from ptsys.generated.grammar import fill, one_of, person_name, title
from ptsys.generated.lexicon import names, opinions
from ptsys.generated.lexicon.inflect import article
from ptsys.generated.lexicon.parse import phrases
from ptsys.generated.pools import CATEGORIES
from ptsys.generated.surface import (
    arbitrary,
    cased_labels,
    classify_instructions,
    digest,
    wrapper,
)
from ptsys.generated.task import Family, GeneratedTask, make

#: subject of a review -> (what it is called, its parts)
SUBJECTS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "film": (
        phrases(
            "the film | the movie | this movie | the picture | this comedy | the drama "
            "| the thriller | this documentary | the sequel"
        ),
        phrases(
            "the plot | the acting | the script | the dialogue | the cast | the ending "
            "| the direction | the music | the story | the camera work "
            "| the humour | the pace | the lead actor"
        ),
    ),
    "restaurant": (
        phrases("the restaurant | this place | the cafe | the diner | the dinner | our lunch"),
        phrases(
            "the food | the service | the waiter | the soup | the dessert | the menu | the wine "
            "| the steak | the atmosphere"
        ),
    ),
    "phone": (
        phrases("the phone | this phone | the laptop | the camera | the tablet | this gadget"),
        phrases(
            "the screen | the battery | the sound | the keyboard | the design | the software "
            "| the case | the speaker"
        ),
    ),
    "hotel": (
        phrases("the hotel | our room | this inn | the hostel | the stay"),
        phrases(
            "the bed | the staff | the view | the breakfast | the pool "
            "| the bathroom | the location"
        ),
    ),
    "book": (
        phrases("the book | this novel | the story | the biography"),
        phrases("the plot | the prose | the hero | the style | the first chapter | the ending"),
    ),
}
_ADVERBS = (
    "very",
    "really",
    "so",
    "quite",
    "truly",
    "absolutely",
    "utterly",
    "often",
    "rather",
    "just",
    "",
)
_NOT = ("not", "never", "hardly", "anything but", "far from")

_FRAMES: tuple[str, ...] = phrases("""
{S} is {v} {A} | {S} was {v} {A} and {A} | {P} is {v} {A} | {P} and {Q} are {v} {A}
{A}, {A} and {A} .
what a {A} {N} ! | a {A} {N} with {P0} that is {A} | {S} has {P0} that feels {A}
{phrase} , {P} was {A}
{phrase} | {P} makes {S} {A} | i found {S} {v} {A} | a {A} , {A} {N} | {S} : {A} , {phrase}
one of the most {A} things i have seen | {person} gives a {A} performance
{S} is both {A} and {A}
{person} turns {title} into a {A} {N} | it is {v} {A} , {phrase} | {P} , though short , is {v} {A}
everyone said that {S} was {A} , and they were right | from the first minute {S} is {A} and {A}
{A} from start to finish | if you want something {A} , this is it | {S} could not be more {A}
there is something {v} {A} about {S} | {person} is {A} as {profession} in this {A} {N}
""")
_NEGATED: tuple[str, ...] = phrases("""
{S} is {not} {B} | {P} was {not} {B} | i would {notv} call {S} {B} | nothing about {S} is {B}
{P} is {not} {B} and {not} {B} | there is nothing {B} in {S}
""")
_BUT: tuple[str, ...] = phrases("""
{P} is {B} , but {S} is {v} {A} | although {P} is {B} , {S} is {A}
despite {B} moments , {S} is {v} {A}
{S} looks {B} at first , but it turns out to be {A} | {P} may be {B} , yet {phrase}
""")


def _words_of(positive: bool) -> tuple[tuple[str, ...], tuple[str, ...]]:
    if positive:
        return opinions.POSITIVE, opinions.NEUTRAL_PRAISE
    return opinions.NEGATIVE, opinions.NEUTRAL_COMPLAINT


def review(positive: bool, subject: str, rng: random.Random) -> str:
    """One sentence of a review that praises or complains."""
    own, lines = _words_of(positive)
    other, _ = _words_of(not positive)
    called, parts = SUBJECTS[subject]
    frame = rng.choices((rng.choice(_FRAMES), rng.choice(_NEGATED), rng.choice(_BUT)), (8, 2, 2))[0]
    noun = rng.choice(called).split()[-1]
    fillers: dict[str, Callable[[], str]] = {
        "{S}": lambda: rng.choice(called),
        "{P}": lambda: rng.choice(parts),
        "{P0}": lambda: article(rng.choice(parts).removeprefix("the ")),
        "{Q}": lambda: rng.choice(parts),
        "{A}": lambda: rng.choice(own),
        "{B}": lambda: rng.choice(other),
        "{v}": lambda: rng.choice(_ADVERBS),
        "{phrase}": lambda: rng.choice(lines),
        "{N}": lambda: noun,
        "{not}": lambda: rng.choice(_NOT),
        "{notv}": lambda: rng.choice(("not", "never", "hardly")),
        "{person}": lambda: person_name(rng),
        "{title}": lambda: title(rng),
        "{profession}": lambda: article(rng.choice(CATEGORIES["profession"])),
    }
    text = frame
    for slot, filler in fillers.items():
        while slot in text:
            text = text.replace(slot, filler(), 1)
    return _styled(" ".join(text.split()), rng)


def _styled(text: str, rng: random.Random) -> str:
    """Spaced or tight punctuation, lower case or a capital, with or without a full stop."""
    style = rng.random()
    if style < 0.4:
        return f"{text.lower()} ." if not text.endswith((".", "!")) else text.lower()
    for mark in (",", ".", "!", ":"):
        text = text.replace(f" {mark}", mark)
    text = text[0].upper() + text[1:] if style < 0.85 else text.lower()
    return text if text.endswith((".", "!")) or rng.random() < 0.3 else f"{text}."


_SENTIMENT_LABELS: tuple[tuple[str, str], ...] = (
    ("positive", "negative"),
    ("positive", "negative"),
    ("good", "bad"),
    ("great", "terrible"),
    ("1", "0"),
    ("yes", "no"),
    ("like", "dislike"),
    ("happy", "unhappy"),
    ("praise", "complaint"),
    ("thumbs up", "thumbs down"),
    ("pos", "neg"),
    ("recommended", "not recommended"),
    ("+", "-"),
    ("love", "hate"),
    ("A", "B"),
    ("green", "red"),
    ("five stars", "one star"),
    ("up", "down"),
)


def _sentiment(rng: random.Random) -> GeneratedTask:
    subject = rng.choice((*sorted(SUBJECTS), "any", "film"))
    labels = cased_labels(rng, rng.choice(_SENTIMENT_LABELS))
    frame_name, frame = wrapper(rng, 0.85)

    def draw(r: random.Random) -> tuple[str, str]:
        positive = r.random() < 0.5
        about = r.choice(sorted(SUBJECTS)) if subject == "any" else subject
        return frame.format(review(positive, about, r)), labels[0] if positive else labels[1]

    what = "review" if subject == "any" else f"{subject} review"
    return make(
        "sentiment",
        (subject, *labels, frame_name),
        _sentiment_instructions(rng, what, labels),
        draw,
    )


def _sentiment_instructions(
    rng: random.Random, what: str, labels: Sequence[str]
) -> tuple[str, ...]:
    good, bad = labels
    found = [
        f"Is the {what} {good} or {bad}?",
        f"sentiment: {good} or {bad}",
        "sentiment",
        f"Say {good} if the writer liked it, {bad} if not.",
        f"Classify the {what} as {good} or {bad}.",
        f"Did the writer enjoy it? {good} or {bad}",
        f"tone of the {what}",
    ]
    if len(good) <= 2 or good.lower() in ("yes", "green", "up"):
        found = [
            f"positive = {good}, negative = {bad}",
            f"Say {good} if the writer liked it, {bad} if not.",
            f"Did the writer enjoy it? {good} or {bad}",
            f"Sentiment of the {what}: {good} for praise, {bad} for complaint.",
        ]
    rng.shuffle(found)
    return tuple(found)


def _word_sentiment(rng: random.Random) -> GeneratedTask:
    labels = cased_labels(rng, rng.choice(_SENTIMENT_LABELS))
    frame_name, frame = wrapper(rng)
    count = rng.choice((1, 1, 2, 3))

    def draw(r: random.Random) -> tuple[str, str]:
        positive = r.random() < 0.5
        found = r.sample(_words_of(positive)[0], count)
        return frame.format(", ".join(found)), labels[0] if positive else labels[1]

    return make(
        "word_sentiment",
        (count, *labels, frame_name),
        _sentiment_instructions(rng, "word", labels),
        draw,
    )


_EMOTION_FRAMES = phrases("""
i feel <E> | i am so <E> today | she was <E> when she heard it | he looked <E> | it makes me <E>
they were <E> all day | {person} felt <E> about the news | i have never been so <E>
why am i so <E>
""")
_EMOTION_OTHERS = {
    "joy": ("happiness", "happy"),
    "sadness": ("sad", "sorrow"),
    "anger": ("angry", "rage"),
    "fear": ("afraid", "scared"),
    "surprise": ("surprised", "astonishment"),
    "love": ("affection", "loving"),
}


def _emotion_text(emotion: str, rng: random.Random) -> str:
    if rng.random() < 0.45:
        text = rng.choice(opinions.EMOTION_PHRASES[emotion])
    else:
        text = fill(rng.choice(_EMOTION_FRAMES), rng, {"person": person_name}).replace(
            "<E>", rng.choice(opinions.EMOTION_WORDS[emotion])
        )
    if rng.random() < 0.3:
        text = f"{text}, {rng.choice(('i swear', 'you know', 'as always', 'again', 'honestly'))}"
    return _styled(text, rng)


def _emotion(rng: random.Random) -> GeneratedTask:
    chosen = tuple(rng.sample(sorted(opinions.EMOTION_WORDS), rng.choice((2, 3, 4, 5, 6))))
    labels = chosen
    roll = rng.random()
    if roll < 0.3:
        labels = tuple(rng.choice(_EMOTION_OTHERS[e]) for e in chosen)
    elif roll < 0.45:
        labels = arbitrary(rng, len(chosen))
    labels = cased_labels(rng, labels)

    def draw(r: random.Random) -> tuple[str, str]:
        at = r.randrange(len(chosen))
        return _emotion_text(chosen[at], r), labels[at]

    return make(
        "emotion",
        (len(chosen), digest(chosen, labels)),
        classify_instructions(rng, "emotion", "What does the writer feel?", labels, chosen),
        draw,
    )


_FACTS = phrases("""
{person} (moves/returns/travels) to {city} to (find/visit/help) (her/his) (sister/father/old
friend)
a young {job} in {city} (meets/hires/follows) a mysterious {job}
the {animal} (lives/hunts/sleeps) in the forest
{person} was born in {city} in {year} | the story (begins/is set/ends) in {city} in {year}
two {job}s (discover/steal/hide) a {item} and must (leave/save) the town
the train leaves {city} at noon
when {person} loses (his/her) job as a {job} , (he/she) decides to open a (bakery/school/shop) in
{country}
{person} and {person} (marry/fight/meet again) after {n} years | the {item} weighs {n} kilograms
the hotel has {n} rooms and a pool
in {year} , a {job} is sent to {country} to find a lost {item}
the phone comes with a {item} and two cables
soon {person} learns that the {job} is (his/her) (mother/brother)
the museum in {city} opened in {year} | one night , a {animal} escapes from the circus of {city}
""")
_VIEWS = phrases("""
i think that {city} is too loud | in my opinion {S0} is {A} | {S0} feels {A} and {A}
nobody should miss {S0}
everyone must see how {A} it is | it seems {A} to me | {S0} is , sadly , {A}
you will find it {A}
a {A} and {A} effort from {person} | {S0} is far too {A} for my taste
we deserve something less {A}
surely the best {job} in {country} | it is hard to imagine a more {A} evening
{person} was never this {A}
""")


def _opinion_or_fact(subjective: bool, rng: random.Random) -> str:
    extra = {
        "person": person_name,
        "city": one_of(names.PLACES),
        "year": lambda r: str(r.randint(1850, 2024)),
        "job": one_of(CATEGORIES["profession"]),
        "n": lambda r: str(r.randint(2, 99)),
    }
    if not subjective:
        return _styled(fill(rng.choice(_FACTS), rng, extra), rng)
    if rng.random() < 0.5:
        return review(rng.random() < 0.5, rng.choice(("film", "film", "book", "hotel")), rng)
    text = rng.choice(_VIEWS).replace("{S0}", rng.choice(SUBJECTS["film"][0]))
    while "{A}" in text:
        text = text.replace("{A}", rng.choice(_words_of(rng.random() < 0.5)[0]), 1)
    return _styled(fill(text, rng, extra), rng)


_FORMAL: dict[bool, tuple[str, ...]] = {
    True: phrases("""
dear (sir/madam) , i am writing to (enquire/inform you) about the {item}
i would be grateful for your reply
we regret to inform you that the {item} is (unavailable/delayed)
please find (attached/enclosed) the report
yours faithfully , {person} | we hereby confirm the receipt of your {item}
kindly submit the form by {weekday}
it is my pleasure to welcome you to {city} | the committee has approved the purchase of the {item}
"""),
    False: phrases("""
hey dude , wanna (grab a bite/hang out) {day} | gonna be late , sorry mate
that {item} is so cool lol
yo , what's up | nah , i'm good thx | can't wait to see ya in {city} | omg this {item} rocks
dunno , ask {person} | c'mon guys , let's go | gotta run , see ya | sup , got my {item} yet
"""),
}
_POLITE: dict[bool, tuple[str, ...]] = {
    True: phrases("""
could you please (pass/bring/hand) me the {item} | would you mind waiting a moment
thank you for your help , {person}
excuse me , may i borrow your {item} | i am sorry to bother you
if it is not too much trouble , call {person}
would it be possible to move to {day} , please | that is very kind of you | after you , please
"""),
    False: phrases("""
give me the {item} , now | shut up and (go/wait) | get out of my way , {person}
what do you want , idiot
hurry up , you fool | nobody asked you | move your {item} or else | don't waste my time
are you stupid
you never do anything right | leave me alone
"""),
}
_ASKING: dict[bool, tuple[str, ...]] = {
    True: phrases("""
(where/when) did {person} (go/work/eat) | is the {item} in the kitchen | do you like {food}
who took the {item}
why is the {animal} so loud | can {person} come {day} | how many {animal}s live in {country}
are you from {city}
have you seen my {item} | what does {person} do in {city}
"""),
    False: phrases("""
{person} went to {city} | the {item} is in the kitchen | i like {food} | somebody took the {item}
the {animal} is loud | {person} can come {day} | many {animal}s live in {country}
we are from {city}
i have seen your {item} | they ate {food} {day} | when {person} came , we left
what he said is true
"""),
}
#: kind -> (sentences that are and are not so, label pairs, meanings, question)
_BINARY: dict[
    str, tuple[Callable[[bool, random.Random], str], tuple[tuple[str, str], ...], str]
] = {
    "subjectivity": (
        _opinion_or_fact,
        (
            ("opinion", "fact"),
            ("subjective", "factual"),
            ("personal", "neutral"),
            ("view", "report"),
            ("opinion", "description"),
        ),
        "Does the sentence give an opinion or a fact?",
    ),
    "formality": (
        lambda yes, r: _styled(fill(r.choice(_FORMAL[yes]), r), r),
        (("formal", "informal"), ("official", "casual"), ("letter", "chat")),
        "Is the style formal or informal?",
    ),
    "politeness": (
        lambda yes, r: _styled(fill(r.choice(_POLITE[yes]), r), r),
        (("polite", "rude"), ("nice", "mean"), ("courteous", "impolite")),
        "Is it polite or rude?",
    ),
    "question": (
        lambda yes, r: fill(r.choice(_ASKING[yes]), r),
        (("question", "statement"), ("asks", "tells"), ("yes", "no")),
        "Is the sentence a question or a statement?",
    ),
}


def _binary(kind: str) -> Callable[[random.Random], GeneratedTask]:
    text_of, label_pairs, question = _BINARY[kind]

    def sample(rng: random.Random) -> GeneratedTask:
        meanings = label_pairs[0]
        labels: tuple[str, ...] = rng.choice(label_pairs)
        if rng.random() < 0.25:
            labels = rng.choice((("A", "B"), ("1", "0"), ("yes", "no"), ("x", "y"), ("1", "2")))
        labels = cased_labels(rng, labels)
        frame_name, frame = wrapper(rng, 0.8)

        def draw(r: random.Random) -> tuple[str, str]:
            holds = r.random() < 0.5
            return frame.format(text_of(holds, r)), labels[0] if holds else labels[1]

        return make(
            kind,
            (*labels, frame_name),
            classify_instructions(rng, "sentence", question, labels, meanings),
            draw,
        )

    return sample


FAMILIES: tuple[Family, ...] = (
    Family("sentiment", 3.0, _sentiment),
    Family("word_sentiment", 0.7, _word_sentiment),
    Family("emotion", 0.8, _emotion),
    Family("subjectivity", 1.0, _binary("subjectivity")),
    Family("formality", 0.3, _binary("formality")),
    Family("politeness", 0.3, _binary("politeness")),
    Family("question", 0.3, _binary("question")),
)
