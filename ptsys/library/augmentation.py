"""From a query's neighbours to what is trained on what (WO2023022727A1, figures 2, 6 and 7).

Pure planning: no engine, no tensors, no database. A *round* trains some *chains*; a chain is one
way to a better prompt, a list of stages one after another, each of which goes on from the prompt
that the one before it made. `ptsys.engine.augmentation` runs them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import AliasChoices, Field

from ptsys.data.order import permutation
from ptsys.errors import InvalidInput
from ptsys.library.neighbours import Neighbour
from ptsys.types.augmentation import LEAST_HELD_OUT, AugmentSpec, too_few_rows
from ptsys.types.example import Example
from ptsys.types.model import Value

QUERY = "query"
"""The name of the chain that makes the query, and of the query as a candidate of `auto`."""
WRITTEN = "written"
"""The name of the chain that begins at what a meta-prompt writes of the user's rows: another way
to the query, which `auto` tries."""
PLAIN = "plain"
"""The name of the chain that trains on the user's rows alone, where nothing alike is found."""
SECOND = "second"
"""The name of the best second prompt as it is, as a candidate of `auto`."""
MOST_CHAINS = 4  # of a round, beside the query as it is: those of `auto`

HELD_OUT_SHARE = 0.25
"""What `auto` holds out of the user's rows to choose by, if it is given none for that."""

_HOLD_OUT = 0x686F6C64  # keeps the choice of rows apart from their order

Origin = Literal["shared", "query", "seconds", "written"]


class Second(Value):
    """A second prompt: its `similarity` to the query and its `weight` among the others, which sum
    to 1; `dataset` is what it was trained on, if that is the user's to see, `loss` its own on the
    user's rows, if it was tried."""

    prompt: str
    similarity: float
    weight: float
    dataset: str | None = None
    loss: float | None = None


class Part(Value):
    """What a stage draws from: a dataset's id, or the user's own rows (None), and its rate; the
    rates of a stage sum to 1. `similarity` is that of the second prompt that it belongs to."""

    dataset: str | None = None
    rate: float = 1.0
    similarity: float | None = None


class Stage(Value):
    """So many updates on rows of these parts, from the prompt of the stage before, at the
    optimizer's learning rate or this one."""

    name: str
    data: tuple[Part, ...]
    steps: int
    learning_rate: float | None = None


class Chain(Value):
    """One way to a prompt. `origin` says where its first stage starts: at the shared start, at
    the query, at what was written of the rows, or at `start`, second prompts with their weights,
    which sum to 1."""

    name: str
    origin: Origin
    stages: tuple[Stage, ...] = ()
    start: tuple[Second, ...] = ()

    @property
    def steps(self) -> int:
        """Updates of all its stages."""
        return sum(stage.steps for stage in self.stages)

    @property
    def makes_prompt(self) -> bool:
        """Whether it brings a prompt, and not the query as it is."""
        return bool(self.stages) or self.origin == "seconds"

    @property
    def used(self) -> tuple[str, ...]:
        """The datasets of others that it draws from, each once."""
        names = [part.dataset for stage in self.stages for part in stage.data]
        return tuple(dict.fromkeys(name for name in names if name is not None))


class Plan(Value):
    """A round: the second prompts that were found, nearest first, and the chains to be trained
    together. Of several the best on the validation rows wins."""

    second_prompts: tuple[Second, ...] = Field(
        default=(), validation_alias=AliasChoices("second_prompts", "seconds")
    )
    """`seconds` in what earlier versions wrote."""
    chains: tuple[Chain, ...]

    @property
    def steps(self) -> int:
        """Updates of all chains."""
        return sum(chain.steps for chain in self.chains)


def query_plan(spec: AugmentSpec, *, written: bool = False) -> Plan:
    """What comes before the first round: the query is trained on the user's own rows from the
    shared start, or is there already. Where a start was `written` of the rows, it is trained from
    there too, if the budget has room for that, and the better one is the query."""
    if spec.query is not None:
        return Plan(chains=(Chain(name=QUERY, origin="query"),))
    stages = (_own(spec.query_steps),)
    chains = [Chain(name=QUERY, origin="shared", stages=stages)]
    if written and spec.has_room(spec.query_steps):
        chains.append(Chain(name=WRITTEN, origin="written", stages=stages))
    return Plan(chains=tuple(chains))


