"""Sounds and pictures of a report: inside of the page up to a size, else in files that it links to."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from palaestra.errors import StoreError
from palaestra.media.items import Media, find_media
from palaestra.media.store import FolderMedia
from palaestra.types import Json


@dataclass(slots=True)
class ShownMedia:
    """What the transcripts of a report show.

    Args:
        store_of: Returns the store of a run, by its id.
        max_item_bytes: Largest sound or picture inside of the page.
        max_bytes: Most bytes of all of them together.
        folder: Folder that the page will lie in, for links to what is too large for it; without one there are no links.
    """

    store_of: Callable[[str], FolderMedia]
    max_item_bytes: int
    max_bytes: int
    folder: Path | None = None
    items: dict[str, dict[str, Json]] = field(default_factory=dict)
    num_linked: int = 0
    _bytes: int = 0

    def add(self, run_id: str, text: str) -> None:
        """Take what a text of a run names; a tag whose bytes are not in the run is text, and nothing to show."""
        for media in find_media(text):
            if media.sha256 not in self.items and (item := self._item(self.store_of(run_id), media)) is not None:
                self.items[media.sha256] = item

    def _item(self, store: FolderMedia, media: Media) -> dict[str, Json] | None:
        """Return how a sound or a picture is shown: `src`, `href`, or why it is not."""
        try:
            data = store.find(media)
        except StoreError:
            return {"note": "damaged"}
        if data is None:
            return None
        if len(data) <= self.max_item_bytes and self._bytes + len(data) <= self.max_bytes:
            self._bytes += len(data)
            return {"src": f"data:{media.type};base64,{base64.b64encode(data).decode('ascii')}"}
        self.num_linked += 1
        path = store.path(media)
        size = f"{len(data) / 1e6:,.1f} MB"
        if path is None or self.folder is None:
            return {"note": f"{size}, left out of this page"}
        return {"href": quote(Path(os.path.relpath(path.resolve(), self.folder.resolve())).as_posix()), "note": size}


__all__ = ["ShownMedia"]
