"""Sounds and pictures of a run: in its folder, before any stored trajectory names them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from palaestra.errors import StoreError
from palaestra.media.items import MARK, Media, find_media, unescape_tags
from palaestra.media.store import MediaStore
from palaestra.types import Json, Trajectory

FOLDER_NAME = "media"
"""Folder of a run's sounds and pictures, inside the run's folder."""


LOST = "lost_media"
"""Key in the `meta` of a stored episode: its sounds and pictures that were missing or damaged, and what was wrong."""

ABSENT = "absent_media"
"""Key in the `meta` of a stored episode: what its texts name and whose bytes were nowhere when it was stored."""


def keep_media(
    trajectory: Trajectory, text: str, kept: MediaStore, source: MediaStore, *, allow_lost: bool = False
) -> tuple[dict[Media, str], tuple[Media, ...]]:
    """Copy the sounds and pictures that a trajectory names to where it is stored.

    A tag whose bytes were never anywhere is ordinary text: a world may repeat what a model wrote. What a message itself lists
    as its media has to be there.

    Args:
        trajectory: The episode.
        text: Its JSON.
        kept: Where they are kept.
        source: Where they are now.
        allow_lost: Go on without what is missing or damaged.

    Returns:
        What is missing or damaged, and why; and what the texts name besides whose bytes are nowhere.

    Raises:
        StoreError: If bytes that a message lists are nowhere, were dropped, or cannot be written.
    """
    if MARK not in text:
        return {}, ()
    found: list[tuple[Media, bytes]] = []
    lost: dict[Media, str] = {}
    listed, absent = _listed(trajectory), []
    for media in find_media(text):
        if kept.holds(media):
            continue
        try:
            data = source.find(media)
        except StoreError as error:
            if not allow_lost:
                raise
            lost[media] = str(error)
            continue
        if data is not None:
            found.append((media, data))
        elif media in listed and not allow_lost:
            raise StoreError(
                f"Episode {trajectory.episode_id!r} has an action with the {media.kind} {media.sha256}, whose bytes are "
                f"nowhere. Put a sound or a picture first: palaestra.media.current_media().put(data)."
            )
        elif media in listed:
            lost[media] = _missing(media, source)
        else:
            absent.append(media)
    kept.add(found)
    return lost, tuple(absent)


def lost_media(trajectory: Trajectory, source: MediaStore) -> tuple[dict[Media, str], tuple[Media, ...]]:
    """Look for the sounds and pictures that a stored trajectory names.

    Returns:
        What its actions list and is missing, and what is damaged, with what is wrong; and what else its texts name that is
        not there, which may be lost or may be something that a model has made up.
    """
    text = repr(trajectory.to_json())  # a tag holds nothing that repr would escape
    lost: dict[Media, str] = {}
    listed, absent = _listed(trajectory), []
    for media in dict.fromkeys([*find_media(text), *listed]):
        try:
            data = source.find(media)
        except StoreError as error:
            lost[media] = str(error)
            continue
        if data is None and media in listed:
            lost[media] = _missing(media, source)
        elif data is None:
            absent.append(media)
    return lost, tuple(absent)


def with_lost(trajectory: Trajectory, lost: dict[Media, str]) -> Trajectory:
    """Return an episode that says which of its sounds and pictures are lost."""
    rows = [{"kind": media.kind, "sha256": media.sha256, "problem": problem} for media, problem in lost.items()]
    return replace(trajectory, meta={**trajectory.meta, LOST: rows})


def with_absent(trajectory: Trajectory, absent: tuple[Media, ...]) -> Trajectory:
    """Return an episode that says which media its texts name without bytes, so that a check never takes them for lost."""
    rest = {name: value for name, value in trajectory.meta.items() if name != ABSENT}
    if not absent and len(rest) == len(trajectory.meta):
        return trajectory
    return replace(trajectory, meta={**rest, **({ABSENT: [media.to_json() for media in absent]} if absent else {})})


def missing_media(trajectory: Trajectory, gone: Iterable[Media]) -> set[Media]:
    """Tell lost media from those that never were, among what a stored episode names and its run does not hold.

    What was known to be lost or absent when the episode was stored was not lost since. Neither was what the agent's own words
    name first and its action does not list: a model has made it up, and the world may have repeated it. Episodes of earlier
    versions say only that.
    """
    known = {str(row.get("sha256")) for row in _rows(trajectory, LOST)}
    absent = [{**row} for row in _rows(trajectory, ABSENT)]
    left = {media for media in gone if media.sha256 not in known and media.to_json() not in absent}
    if not left:
        return left
    listed, made_up = _listed(trajectory), set[Media]()
    seats = [seat.instructions for seat in trajectory.seats.values()]
    seen = set(find_media(repr((trajectory.task, trajectory.instructions, trajectory.tools, seats))))
    for step in trajectory.steps:
        seen.update(find_media(step.observation))
        said = repr(step.action.to_json())
        own = {*find_media(said), *find_media(unescape_tags(said))}  # a world may repeat it as prose, too
        made_up |= own - seen - listed.keys()
        seen.update(find_media(repr(step.info)))
    return left - made_up


def _rows(trajectory: Trajectory, name: str) -> list[Mapping[str, Json]]:
    """Return the media that the `meta` of an episode lists under a name; whatever else stands there is left out."""
    rows = trajectory.meta.get(name)
    return [row for row in rows if isinstance(row, Mapping)] if isinstance(rows, (list, tuple)) else []


def _listed(trajectory: Trajectory) -> dict[Media, None]:
    """Return the media that the actions of an episode list."""
    return dict.fromkeys(media for step in trajectory.steps for media in step.action.media)


def _missing(media: Media, source: MediaStore) -> str:
    """Say that a medium is missing, and what to do."""
    return f"{source} does not hold the {media.kind} {media.sha256}; restore its file from a copy."


__all__ = ["ABSENT", "FOLDER_NAME", "LOST", "keep_media", "lost_media", "missing_media", "with_absent", "with_lost"]
