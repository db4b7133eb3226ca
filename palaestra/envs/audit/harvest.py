"""Where there is no expert: plays what is shown, to see whether it solves the task.

In a few tasks every value that is shown in infos, errors and observations is played as an action, by itself and in the form
of well-formed actions. A *place* (a field, or the word that stands before) whose value solves them all is then tried on
other tasks, next to the values that the same place has in yet other tasks.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from palaestra.envs.audit.hidden import text_of
from palaestra.envs.audit.play import Play, Start, replay
from palaestra.envs.audit.probes import NONSENSE
from palaestra.envs.audit.subject import Subject
from palaestra.envs.audit.texts import leaves

LEARNED = 3  # tasks that places are learned from
TRIED = 10  # tasks that places are tried on
MAX_VALUES = 60  # of one task
MAX_FORMS = 3
OFTEN = 0.8

_TOKEN = re.compile(r"[^\s\"'()<>\[\],;:=]+")
_FORM = re.compile(r"['\"`]?\b([a-z]{2,12}) (?:<[\w ]+>|\[[\w ]+\]|\{[\w ]+\}|[A-Z]{2,}\b)")


@dataclass(frozen=True)
class Harvest:
    """A place whose values solve tasks.

    Attributes:
        place: Where it is.
        rate: Share of tasks that its value solves.
        control: Share of tasks that the value of another task solves.
        num: Tasks that were tried.
        key: One of them.
        value: Its value there.
    """

    place: str
    rate: float
    control: float
    num: int
    key: str
    value: str


def harvested(subject: Subject) -> dict[str, list[Harvest]]:
    """Return the places that solve tasks, by channel; every channel that was tried has an entry."""
    starts = subject.starts[: LEARNED + TRIED]
    if not subject.takes_texts or len(starts) < LEARNED + 1:
        return {}
    shown = {start.key: dict(_shown(subject, start)) for start in starts}
    forms = _forms(subject, starts[0])
    learned = None
    for start in starts[:LEARNED]:
        solving = {
            (place, form)
            for place, value in list(shown[start.key].items())[:MAX_VALUES]
            for form in forms
            if (learned is None or (place, form) in learned) and _solves(subject, start, form.format(value))
        }
        learned = solving if learned is None else learned & solving
    found: dict[str, list[Harvest]] = {"info": [], "error": [], "observation": [], "tools": [], "instructions": []}
    for place, form in sorted(learned or ()):
        one = _tried(subject, starts[LEARNED:], shown, place, form)
        if one is not None:
            found[place[0]].append(one)
    return found


Place = tuple[str, str]


def _tried(
    subject: Subject, starts: Sequence[Start], shown: Mapping[str, Mapping[Place, str]], place: Place, form: str
) -> Harvest | None:
    """Return how often a place solves other tasks; None if that may be chance."""
    own = foreign = 0
    there = [start for start in starts if place in shown[start.key]]
    for number, start in enumerate(there):
        own += _solves(subject, start, form.format(shown[start.key][place]))
        other = there[(number + 1) % len(there)]
        foreign += _solves(subject, start, form.format(shown[other.key][place]))
    if not there or own < OFTEN * len(there) or foreign > own / 2:
        return None
    value = shown[there[0].key][place]
    return Harvest(": ".join(place), own / len(there), foreign / len(there), len(there), there[0].key, value)


def _solves(subject: Subject, start: Start, action: str) -> bool:
    """Whether one action solves a task."""
    played = subject.play(start, replay([action]), stream="leaks.harvest")
    return played.success is True or (played.success is None and bool(played.steps) and played.total > 0)


def _shown(subject: Subject, start: Start) -> Iterator[tuple[Place, str]]:
    """Yield the values that are shown in a task, by place; infos and errors first."""
    played: Play = subject.play(start, replay([NONSENSE]), stream="leaks.harvest")
    for leaf in leaves(dict(played.info)):
        channel = leaf.path.partition(".")[0]
        if len(leaf.value) <= 200:
            yield (channel if channel in ("tools", "instructions") else "info", f"info.{leaf.path}"), leaf.value
        else:
            yield from _after_words(channel if channel in ("tools", "instructions") else "info", leaf.value)
    if played.steps and not played.is_over:
        yield from _after_words("error", text_of(played.steps[0].observation))
        for leaf in leaves(dict(played.steps[0].info)):
            if len(leaf.value) <= 200:
                yield ("info", f"info.{leaf.path} of a step"), leaf.value
    yield from _after_words("observation", text_of(played.observation))


def _after_words(channel: str, text: str) -> Iterator[tuple[Place, str]]:
    """Yield the words of a text with those before them."""
    found = _TOKEN.findall(text)
    counts: dict[str, int] = defaultdict(int)
    for before, word in zip(["", *found], found, strict=False):
        counts[before] += 1
        if counts[before] == 1:
            yield (channel, f"after {before!r}"), word.strip(".!?")


def _forms(subject: Subject, start: Start) -> list[str]:
    """Return forms of actions with one place for a value: the value alone, and as instructions and samples write it."""
    played = subject.play(start, lambda episode: None, stream="leaks.harvest")
    told = f"{text_of(played.observation)} {played.info.get('instructions', '')}"
    forms = ["{}", *(f"{verb} {{}}" for verb in dict.fromkeys(_FORM.findall(told)))]
    subject.env.action_space.seed(subject.seed)
    for _ in range(10):
        drawn: Any = subject.env.action_space.sample()
        head, _, last = drawn.rpartition(" ") if isinstance(drawn, str) else ("", "", "")
        if head.isprintable() and head.replace(" ", "").isalpha() and last and "{" not in head:
            forms.append(f"{head} {{}}")
    return list(dict.fromkeys(forms))[: 1 + MAX_FORMS]


__all__ = ["Harvest", "harvested"]