def round_plan(spec: AugmentSpec, found: Sequence[Neighbour], left: int | None = None) -> Plan:
    """A round's chains.

    - curriculum: second datasets from the least to the most similar, then the user's own rows;
    - multitask: all mixed, the user's rows with `own_share`, the others by weight; then
      `polish_steps` on the user's rows alone;
    - initialization: from one second prompt, or all combined, on the user's rows;
    - auto: these three, the query as it is, and the best second prompt as it is: what a few rows
      teach it may be less than what they make it forget.

    Without anything to use it is plain training from the query. `left` are the updates that the
    budget leaves to this round: if the stages need more, each is shortened by the same factor,
    but to one update at least.
    """
    seconds = weighted(spec, found)
    if not seconds:
        chains = [Chain(name=PLAIN, origin="query", stages=(_own(spec.steps),))]
    else:
        chains = [_chain(name, spec, seconds) for name in _strategies(spec, seconds)]
    if spec.strategy == "auto":
        if seconds:
            chains.append(Chain(name=SECOND, origin="seconds", start=_alone(seconds, "best")))
        chains.append(Chain(name=QUERY, origin="query"))
    plan = Plan(second_prompts=seconds, chains=tuple(chains))
    if left is None or plan.steps <= left:
        return plan
    return plan.model_copy(update={"chains": _within(plan, left)})


def weighted(spec: AugmentSpec, found: Sequence[Neighbour]) -> tuple[Second, ...]:
    """Of the neighbours that are similar enough those with the lowest loss on the user's rows, or
    the nearest if none was tried on them; nearest first, with their weights."""
    least = -math.inf if spec.minimum_similarity is None else spec.minimum_similarity
    kept = [one for one in found if one.similarity >= least]
    kept.sort(key=lambda one: (_loss(one), -one.similarity, one.prompt.id))
    kept = kept[: spec.neighbours]
    kept.sort(key=lambda one: (-one.similarity, one.prompt.id))
    if spec.weights == "equal":
        weights = np.full(len(kept), 1 / max(len(kept), 1))
    else:
        weights = softmax([one.similarity for one in kept], spec.temperature)
    return tuple(
        Second(
            prompt=one.prompt.id,
            similarity=float(one.similarity),
            weight=float(weight),
            dataset=one.dataset,
            loss=one.loss,
        )
        for one, weight in zip(kept, weights, strict=True)
    )


def _loss(one: Neighbour | Second) -> float:
    return one.loss if one.loss is not None and math.isfinite(one.loss) else math.inf


def softmax(values: Sequence[float], temperature: float) -> NDArray[np.float64]:
    """Weights that sum to 1; the lower the temperature, the more the greatest value has."""
    if not len(values):
        return np.zeros(0)
    scaled = np.asarray(values, np.float64) / temperature
    powers = np.exp(scaled - scaled.max())
    weights: NDArray[np.float64] = powers / powers.sum()
    return weights


def combined_start(
    start: NDArray[np.float32], parts: Sequence[tuple[NDArray[np.float32], float]]
) -> NDArray[np.float32]:
    """The shared start [P, D] moved by the weighted changes of other prompts [Q, D] from theirs.

    Rows are compared from the end: what a shorter prompt lacks is no change, what a longer one
    has more is left out. Weights are taken relative to their sum.
    """
    total = sum(weight for _, weight in parts)
    result = start.astype(np.float64)
    for rows, weight in parts:
        count = min(len(rows), len(start))
        change = rows[len(rows) - count :].astype(np.float64) - start[len(start) - count :]
        result[len(start) - count :] += weight / total * change
    return result.astype(np.float32)


