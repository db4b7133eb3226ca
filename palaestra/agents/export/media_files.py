"""What exports do with sounds and pictures: files next to the export, content parts, or placeholders with paths.

| format | texts | bytes |
|---|---|---|
| jsonl, dataset | tags as they are | files |
| agenttraj, experience | tags as they are; `media` lists sha256, type and path | files |
| sharegpt | `<image>` and `<audio>` in place of tags; `images` and `audios` list paths, as LLaMA-Factory reads them | files |
| chat | content parts of OpenAI's API | inside, in base64 |

Files lie in `NAME_media` next to the export (for a data set in `media` inside of it), and paths are relative to the export's
folder. A tag whose bytes are nowhere is text and stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from palaestra.agents.backends.wire_media import with_media
from palaestra.media.items import Media, find_media, split_tags
from palaestra.media.store import FolderMedia, MediaStore
from palaestra.types import Json, Trajectory

_COLUMNS = {"image": "images", "audio": "audios"}


class MediaFiles:
    """Copies sounds and pictures to a folder next to an export.

    Args:
        source: Where the bytes are.
        folder: Where the files go; made with the first.
        base: Folder to which paths are relative.
    """

    def __init__(self, source: MediaStore, folder: Path, base: Path) -> None:
        """Nothing is copied yet."""
        self.source = source
        self.folder = folder
        self._kept = FolderMedia(folder)
        self._base = base
        self._paths: dict[Media, str] = {}

    @property
    def num_files(self) -> int:
        """Number of sounds and pictures copied so far."""
        return len(self._paths)

    def copy(self, text: str) -> dict[Media, str]:
        """Copy what a text names; return the paths of those that are there, in order."""
        for media in find_media(text):
            if media not in self._paths and (data := self.source.find(media)) is not None:
                self._kept.add([(media, data)])
                path = self._kept.path(media)
                assert path is not None
                self._paths[media] = path.relative_to(self._base).as_posix()
        return {media: self._paths[media] for media in find_media(text) if media in self._paths}


Showing = Callable[[dict[str, Json], Trajectory, MediaFiles], dict[str, Json]]
"""Turns the record of an episode that may name media into the one to write."""


def copied(record: dict[str, Json], trajectory: Trajectory, files: MediaFiles) -> dict[str, Json]:
    """Copy what the episode names; the record stays as it is."""
    files.copy(repr(trajectory.to_json()))
    return record


def listed(record: dict[str, Json], trajectory: Trajectory, files: MediaFiles) -> dict[str, Json]:
    """List what the record names, with paths."""
    del trajectory
    paths = files.copy(repr(record))
    media = [{"sha256": item.sha256, "type": item.type, "path": path} for item, path in paths.items()]
    return {**record, "media": media} if media else record


def placed(record: dict[str, Json], trajectory: Trajectory, files: MediaFiles) -> dict[str, Json]:
    """Put placeholders in the texts of a ShareGPT record, and list the paths of what they stand for."""
    del trajectory
    paths = files.copy(repr(record))
    if not paths:
        return record
    columns: dict[str, list[str]] = {}
    turns = []
    for turn in record["conversations"]:
        texts = []
        for piece in split_tags(turn["value"], paths):
            if isinstance(piece, Media):
                columns.setdefault(_COLUMNS[piece.kind], []).append(paths[piece])
                piece = f"<{piece.kind}>"
            texts.append(piece)
        turns.append({**turn, "value": "".join(texts)})
    return {**record, "conversations": turns, **columns}


def in_parts(record: dict[str, Json], trajectory: Trajectory, files: MediaFiles) -> dict[str, Json]:
    """Show what chat messages name in content parts."""
    return {**record, "messages": with_media(trajectory.messages(), record["messages"], files.source)}


__all__ = ["MediaFiles", "Showing", "copied", "in_parts", "listed", "placed"]
