"""SQLite's write-ahead log, frame by frame: what SQLite would not replay, and a file in which that is put back.

Transactions that are stored lie in the log until they are copied into the file. After a crash SQLite replays the log up to
the first frame whose checksum is wrong, and drops the rest without a word. That is right where the log simply ends, as after
a process that was killed in the middle of a write, and a silent loss where a frame was damaged. Two witnesses tell one from
the other:

* the index of the log (`-shm`), which outlives a killed process: it says how many frames were committed, and by its salts
  of which log: one of another store or an older copy of this one would be played into the file without a word;
* without it, a later frame of the same generation of the log (with the same salts) that ends a transaction. Frames are
  written in order, and none before its transaction is committed (`cache_spill` is off), so a write that was cut off has
  nothing of the kind behind it.

Source of the format: https://www.sqlite.org/fileformat2.html#walformat and https://www.sqlite.org/walformat.html
"""

from __future__ import annotations

import functools
import secrets
import struct
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

PAGE_SIZE = 4096

_PAGE_SIZES = tuple(2**power for power in range(9, 17))  # that SQLite has
_HEADER = 32  # bytes; so of the log, and of a frame below
_FRAME_HEADER = 24
_MAGIC = {"little": 0x377F0682, "big": 0x377F0683}
_FORMAT = 3007000
_INDEX_HEADER = 48
_GENERATIONS = 2**16  # by which a log may be newer than an index that a power cut left behind
_LOOKS = 5  # a process that writes meanwhile is looked at again
_PAUSE_S = 0.02

Sums = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Witness:
    """What the index of a log says.

    Attributes:
        salts: Of the log that it is of.
        num_committed: Frames of transactions that are stored.
        num_copied: The first of them that are in the file already.
    """

    salts: bytes
    num_committed: int
    num_copied: int


@dataclass(frozen=True, slots=True)
class LogDamage:
    """Stored transactions that SQLite would not replay.

    Attributes:
        num_replayed: Frames that it would.
        num_committed: Frames that were stored.
        num_damaged: Frames among them that are damaged or missing.
        is_other: Whether log and index are of two stores, or one of them is an old copy: which one, nothing tells.
    """

    num_replayed: int
    num_committed: int
    num_damaged: int
    is_other: bool = False

    def __str__(self) -> str:
        """Return it in words, as part of a sentence."""
        if self.is_other:
            return (
                "the write-ahead log (-wal) and its index (-shm) do not belong together, and SQLite would play the log into"
                " the file, whichever store it is of"
            )
        behind = self.num_committed - self.num_replayed
        return (
            f"{self.num_damaged:,} of {self.num_committed:,} frames of the write-ahead log (-wal) are damaged or missing, and"
            f" SQLite would drop the {behind:,} from number {self.num_replayed + 1:,} on"
        )


@dataclass(frozen=True, slots=True)
class Log:
    """A log that was read.

    Attributes:
        order: Order of the bytes in the words of its checksums, "little" or "big".
        frames: Their bytes, shape (frames, 24 + page size).
        salts: Of this generation of the log.
        seeds: What the checksum of each frame may follow from: the first is what stands in the frame before.
        is_intact: Whether what a frame holds has its checksum.
        has_salts: Whether a frame is of this generation.
        num_chained: Frames up to the first that SQLite does not accept; -1 if it does not accept the header.
        num_replayed: Frames that it replays, up to the end of a transaction.
    """

    order: str
    frames: NDArray[np.uint8]
    salts: bytes
    seeds: list[list[Sums]]
    is_intact: NDArray[np.bool_]
    has_salts: NDArray[np.bool_]
    num_chained: int
    num_replayed: int

    @property
    def page_size(self) -> int:
        """Bytes of a page."""
        return int(self.frames.shape[1]) - _FRAME_HEADER

    @property
    def pages(self) -> NDArray[np.uint32]:
        """Number of the page that each frame holds, shape (frames,)."""
        return _words(self.frames)[:, 0]

    @property
    def sizes(self) -> NDArray[np.uint32]:
        """Pages of the file after the transaction that a frame ends, 0 for other frames; shape (frames,)."""
        return _words(self.frames)[:, 1]

    def num_committed(self, witness: Witness | None = None) -> int:
        """Return how many frames were stored, as far as the log or its index can tell."""
        ends = np.flatnonzero(self.has_salts & (self.sizes > 0))
        last = int(ends[-1]) + 1 if len(ends) and ends[-1] > self.num_chained else 0
        known = witness.num_committed if witness is not None and witness.salts == self.salts else 0
        return max(self.num_replayed, last, known)


