"""Tasks of naming the topic of a short piece of news."""

from __future__ import annotations

import random
from collections import defaultdict

from ptsys.generated.grammar import Filler, fill, one_of, person_name
from ptsys.generated.lexicon import names
from ptsys.generated.lexicon.parse import phrases, words
from ptsys.generated.surface import (
    arbitrary,
    cased_labels,
    classify_instructions,
    digest,
    wrapper,
    yes_no,
)
from ptsys.generated.task import Family, GeneratedTask, make

#: topic -> other labels
TOPICS: dict[str, tuple[str, ...]] = {
    "sports": ("sport", "games"),
    "business": ("economy", "money", "finance"),
    "science": ("research", "sci/tech"),
    "world": ("international", "world news", "war and peace"),
    "politics": ("government",),
    "health": ("medicine",),
    "entertainment": ("arts", "show business"),
    "weather": ("climate",),
    "travel": ("tourism",),
    "food": ("cooking",),
    "crime": ("police", "justice"),
    "technology": ("tech", "computers"),
    "education": ("school",),
}

_TEXT: dict[str, str] = {
    "sports": """
{team} (beat/defeated/edged/crushed) {team} {score} (on {weekday}/in the final/in extra time/at
  home)
{person} scored (twice/the winner/a late goal/{n} points) as {team} (won/drew/lost) against {team}
(striker/goalkeeper/quarterback/pitcher/captain) {person} (will miss/returns for/is out of) the
  (season/playoffs/cup final) with a knee injury
coach {person} (praised/blamed) his players after the {score} (win/defeat) over {team}
{person} (won/took) the (gold medal/title/race/open) in {city} (in straight sets/by two
  strokes/in record time)
{team} (sign/trade/release) {person} on a two year deal
the (tournament/league/championship) (opens/ends) in {city} on {weekday} with {n} teams""",
    "business": """
{firm} (shares/stock) (rose/fell/jumped/dropped) {n} percent (on {weekday}/after results/in
  early trading)
{firm} (reports/posts/said) a (quarterly/yearly) (profit/loss) of {money}
{firm} (agrees to buy/will take over/bids for) {firm} for {money}
oil prices (climb/slip/hit a record) as (demand/supply) (grows/falls)
{firm} (to cut/will cut/adds) {n} jobs as (sales/orders) (slow/rise)
the central bank (raised/cut/held) interest rates as inflation (eased/rose)
investors (sold/bought) (bonds/stocks) after weak (retail/factory/housing) data
(chief executive/chairman) {person} (resigns/steps down) at {firm}
the dollar (gained/lost) against the (euro/yen) on trade fears""",
    "science": """
(scientists/researchers/astronomers) (discover/find/spot) a new (planet/species/galaxy/particle)
  (near a distant star/in {country}/)
a (probe/spacecraft/rover) (landed on/flew past/sent pictures of) (mars/the moon/saturn)
study (finds/shows) (dolphins/bees/ancient humans/glaciers) (learn/moved/melt) faster than thought
fossil of a giant (dinosaur/bird/fish) found in {country}
physicists (measure/test) the (speed/mass) of (light/a tiny particle) in a lab in {city}
(biologists/chemists) (grow/decode) (cells/the genes of a {animal}) in the laboratory
the telescope (captured/saw) a (comet/black hole/dying star)""",
    "world": """
(rebels/troops/militants) (attack/shell/seize) a (town/base/bridge) in {country}
{country} and {country} (sign/reject/discuss) a (peace deal/cease fire/border treaty)
(a bomb/an explosion) (killed/wounded) {n} people in {place}, officials say
the (un/security council) (calls for/votes on) (sanctions/aid/talks) over {country}
(thousands/hundreds) of refugees flee (fighting/violence) in {country}
(hostages/soldiers/aid workers) (freed/held) in {country} (on {weekday}/)
{country}'s foreign minister (meets/warns) (envoys/diplomats) from {country} over its nuclear
  program
an earthquake (struck/shook) {country}, leaving {n} dead""",
    "politics": """
(senator/president/prime minister/governor) {person} (promises/vetoes/defends) the
  (tax/health/budget) bill
voters (go to the polls/cast ballots) in {country} on {weekday}
parliament (passes/rejects/debates) a law on (pensions/voting/immigration)
{person} leads {person} in the (polls/election race) by {n} points
the (ruling party/opposition) (chose/elected) {person} as its (candidate/leader)
the minister (quit/resigned) over the (budget/expense) scandal
the senate (votes/delays) (on/) the nomination of {person}""",
    "health": """
(doctors/nurses) (warn of/report) a rise in (flu/measles/asthma) cases
a new (drug/vaccine/treatment) (cuts/lowers) the risk of (cancer/stroke/heart disease)
patients who (sleep/exercise/smoke) more have (higher/lower) blood pressure
hospitals in {city} (run out of/need) (beds/blood/nurses)
eating (nuts/fish/sugar) is (good/bad) for the heart, study of patients says
the virus has infected {n} people in {city}
(pregnant women/older people) should (take/avoid) (vitamin pills/the medicine), doctors say""",
    "entertainment": """
(actor/singer/director) {person} (wins/is up for) an award for (best film/best album)
the (film/movie/sequel) {title} (tops/led) the box office with {money}
{person} will (play/star in) the (series/musical/remake) {title}
the band (releases/plays) a new (album/single) called {title}
(pop star/comedian) {person} (marries/splits from) {person}
the (festival/theater/opera) in {city} opens with {title}
fans (queue/cheer) for the (premiere/concert) of {title} in {city}""",
    "weather": """
(heavy rain/snow/strong wind) is expected in {city} on {weekday}
temperatures will (rise/fall) to {small} degrees in {city}
a (storm/hurricane/cold front) moves toward the coast of {country}
(fog/ice/hail) (covers/delays) the roads around {city}
sunny (spells/skies) with a light breeze over {city}
the (heat wave/dry spell) in {country} will last until {weekday}
forecasters see (showers/thunder) in the north and sun in the south""",
    "travel": """
(ten/five/{small}) (quiet beaches/hotels/small towns) to (visit/see) in {country}
the (airline/railway) opens a new route from {city} to {city}
tourists (flock/return) to {city} for its (old town/museums/beaches)
how to spend a weekend in {city}
the cruise (stops/ends) in {city} after {small} days at sea
(backpackers/visitors) love the (mountain trails/islands) of {country}
cheap tickets and cosy inns make {country} a good holiday""",
    "food": """
(stir/whisk/mix) the (eggs/flour/butter) and bake for {small} minutes
a recipe for {dish} with (garlic/lemon/ginger)
the chef of the new {city} restaurant serves {dish} with (herbs/cheese)
add a pinch of (salt/pepper/cinnamon) to the {dish}
this {dish} tastes best with fresh (bread/basil)
(roast/boil/fry) the (potatoes/carrots/onions) until they are soft
street food from {country}: {dish} and sweet tea""",
    "crime": """
police (arrest/seek/question) a man over a (robbery/murder/theft) in {city}
a (court/jury/judge) in {city} (jailed/cleared/fined) {person} for (fraud/murder/theft)
thieves stole {money} from a (bank/museum/jeweler)
{person} (pleads guilty/goes on trial) over the (killing/fire/fraud)
detectives found (drugs/stolen cars/a weapon) in a house in {city}
the (gang/suspect/burglar) (fled/was caught) after the (shooting/raid)
a prison sentence of {small} years for the (kidnapper/killer)""",
    "technology": """
{firm} (unveils/launches/recalls) a new (phone/laptop/chip/tablet)
(hackers/a virus) (attack/hit) (computers/servers/web sites) of {firm}
the (software/browser/operating system) (update/patch) fixes a security hole
{firm} (adds/drops) (search/music/video) (features/services) online
(internet/wireless/broadband) users (double/top {n} million)
a (robot/smart watch/drone) that can (talk/see/deliver mail) goes on sale
the chip maker says its new processor is faster and uses less power""",
    "education": """
(pupils/students) (sit/pass/fail) the (exam/test) in (math/reading)
the (school/university) in {city} (opens/closes) its (library/campus)
teachers (strike/ask) for smaller classes
(parents/teachers) want (less homework/longer breaks/more lessons)
{person}, a professor in {city}, teaches {small} students
tuition fees at (colleges/universities) (rise/fall) by {small} percent
the new (textbook/course) helps children to read""",
}
#: Indented lines continue the one before.
TEMPLATES: dict[str, tuple[str, ...]] = {
    topic: tuple(line.strip() for line in text.replace("\n  ", " ").strip().splitlines())
    for topic, text in _TEXT.items()
}

