"""All that an agent is shown in a task, and what it is to find out there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from palaestra.envs.audit.hidden import MIN_LETTERS, Sought, named_attributes, sought_in, text_of
from palaestra.envs.audit.play import Play, Step, as_text
from palaestra.envs.audit.probes import malformed, refusals, was_refused
from palaestra.envs.audit.subject import Subject, expert_policy
from palaestra.envs.audit.texts import contains, leaves, normal

_STANDARD = frozenset({"score", "success", "stop_reason", "reward_parts", "tool_results", "action_error", "is_success"})
CHANNELS = ("info", "tools", "instructions", "observation", "error")


@dataclass(frozen=True)
class Shown:
    """One thing that an agent is shown.

    Attributes:
        channel: One of `CHANNELS`.
        place: Path within it, with numbers of positions left out; the same place in all tasks.
        text: What stands there.
        turn: Turn of the next action.
        told: All observations up to here, as a normal text.
    """

    channel: str
    place: str
    text: str
    turn: int
    told: str


@dataclass
class Case:
    """A task with what is sought and what is shown; its marks are words that only its first observation has."""

    play: Play
    sought: Sought
    shown: list[Shown] = field(default_factory=list)
    others: frozenset[str] = frozenset()
    marks: frozenset[str] = frozenset()

    @property
    def key(self) -> str:
        """Name of the task."""
        return self.play.start.key


def cases_of(subject: Subject, plans: Sequence[Play]) -> list[Case]:
    """Return the tasks with all that is shown in them."""
    common = _common([plan.info for plan in plans])
    hidden = named_attributes(subject.env) if all(plan.start.task is None for plan in plans) else {}
    cases = []
    for plan in plans:
        own: dict[str, Any] = {}
        if hidden:
            subject.env.reset(seed=plan.start.seed, options=plan.start.options)
            own = named_attributes(subject.env)
        case = Case(plan, sought_in(plan, common, own))
        case.shown += _at_start(plan)
        case.shown += _in_steps(plan)
        case.others = _other_values(case)
        cases.append(case)
    counts = Counter(word for case in cases for word in set(case.sought.first.split()))
    for case in cases:
        if len(cases) > 1:
            case.marks = frozenset(word for word in case.sought.first.split() if counts[word] == 1 and len(word) > 1)
        case.shown += _after_errors(subject, case)
    return cases


def _common(infos: Sequence[Mapping[str, Any]]) -> str:
    """Return the text that all agents are given in all tasks (instructions, tools), normalised."""
    told = [normal(f"{info.get('instructions', '')} {' '.join(x.value for x in leaves(info.get('tools')))}") for info in infos]
    return told[0] if told and all(text == told[0] for text in told) else ""


def _at_start(plan: Play) -> Iterator[Shown]:
    """Yield what `reset` shows."""
    first = normal(text_of(plan.observation))
    yield Shown("observation", "the first observation", text_of(plan.observation), 0, "")
    for leaf in leaves(dict(plan.info)):
        channel = leaf.path.partition(".")[0].partition(" (")[0]
        if channel not in ("tools", "instructions"):
            channel = "info"
        yield Shown(channel, f"info.{leaf.path}", leaf.value, 0, first)


def _in_steps(plan: Play) -> Iterator[Shown]:
    """Yield what the infos of steps show before the episode is over, and the observations."""
    told = normal(text_of(plan.observation))
    for turn, step in enumerate(plan.steps[: len(plan.steps) - plan.is_over]):
        text = text_of(step.observation)
        told = f"{told} {normal(as_text(step.action))} {normal(text)}"
        yield Shown("observation", "the observation of a step", text, turn + 1, told)
        for leaf in leaves({key: value for key, value in step.info.items() if key not in _STANDARD}):
            yield Shown("info", f"info.{leaf.path} of a step", leaf.value, turn + 1, told)


def _after_errors(subject: Subject, case: Case) -> list[Shown]:
    """Return the replies to meaningless actions that show what the expert still has to find out."""
    shown = []
    for number, action in enumerate(malformed(case.play.info)):
        if not subject.takes_texts:
            break
        played = subject.play(case.play.start, _then_expert(action), stream=f"leaks.{number}")
        if len(played.steps) < 2 or not played.steps:
            continue
        step = played.steps[0]
        later = sought_in(Play(played.start, played.observation, played.info, played.steps[1:]), "")
        said = {value.text for value in later.values}
        kept = Sought(
            tuple(value for value in case.sought.values if value.text in said),
            case.sought.answers if later.values else (),
            case.sought.answer if case.sought.answer in said else "",
            case.sought.shown,
        )
        if kept.values:
            shown += [one for one in _reply(step, case.sought.first) if _may_hold(one, kept)]
    drawn = refusals(subject, case.play.start)
    return shown + [one for step, before in drawn for one in _reply(step, _told(case.sought.first, before))]


def _told(first: str, steps: Sequence[Step]) -> str:
    """Return all that was said and shown before a step, as a normal text: a reply may show what was in view anyway.

    What only an action that was refused before was told does not count: that is what is looked for.
    """
    parts = [(as_text(step.action), "" if was_refused(step.info) else text_of(step.observation)) for step in steps]
    return " ".join([first, *(normal(text) for part in parts for text in part if text)])


def _may_hold(shown: Shown, sought: Sought) -> bool:
    """Whether a reply holds anything that is sought afterwards; only then it is worth keeping."""
    text = normal(shown.text)
    return any(contains(text, value) for value in sought.all_from(0)) or shown.channel == "error"


def _then_expert(action: Any) -> Any:
    """Return a policy that plays an action and leaves the rest to the expert."""
    expert = expert_policy()
    return lambda episode: action if not episode.turn else expert(episode)


def _reply(step: Step, first: str) -> Iterator[Shown]:
    """Yield what an action that was refused is told; what it says itself may be repeated."""
    told = f"{first} {normal(as_text(step.action))}"
    yield Shown("error", "the reply to a wrong action", text_of(step.observation), 0, told)
    error = str(step.info.get("action_error") or "")
    if error and normal(error) != normal(text_of(step.observation)):
        yield Shown("error", "info.action_error of a wrong action", error, 0, told)
    for leaf in leaves({key: value for key, value in step.info.items() if key not in _STANDARD}):
        yield Shown("info", f"info.{leaf.path} after a wrong action", leaf.value, 0, told)


def _other_values(case: Case) -> frozenset[str]:
    """Return values of a task's record that are neither sought nor shown at the start: the rest of its world."""
    task = case.play.start.task
    if task is None:
        return frozenset()
    sought = case.sought.all_from(0)
    found = {normal(leaf.value) for leaf in leaves(dict(task.data), decode=False) if len(leaf.value) < 200}
    return frozenset(v for v in found if len(v) >= MIN_LETTERS and v not in sought and not contains(case.sought.shown, v))


__all__ = ["Case", "Shown", "cases_of"]
