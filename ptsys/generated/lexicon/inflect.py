"""Rules of English word forms: plural, past, gerund, comparative, adverb, agent noun."""

from __future__ import annotations

from ptsys.generated.lexicon.parse import pairs, words
from ptsys.generated.lexicon.verbs import DOUBLING, IRREGULAR_PAST

VOWELS = "aeiou"
IRREGULAR_PLURAL: dict[str, str] = dict(
    pairs("""
man=men woman=women child=children foot=feet tooth=teeth goose=geese mouse=mice louse=lice ox=oxen
policeman=policemen fisherman=fishermen sheep=sheep deer=deer
reindeer=reindeer salmon=salmon trout=trout
moose=moose fish=fish
wolf=wolves knife=knives leaf=leaves shelf=shelves half=halves calf=calves loaf=loaves wife=wives
life=lives
thief=thieves scarf=scarves elf=elves self=selves bison=bison shrimp=shrimp cod=cod tuna=tuna
swine=swine
potato=potatoes tomato=tomatoes hero=heroes mango=mangoes mosquito=mosquitoes buffalo=buffaloes
echo=echoes
volcano=volcanoes torpedo=torpedoes halibut=halibut haddock=haddock mackerel=mackerel
herring=herring
bookcase=bookcases oasis=oases crisis=crises cactus=cacti person=people elk=elk pike=pike
squid=squid
chili=chilies bus=buses iris=irises octopus=octopuses mantis=mantises thief=thieves quiz=quizzes
plaice=plaice aircraft=aircraft series=series sturgeon=sturgeon bass=bass goldfish=goldfish
swordfish=swordfish
catfish=catfish carp=carp perch=perch squash=squashes louse=lice marsh=marshes grandson=grandsons
cutting_board=cutting_boards rolling_pin=rolling_pins spinning_top=spinning_tops
""")
)
ALREADY_PLURAL = frozenset(["pliers", "shears", "scissors", "tongs", "dice", "rattle", "dominoes"])
IRREGULAR_DEGREE: dict[str, tuple[str, str]] = {
    "good": ("better", "best"),
    "bad": ("worse", "worst"),
    "far": ("farther", "farthest"),
}
DOUBLED_ADJECTIVES = frozenset(
    words("""
big hot wet fat slim sad thin flat dim red mad
""")
)


def plural(noun: str) -> str:
    """The plural of a countable noun."""
    if noun in IRREGULAR_PLURAL:
        return IRREGULAR_PLURAL[noun]
    if noun.endswith(("s", "x", "z", "ch", "sh")):
        return noun + "es"
    if noun.endswith("y") and noun[-2] not in VOWELS:
        return noun[:-1] + "ies"
    return noun + "s"


def _doubled(verb: str) -> str:
    return verb + verb[-1] if verb in DOUBLING else verb


def past(verb: str) -> str:
    """The simple past of a verb."""
    if verb in IRREGULAR_PAST:
        return IRREGULAR_PAST[verb]
    if verb.endswith("e"):
        return verb + "d"
    if verb.endswith("y") and verb[-2] not in VOWELS:
        return verb[:-1] + "ied"
    return _doubled(verb) + "ed"


def gerund(verb: str) -> str:
    """The -ing form of a verb."""
    if verb.endswith("ie"):
        return verb[:-2] + "ying"
    if verb.endswith("e") and not verb.endswith(("ee", "oe", "ye")) and verb != "be":
        return verb[:-1] + "ing"
    return _doubled(verb) + "ing"


def third_person(verb: str) -> str:
    """The form that goes with he, she or it."""
    special = {
        "be": "is",
        "have": "has",
        "do": "does",
        "go": "goes",
        "undergo": "undergoes",
        "undo": "undoes",
        "quit": "quits",
    }
    if verb in special:
        return special[verb]
    if verb.endswith(("s", "x", "z", "ch", "sh")):
        return verb + "es"
    if verb.endswith("y") and verb[-2] not in VOWELS:
        return verb[:-1] + "ies"
    return verb + "s"


def _degree(adjective: str, ending: str) -> str:
    if adjective.endswith("e"):
        return adjective + ending[1:]
    if adjective.endswith("y") and adjective[-2] not in VOWELS and adjective != "shy":
        return adjective[:-1] + "i" + ending
    stem = adjective + adjective[-1] if adjective in DOUBLED_ADJECTIVES else adjective
    return stem + ending


def comparative(adjective: str) -> str:
    """The comparative of a short adjective."""
    return IRREGULAR_DEGREE.get(adjective, (_degree(adjective, "er"), ""))[0]


def superlative(adjective: str) -> str:
    """The superlative of a short adjective."""
    return IRREGULAR_DEGREE.get(adjective, ("", _degree(adjective, "est")))[1]


def adverb(adjective: str) -> str:
    """The -ly adverb of an adjective."""
    if adjective.endswith("y"):
        return adjective[:-1] + "ily"
    if adjective.endswith("le"):
        return adjective[:-1] + "y"
    if adjective.endswith("ic"):
        return adjective + "ally"
    return adjective + ("y" if adjective.endswith("ll") else "ly")


def agent(verb: str) -> str:
    """Who does it: teach, teacher."""
    return verb + "r" if verb.endswith("e") else _doubled(verb) + "er"


def article(noun: str) -> str:
    """The noun with a or an before it."""
    if noun == "hour":
        return "an hour"
    if noun[0].lower() in VOWELS and not noun.startswith(("uni", "use", "euc", "uku")):
        return f"an {noun}"
    return f"a {noun}"
