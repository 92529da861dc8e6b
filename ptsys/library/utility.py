"""How useful a prompt is: how much it is used, and what those who built on it gained.

A prompt c that was made from others gained, in points of accuracy on its validation rows,

    gain(c) = 100 * max(accuracy(c) - plain(c), 0)

where plain(c) is the accuracy of the same rows without any help, or that of the prompt that was
searched for where only this is recorded; where neither is, nothing is known to be gained. What is
lost counts for nothing: nobody can pull another's prompt down by building badly on it.

A prompt p that c was made from has a share of it: its recorded weight, or an equal part of the
ties of c that have none; shares that add up to more than one are made one. So

    gained(p)  = sum over c of share(p, c) * (gain(c) + PASSED_ON * gained(c))
    utility(p) = log2(1 + uses(p)) + gained(p) / POINTS

`uses` are the requests it answered and the prompts made from it. A submitter's utility is the same
of the sums over their prompts, so that cutting one prompt into ten makes nobody more useful.

Everything is computed for one viewer, from what that viewer may see alone.
"""

from __future__ import annotations

import dataclasses
import graphlib
import math
from collections.abc import Iterable, Mapping
from typing import Any

from ptsys.store.database import Database
from ptsys.store.prompt_lineage import Member, PromptLineage, Tie
from ptsys.store.prompt_search import PromptSearch
from ptsys.types.library import Filters
from ptsys.types.ranking import RankedPrompt, RankedSubmitter

PASSED_ON = 0.5
"""The part of what a prompt's children are worth to others that goes on to the prompt itself."""

POINTS = 5.0
"""Points of accuracy gained that count as much as doubling the uses."""


@dataclasses.dataclass(frozen=True)
class Worth:
    """A prompt's uses, the prompts made from it, and the points these gained."""

    uses: int = 0
    made: int = 0
    gained: float = 0.0

    @property
    def utility(self) -> float:
        """What rankings are by."""
        return math.log2(1 + self.uses) + self.gained / POINTS

    def __add__(self, other: Worth) -> Worth:
        return Worth(self.uses + other.uses, self.made + other.made, self.gained + other.gained)


def worths(members: Mapping[str, Member], ties: Iterable[Tie]) -> dict[str, Worth]:
    """What each of these prompts is worth; ties to others are left out."""
    known = [tie for tie in ties if tie.parent in members and tie.child in members]
    shares = _shares(tie for tie in known if tie.role != "query")
    queries = {tie.child: tie.parent for tie in known if tie.role == "query"}
    children: dict[str, dict[str, float]] = {one: {} for one in members}
    for (parent, child), share in shares.items():
        children[parent][child] = share
    worth: dict[str, Worth] = {}
    for one in graphlib.TopologicalSorter(children).static_order():  # children before parents
        gained = sum(
            share * (_gain(members, child, queries.get(child)) + PASSED_ON * worth[child].gained)
            for child, share in children[one].items()
        )
        made = len(children[one])
        worth[one] = Worth(members[one].requests + made, made, float(gained))
    return worth


def _shares(ties: Iterable[Tie]) -> dict[tuple[str, str], float]:
    """What belongs to each parent of what a child gained, by (parent, child)."""
    weights: dict[str, dict[str, float | None]] = {}
    for tie in ties:
        own = weights.setdefault(tie.child, {})
        known = [weight for weight in (own.get(tie.parent), tie.weight) if weight is not None]
        own[tie.parent] = max(known, default=None)  # it may be second prompt and start in one
    shares: dict[tuple[str, str], float] = {}
    for child, own in weights.items():
        whole = {parent: 1 / len(own) if w is None else max(w, 0.0) for parent, w in own.items()}
        total = max(sum(whole.values()), 1.0)
        shares |= {(parent, child): weight / total for parent, weight in whole.items()}
    return shares


def _gain(members: Mapping[str, Member], child: str, query: str | None) -> float:
    """Points of accuracy."""
    after, plain = members[child].accuracy, members[child].plain_accuracy
    if plain is None and query is not None:
        plain = members[query].accuracy
    return 0.0 if after is None or plain is None else 100 * max(after - plain, 0.0)


class Rankings:
    """Who and what is of use, as one user may see it."""

    def __init__(self, database: Database) -> None:
        self._lineage = PromptLineage(database)
        self._search = PromptSearch(database)

    def prompts(self, user: str, *, filters: Filters, count: int) -> list[RankedPrompt]:
        """The most useful prompts that the user may see, best first; of equal ones the newest."""
        ties = self._lineage.ties(user, filters)
        members = self._tied(ties, user) | self._lineage.most_asked(user, filters, count)
        worth = worths(members, ties)
        best = sorted(worth, key=lambda one: (worth[one].utility, one), reverse=True)[:count]
        records = self._search.several(best, user, filters)
        return [
            RankedPrompt(prompt=records[one], **_fields(worth[one]))
            for one in best
            if one in records
        ]

    def submitters(self, user: str, *, filters: Filters, count: int) -> list[RankedSubmitter]:
        """Those whose prompts are the most useful, best first; of equal ones in order of names."""
        ties = self._lineage.ties(user, filters)
        members = self._tied(ties, user)
        sharers = {one.owner: one for one in self._lineage.sharers(user, filters)}
        total = {owner: Worth(one.requests) for owner, one in sharers.items()}
        for one, worth in worths(members, ties).items():
            owner = members[one].owner
            if owner in total:  # else their prompts are gone since a moment ago
                total[owner] += Worth(worth.made, worth.made, worth.gained)
        best = sorted(total, key=lambda owner: (-total[owner].utility, owner))[:count]
        return [
            RankedSubmitter(
                submitter=owner, prompts=sharers[owner].prompts, **_fields(total[owner])
            )
            for owner in best
        ]

    def _tied(self, ties: Iterable[Tie], user: str) -> dict[str, Member]:
        ids = {one for tie in ties for one in (tie.parent, tie.child)}
        return self._lineage.members(sorted(ids), user)


def _fields(worth: Worth) -> dict[str, Any]:
    return {
        "utility": worth.utility,
        "uses": worth.uses,
        "made": worth.made,
        "gained": worth.gained,
    }
