"""Sounds and pictures of a run: in its folder, before any stored trajectory names them."""

from __future__ import annotations

from dataclasses import replace

from palaestra.errors import StoreError
from palaestra.media.items import MARK, Media, find_media
from palaestra.media.store import MediaStore
from palaestra.types import Trajectory

FOLDER_NAME = "media"
"""Folder of a run's sounds and pictures, inside the run's folder."""


LOST = "lost_media"
"""Key in the `meta` of a stored episode: its sounds and pictures that were missing or damaged, and what was wrong."""


def keep_media(
    trajectory: Trajectory, text: str, kept: MediaStore, source: MediaStore, *, allow_lost: bool = False
) -> dict[Media, str]:
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
        What is missing or damaged, and why.

    Raises:
        StoreError: If bytes that a message lists are nowhere, were dropped, or cannot be written.
    """
    if MARK not in text:
        return {}
    found: list[tuple[Media, bytes]] = []
    lost: dict[Media, str] = {}
    listed = _listed(trajectory)
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
    kept.add(found)
    return lost


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


def _listed(trajectory: Trajectory) -> dict[Media, None]:
    """Return the media that the actions of an episode list."""
    return dict.fromkeys(media for step in trajectory.steps for media in step.action.media)


def _missing(media: Media, source: MediaStore) -> str:
    """Say that a medium is missing, and what to do."""
    return f"{source} does not hold the {media.kind} {media.sha256}; restore its file from a copy."


__all__ = ["FOLDER_NAME", "LOST", "keep_media", "lost_media", "with_lost"]
