"""Where the bytes of sounds and pictures are, by the hash of their content.

`current_media()` is the store of this process: environments, agents and backends put bytes there and find them there.
Worker processes send along what was put in theirs (`MediaOutbox`), and are sent what an action names (`bytes_named`).
`FolderMedia` keeps bytes in files, one each; a run's lie in the run's folder (`RunStore.media`). Bytes under a name never
change, so copies of a store may always be merged, and bytes that nothing names do no harm.

A `Media` names bytes only if all it says of them is right: their type, and each measure that it gives. So a tag that a model
has made up from a hash it has seen is prose, whatever the store.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import threading
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Self

from palaestra.errors import StoreError, UsageError
from palaestra.media.headers import SUFFIXES, TELLING, describe, told_by_bytes
from palaestra.media.items import MARK, Media, digest, find_media, is_sha256, read_tags

MAX_ITEM_BYTES = 32 * 2**20
"""Largest sound or picture that a store takes, in bytes."""

MAX_MEMORY_BYTES = 2**30
"""Most bytes that a store in memory holds; those unused for longest leave first."""

VARIABLE = "PALAESTRA_MEDIA"
"""Environment variable: a folder that is the current store of this process and of those it starts."""

STALE_DRAFT_S = 3600.0
"""Age from which an unfinished file of a media folder belongs to nobody, seconds; writing one takes far less."""

_OTHER_SUFFIX = ".bin"


class MediaStore(ABC):
    """Sounds and pictures by content hash.

    Args:
        max_item_bytes: Largest sound or picture taken.
    """

    def __init__(self, *, max_item_bytes: int = MAX_ITEM_BYTES) -> None:
        """Keep the limit."""
        self.max_item_bytes = max_item_bytes

    def put(self, data: bytes, type: str = "", *, seconds: float | None = None, rate: int | None = None) -> Media:
        """Keep bytes and return their name; bytes that are there already are kept once.

        Args:
            data: A whole file, e.g. from `tone` or `png_bytes`.
            type: Its MIME type; read from the bytes where they tell.
            seconds: Length of a sound, where the file does not tell.
            rate: Samples per second of a sound, where the file does not tell.

        Raises:
            UsageError: If the bytes are too many, of no known type, or damaged.
            StoreError: If they cannot be written.
        """
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise UsageError(f"put() got a {data.__class__.__name__}; expected the bytes of a whole file.")
        data = bytes(data)
        if not data or len(data) > self.max_item_bytes:
            raise UsageError(f"put() got {len(data):,} bytes; expected 1 to {self.max_item_bytes:,} (max_item_bytes).")
        media = describe(data, type, seconds=seconds, rate=rate)
        self.add([(media, data)])
        return media

    def get(self, media: Media | str) -> bytes:
        """Return bytes.

        Args:
            media: A medium, or its SHA-256.

        Raises:
            StoreError: If they are not there, were dropped, or are damaged.
        """
        data = self.find(media)
        if data is None:
            raise StoreError(f"{self} does not hold {_name(media)}. Put its bytes there first: store.put(data).")
        return data

    def __contains__(self, media: object) -> bool:
        """Whether the bytes of a medium, or of a SHA-256, are there and sound."""
        try:
            return isinstance(media, (Media, str)) and self.find(media) is not None
        except (StoreError, UsageError):
            return False

    def keep(self, media: Iterable[Media], source: MediaStore) -> None:
        """Copy bytes from another store; when this returns they are as safe as this store can make them.

        Raises:
            StoreError: If the source does not hold them, or they cannot be written.
        """
        self.add((item, source.get(item)) for item in media if not self.holds(item))

    @abstractmethod
    def find(self, media: Media | str) -> bytes | None:
        """Return bytes, or None if they were never here, or are not what a `Media` says of them.

        Raises:
            StoreError: If they were dropped or are damaged.
        """

    @abstractmethod
    def add(self, items: Iterable[tuple[Media, bytes]]) -> None:
        """Keep bytes whose description is known, all of them or, after an error, some.

        Raises:
            StoreError: If they cannot be written.
        """

    @abstractmethod
    def holds(self, media: Media) -> bool:
        """Whether the bytes that a medium names are here and need not be copied again; quicker than `in`."""

    @abstractmethod
    def __iter__(self) -> Iterator[str]:
        """Iterate over the SHA-256 of everything held."""

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of sounds and pictures held."""


