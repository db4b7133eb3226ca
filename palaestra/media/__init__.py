"""Audio and images: named by content hash in texts, their bytes kept once.

The names below are imported when they are first used: texts without media need none of them.
"""

from typing import TYPE_CHECKING

from palaestra.lazy import lazy_names

if TYPE_CHECKING:
    from palaestra.media.headers import describe
    from palaestra.media.items import Media, escape_tags, find_media, read_tags, split_tags, write_tags
    from palaestra.media.making import png_bytes, read_wav, tone, wav_bytes
    from palaestra.media.store import FolderMedia, MediaStore, MemoryMedia, current_media, set_media, use_media

_HOMES = {
    "headers": ("describe",),
    "items": ("Media", "escape_tags", "find_media", "read_tags", "split_tags", "write_tags"),
    "making": ("png_bytes", "read_wav", "tone", "wav_bytes"),
    "store": ("FolderMedia", "MediaStore", "MemoryMedia", "current_media", "set_media", "use_media"),
}

__all__ = [
    "FolderMedia",
    "Media",
    "MediaStore",
    "MemoryMedia",
    "current_media",
    "describe",
    "escape_tags",
    "find_media",
    "png_bytes",
    "read_tags",
    "read_wav",
    "set_media",
    "split_tags",
    "tone",
    "use_media",
    "wav_bytes",
    "write_tags",
]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
