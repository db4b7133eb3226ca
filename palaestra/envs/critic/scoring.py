"""One item scored: by either profile, under the names of the paper, with its behaviour and its share of Overall."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from palaestra.envs.critic import paper, published
from palaestra.envs.critic.behaviour import behaviour_external, behaviour_internal
from palaestra.envs.critic.blocks import MODES, Mode
from palaestra.envs.critic.documents import END_OF_TOOLS, PROFILES, CriticDataError, Profile
from palaestra.envs.critic.record import Record, to_published
from palaestra.envs.critic.similarity import Similarity, bow
from palaestra.errors import unknown_name
from palaestra.types import Json

_OF_PUBLISHED = {"critic": "detect", "reflect": "category", "name": "tool", "goal": "thought"}
"""Names of the paper's measures by those of the published scorer; the others are the same."""
_ON_ERRORS = ("category", "tool", "args", "thought")


@dataclass(frozen=True)
class Scored:
    """The scores of one item.

    Attributes:
        id: The item.
        family: "internal" or "external".
        label: Its error; "" for none or not known.
        evolution: Ways in which it was made harder.
        cot: Whether actions have thoughts.
        mode: What was judged.
        scores: Measures from 0 to 1 by name (detect, category, tool, args, thought, retry, break, parse_rate) that apply.
        behaviour: What the model did, in one word (`palaestra.envs.critic.behaviour`).
    """

    id: str
    family: str
    label: str
    evolution: tuple[str, ...]
    cot: bool
    mode: Mode
    scores: Mapping[str, float]
    behaviour: str

    @property
    def credit(self) -> float:
        """Its part of Overall, from 0 to 1."""
        return credit(self.scores, self.mode)

    def to_json(self) -> dict[str, Json]:
        """Return the scores as plain JSON."""
        about = {"id": self.id, "family": self.family, "label": self.label, "evolution": [*self.evolution], "cot": self.cot}
        return {**about, "mode": self.mode, "behaviour": self.behaviour, "credit": self.credit, "scores": dict(self.scores)}


def score(
    record: Record, replies: Sequence[str], mode: Mode, *, profile: Profile = "paper", similarity: Similarity = bow
) -> Scored:
    """Score the replies to an item.

    Args:
        record: The item.
        replies: One for "internal"; up to four otherwise, in order.
        mode: What is judged.
        profile: Which scorer: "paper" or "published".
        similarity: How texts are compared.

    Raises:
        CriticDataError: If the item is not one of this mode, or there are not as many replies as it takes.
        UnknownNameError: For an unknown mode or profile.
    """
    if mode not in MODES:
        raise unknown_name("mode", mode, MODES)
    if profile not in PROFILES:
        raise unknown_name("profile", profile, PROFILES)
    if (mode == "internal") != (record.family == "internal"):
        raise CriticDataError(f"{record.id} is an {record.family} item; it is not scored in mode {mode!r}.")
    most = 1 if mode == "internal" else paper.MAX_ACTIONS
    if not 1 <= len(replies) <= most or not all(isinstance(reply, str) for reply in replies):
        raise CriticDataError(
            f"{record.id} has {len(replies)} replies; expected {'1' if most == 1 else f'1 to {most}'}, texts."
        )
    scores = (_by_paper if profile == "paper" else _by_published)(record, replies, mode, similarity)
    if mode == "internal":
        behaviour = behaviour_internal(record, replies[0], similarity=similarity)
    else:
        behaviour = behaviour_external(record, replies, mode)
    about = (record.id, record.family, record.label, tuple(record.evolution), record.cot)
    return Scored(*about, mode, scores, behaviour)


def credit(scores: Mapping[str, float], mode: Mode) -> float:
    """Return the part of Overall that an item earns, from 0 to 1.

    Internal items weigh the mean of detect and category by 2 and that of tool and args by 3, those without an error count
    detect; external ones weigh retry by 1 and the mean of break, tool and (for "skip") args by 9.

    Args:
        scores: Measures of the item by name.
        mode: What was judged.
    """
    if mode == "internal":
        if "category" not in scores:
            return scores["detect"]
        found = (2 * (scores["detect"] + scores["category"]) / 2 + 3 * (scores["tool"] + scores["args"]) / 2) / 5
    else:
        names = ("break", "tool", "args") if mode == "skip" else ("break", "tool")
        found = (scores["retry"] + 9 * sum(scores[name] for name in names) / len(names)) / 10
    return min(1.0, max(0.0, found))


def _by_paper(record: Record, replies: Sequence[str], mode: Mode, similarity: Similarity) -> dict[str, float]:
    """Score as the paper describes."""
    if mode == "internal":
        return paper.score_internal(record, replies[0], similarity=similarity)
    return paper.score_external(record, replies, mode, similarity=similarity)


def _by_published(record: Record, replies: Sequence[str], mode: Mode, similarity: Similarity) -> dict[str, float]:
    """Score as published, under the paper's names."""
    item = _item(record)
    if mode == "internal":
        found = published.score_internal(item, replies[0], record.cot, similarity=similarity)
        if not record.label:
            found = {name: value for name, value in found.items() if _OF_PUBLISHED.get(name, name) not in _ON_ERRORS}
    else:
        found = published.score_external(item, replies, mode, record.cot, similarity=similarity)
    return {_OF_PUBLISHED.get(name, name): min(1.0, float(value)) for name, value in found.items()}  # a cosine may round up


def _item(record: Record) -> dict[str, Any]:
    """Return the published item of a record, its messages as they are where they hold the tools' documents."""
    if any(message["role"] == "system" and END_OF_TOOLS in message["content"] for message in record.messages):
        if record.golden is not None:
            return {
                "query_prompt": record.messages,
                "ground_truth": record.golden.to_published(),
                "error_type": record.label,
            }
        assert record.next is not None
        return {"query_prompt": record.messages, "ground_truth": [record.failed().to_published(), record.next.to_published()]}
    return to_published(record)


__all__ = ["Scored", "credit", "score"]
