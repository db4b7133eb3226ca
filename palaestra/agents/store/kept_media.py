"""Sounds and pictures of a run: in its folder, before any stored trajectory names them."""

from __future__ import annotations

from palaestra.errors import StoreError
from palaestra.media.items import MARK, find_media
from palaestra.media.store import MediaStore
from palaestra.types import Trajectory

FOLDER_NAME = "media"
"""Folder of a run's sounds and pictures, inside the run's folder."""


def keep_media(trajectory: Trajectory, text: str, kept: MediaStore, source: MediaStore) -> None:
    """Copy the sounds and pictures that a trajectory names to where it is stored.

    A tag whose bytes were never anywhere is ordinary text: a world may repeat what a model wrote. What a message itself lists
    as its media has to be there.

    Args:
        trajectory: The episode.
        text: Its JSON.
        kept: Where they are kept.
        source: Where they are now.

    Raises:
        StoreError: If bytes that a message lists are nowhere, were dropped, or cannot be written.
    """
    if MARK not in text:
        return
    new = [(media, source.find(media)) for media in find_media(text) if not kept.holds(media)]
    listed = {media for step in trajectory.steps for media in step.action.media}
    for media, data in new:
        if data is None and media in listed:
            raise StoreError(
                f"Episode {trajectory.episode_id!r} has an action with the {media.kind} {media.sha256}, whose bytes are "
                f"nowhere. Whoever makes a sound or a picture has to put it first: palaestra.media.current_media().put(data)."
            )
    kept.add((media, data) for media, data in new if data is not None)


__all__ = ["FOLDER_NAME", "keep_media"]
