"""A media store that reads another one and never writes to it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from palaestra.media.items import Media
from palaestra.media.store import MediaStore, MemoryMedia


class OverlayMedia(MediaStore):
    """Sounds and pictures of another store; what is put here stays in memory and leaves the other as it is.

    Args:
        base: The store that is read.
    """

    def __init__(self, base: MediaStore) -> None:
        """Start with nothing of its own."""
        super().__init__(max_item_bytes=base.max_item_bytes)
        self._base, self._own = base, MemoryMedia(max_item_bytes=base.max_item_bytes)

    def find(self, media: Media | str) -> bytes | None:
        """Return bytes, or None if they were never here."""
        found = self._base.find(media)
        return self._own.find(media) if found is None else found

    def get(self, media: Media | str) -> bytes:
        """Return bytes; what is missing is missing in the other store, which says what to do."""
        own = self._own.find(media)
        return self._base.get(media) if own is None else own

    def add(self, items: Iterable[tuple[Media, bytes]]) -> None:
        """Keep what the other store does not have, in memory."""
        self._own.add((media, data) for media, data in items if not self._base.holds(media))

    def holds(self, media: Media) -> bool:
        """Whether the bytes are in either."""
        return self._base.holds(media) or self._own.holds(media)

    def __iter__(self) -> Iterator[str]:
        """Iterate over the SHA-256 of everything held."""
        return iter(sorted({*self._base, *self._own}))

    def __len__(self) -> int:
        """Return the number of sounds and pictures held."""
        return len({*self._base, *self._own})

    def __str__(self) -> str:
        """Name the store for a message."""
        return f"{self._base}, with what was put in memory since"


__all__ = ["OverlayMedia"]