def hold_out(rows: Sequence[Example], seed: int) -> tuple[list[Example], list[Example]]:
    """The user's rows without those that `auto` holds out to choose by, and these: a quarter, 4 at
    least, that the seed draws among those with a target.

    Raises InvalidInput where there are too few.
    """
    scorable = [number for number, row in enumerate(rows) if row.target is not None]
    refusal = too_few_rows(len(scorable))
    if refusal is not None:
        raise InvalidInput(refusal, field="validation")
    count = max(LEAST_HELD_OUT, int(len(scorable) * HELD_OUT_SHARE))
    order = permutation(len(scorable), (seed, _HOLD_OUT))
    held = {scorable[place] for place in order[:count].tolist()}
    kept = [row for number, row in enumerate(rows) if number not in held]
    return kept, [rows[number] for number in sorted(held)]


def _strategies(spec: AugmentSpec, seconds: Sequence[Second]) -> list[str]:
    """Those that can be tried: without a dataset to be seen, a start is all that is left."""
    wanted = ["curriculum", "multitask", "initialization"]
    if spec.strategy != "auto":
        wanted = [spec.strategy]
    if any(second.dataset is not None for second in seconds):
        return wanted
    return [name for name in wanted if name == "initialization"] or [PLAIN]


def _chain(name: str, spec: AugmentSpec, seconds: Sequence[Second]) -> Chain:
    if name == PLAIN:
        return Chain(name=PLAIN, origin="query", stages=(_own(spec.steps),))
    if name == "curriculum":
        return Chain(name=name, origin=spec.begin, stages=_curriculum(spec, seconds))
    if name == "multitask":
        return Chain(name=name, origin=spec.begin, stages=_mixture(spec, seconds))
    start = tuple(seconds) if spec.start == "combination" else _alone(seconds, spec.start)
    own = _own(spec.steps, spec.gentle_rate)
    return Chain(name=name, origin="seconds", stages=(own,), start=start)


def _alone(seconds: Sequence[Second], which: Literal["best", "nearest"]) -> tuple[Second]:
    """One second prompt with all the weight."""
    first = seconds[0] if which == "nearest" else min(seconds, key=_loss)
    return (first.model_copy(update={"weight": 1.0}),)


def _curriculum(spec: AugmentSpec, seconds: Sequence[Second]) -> tuple[Stage, ...]:
    parts = _datasets(seconds)
    parts.reverse()
    return (
        *(
            Stage(
                name=f"second-{number}",
                data=(part.model_copy(update={"rate": 1.0}),),
                steps=spec.second_steps,
            )
            for number, part in enumerate(parts, start=1)
        ),
        _own(spec.steps, spec.gentle_rate),
    )


def _mixture(spec: AugmentSpec, seconds: Sequence[Second]) -> tuple[Stage, ...]:
    parts = _datasets(seconds)
    total = sum(part.rate for part in parts)
    others = [
        part.model_copy(update={"rate": (1 - spec.own_share) * part.rate / total}) for part in parts
    ]
    mixed = Stage(name="mixture", data=(Part(rate=spec.own_share), *others), steps=spec.steps)
    return (mixed, _own(spec.polish_steps, spec.gentle_rate)) if spec.polish_steps else (mixed,)


def _datasets(seconds: Sequence[Second]) -> list[Part]:
    """The datasets of second prompts, most similar first, each once: its rate is the sum of its
    prompts' weights."""
    parts: dict[str, Part] = {}
    for second in seconds:
        if second.dataset is None:
            continue
        known = parts.get(second.dataset)
        rate = second.weight + (0 if known is None else known.rate)
        similarity = second.similarity if known is None else known.similarity
        parts[second.dataset] = Part(dataset=second.dataset, rate=rate, similarity=similarity)
    return list(parts.values())


def _own(steps: int, learning_rate: float | None = None) -> Stage:
    return Stage(name="own", data=(Part(),), steps=steps, learning_rate=learning_rate)


def _within(plan: Plan, left: int) -> tuple[Chain, ...]:
    """The chains shortened to `left` updates in all; no stage to less than one."""
    stages = sum(len(chain.stages) for chain in plan.chains)
    share = max(left - stages, 0) / max(plan.steps - stages, 1)

    def shorter(stage: Stage) -> Stage:
        return stage.model_copy(update={"steps": 1 + math.floor((stage.steps - 1) * share)})

    return tuple(
        chain.model_copy(update={"stages": tuple(map(shorter, chain.stages))})
        for chain in plan.chains
    )
