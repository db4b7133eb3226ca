"""Cards of all environments and splits, and whether a card that was kept still says what an audit finds.

A kept card has the digests of the code and data that it is of, and a *quick form*: verdicts and figures of an audit with few
tasks. Where a digest is another one, that short audit is made again and compared; agents of the panel play a task alike
however many tasks follow, so that any difference is one of the environment or of the audit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from palaestra.envs.audit.audit import audit_environment, check_n
from palaestra.envs.audit.card import Card
from palaestra.envs.audit.effort import EFFORTS, Level
from palaestra.envs.audit.fingerprint import hashes_of
from palaestra.envs.audit.near import leaves
from palaestra.envs.audit.pace import level_of
from palaestra.envs.audit.subject import Subject
from palaestra.envs.registration import conditions, find_spec, list_envs, missing, require
from palaestra.types import Json


class Audited(NamedTuple):
    """Cards of several environments.

    Attributes:
        cards: The cards, by id; of each id first that of the split that is played by default.
        skipped: Why there is no card, by id: what the environment needs, or what it raised.
    """

    cards: tuple[Card, ...]
    skipped: Mapping[str, str]


def audit_all(
    n: int | None = None,
    *,
    seed: int = 0,
    env_ids: Sequence[str] | None = None,
    effort: Level | None = None,
    begin: Callable[[str], object] | None = None,
) -> Audited:
    """Audit every registered environment in every split.

    Args:
        n: Tasks that each agent of the panel plays, at least 1; by default 100, of an environment on an engine 20, in a
            browser 8, of one that takes longer 4.
        seed: Seed of all that is drawn.
        env_ids: The environments; by default all of `palaestra.list_envs()`.
        effort: How much is played (see `audit_environment`).
        begin: Called with each id before its audit, e.g. to show progress.

    Returns:
        The cards. An environment that lacks something, or cannot be made, is skipped with the reason.

    Raises:
        ConfigError: If `n` is not a whole number of at least 1.
        UnknownNameError: For an unknown id.
    """
    check_n(n)
    cards: list[Card] = []
    skipped: dict[str, str] = {}
    for env_id in [find_spec(env_id).id for env_id in (list_envs() if env_ids is None else env_ids)]:
        if begin is not None:
            begin(env_id)
        if reason := missing(env_id):
            skipped[env_id] = reason
            continue
        try:
            cards += audit_splits(env_id, n, seed=seed, effort=effort)
        except Exception as error:  # of others' code: it must not cost the cards of the rest
            skipped[env_id] = f"{type(error).__name__}: {error}"
    return Audited(tuple(cards), skipped)


def audit_splits(
    env_id: str, n: int | None = None, *, seed: int = 0, split: str | None = None, effort: Level | None = None, **kwargs: Any
) -> tuple[Card, ...]:
    """Audit an environment in each of its splits that holds tasks; the cards have a quick form.

    Args:
        env_id: Registered id, ours or a third party's.
        n: Tasks that each agent of the panel plays, at least 1; by default 100, of an environment on an engine 20, in a
            browser 8, of one that takes longer 4.
        seed: Seed of all that is drawn.
        split: Only this split.
        effort: How much is played (see `audit_environment`); measured once for all splits.
        **kwargs: Arguments that the environment is made with.

    Returns:
        The cards, first that of the split that is played by default; one where there are no tasks.

    Raises:
        UnknownNameError: For an unknown id, split or effort.
        UsageError: If the environment lacks something that its registration names.
        ConfigError: If `n` is not a whole number of at least 1.
    """
    check_n(n)
    require(find_spec(env_id).id, kwargs)
    subject = Subject(env_id, kwargs, 1, seed, split)
    try:
        played, sizes = subject.split, subject.splits
    finally:
        subject.close()
    others = [name for name, size in sizes.items() if size != 0 and name != played] if split is None else []
    cards = []
    level = level_of(env_id, kwargs, seed, played) if effort is None else effort
    for name in (played, *others):
        card = audit_environment(env_id, n, seed=seed, split=name, effort=level, **kwargs)
        cards.append(replace(card, sections={**card.sections, "quick": _quick(card)}))
    return tuple(cards)


def changes(card: Card) -> list[str]:
    """Say in what a kept card differs from what an audit finds now.

    Where the code and the data are those that the card is of, nothing is played.

    Args:
        card: A card of `audit_splits`, in long or short form.

    Returns:
        One line a difference; empty if the card holds. That a card without a quick form cannot be compared is a line as well.

    Raises:
        UsageError: If the environment lacks something that its registration names.
    """
    if hashes_of(card.env) == dict(card.hashes):
        return []
    kept: Any = card.sections.get("quick")
    if not isinstance(kept, Mapping):
        return ["The code or the data changed, and the card has no quick form to compare; audit it again."]
    old, new = leaves(kept), leaves(_quick(card))
    names = dict.fromkeys((*old, *new))
    return [f"{name[1:]} was {old.get(name)} and is {new.get(name)}" for name in names if old.get(name) != new.get(name)]


def _quick(card: Card) -> dict[str, Json]:
    """Return verdicts and figures of an audit like that of a card, with few tasks."""
    kept: Any = card.sections.get("effort") or {}
    level: Level = kept.get("level") or conditions(card.env).cost
    found = audit_environment(
        card.env, EFFORTS[level].quick, seed=card.seed, split=card.split, effort=level, **card.arguments
    ).to_json()
    return {
        "floors": {name: [figure["success"], figure["return"]] for name, figure in found["floors"].items()},
        "ceiling": [found["ceiling"]["success"], found["ceiling"]["return"]],
        "points": {point["name"]: point["verdict"] for point in found["points"]},
    }


__all__ = ["Audited", "audit_all", "audit_splits", "changes"]
