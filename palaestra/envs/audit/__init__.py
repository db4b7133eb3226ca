"""Audits environments: `audit_environment(env_id)` returns a card that says what their reward is worth.

How it is built, for those who add to it:

* `Subject` (subject.py) is the environment under audit: `subject.starts` (where the episodes begin), `subject.splits`,
  `subject.tasks(split, n)`, `subject.plans` (one `Play` of the expert per start, with `states` and `worlds`),
  `subject.solved` (those that were a success), `subject.plays(name, policy)` (one `Play` per start, played once and kept),
  `subject.played` (all that was played so far, by name), `subject.env` (one environment, reset again and again),
  `subject.open(**kwargs)` (a fresh one), `subject.rng(stream, start)`, `subject.lessons` (plans of the training split),
  `subject.starts_of(split, n)`, `subject.full_return`, `subject.tools` and `subject.instructions` (of the first task).
* `subject.play(start, policy)` plays one episode; a policy is a function of the `Episode` so far that returns an action, or
  None to give up; `replay(actions)` is one. With `states=True` the digest of every state is kept, with `worlds=True` the
  state of the world as plain data at the start and at the end; `leaves(world)` (near.py) flattens one.
* A judge is a function `judge(subject) -> list[Point]`, registered in `JUDGES` (audit.py). It returns points made by `passed`,
  `warned`, `failed`, `not_judged` (card.py): a name with dots ("split.duplicates"), a reason for people, evidence as plain
  JSON. It never divides by what may be zero and never passes what it could not look at: that is `not_judged`.

The names below are imported when they are first used: the cards that ship are read without what plays.
"""

from typing import TYPE_CHECKING

from palaestra.lazy import lazy_names

if TYPE_CHECKING:
    from palaestra.envs.audit.audit import JUDGES, Judge, audit_environment
    from palaestra.envs.audit.card import Card, Figure, Point, failed, not_judged, passed, warned
    from palaestra.envs.audit.cards import Audited, audit_all, audit_splits, changes
    from palaestra.envs.audit.play import Episode, Play, Policy, Start, replay
    from palaestra.envs.audit.subject import Subject

_HOMES = {
    "audit": (
        "JUDGES",
        "Judge",
        "audit_environment",
    ),
    "card": (
        "Card",
        "Figure",
        "Point",
        "failed",
        "not_judged",
        "passed",
        "warned",
    ),
    "cards": (
        "Audited",
        "audit_all",
        "audit_splits",
        "changes",
    ),
    "play": (
        "Episode",
        "Play",
        "Policy",
        "Start",
        "replay",
    ),
    "subject": ("Subject",),
}

__all__ = [
    "JUDGES",
    "Audited",
    "Card",
    "Episode",
    "Figure",
    "Judge",
    "Play",
    "Point",
    "Policy",
    "Start",
    "Subject",
    "audit_all",
    "audit_environment",
    "audit_splits",
    "changes",
    "failed",
    "not_judged",
    "passed",
    "replay",
    "warned",
]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
