"""Items made harder: the ways put together, and the proof that what is expected is the same as before."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from palaestra.envs.core.snapshots import digest
from palaestra.envs.critic.documents import CriticDataError
from palaestra.envs.critic.evolution.by_model import Rewriter
from palaestra.envs.critic.evolution.extra_tools import LEAST, MOST, extra_tools, tool_problems
from palaestra.envs.critic.evolution.harder_tools import document_problems, harder_tools
from palaestra.envs.critic.evolution.long_context import context_problems, long_context
from palaestra.envs.critic.evolution.noisy_query import noisy_query, query_problems
from palaestra.envs.critic.evolution.parts import INSERTED, STRATEGIES, Refused, length_of, query_at
from palaestra.envs.critic.record import Record
from palaestra.envs.wrappers.chance import generator_of
from palaestra.errors import UsageError, unknown_name
from palaestra.types import Json

RATIOS = (1.6, 2.0)
"""Lengths of mixed items against what they were made of; the mean is the paper's, 1.8."""
_SAME = ("family", "label", "kind", "golden", "golden_failed", "next", "cot", "split")


@dataclass(frozen=True)
class Evolved:
    """What became of some items.

    Attributes:
        records: Those that were made harder.
        refused: Reason codes of the others, by their ids.
    """

    records: tuple[Record, ...]
    refused: Mapping[str, str] = field(default_factory=dict)


def evolve_all(
    records: Iterable[Record],
    strategies: Sequence[str] = (),
    *,
    seed: int = 0,
    pool: Sequence[Mapping[str, Any]] = (),
    corpus: Sequence[str] = (),
    rewriter: Rewriter | None = None,
) -> Evolved:
    """Make items harder; one that cannot be made so does not stop the others.

    Args:
        records: The items.
        strategies: Ways, all of them for each item; empty mixes two to four.
        seed: With the item's id the source of all chance.
        pool: Further tools to add.
        corpus: Texts for long contexts, instead of made ones.
        rewriter: A language model that words what a way can be worded in; None for templates.

    Raises:
        UnknownNameError: For an unknown way.
    """
    made: list[Record] = []
    refused: dict[str, str] = {}
    for record in records:
        try:
            made.append(evolve(record, strategies, seed=seed, pool=pool, corpus=corpus, rewriter=rewriter))
        except Refused as reason:
            refused[record.id] = str(reason)
    return Evolved(tuple(made), refused)


def evolve(
    record: Record,
    strategies: Sequence[str] = (),
    *,
    seed: int = 0,
    pool: Sequence[Mapping[str, Any]] = (),
    corpus: Sequence[str] = (),
    rewriter: Rewriter | None = None,
) -> Record:
    """Return an item made harder, with the same ground truth.

    Args:
        record: The item.
        strategies: Ways of `STRATEGIES`, applied in their order; empty mixes two to four to about 1.8 times the length.
        seed: With the item's id the source of all chance.
        pool: OpenAI schemas of further tools to add.
        corpus: Texts for long contexts, instead of made ones.
        rewriter: A language model that words what a way can be worded in; None for templates.

    Raises:
        UnknownNameError: For an unknown way.
        Refused: If a way cannot be taken, or what came out is not what it should be; the text is a reason code.
    """
    for name in strategies:
        if name not in STRATEGIES:
            raise unknown_name("strategy", name, STRATEGIES)
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise UsageError(f"seed is {seed!r}; expected a whole number.")
    rng = generator_of(["evolve", seed, record.id, sorted(strategies)])
    wanted = [name for name in STRATEGIES if name in strategies] if strategies else _mixed(rng)
    if again := [name for name in wanted if name in record.evolution]:
        raise Refused(f"{again[0]}:again")
    target = None if strategies else float(rng.uniform(*RATIOS)) * length_of(record)
    found, about = record, {}
    for place, name in enumerate(wanted):
        room = None
        if target is not None:  # what is left is shared by the two that can be of any length
            room = int((target - length_of(found)) / (len(wanted) - place))
        own = np.random.default_rng(rng.integers(2**63))
        try:
            found, told = _applied(name, found, own, room, pool, corpus, rewriter)
        except Refused:
            if strategies:
                raise
            continue
        about[name] = {"seed": seed, **told}
    if not strategies and len(about) < 2:
        raise Refused("mixed:few")
    kept = record.provenance.get("evolution", {})
    provenance = {**record.provenance, "evolution": {**kept, **about, "source": kept.get("source", record.id)}}
    data = {**found.to_json(), "evolution": [*record.evolution, *about], "provenance": provenance}
    data["id"] = f"{record.id[:200]}~{digest([data['messages'], data['tools']])[:10]}"
    try:
        made = Record.of(data, record.id)
    except CriticDataError as error:
        raise Refused(f"record:{error}") from None
    if problems := problems_of(record, made):
        raise Refused(f"check:{problems[0]}")
    return made


