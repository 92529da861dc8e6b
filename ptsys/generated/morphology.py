"""Tasks from one form of a word to another: number, tense, degree, derivation."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from ptsys.generated.lexicon import adjectives, nouns, verbs
from ptsys.generated.lexicon.inflect import (
    ALREADY_PLURAL,
    IRREGULAR_PLURAL,
    adverb,
    agent,
    article,
    comparative,
    gerund,
    past,
    plural,
    superlative,
    third_person,
)
from ptsys.generated.lexicon.parse import pairs, words
from ptsys.generated.mapping import Pairs, first_answers, flipped, mapping_task
from ptsys.generated.pools import COUNTABLE_NOUNS
from ptsys.generated.task import Family, GeneratedTask

_MASS = frozenset(
    words("""
blood bread cash chaos climate data debt delivery economy evidence fashion fuel furniture
government grass growth hair health heat hunger industry information insurance knowledge labour
language law lunch magazine mail majority money music nature news oil paint pain police
population pressure property research rent safety sand skin sky smoke society soil stock summer
sun technology traffic training transport treasure vacation violence waste wealth weather work
writing youth sleep series advertising cattle damage speech people woman child crisis media
vision
""")
)
_OTHER = tuple(n for n in nouns.OTHER_NOUNS if n not in _MASS and not n.endswith("s"))
COUNTABLE: tuple[str, ...] = tuple(
    dict.fromkeys(
        n for n in (*COUNTABLE_NOUNS, *_OTHER, *IRREGULAR_PLURAL) if n not in ALREADY_PLURAL
    )
)
PLURALS: Pairs = tuple((n, plural(n)) for n in COUNTABLE)
_IRREGULARS: Pairs = tuple((n, p) for n, p in IRREGULAR_PLURAL.items() if n != p)
PASTS: Pairs = tuple((v, past(v)) for v in verbs.VERBS)
_IRREGULAR_PASTS: Pairs = tuple((v, p) for v, p in verbs.IRREGULAR_PAST.items() if v != p)
_CHANGED_PASTS: Pairs = tuple((v, p) for v, p in PASTS if v != p)
GERUNDS: Pairs = tuple((v, gerund(v)) for v in verbs.VERBS)
THIRDS: Pairs = tuple((v, third_person(v)) for v in verbs.VERBS)
DEGREES: Pairs = tuple((a, comparative(a)) for a in adjectives.GRADABLE)
TOPS: Pairs = tuple((a, superlative(a)) for a in adjectives.GRADABLE)
ADVERBS: Pairs = tuple(
    (a, adverb(a))
    for a in adjectives.ADJECTIVES
    if not a.endswith(("ly", "ll"))
    and a
    not in {
        "fast",
        "hard",
        "good",
        "old",
        "big",
        "fat",
        "early",
        "late",
        "near",
        "tiny",
        "young",
        "true",
        "whole",
        "shy",
        "dry",
        "small",
        "tall",
        "far",
        "sunny",
    }
)
_AGENT_VERBS = words("""
teach work bake drive write sing dance paint run swim read build farm hunt play dream clean lead
help think speak listen walk climb ride rob sell buy manage design own train report print
explore found garden juggle wrestle box camp jog skate ski surf kick catch throw jump love hate
lose win begin learn sleep drink eat smoke travel follow fight kill murmur paint pretend preach
publish produce record research retail rule sail scan shop speak start strike support talk trade
use view vote wait wander wash watch
""")
AGENTS: Pairs = tuple(
    (v, agent(v)) for v in dict.fromkeys(_AGENT_VERBS) if v not in {"ski", "retail"}
)
NEGATIVES: Pairs = pairs("""
happy=unhappy kind=unkind fair=unfair lucky=unlucky safe=unsafe known=unknown able=unable
usual=unusual
clear=unclear true=untrue tidy=untidy healthy=unhealthy friendly=unfriendly important=unimportant
possible=impossible patient=impatient polite=impolite perfect=imperfect mature=immature
moral=immoral
correct=incorrect complete=incomplete visible=invisible direct=indirect dependent=independent
sane=insane
legal=illegal logical=illogical legible=illegible regular=irregular responsible=irresponsible
relevant=irrelevant rational=irrational honest=dishonest loyal=disloyal obedient=disobedient
agree=disagree
like=dislike appear=disappear obey=disobey trust=distrust connect=disconnect
understand=misunderstand
lock=unlock pack=unpack tie=untie do=undo cover=uncover load=unload wrap=unwrap popular=unpopular
pleasant=unpleasant certain=uncertain common=uncommon comfortable=uncomfortable even=uneven
expected=unexpected fit=unfit necessary=unnecessary real=unreal stable=unstable wise=unwise
accurate=inaccurate active=inactive adequate=inadequate capable=incapable efficient=inefficient
formal=informal secure=insecure sensitive=insensitive sincere=insincere
""")
NOUN_OF: Pairs = pairs("""
happy=happiness sad=sadness kind=kindness dark=darkness weak=weakness ill=illness sick=sickness
lazy=laziness lonely=loneliness rude=rudeness polite=politeness bright=brightness good=goodness
fit=fitness sweet=sweetness thick=thickness cold=coldness calm=calmness neat=neatness
fair=fairness
strong=strength long=length wide=width deep=depth high=height true=truth young=youth warm=warmth
free=freedom wise=wisdom bored=boredom honest=honesty safe=safety real=reality able=ability
possible=possibility equal=equality curious=curiosity active=activity brave=bravery
beautiful=beauty
proud=pride hungry=hunger angry=anger thirsty=thirst patient=patience silent=silence
confident=confidence intelligent=intelligence important=importance different=difference
move=movement pay=payment agree=agreement develop=development enjoy=enjoyment improve=improvement
treat=treatment govern=government act=action invent=invention collect=collection decide=decision
educate=education create=creation celebrate=celebration translate=translation explain=explanation
inform=information imagine=imagination protect=protection connect=connection discuss=discussion
arrive=arrival approve=approval refuse=refusal survive=survival perform=performance
appear=appearance exist=existence fail=failure please=pleasure press=pressure
""")
ADJECTIVE_OF: Pairs = pairs("""
rain=rainy sun=sunny wind=windy cloud=cloudy snow=snowy dust=dusty luck=lucky noise=noisy
salt=salty
health=healthy wealth=wealthy hair=hairy dirt=dirty mud=muddy rock=rocky care=careful hope=hopeful
pain=painful help=helpful use=useful colour=colourful power=powerful peace=peaceful joy=joyful
danger=dangerous fame=famous poison=poisonous mystery=mysterious nature=natural music=musical
magic=magical nation=national history=historical wood=wooden gold=golden wool=woollen hero=heroic
poet=poetic child=childish fool=foolish friend=friendly love=lovely cost=costly day=daily
week=weekly
month=monthly year=yearly comfort=comfortable fashion=fashionable reason=reasonable value=valuable
""")

_WORD_FRAMES = ("word: {}", "the word {}", "{} becomes", "change {}")
_PRONOUNS = ("she", "he", "they", "we", "I", "you")

#: family -> kind -> (pairs, instructions, frames)
_KINDS: dict[str, dict[str, tuple[Pairs, tuple[str, ...], tuple[str, ...]]]] = {
    "plural": {
        "plural": (
            PLURALS,
            (
                "plural",
                "Give the plural of the noun.",
                "Make it plural.",
                "More than one of it is called?",
                "singular to plural",
                "Write the plural form.",
            ),
            ("one {}, two", "a lot of: {}", *_WORD_FRAMES),
        ),
        "irregular plural": (
            _IRREGULARS,
            ("irregular plural", "Give the plural of the noun.", "plural"),
            ("one {}, two", *_WORD_FRAMES),
        ),
        "singular": (
            first_answers(flipped(PLURALS)),
            (
                "singular",
                "Give the singular of the noun.",
                "One of them is called?",
                "plural to singular",
                "Write the singular form.",
            ),
            ("two {}, one", *_WORD_FRAMES),
        ),
        "article": (
            tuple((n, article(n)) for n in COUNTABLE if " " not in n),
            ("a or an", "Put a or an before the noun.", "Add the indefinite article."),
            (),
        ),
        "many": (
            tuple((n, f"many {p}") for n, p in PLURALS),
            ("many", "Say that there are many of it.", "Write many and the plural."),
            (),
        ),
    },
    "tense": {
        "past": (
            PASTS,
            (
                "past tense",
                "Give the past tense of the verb.",
                "present to past",
                "Write the verb in the past.",
                "Put the verb into the simple past.",
            ),
            ("today I {}, yesterday I", "to {}", *_WORD_FRAMES),
        ),
        "irregular past": (
            _IRREGULAR_PASTS,
            ("past tense", "irregular past", "Give the past form of the verb."),
            ("today I {}, yesterday I", *_WORD_FRAMES),
        ),
        "present": (
            first_answers(flipped(_CHANGED_PASTS)),
            (
                "present tense",
                "Give the plain form of the verb.",
                "past to present",
                "Undo the past tense.",
            ),
            ("yesterday I {}, today I", *_WORD_FRAMES),
        ),
        "gerund": (
            GERUNDS,
            (
                "gerund",
                "Give the ing form of the verb.",
                "Add ing to the verb.",
                "Write the present participle.",
            ),
            ("to {}: I am", *_WORD_FRAMES),
        ),
        "plain from gerund": (
            first_answers(flipped(GERUNDS)),
            ("remove ing", "Give the plain form of the verb.", "from the ing form to the verb"),
            (),
        ),
        "third person": (
            THIRDS,
            (
                "third person",
                "Give the form that goes with she.",
                "he or she ...",
                "third person singular",
            ),
            ("I {}, she", *_WORD_FRAMES),
        ),
        "future": (
            tuple((v, f"will {v}") for v in verbs.VERBS),
            ("future", "Put the verb into the future.", "future tense with will"),
            (),
        ),
        "infinitive": (
            tuple((v, f"to {v}") for v in verbs.VERBS),
            ("infinitive", "Write the verb with to.", "Add to before the verb."),
            (),
        ),
        "negated": (
            tuple((v, f"do not {v}") for v in verbs.VERBS),
            ("negate", "Say do not before the verb.", "negative command"),
            (),
        ),
    },
    "degree": {
        "comparative": (
            DEGREES,
            (
                "comparative",
                "Give the comparative of the adjective.",
                "more of it",
                "Compare: add er.",
            ),
            ("{}, more so:", *_WORD_FRAMES),
        ),
        "superlative": (
            TOPS,
            (
                "superlative",
                "Give the superlative of the adjective.",
                "the most of it",
                "Write the est form.",
            ),
            ("{}, the most:",),
        ),
        "comparative to superlative": (
            tuple((comparative(a), superlative(a)) for a in adjectives.GRADABLE),
            ("comparative to superlative", "Give the superlative.", "from er to est"),
            (),
        ),
        "plain": (
            first_answers(flipped(DEGREES)),
            ("plain form", "Give the adjective without er.", "remove the comparative"),
            (),
        ),
        "more": (
            tuple((a, f"more {a}") for a in adjectives.LONG_ADJECTIVES),
            ("comparative with more", "Compare with more.", "Add more before the adjective."),
            (),
        ),
    },
    "derivation": {
        "agent": (
            AGENTS,
            ("agent noun", "Who does it?", "Name the one who does this.", "verb to doer"),
            ("one who can {} is a", *_WORD_FRAMES),
        ),
        "verb of agent": (
            first_answers(flipped(AGENTS)),
            ("verb of the doer", "What does this one do?", "doer to verb"),
            (),
        ),
        "negative": (
            NEGATIVES,
            (
                "negative prefix",
                "Add the prefix that makes it negative.",
                "Say that it is not so, in one word.",
            ),
            ("not {}:",),
        ),
        "positive": (
            first_answers(flipped(NEGATIVES)),
            ("remove the prefix", "Take the negative prefix off.", "Undo the negation."),
            (),
        ),
        "adverb": (
            ADVERBS,
            ("adverb", "Turn the adjective into an adverb.", "Add ly.", "Give the adverb of it."),
            ("in a {} way:", *_WORD_FRAMES),
        ),
        "adjective of adverb": (
            first_answers(flipped(ADVERBS)),
            ("adjective", "Turn the adverb into an adjective.", "Remove ly."),
            (),
        ),
        "noun": (
            NOUN_OF,
            ("noun form", "Give the noun that belongs to the word.", "Turn the word into a noun."),
            (),
        ),
        "adjective": (
            ADJECTIVE_OF,
            (
                "adjective form",
                "Turn the noun into an adjective.",
                "Give the adjective of the noun.",
            ),
            (),
        ),
    },
}
_HEAVY = {
    "plural": ("plural",) * 3,
    "tense": ("past",) * 4 + ("present",),
    "degree": (),
    "derivation": (),
}


def _sampler(family: str) -> Callable[[random.Random], GeneratedTask]:
    kinds = _KINDS[family]
    choices: Sequence[str] = (*sorted(kinds), *_HEAVY[family])

    def sample(rng: random.Random) -> GeneratedTask:
        kind = rng.choice(choices)
        table, instructions, frames = kinds[kind]
        return mapping_task(rng, family, (kind,), instructions, table, frames=frames)

    return sample


FAMILIES: tuple[Family, ...] = (
    Family("plural", 1.5, _sampler("plural")),
    Family("tense", 2.0, _sampler("tense")),
    Family("degree", 0.7, _sampler("degree")),
    Family("derivation", 0.9, _sampler("derivation")),
)