def read_log(data: bytes, witness: Witness | None = None) -> Log | None:
    """Read a log; None if it has no frame.

    Args:
        data: Its bytes.
        witness: What its index says, which helps where the header of the log is damaged.
    """
    if len(data) < _HEADER:
        return None
    magic, _, page_size = struct.unpack(">3I", data[:12])
    order = next((order for order, value in _MAGIC.items() if value == magic), sys.byteorder)
    if page_size not in _PAGE_SIZES:
        page_size = PAGE_SIZE
    size = _FRAME_HEADER + page_size
    count = (len(data) - _HEADER) // size
    if count < 1:
        return None
    frames = np.frombuffer(data, np.uint8, count * size, _HEADER).reshape(count, size)
    own, of_header = _pair(data[24:32]), _sums(data[:24], order)
    is_begun = own == of_header and magic in _MAGIC.values()
    salts = data[16:24]
    if not is_begun:
        salts = _common_salts(frames, salts) if witness is None else witness.salts
    words = _words(frames)
    has_salts = (frames[:, 8:16] == np.frombuffer(salts, np.uint8)).all(axis=1)
    is_intact, is_next, seeds = _follow_all(frames, [own, of_header], order)
    is_chained = is_next & has_salts & (words[:, 0] > 0)
    num_chained = (count if is_chained.all() else int(np.argmin(is_chained))) if is_begun else -1
    ends = np.flatnonzero(words[: max(num_chained, 0), 1])
    num_replayed = int(ends[-1]) + 1 if len(ends) else 0
    return Log(order, frames, salts, seeds, is_intact, has_salts, num_chained, num_replayed)


def _follow_all(
    frames: NDArray[np.uint8], begin: list[Sums], order: str
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], list[list[Sums]]]:
    """Return which frames are intact, which continue what stands before them, and what each may follow from."""
    is_intact, is_next = np.zeros(len(frames), np.bool_), np.zeros(len(frames), np.bool_)
    added, seeds = _added(_summed(frames), order), [begin]
    for i, sums in enumerate((int(one), int(other)) for one, other in _words(frames)[:, 4:6]):
        found = [_follow(seed, added[i], frames.shape[1]) for seed in seeds[i]]
        is_next[i], is_intact[i] = found[0] == sums, sums in found
        if i and is_intact[i] and not is_next[i]:
            is_intact[i - 1] = True  # only its checksum is damaged: what it holds leads to the next one
        seeds.append([sums] if is_intact[i] else [sums, found[0]])
    return is_intact, is_next, seeds


def read_witness(data: bytes) -> Witness | None:
    """Read the index of a log; None if it says nothing that can be relied on."""
    if len(data) < 2 * _INDEX_HEADER + 4 or data[:_INDEX_HEADER] != data[_INDEX_HEADER : 2 * _INDEX_HEADER]:
        return None
    version, _, _, is_begun, _, _, num_committed = struct.unpack("=3I2BHI", data[:20])
    if version != _FORMAT or not is_begun or _sums(data[:40], sys.byteorder) != struct.unpack("=2I", data[40:48]):
        return None
    (num_copied,) = struct.unpack("=I", data[2 * _INDEX_HEADER : 2 * _INDEX_HEADER + 4])
    return Witness(data[32:40], num_committed, num_copied)