def problems_of(before: Record, after: Record) -> list[str]:
    """Say in what an item that was made harder is not what it should be: the ground truth, and the rules of each way.

    Args:
        before: The item.
        after: The same, made harder.
    """
    found = [f"{name} is not the same." for name in _SAME if getattr(before, name) != getattr(after, name)]
    ways = [name for name in after.evolution if name not in before.evolution]
    at, now = query_at(before), query_at(after)
    if before.messages[at + 1 :] != after.messages[now + 1 :]:
        found.append("The steps after the query are not the same.")
    told = after.provenance.get("evolution", {}).get("long_context", {}).get(INSERTED, 0) if "long_context" in ways else 0
    if now - at != told or [one["role"] for one in before.messages[:at]] != [one["role"] for one in after.messages[:at]]:
        found.append("The messages in front of the query are not those that were put there.")
    elif told:
        found += context_problems(before, after.messages[at:now])
    query = after.messages[now]["content"]
    if "noisy_query" in ways:
        found += query_problems(before, query)
    elif query != before.messages[at]["content"]:
        found.append("The query is not the same.")
    names = {tool["function"]["name"] for tool in before.tools}
    kept = [tool for tool in after.tools if tool["function"]["name"] in names]
    added = [tool for tool in after.tools if tool["function"]["name"] not in names]
    if "harder_tools" in ways:
        found += document_problems(before.tools, kept)
    elif kept != before.tools:
        found.append("The tools are not the same.")
    if "extra_tools" in ways:
        found += tool_problems(before, added)
        if not LEAST <= len(added) <= MOST:
            found.append(f"{len(added)} tools were added; expected {LEAST} to {MOST}.")
    elif added:
        found.append("Tools were added.")
    return found


def _mixed(rng: np.random.Generator) -> list[str]:
    """Draw two to four ways, one of them of those that make an item long."""
    number = int(rng.integers(2, 5))
    first = ("extra_tools", "long_context")[int(rng.integers(2))]
    others = [name for name in STRATEGIES if name != first]
    chosen = {first, *(others[int(place)] for place in rng.permutation(len(others))[: number - 1])}
    return [name for name in STRATEGIES if name in chosen]


def _applied(
    name: str,
    record: Record,
    rng: np.random.Generator,
    room: int | None,
    pool: Sequence[Mapping[str, Any]],
    corpus: Sequence[str],
    rewriter: Rewriter | None,
) -> tuple[Record, dict[str, Json]]:
    """Return an item made harder in one way, and what is to be known of it."""
    match name:
        case "noisy_query":
            return (noisy_query(record, rng) if rewriter is None else rewriter.noisy_query(record)), {}
        case "harder_tools":
            return (harder_tools(record, rng) if rewriter is None else rewriter.harder_tools(record)), {}
        case "extra_tools":
            return extra_tools(record, pool, rng, room=room), {}
    found, told = (
        long_context(record, rng, room=room, corpus=corpus) if rewriter is None or corpus else rewriter.long_context(record)
    )
    return found, dict(told)


__all__ = ["RATIOS", "Evolved", "Refused", "evolve", "evolve_all", "problems_of"]
