"""Stored replies to items, scored: JSON lines of `{"id", "reply"}`, or `{"id", "replies", "mode"}` for failures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from palaestra.envs.core.data_files import kind_of, place_of, read_text, shown
from palaestra.envs.critic.blocks import Mode
from palaestra.envs.critic.documents import Profile
from palaestra.envs.critic.files import MAX_BYTES, open_items
from palaestra.envs.critic.record import Record
from palaestra.envs.critic.scoring import Scored, score
from palaestra.envs.critic.similarity import Similarity, bow
from palaestra.errors import ConfigError, MissingDataError, UsageError, unknown_name
from palaestra.types import Json
from palaestra.types.plain_json import strict_json, text_of


@dataclass(frozen=True)
class ScoredFile:
    """What a file of replies came to.

    Attributes:
        scored: The scores, in the order of the lines.
        faults: What is wrong with other lines and items, by where they stand.
    """

    scored: tuple[Scored, ...]
    faults: Mapping[str, str] = field(default_factory=dict)


def score_file(
    items: str | Path,
    replies: str | Path,
    *,
    profile: Profile = "paper",
    mode: Mode = "skip",
    similarity: Similarity = bow,
) -> ScoredFile:
    """Score the replies of a file.

    Args:
        items: File or folder of the items.
        replies: JSON lines: `id`, and `reply` (a text) or `replies` (texts); `mode` where it is not that of the argument.
        profile: Which scorer.
        mode: What is judged of external items whose line does not say.
        similarity: How texts are compared.

    Raises:
        UnknownNameError: For an unknown mode or profile.
        MissingDataError: If there is no file.
        ConfigError: If no line can be scored.
    """
    if mode not in ("skip", "finish"):
        raise unknown_name("mode", mode, ("skip", "finish"))
    if profile not in ("paper", "published"):
        raise unknown_name("profile", profile, ("paper", "published"))
    opened = open_items(items)
    known = {record.id: record for record in opened}
    place = place_of(replies)
    if kind_of(place) == "nothing":
        raise MissingDataError(f"There is no file {shown(place)}; expected JSON lines with id and reply.")
    scored: list[Scored] = []
    faults: dict[str, str] = {}
    for number, line in enumerate(read_text(place, max_bytes=MAX_BYTES).split("\n"), start=1):
        if line.strip():
            try:
                scored.append(_line(strict_json(line), known, opened.faults, profile, mode, similarity))
            except (ValueError, RecursionError) as error:
                faults[f"line {number}"] = str(error) if isinstance(error, UsageError) else f"it is not JSON ({error})."
    if not scored:
        first = next(iter(faults.values()), "it is empty.")
        raise ConfigError(f"{shown(place)} holds no line that can be scored, of {len(faults)}: {first}")
    return ScoredFile(tuple(scored), faults)


def _line(
    found: Json, known: Mapping[str, Record], faults: Mapping[str, str], profile: Profile, mode: Mode, similarity: Similarity
) -> Scored:
    """Score a line."""
    if not isinstance(found, dict) or not isinstance(found.get("id"), str):
        raise UsageError(f"it is {text_of(found)}; expected an object with id and reply.")
    key = found["id"]
    if key in faults:
        raise UsageError(f"the item {key!r} cannot be used: {faults[key]}")
    if key not in known:
        raise unknown_name("item", key, [*known][:1000])
    replies = found.get("replies", [found["reply"]] if "reply" in found else None)
    if not isinstance(replies, list) or not all(isinstance(reply, str) for reply in replies):
        raise UsageError(f"{key}: replies are {text_of(replies)}; expected reply, a text, or replies, a list of texts.")
    own: Mode = "internal" if known[key].family == "internal" else found.get("mode", mode)
    return score(known[key], replies, own, profile=profile, similarity=similarity)


__all__ = ["ScoredFile", "score_file"]