class MemoryMedia(MediaStore):
    """A store in memory; threads may share it.

    A copy of it is the store itself, and a pickled one becomes the current store of the process that reads it: bytes travel
    by themselves where they are needed, never inside of spaces or environments.

    Args:
        max_bytes: Most bytes held; above it those unused for longest are dropped. Asking for dropped bytes is an error, never
            silence.
        max_item_bytes: Largest sound or picture taken.
    """

    def __init__(self, *, max_bytes: int = MAX_MEMORY_BYTES, max_item_bytes: int = MAX_ITEM_BYTES) -> None:
        """Start empty."""
        super().__init__(max_item_bytes=min(max_item_bytes, max_bytes))
        self.max_bytes = max_bytes
        self.num_bytes = 0
        self._items: OrderedDict[str, bytes] = OrderedDict()
        self._told: dict[str, tuple[Media, ...]] = {}  # what was said of bytes when they were put, dropped ones included
        self._dropped: set[str] = set()
        self._lock = threading.Lock()

    def find(self, media: Media | str) -> bytes | None:
        """Return bytes, or None if they were never here."""
        name = _sha256(media)
        with self._lock:
            if isinstance(media, Media) and not self._is_right(media):
                return None
            data = self._items.get(name)
            if data is not None:
                self._items.move_to_end(name)
            elif name in self._dropped:
                raise StoreError(
                    f"{self} dropped {_name(media)}: more than {self.max_bytes:,} bytes were in use. Keep them in a folder: "
                    f"set the environment variable {VARIABLE}, or palaestra.media.set_media(FolderMedia(PATH))."
                )
        return data

    def add(self, items: Iterable[tuple[Media, bytes]]) -> None:
        """Keep bytes, and drop the longest unused if there are too many."""
        with self._lock:
            for media, data in items:
                name = media.sha256
                if name not in self._items:
                    self._items[name] = data
                    self.num_bytes += len(data)
                    self._dropped.discard(name)
                if not self._is_right(media):
                    self._told[name] = (*self._told.get(name, ()), told_by_bytes(media, data) or media)
                self._items.move_to_end(name)
                while self.num_bytes > self.max_bytes:
                    oldest, dropped = self._items.popitem(last=False)
                    self.num_bytes -= len(dropped)
                    self._dropped.add(oldest)

    def __iter__(self) -> Iterator[str]:
        """Iterate over the SHA-256 of everything held."""
        with self._lock:
            names = list(self._items)
        return iter(names)

    def __len__(self) -> int:
        """Return the number of sounds and pictures held."""
        return len(self._items)

    def __str__(self) -> str:
        """Name the store for a message."""
        return f"The media store in memory ({len(self._items)} items)"

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Return the store itself: what lies under a name never changes."""
        return self

    def __reduce__(self) -> tuple[Callable[[], MediaStore], tuple[()]]:
        """Become the current store of the process that reads the pickle."""
        return current_media, ()

    def holds(self, media: Media) -> bool:
        """Whether the bytes are here."""
        return media.sha256 in self._items and self._is_right(media)

    def _is_right(self, media: Media) -> bool:
        """Whether a medium says of bytes what was said when they were put."""
        return any(_agrees(media, told) for told in self._told.get(media.sha256, ()))


class MediaOutbox(MemoryMedia):
    """A store in memory of a process whose bytes another one needs: it tells what was put since it was last asked."""

    def __init__(self) -> None:
        """Start empty."""
        super().__init__()
        self._fresh: dict[Media, bytes] = {}

    def add(self, items: Iterable[tuple[Media, bytes]]) -> None:
        """Keep bytes, and remember them for the other process, which may have dropped them since they last came."""
        kept = list(items)
        super().add(kept)
        with self._lock:
            self._fresh.update(kept)

    def receive(self, items: Iterable[tuple[Media, bytes]]) -> None:
        """Keep bytes that the other process has sent."""
        super().add(items)

    def take_fresh(self) -> list[tuple[Media, bytes]]:
        """Return the items put since the last call."""
        if not self._fresh:
            return []
        with self._lock:
            fresh, self._fresh = self._fresh, {}
        return list(fresh.items())

    @classmethod
    def of_this_process(cls) -> MediaOutbox:
        """Make an outbox the current store, unless a folder is; then nothing ever has to be sent."""
        outbox = cls()
        if isinstance(current_media(), MemoryMedia):
            set_media(outbox)
        return outbox


class FolderMedia(MediaStore):
    """A store in a folder: one file for each sound or picture, named by its hash.

    A file appears under its name only when it is complete and on the disk, so that a process killed at any instant leaves no
    half of one; the unfinished file that it may leave is removed by a later writer, when it is an hour old. Several processes
    may write at once. What is read is compared with its name. Of bytes that do not tell their
    type or measures, a small `SHA256.told-*` file keeps what was said when they were put.

    Args:
        folder: Where; made when the first bytes are written.
        max_item_bytes: Largest sound or picture taken.
    """

    def __init__(self, folder: str | os.PathLike[str], *, max_item_bytes: int = MAX_ITEM_BYTES) -> None:
        """Keep the path; nothing is made or read yet."""
        super().__init__(max_item_bytes=max_item_bytes)
        self.folder = Path(folder)
        self._is_swept = False
        self._kept: set[Media] = set()  # what this process has written, or compared with its name and its bytes

    @staticmethod
    def file_name(media: Media) -> str:
        """Return the name of the file in which the bytes of a medium lie."""
        return f"{media.sha256}{_suffix(media)}"

    @staticmethod
    def told_name(media: Media) -> str:
        """Return the name of the file that keeps what was said of bytes that do not tell it themselves."""
        return f"{media.sha256}.told-{hashlib.sha256(media.tag.encode()).hexdigest()[:16]}"

    def path(self, media: Media | str) -> Path | None:
        """Return the file of a medium, or None if there is none."""
        suffixes = [_suffix(media)] if isinstance(media, Media) else [*SUFFIXES.values(), _OTHER_SUFFIX]
        paths = (self.folder / f"{_sha256(media)}{suffix}" for suffix in suffixes)
        return next((path for path in paths if path.is_file()), None)

    def find(self, media: Media | str) -> bytes | None:
        """Return bytes, or None if they were never here, or are not what a `Media` says of them."""
        path = self.path(media)
        if path is None:
            return None
        try:
            data = path.read_bytes()
        except OSError as error:
            raise StoreError(f"The media file {path} cannot be read ({error.strerror or error}); check its rights.") from error
        if digest(data) != _sha256(media):
            raise StoreError(
                f"The media file {path} is damaged: its {len(data):,} bytes do not have the hash in its name. Restore it "
                f"from a copy; or delete it, and it is written again when its bytes are next put."
            )
        if isinstance(media, Media):
            if media not in self._kept and not self._is_right(media, data):
                return None
            self._kept.add(media)
        return data

    def get(self, media: Media | str) -> bytes:
        """Return bytes.

        Args:
            media: A medium, or its SHA-256.

        Raises:
            StoreError: If they are not there or are damaged; of a stored run, the file was lost.
        """
        data = self.find(media)
        if data is None:
            raise StoreError(
                f"{self} does not hold {_name(media)}. Put its bytes there first: store.put(data); if it is the folder of a "
                f"stored run, restore the file {_sha256(media)}{_suffix(media) if isinstance(media, Media) else '.*'} from a "
                f"copy."
            )
        return data

    def add(self, items: Iterable[tuple[Media, bytes]]) -> None:
        """Write files: their bytes reach the disk before their names do, and both before this returns."""
        drafts: list[tuple[Path, Path]] = []
        added: list[Media] = []
        try:
            for media, data in items:
                if self.holds(media):
                    continue
                if (told := told_by_bytes(media, data)) is None:  # what was said is there before the bytes are
                    path = self.folder / self.told_name(media)
                    drafts.append((self._draft(path, json.dumps(media.to_json()).encode()), path))
                path = self.folder / self.file_name(media)
                drafts.append((self._draft(path, data), path))
                added.append(told or media)
            if drafts and not self._is_swept:
                self._is_swept = True
                self._sweep(drafts[0][0].stat().st_mtime)
            for draft, path in drafts:
                os.replace(draft, path)
            self._kept.update(added)
            if drafts:
                _sync_folder(self.folder)
        except OSError as error:
            raise StoreError(
                f"Media cannot be written to {self.folder} ({error.strerror or error}). Free space or change its rights, then "
                f"resume."
            ) from error
        finally:
            for draft, _ in drafts:
                with contextlib.suppress(OSError):
                    draft.unlink(missing_ok=True)

    def __iter__(self) -> Iterator[str]:
        """Iterate over the SHA-256 of everything held."""
        return iter(sorted({path.stem for path in self._files()}))

    def __len__(self) -> int:
        """Return the number of sounds and pictures held."""
        return len({path.stem for path in self._files()})

    @property
    def num_bytes(self) -> int:
        """Bytes of all files."""
        return sum(path.stat().st_size for path in self._files())

    def __str__(self) -> str:
        """Name the store for a message."""
        return f"The media folder {self.folder}"

    def _files(self) -> list[Path]:
        """Return the files, those not finished left out."""
        return [path for path in self.folder.glob("*.*") if is_sha256(path.stem)] if self.folder.is_dir() else []

    def holds(self, media: Media) -> bool:
        """Whether the bytes are here; looked at once a process, so that a damaged file is replaced when its bytes come."""
        if media in self._kept and self.path(media) is not None:
            return True
        try:
            return self.find(media) is not None
        except StoreError:
            return False

    def _is_right(self, media: Media, data: bytes) -> bool:
        """Whether a medium says of bytes what they tell, or what was said when they were put."""
        if (own := told_by_bytes(media, data)) is not None:
            return _agrees(media, own)
        told = list(self.folder.glob(f"{media.sha256}.told-*"))
        if not told:  # a folder of an earlier version
            return media.type not in TELLING
        try:
            return any(_agrees(media, Media.from_json(json.loads(path.read_bytes()))) for path in told)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StoreError(
                f"What {self} says of {_name(media)} cannot be read ({error}); delete the files {media.sha256}.told-*, and "
                f"they are written again when its bytes are next put."
            ) from error

    def _sweep(self, now: float) -> None:
        """Remove drafts that a killed process left: those so old that no writer can still be at them.

        Args:
            now: When a file was written here just now, by the clock of the disk; other machines may write there too.
        """
        for path in self.folder.glob(".*.draft"):
            with contextlib.suppress(OSError):  # another process may be sweeping
                if is_sha256(path.name[1:65]) and now - path.stat().st_mtime > STALE_DRAFT_S:
                    path.unlink()

    def _draft(self, path: Path, data: bytes) -> Path:
        """Write bytes beside their place; return where."""
        if not self.folder.is_dir():
            self.folder.mkdir(parents=True, exist_ok=True)
            _sync_folder(self.folder.parent)
        draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.draft")
        try:
            with draft.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            with contextlib.suppress(OSError):
                draft.unlink(missing_ok=True)
            raise
        return draft


_lock = threading.Lock()
_current: MediaStore | None = None


def current_media() -> MediaStore:
    """Return the store of this process: one in memory, unless PALAESTRA_MEDIA names a folder or `set_media` chose another."""
    global _current
    with _lock:
        if _current is None:
            folder = os.environ.get(VARIABLE)
            _current = FolderMedia(folder) if folder else MemoryMedia()
        return _current


def bytes_named(value: object) -> list[tuple[Media, bytes]]:
    """Return the media that a text or a message names anywhere, and whose bytes lie in the current store.

    Args:
        value: A text, a message, or a sequence of them.
    """
    text = value if isinstance(value, str) else repr(value)  # a tag holds nothing that repr would escape
    if MARK not in text:
        return []
    found = [(media, current_media().find(media)) for media in find_media(text)]
    return [(media, data) for media, data in found if data is not None]


def read_known_tags(text: str) -> tuple[str, tuple[Media, ...]]:
    """Read a text form that a model may have written: tags that name no bytes in the current store are prose."""
    return read_tags(text, current_media().holds) if MARK in text else (text, ())


def set_media(store: MediaStore) -> None:
    """Make a store the current one of this process."""
    global _current
    with _lock:
        _current = store


@contextlib.contextmanager
def use_media(store: MediaStore) -> Iterator[MediaStore]:
    """Make a store the current one of this process for the time of a `with` block."""
    before = current_media()
    set_media(store)
    try:
        yield store
    finally:
        set_media(before)


def _sha256(media: Media | str) -> str:
    """Return the name of a medium; a name that could be a path is refused."""
    if isinstance(media, Media):
        return media.sha256
    if not isinstance(media, str) or not is_sha256(media):
        raise UsageError(f"The medium is {str(media)[:80]!r}; expected a Media, or a SHA-256 of 64 hexadecimal digits.")
    return media


def _name(media: Media | str) -> str:
    """Name a medium for a message."""
    return f"the {media.kind} {media.sha256}" if isinstance(media, Media) else f"a medium {str(media)[:80]!r}"


def _agrees(media: Media, told: Media) -> bool:
    """Whether a medium is of the type that bytes were said to be, and each measure that it gives is right."""
    measures = ("seconds", "rate", "width", "height")
    return (media.type, media.channels) == (told.type, told.channels) and all(
        getattr(media, name) in (None, getattr(told, name)) for name in measures
    )


def _suffix(media: Media) -> str:
    """Return the end of a medium's file name."""
    return SUFFIXES.get(media.type, _OTHER_SUFFIX)


def _sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk, where the system can."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


__all__ = [
    "MAX_ITEM_BYTES",
    "MAX_MEMORY_BYTES",
    "VARIABLE",
    "FolderMedia",
    "MediaOutbox",
    "MediaStore",
    "MemoryMedia",
    "bytes_named",
    "current_media",
    "read_known_tags",
    "set_media",
    "use_media",
]