EXTRA: dict[str, Filler] = {
    "team": one_of(names.TEAMS),
    "firm": one_of(names.ORGANISATIONS),
    "city": one_of(names.PLACES),
    "n": lambda r: str(r.randint(2, 90)),
    "small": lambda r: str(r.randint(2, 30)),
    "score": lambda r: f"{r.randint(1, 6)}-{r.randint(0, 5)}",
    "place": one_of(names.PLACES),
    "money": lambda r: money(r),
    "person": lambda r: person_name(r).title(),
}
_LEADS = words("update report exclusive watch live") + phrases("in brief | morning news | latest")


def money(rng: random.Random) -> str:
    """An amount of money as the news writes it."""
    return rng.choice(
        ("${} million", "{} million dollars", "{} billion euros", "${} billion")
    ).format(rng.choice((rng.randint(2, 900), f"{rng.randint(1, 9)}.{rng.randint(1, 9)}")))


def story(topic: str, rng: random.Random) -> str:
    """One or two sentences of a topic."""
    parts = [fill(rng.choice(TEMPLATES[topic]), rng, EXTRA)]
    if rng.random() < 0.35:
        parts.append(fill(rng.choice(TEMPLATES[topic]), rng, EXTRA))
    parts = [part[0].upper() + part[1:] for part in parts]
    if rng.random() < 0.15:
        parts[0] = f"{rng.choice(_LEADS).title()}: {parts[0]}"
    if rng.random() < 0.15:
        parts[0] = f"{rng.choice(names.PLACES)} - {parts[0]}"
    if rng.random() < 0.1:
        parts[0] = parts[0].title()
    text = ". ".join(parts) + rng.choice((".", ".", ""))
    return text.lower() if rng.random() < 0.15 else text