def find_damage(file: Path, *, with_index: bool) -> LogDamage | None:
    """Look for stored transactions in the log of a store that SQLite would not replay.

    Processes that write meanwhile do not disturb: what is still there at a second look is damage.

    Args:
        file: The store's file.
        with_index: Read the index of the log too; only where this process has no connection to the store (`open_files`).
    """
    before: object = None
    for look in range(_LOOKS):
        if look:
            time.sleep(_PAUSE_S)
        index = _bytes_of(file, "-shm") if with_index else b""
        data = _bytes_of(file, "-wal")
        found = damage_of(data, read_witness(index))
        if found is None:
            return None
        if (seen := (found, data[:_HEADER], index[: 2 * _INDEX_HEADER])) == before:
            return found
        before = seen
    return None


def damage_of(data: bytes, witness: Witness | None) -> LogDamage | None:
    """Return the damage to a log; None if SQLite would drop nothing."""
    log = read_log(data, witness)
    if log is None:
        is_lost = witness is not None and witness.num_committed > witness.num_copied
        return LogDamage(0, witness.num_committed, witness.num_committed) if witness is not None and is_lost else None
    if witness is not None and _is_of_another(log, witness):
        return LogDamage(log.num_replayed, witness.num_committed, witness.num_committed - witness.num_copied, is_other=True)
    num_committed = log.num_committed(witness)
    if num_committed <= log.num_replayed:
        return None
    is_read = log.is_intact[:num_committed] & log.has_salts[:num_committed]
    return LogDamage(log.num_replayed, num_committed, num_committed - int(is_read.sum()))


def _is_of_another(log: Log, witness: Witness) -> bool:
    """Whether an index cannot be of a log, nor of an older generation of it.

    The first salt grows by one with each generation, and the index tells of a new one before the log does. An index that was
    just made, without salts, says nothing; one without frames may be overtaken by one transaction, where a process was killed
    before it told.
    """
    if witness.salts in (log.salts, bytes(8)):  # a log whose header is damaged was read with the salts of its index
        return False
    newer = (int.from_bytes(log.salts[:4], "big") - int.from_bytes(witness.salts[:4], "big")) % 2**32
    if newer <= _GENERATIONS:
        return False
    if witness.num_committed:
        return True
    is_next = 2**32 - newer <= _GENERATIONS
    return not is_next and int((log.sizes[: log.num_replayed] > 0).sum()) > 1


