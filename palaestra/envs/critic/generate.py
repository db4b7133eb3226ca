"""Items made by number, from tools of this package: steps of a user's list, and an error or a failure at one of them.

Item *i* of a split is made alone, from (family, split, i); in every row of as many items as there are labels each occurs once.
Splits do not meet: every call that is expected belongs by its hash to one of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from palaestra.envs.core.snapshots import digest
from palaestra.envs.critic.documents import to_schema
from palaestra.envs.critic.made_tools import Tool, made, one_of, problem_of, texts
from palaestra.envs.critic.record import FAMILIES, Action, Family, Record, system_message
from palaestra.envs.critic.slips import slip
from palaestra.envs.wrappers.injection.outages import PAYLOADS, damaged, outage_message
from palaestra.envs.wrappers.injection.taxonomy import EXTENDED, EXTERNAL, INTERNAL
from palaestra.errors import EnvironmentFault, UsageError, unknown_name
from palaestra.types import Json

SEED = 20250613
SPLITS = ("train", "test")
TEST_SHARE = 5  # one expected call in five is kept for the test split
PER_LABEL = 200
LABELS: Mapping[Family, tuple[str, ...]] = {"internal": ("", *INTERNAL), "external": (*EXTERNAL, *EXTENDED)}
NUM_TEST: Mapping[Family, int] = {family: PER_LABEL * len(labels) for family, labels in LABELS.items()}
MAX_TRIES = 200


@dataclass(frozen=True)
class _Step:
    """A step of the list: a call, and the words that ask for it."""

    tool: Tool
    args: dict[str, Json]
    words: str


class _Slot(NamedTuple):
    """Where an item stands."""

    family: Family
    split: str
    label: str
    cot: bool


def make_record(family: Family, split: str, index: int, *, cot: bool = False) -> Record:
    """Return item number `index` of a split.

    Args:
        family: "internal" or "external".
        split: "train" (no end) or "test" (`NUM_TEST` items).
        index: Number of the item.
        cot: Whether actions have thoughts.

    Raises:
        UsageError: For an unknown family or split, or a negative number.
    """
    if family not in FAMILIES:
        raise unknown_name("family", family, FAMILIES)
    if split not in SPLITS:
        raise unknown_name("split", split, SPLITS)
    if isinstance(index, bool) or not isinstance(index, int) or index < 0:
        raise UsageError(f"index is {index!r}; expected a number from 0.")
    return _made(family, split, index, bool(cot))


@lru_cache(maxsize=512)
def _made(family: Family, split: str, index: int, cot: bool) -> Record:
    """Make an item: draw until the parts fit and the expected call belongs to the split."""
    place = (SEED, FAMILIES.index(family), SPLITS.index(split), index)
    slot = _Slot(family, split, _label(family, place), cot)
    for attempt in range(MAX_TRIES):
        rng = np.random.default_rng([*place, attempt])
        record = _try(slot, index, rng)
        if record is not None:
            return record
    raise EnvironmentFault(f"Item {index} of {family}, {split} could not be made in {MAX_TRIES} tries.")


def _label(family: Family, place: tuple[int, ...]) -> str:
    """Return the label of an item: as many items in a row as there are labels have each once, in an order of their own."""
    labels = LABELS[family]
    block, turn = divmod(place[-1], len(labels))
    order = np.random.default_rng([*place[:-1], block]).permutation(len(labels))  # a key is not to give its label away
    return labels[int(order[turn])]


def _try(slot: _Slot, index: int, rng: np.random.Generator) -> Record | None:
    """Return an item, None if what was drawn does not fit."""
    listed = _listed(rng)
    steps = _steps(listed, rng)
    k = int(rng.integers(1, len(steps)))  # steps before the last one: there is always a next one
    place = k if slot.family == "internal" and not slot.label else k - 1
    expected = _of_split(steps[place], slot.split, rng)
    if expected is None:
        return None
    steps[place] = expected
    right, following = steps[k - 1], steps[k]
    system = system_message([tool.document() for tool in listed])
    dialogue = [("system", system), ("user", _order(steps, rng))]
    for step in steps[: k - 1]:
        dialogue += [("assistant", _action(step, slot.cot, rng).text()), ("function", step.tool.result(step.args))]
    call, kind, reaction = _action(right, slot.cot, rng), "", right.tool.result(right.args)
    expectations: dict[str, Json]
    if slot.family == "external":
        kind, reaction = _failure(slot.label, right, reaction, rng)
        expectations = {"golden_failed": call, "next": _action(following, slot.cot, rng)}
    elif not slot.label:
        expectations = {"golden": _action(following, slot.cot, rng)}
    else:
        wrong = slip(slot.label, right.tool, right.args, listed, rng)
        if wrong is None:
            return None
        thought = call.thought and call.thought.replace(right.tool.name, wrong[0])
        expectations = {"golden": _action(right, slot.cot, rng, "correcting")}
        call, kind = Action(name=wrong[0], args=wrong[1], thought=thought), wrong[2]
        reaction = _reaction(wrong[0], wrong[1], listed)
    dialogue += [("assistant", call.text()), ("function", reaction)]
    return Record(
        id=f"{slot.split}/{index}",
        family=slot.family,
        label=slot.label,
        kind=kind,
        k=k,
        messages=[{"role": role, "content": content} for role, content in dialogue],
        tools=[to_schema(tool.document()) for tool in listed],
        cot=slot.cot,
        split=slot.split,
        provenance={"source": "procedural"},
        **expectations,
    )


def _listed(rng: np.random.Generator) -> list[Tool]:
    """Draw the tools of an item: those of two or three domains, in any order."""
    domains = list(dict.fromkeys(tool.domain for tool in made().values()))
    chosen = {domains[place] for place in rng.permutation(len(domains))[: int(rng.integers(2, 4))]}
    tools = [tool for tool in made().values() if tool.domain in chosen]
    return [tools[place] for place in rng.permutation(len(tools))]


def _steps(listed: Sequence[Tool], rng: np.random.Generator) -> list[_Step]:
    """Draw the steps of a list, each with another tool."""
    number = min(len(listed), int(rng.integers(3, 6)))
    steps = []
    for place in rng.permutation(len(listed))[:number]:
        tool = listed[int(place)]
        chosen = [one for one in tool.parameters if one.is_required or rng.random() < 0.4]
        args = {one.name: one.draw(rng) for one in chosen}
        steps.append(_Step(tool, args, tool.request(args, rng)))
    return steps


def _of_split(step: _Step, split: str, rng: np.random.Generator) -> _Step | None:
    """Return a step whose call belongs to a split, with other values where its own do not; None if it has none."""
    for _ in range(MAX_TRIES if step.args else 0):
        is_test = int(digest([step.tool.name, step.args])[:8], 16) % TEST_SHARE == 0
        if is_test == (split == "test"):
            return step
        args = {one.name: one.draw(rng) for one in step.tool.parameters if one.name in step.args}
        step = _Step(step.tool, args, step.tool.request(args, rng))
    return None


def _order(steps: Sequence[_Step], rng: np.random.Generator) -> str:
    """Return the user's list."""
    join = one_of(texts("orders")["joins"], rng)
    return str(one_of(texts("orders")["openings"], rng).replace("{steps}", join.join(step.words for step in steps)))