def _topic(rng: random.Random) -> GeneratedTask:
    chosen = tuple(rng.sample(sorted(TOPICS), rng.choice((2, 3, 4, 4, 4, 5, 6, 8))))
    if len(chosen) <= 5 and rng.random() < 0.15:
        labels = arbitrary(rng, len(chosen))
    else:
        named = tuple(rng.choice((t, t, *TOPICS[t])) for t in chosen)
        labels = cased_labels(rng, named)
    frame_name, frame = wrapper(rng, 0.85)

    def draw(r: random.Random) -> tuple[str, str]:
        at = r.randrange(len(chosen))
        return frame.format(story(chosen[at], r)), labels[at]

    return make(
        "topic",
        (len(chosen), digest(chosen, labels), frame_name),
        classify_instructions(rng, "topic", "What is the news about?", labels, chosen),
        draw,
    )


def _topic_test(rng: random.Random) -> GeneratedTask:
    topic = rng.choice(sorted(TOPICS))
    yes, no = yes_no(rng)
    others: dict[bool, list[str]] = defaultdict(list)
    for candidate in sorted(TOPICS):
        others[candidate == topic].append(candidate)

    def draw(r: random.Random) -> tuple[str, str]:
        holds = r.random() < 0.5
        return story(r.choice(others[holds]), r), yes if holds else no

    return make(
        "topic_test",
        (topic, yes),
        (
            f"Is the text about {topic}? {yes} or {no}",
            f"{topic}: {yes} or {no}",
            f"Say {yes} for {topic}, else {no}.",
        ),
        draw,
    )


FAMILIES: tuple[Family, ...] = (
    Family("topic", 2.0, _topic),
    Family("topic_test", 0.4, _topic_test),
)