def restore_pages(database: bytes, log: Log, num_committed: int) -> tuple[bytes, int]:
    """Put everything intact in a log into the file that it belongs to.

    Args:
        database: Bytes of the file.
        log: Its log.
        num_committed: Frames of it that were stored.

    Returns:
        The bytes of the file with the last intact state of every page, and of how many pages the last state is lost.
    """
    size = log.page_size
    pages = {i + 1: database[i * size : (i + 1) * size] for i in range(len(database) // size)}
    stale: set[int] = set()
    num_unknown = max(0, num_committed - len(log.frames))  # cut off
    for i, page in enumerate(_words(log.frames[:num_committed])[:, 0].tolist()):
        if log.is_intact[i]:
            pages[page] = log.frames[i, _FRAME_HEADER:].tobytes()
            stale.discard(page)
        elif not 0 < page <= len(pages) + num_committed:  # its number is damaged
            num_unknown += 1
        elif _is_of_frame(log, i, copied := database[(page - 1) * size : page * size]):
            pages[page] = copied
            stale.discard(page)
        else:
            stale.add(page)
    count = max(pages, default=0)  # a store never shrinks
    made = bytearray(b"".join(pages.get(i + 1, bytes(size)) for i in range(count)))
    if count:
        made[28:32] = count.to_bytes(4, "big")
    return bytes(made), len(stale) + num_unknown


def write_log(database: bytes) -> bytes:
    """Return a log that holds every page of a file, as one transaction: next to any other file it stands for this one."""
    size, order = PAGE_SIZE, sys.byteorder
    header = struct.pack(">4I", _MAGIC[order], _FORMAT, size, 0) + secrets.token_bytes(8)
    sums = _sums(header, order)
    made: list[bytes] = [header, struct.pack(">2I", *sums)]
    pages = np.frombuffer(database, np.uint8).reshape(-1, size)
    begins = np.zeros((len(pages), 2), ">u4")
    begins[:, 0] = np.arange(1, len(pages) + 1)
    begins[-1, 1] = len(pages)
    begins = begins.view(np.uint8)
    for begin, page, added in zip(begins, pages, _added(np.concatenate([begins, pages], axis=1), order), strict=True):
        sums = _follow(sums, added, _FRAME_HEADER + size)
        made.append(begin.tobytes() + header[16:24] + struct.pack(">2I", *sums) + page.tobytes())
    return b"".join(made)


def _is_of_frame(log: Log, index: int, page: bytes) -> bool:
    """Whether a page is what a damaged frame held: it leads to the frame's checksum."""
    if len(page) != log.page_size:
        return False
    row = np.concatenate([log.frames[index, :8], np.frombuffer(page, np.uint8)]).reshape(1, -1)
    sums = _pair(log.frames[index, 16:24].tobytes())
    added = _added(row, log.order)[0]
    return any(_follow(seed, added, log.frames.shape[1]) == sums for seed in log.seeds[index])


def _bytes_of(file: Path, end: str) -> bytes:
    """Return the bytes of a file next to the store's; none if there is no such file."""
    try:
        return Path(f"{file}{end}").read_bytes()
    except OSError:
        return b""


def _common_salts(frames: NDArray[np.uint8], default: bytes) -> bytes:
    """Return the salts of the first two frames that share them: a generation begins at the first frame."""
    for one, other in zip(frames[:, 8:16], frames[1:, 8:16], strict=False):
        if (one == other).all():
            return bytes(one)
    return default


@functools.cache
def _powers(count: int) -> NDArray[np.uint32]:
    """Return the powers 0 to `count` of one step of the checksum, each as the three numbers of a symmetric matrix.

    A step takes two words: s0 += x0 + s1, then s1 += x1 + s0. In one line s = M s + (x0, x0 + x1) with M = (1 1; 1 2), so the
    sums of many words are a product of matrices, all modulo 2**32.
    """
    powers = [(1, 0, 1)]
    for _ in range(count):
        a, b, d = powers[-1]
        powers.append(((a + b) % 2**32, (b + d) % 2**32, (b + 2 * d) % 2**32))
    return np.array(powers, np.uint32)


def _added(raw: NDArray[np.uint8], order: str) -> list[Sums]:
    """Return what the words of each row add to the sums of what comes before, shape (rows, bytes)."""
    words = np.ascontiguousarray(raw).view("<u4" if order == "little" else ">u4").astype(np.uint32)
    steps = words.shape[1] // 2
    a, b, d = _powers(steps)[steps - 1 :: -1].T
    weights = np.empty((2 * steps, 2), np.uint32)
    weights[::2] = np.stack([a + b, b + d], axis=1)
    weights[1::2] = np.stack([b, d], axis=1)
    return [(int(one), int(other)) for one, other in words @ weights]


def _follow(before: Sums, added: Sums, frame_size: int) -> Sums:
    """Return the sums of a frame from those before it."""
    a, b, d = (int(value) for value in _powers((frame_size - 16) // 8)[-1])
    return (a * before[0] + b * before[1] + added[0]) % 2**32, (b * before[0] + d * before[1] + added[1]) % 2**32


def _summed(frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the bytes of frames that their checksums are of: page number, size, and the page."""
    return np.concatenate([frames[:, :8], frames[:, _FRAME_HEADER:]], axis=1)


def _words(frames: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """Return the headers of frames: page, size, two salts, two sums; shape (frames, 6)."""
    return np.ascontiguousarray(frames[:, :_FRAME_HEADER]).view(">u4").astype(np.uint32)


def _pair(data: bytes) -> Sums:
    """Return two sums as a header holds them."""
    one, other = struct.unpack(">2I", data)
    return one, other


def _sums(data: bytes, order: str) -> Sums:
    """Return the sums of a header."""
    return _added(np.frombuffer(data, np.uint8).reshape(1, -1), order)[0]


__all__ = [
    "PAGE_SIZE",
    "Log",
    "LogDamage",
    "Witness",
    "damage_of",
    "find_damage",
    "read_log",
    "read_witness",
    "restore_pages",
    "write_log",
]