def _action(step: _Step, cot: bool, rng: np.random.Generator, way: str = "thoughts") -> Action:
    """Return the action of a step; its thought is drawn in any case, so that both forms of an item are the same otherwise."""
    thought = one_of(texts("orders")[way], rng).replace("{step}", step.words).replace("{tool}", step.tool.name)
    return Action(name=step.tool.name, args=step.args, thought=thought if cot else None)


def _reaction(name: str, args: Mapping[str, Json], listed: Sequence[Tool]) -> str:
    """Return what comes back from a wrong call: the tool's own words, or its result where it cannot know."""
    tool = next((one for one in listed if one.name == name), None)
    problem = problem_of(tool, name, args)
    return problem or (tool.result(args) if tool is not None else "")


def _failure(label: str, step: _Step, result: str, rng: np.random.Generator) -> tuple[str, str]:
    """Return kind and text of a failure of the environment."""
    if label == "stale_result":
        return "cached", f'{{"cached": true, "as_of": "2019-{rng.integers(1, 13):02}-01", "result": {result}}}'
    if label in PAYLOADS:
        return "damaged", damaged(label, result, rng) or ""
    return "message", outage_message(label, step.tool.name, rng)


__all__ = ["LABELS", "NUM_TEST", "PER_LABEL", "SEED", "SPLITS", "make_record"]
