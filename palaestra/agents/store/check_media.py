"""Which of the sounds and pictures of stored runs are missing or damaged.

Every file is named by the hash of its bytes, so it is compared with its name; and every file that a stored trajectory names
has to be there. A file is read in pieces, an episode is unpacked alone, and what is kept is one line for each file.
Trajectories are stored after their media, so with the store read before its folders a run in play is never called damaged.
"""

from __future__ import annotations

import hashlib
import json
import re
import zlib
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from palaestra.agents.store.kept_media import FOLDER_NAME, missing_media
from palaestra.agents.store.records import unpack
from palaestra.media.headers import SUFFIXES
from palaestra.media.items import MARK, Media, find_media
from palaestra.media.store import FolderMedia
from palaestra.types import Json

_FILE = re.compile(rf"[0-9a-f]{{64}}(?:{'|'.join(map(re.escape, {*SUFFIXES.values(), '.bin'}))})")
_TOLD = re.compile(r"[0-9a-f]{64}\.told-[0-9a-f]{16}")
_ARTIFACTS = (FOLDER_NAME, "report.html", "comparison.html", "checkpoints", "metrics.jsonl")


@dataclass(frozen=True, slots=True)
class LostMedia:
    """A media file of a run that is missing or damaged.

    Attributes:
        file: Its name in the media folder of the run.
        problem: What is wrong with it.
        episodes: Stored episodes that name it.
    """

    file: str
    problem: str
    episodes: int

    def to_json(self) -> dict[str, Json]:
        """Return a plain dict."""
        return asdict(self)


def check_media(folder: Path, packed: Iterable[bytes]) -> tuple[LostMedia, ...]:
    """Compare the media files of a run with their names, and with what its episodes name.

    Args:
        folder: The run's folder; it may be missing.
        packed: The trajectories of the run that are whole, as the store has them.

    Returns:
        The files that are missing or damaged, by name. Whole files that nothing names, and files of
        others, are left out.
    """
    there, damaged = _read_files(folder / FOLDER_NAME)
    missing: Counter[str] = Counter()
    naming: Counter[str] = Counter()  # episodes, by the hash that they name
    hashes = {name[:64] for name in damaged}
    for data in packed:
        plain = zlib.decompress(data)
        if MARK.encode() not in plain:
            continue
        named = find_media(plain.decode("utf-8", "surrogatepass"))
        naming.update({media.sha256 for media in named} & hashes)
        gone = [media for media in named if FolderMedia.file_name(media) not in there]
        if gone:
            missing.update({FolderMedia.file_name(media) for media in missing_media(unpack(data), gone)})
    lost = [LostMedia(name, "missing", count) for name, count in missing.items()]
    lost += [LostMedia(name, problem, naming[name[:64]]) for name, problem in damaged.items()]
    return tuple(sorted(lost, key=lambda one: one.file))


def unknown_folders(folder: Path, run_ids: Iterable[str]) -> list[str]:
    """Return the folders next to a store that hold artifacts of runs which it does not know, by name.

    A run that was deleted may have left its folder, and a store that lost what was written last may have lost the run.
    """
    known = set(run_ids)
    with suppress(OSError):
        return sorted(
            path.name
            for path in folder.iterdir()
            if path.name not in known and path.is_dir() and any((path / name).exists() for name in _ARTIFACTS)
        )
    return []


def _read_files(folder: Path) -> tuple[set[str], dict[str, str]]:
    """Read every file of a media folder; return their names, and what is wrong with those that are damaged."""
    there: set[str] = set()
    damaged: dict[str, str] = {}
    try:
        paths = list(folder.iterdir())
    except OSError:  # what is named in it is missing
        return there, damaged
    for path in paths:
        is_told = bool(_TOLD.fullmatch(path.name))
        if not is_told and not _FILE.fullmatch(path.name):
            continue
        there.add(path.name)
        try:
            is_whole = _is_told(path) if is_told else _digest(path) == path.name[:64]
        except FileNotFoundError:  # removed since, or a link that leads nowhere
            there.discard(path.name)
            continue
        except OSError as error:
            damaged[path.name] = f"cannot be read ({error.strerror or error})"
            continue
        if not is_whole:
            damaged[path.name] = "damaged"
    return there, damaged


def _digest(path: Path) -> str:
    """Return the SHA-256 of a file of any size."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _is_told(path: Path) -> bool:
    """Whether a file that says what bytes are is the one that was written under its name."""
    try:
        return FolderMedia.told_name(Media.from_json(json.loads(path.read_bytes()))) == path.name
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return False


__all__ = ["LostMedia", "check_media", "unknown_folders"]
