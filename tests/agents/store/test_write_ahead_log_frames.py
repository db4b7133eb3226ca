"""What is read of a log, frame by frame, against logs and checksums that are written here the plain way."""

from __future__ import annotations

import struct
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from palaestra.agents.store import write_ahead_log
from palaestra.agents.store.write_ahead_log import (
    PAGE_SIZE,
    Log,
    LogDamage,
    Witness,
    damage_of,
    find_damage,
    read_log,
    read_witness,
    restore_pages,
    write_log,
)

MAGIC = {"little": 0x377F0682, "big": 0x377F0683}
OTHER = {"little": "big", "big": "little"}
SALTS = b"\0\0\1\7salt"
SIZE = 512


def checksum(data: bytes, order: str, before: tuple[int, int] = (0, 0)) -> tuple[int, int]:
    """The checksum of SQLite's documentation, two words at a time."""
    one, two = before
    words = struct.unpack(f"{'<' if order == 'little' else '>'}{len(data) // 4}I", data)
    for first, second in zip(words[::2], words[1::2], strict=True):
        one = (one + first + two) % 2**32
        two = (two + second + one) % 2**32
    return one, two


@dataclass
class Written:
    """A log as SQLite writes it: pages and sizes of its frames, and a byte that fills each page."""

    frames: Sequence[tuple[int, int, int]]
    order: str = "little"
    salts: bytes = SALTS
    page_size: int = SIZE
    sums: list[tuple[int, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        header = struct.pack(">4I", MAGIC[self.order], 3007000, self.page_size, 3) + self.salts
        self.sums.append(checksum(header, self.order))
        made = header + struct.pack(">2I", *self.sums[0])
        for page, size, fill in self.frames:
            begin, content = struct.pack(">2I", page, size), self.content(fill)
            self.sums.append(checksum(begin + content, self.order, self.sums[-1]))
            made += begin + self.salts + struct.pack(">2I", *self.sums[-1]) + content
        self.data = made

    def content(self, fill: int) -> bytes:
        """The bytes of a page."""
        return (bytes([fill, 1, fill, 7, 0, fill, 255]) * (self.page_size // 7 + 1))[: self.page_size]

    def at(self, index: int) -> int:
        """Where a frame begins."""
        return 32 + index * (24 + self.page_size)

    def damaged(self, at: int, by: int = 1) -> bytes:
        """The log with one byte changed."""
        return self.data[:at] + bytes([self.data[at] ^ by]) + self.data[at + 1 :]


def log_of(data: bytes, witness: Witness | None = None) -> Log:
    log = read_log(data, witness)
    assert log is not None
    return log


frame = st.tuples(st.integers(1, 2**32 - 1), st.sampled_from([0, 0, 1, 9, 2**32 - 1]), st.integers(0, 255))
logs = st.builds(
    Written,
    st.lists(frame, min_size=1, max_size=6),
    st.sampled_from(["little", "big"]),
    st.binary(min_size=8, max_size=8),
    st.sampled_from([512, 1024, 4096]),
)


@given(logs, st.data())
def test_every_field_of_a_whole_log(written: Written, data: st.DataObject) -> None:
    rest = data.draw(st.binary(max_size=written.page_size + 23))
    log = log_of(written.data + rest)
    ends = [i for i, (_, size, _) in enumerate(written.frames) if size]
    assert (log.order, log.salts, log.page_size) == (written.order, written.salts, written.page_size)
    assert log.frames.tobytes() == written.data[32:]
    assert log.pages.tolist() == [page for page, _, _ in written.frames]
    assert log.sizes.tolist() == [size for _, size, _ in written.frames]
    assert log.seeds == [[written.sums[0]] * 2, *([sums] for sums in written.sums[1:])]
    assert log.is_intact.tolist() == log.has_salts.tolist() == [True] * len(written.frames)
    assert log.num_chained == len(written.frames)
    assert log.num_replayed == log.num_committed() == (ends[-1] + 1 if ends else 0)
    assert damage_of(written.data + rest, None) is None


@pytest.mark.parametrize("order", ["little", "big"])
@pytest.mark.parametrize("page_size", [512, 4096, 65536])
def test_a_log_has_a_frame_from_its_last_byte_on(order: str, page_size: int) -> None:
    written = Written([(1, 1, 5)], order, page_size=page_size)
    for cut in (0, 11, 12, 31, 32, 33, len(written.data) - 1):
        assert read_log(written.data[:cut]) is None
    log = log_of(written.data)
    assert (log.page_size, log.num_replayed) == (page_size, 1)


@pytest.mark.parametrize("page_size", [0, 1, 256, 511, 513, 768, 5000, 65535, 65537, 131072, 2**31])
def test_a_page_size_that_sqlite_does_not_have_is_taken_for_that_of_a_store(page_size: int) -> None:
    written = Written([(1, 0, 5), (2, 2, 6)], page_size=PAGE_SIZE)
    data = written.data[:8] + struct.pack(">I", page_size) + written.data[12:]
    log = log_of(data)
    assert (log.page_size, log.num_chained, log.num_replayed) == (PAGE_SIZE, -1, 0)
    assert log.is_intact.all()
    assert log.num_committed() == 2, "frames that end transactions are still there"
    assert damage_of(data, None) == LogDamage(0, 2, 0)


@given(logs, st.integers(0, 31).filter(lambda at: not 8 <= at < 12), st.integers(1, 255))
def test_a_damaged_header_loses_no_frame(written: Written, at: int, by: int) -> None:
    data = written.damaged(at, by)
    log, frames = log_of(data), written.frames
    is_order_known = at >= 4 or data[:4] == struct.pack(">I", MAGIC[OTHER[written.order]])
    order = (OTHER[written.order] if at < 4 else written.order) if is_order_known else sys.byteorder
    assert (log.order, log.num_chained, log.num_replayed) == (order, -1, 0)
    is_salt = 16 <= at < 24
    assert log.salts == (data[16:24] if is_salt and len(frames) == 1 else written.salts)
    assert log_of(data, Witness(written.salts, 9, 0)).salts == written.salts
    assert log_of(data, Witness(b"another!", 9, 0)).salts == b"another!"
    if order == written.order:
        assert log.is_intact.all()
        assert log.has_salts.tolist() == [not is_salt or len(frames) > 1] * len(frames)
        ends = [i + 1 for i, (_, size, _) in enumerate(frames) if size] if log.has_salts.all() else []
        assert log.num_committed() == max(ends, default=0)
    own = struct.unpack(">2I", data[24:32])
    assert log.seeds[0] == [own, checksum(data[:24], order)]


@given(st.integers(1, 5), st.integers(0, 4), st.integers(0, 23 + SIZE), st.integers(1, 255), st.booleans())
def test_a_damaged_frame_ends_the_chain_and_nothing_else(count: int, number: int, at: int, by: int, is_big: bool) -> None:
    number = min(number, count - 1)
    frames = [(i + 1, i + 1 if i % 2 else 0, 40 + i) for i in range(count)]
    written = Written(frames, "big" if is_big else "little")
    log = log_of(written.damaged(written.at(number) + at, by))
    is_salt, is_sum = 8 <= at < 16, 16 <= at < 24
    holds = is_salt or (is_sum and number < count - 1)  # a checksum is proved by the frame that follows from it
    assert log.num_chained == number
    assert log.num_replayed == number - number % 2
    assert log.is_intact.tolist() == [holds or i != number for i in range(count)]
    assert log.has_salts.tolist() == [not is_salt or i != number for i in range(count)]
    read = struct.unpack(">2I", log.frames[number, 16:24].tobytes())
    found = checksum(log.frames[number, :8].tobytes() + log.frames[number, 24:].tobytes(), written.order, written.sums[number])
    for i, seeds in enumerate(log.seeds[1:]):
        assert seeds == ([written.sums[i + 1]] if i != number or is_salt else [read, found])


@pytest.mark.parametrize("number", range(4))
def test_a_page_without_a_number_ends_the_chain(number: int) -> None:
    log = log_of(Written([(0 if i == number else i + 1, 1, i) for i in range(4)]).data)
    assert (log.num_chained, log.num_replayed) == (number, number)
    assert log.is_intact.all()


@pytest.mark.parametrize("length", range(5))
def test_frames_of_an_older_log_behind_the_end_are_not_of_this_one(length: int) -> None:
    old = Written([(i + 1, 1, i) for i in range(4)], salts=b"\0\0\1\6salt")
    new = Written([(i + 1, i % 2, 9 * i) for i in range(4)])
    log = log_of(new.data[: new.at(length)] + old.data[new.at(length) :])
    assert log.has_salts.tolist() == [i < length for i in range(4)]
    assert (log.num_chained, log.num_replayed) == (length, length - length % 2)
    assert log.num_committed() == length - length % 2


@pytest.mark.parametrize(
    ("sizes", "damaged", "committed"),
    [
        ([0, 0, 0], None, 0),
        ([0, 1, 0], None, 2),
        ([1, 0, 1], 2, 1),  # the frame that is torn is the last of its transaction: a write that was cut off
        ([1, 0, 1], 1, 3),
        ([0, 1], 0, 2),
        ([1, 1], 0, 2),
        ([1, 1], 1, 1),
        ([1, 0], 0, 0),
        ([0, 0], 0, 0),
        ([1, 0, 0], 0, 0),
    ],
)
def test_how_many_frames_were_stored(sizes: list[int], damaged: int | None, committed: int) -> None:
    written = Written([(i + 1, size, i) for i, size in enumerate(sizes)])
    data = written.data if damaged is None else written.damaged(written.at(damaged) + 100)
    log = log_of(data)
    assert log.num_committed() == committed
    assert log.num_committed(Witness(SALTS, 1, 0)) == max(committed, 1)
    assert log.num_committed(Witness(SALTS, 99, 0)) == 99
    assert log.num_committed(Witness(b"another!", 99, 0)) == committed
    for witness in (None, Witness(SALTS, 0, 0)):
        is_lost = committed > log.num_replayed
        assert damage_of(data, witness) == (LogDamage(log.num_replayed, committed, 1) if is_lost else None)


def test_stored_frames_that_are_damaged_or_missing_are_counted() -> None:
    written = Written([(i + 1, 1, i) for i in range(6)])
    data = written.damaged(written.at(1) + 30)[: written.at(4)]
    assert damage_of(data, Witness(SALTS, 6, 0)) == LogDamage(1, 6, 3)
    assert damage_of(data, Witness(SALTS, 3, 0)) == LogDamage(1, 4, 1), "the log itself has one more"
    assert damage_of(data[: written.at(1)], Witness(SALTS, 1, 0)) is None
    assert damage_of(written.damaged(written.at(1) + 9), Witness(SALTS, 6, 0)) == LogDamage(1, 6, 1), "salts"


def test_an_index_tells_whose_frames_they_are_where_the_header_does_not() -> None:
    written = Written([(1, 1, 1)])
    assert damage_of(written.damaged(17), Witness(SALTS, 1, 0)) == LogDamage(0, 1, 0)
    assert damage_of(written.damaged(17), None) is None, "one frame of an unknown log"


@pytest.mark.parametrize(("committed", "copied"), [(0, 0), (1, 0), (5, 4), (5, 5), (4, 5)])
def test_a_log_that_is_gone_loses_what_was_not_copied(committed: int, copied: int) -> None:
    expected = LogDamage(0, committed, committed) if committed > copied else None
    assert damage_of(b"", Witness(SALTS, committed, copied)) == expected
    assert damage_of(b"", None) is None


def test_a_log_of_another_index_counts_what_the_index_has_not_copied() -> None:
    written = Written([(1, 1, 1), (2, 2, 2), (3, 0, 3)])
    witness = Witness(b"\x80\0\0\0salt", 7, 3)
    assert damage_of(written.data, witness) == LogDamage(2, 7, 4, is_other=True)


@pytest.mark.parametrize(
    ("first_salt", "committed", "num_transactions", "is_other"),
    [
        (0x107, 5, 2, False),  # the same generation: its salts alone differ below
        (0x106, 9, 2, False),
        (0x107 - 2**16, 9, 2, False),
        (0x107 - 2**16 - 1, 9, 2, True),
        (0x108, 1, 2, True),
        (0x108, 0, 2, False),  # the index tells first
        (0x107 + 2**16, 0, 2, False),
        (0x107 + 2**16 + 1, 0, 2, True),
        (0x107 + 2**16 + 1, 0, 1, False),
        (0x107 + 2**16 + 1, 1, 1, True),
        (0x107 + 2**31, 0, 0, False),
    ],
)
def test_which_index_is_of_another_log(first_salt: int, committed: int, num_transactions: int, is_other: bool) -> None:
    data = Written([(i + 1, int(i < num_transactions), i) for i in range(3)]).data
    witness = Witness((first_salt % 2**32).to_bytes(4, "big") + b"else", committed, 0)
    found = damage_of(data, witness)
    assert (found is not None and found.is_other) == is_other
    assert damage_of(data, Witness(bytes(8), 0, 0)) is None, "an index that was just made"
    longer = Written([(1, 0, 1), (2, 2, 2), (3, 0, 3)]).data
    unknown = Witness((0x107 + 2**20).to_bytes(4, "big") + b"else", 0, 0)
    assert damage_of(longer, unknown) is None, "one transaction, of two frames"
    far = Written([(1, 1, 1), (2, 2, 2)], salts=b"\x90\0\0\1salt").data
    assert damage_of(far, Witness(bytes(8), 5, 0)) is None, "far from zero, too"
    none = Written([(1, 1, 1)]).damaged(60)
    assert damage_of(none, Witness(b"\x80\0\0\0else", 2, 1)) == LogDamage(0, 2, 1, is_other=True), "no frame of it is read"
    no_header = b"\0" * 4 + data[4:]
    found = damage_of(no_header, witness)
    assert found is None or not found.is_other, "whose log it is stands in the header"


def index_of(salts: bytes, committed: int, copied: int, version: int = 3007000, begun: int = 1) -> bytes:
    """An index of a log, as SQLite writes it."""
    head = struct.pack("=3I2BHI", version, 0, 8, begun, 0, SIZE, committed) + bytes(12) + salts
    both = head + struct.pack("=2I", *checksum(head, sys.byteorder))
    return both * 2 + struct.pack("=I", copied)


@given(st.binary(min_size=8, max_size=8), st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.binary(max_size=9))
@example(SALTS, 2**32 - 1, 2**32 - 1, b"")
def test_an_index_says_what_stands_in_it(salts: bytes, committed: int, copied: int, rest: bytes) -> None:
    data = index_of(salts, committed, copied)
    assert len(data) == 100
    assert read_witness(data + rest) == Witness(salts, committed, copied)
    assert read_witness(data[:-1]) is None
    assert read_witness(b"") is None


@pytest.mark.parametrize("at", range(96))
def test_an_index_whose_copies_or_sums_differ_says_nothing(at: int) -> None:
    data = index_of(SALTS, 3, 1)
    one = data[:at] + bytes([data[at] ^ 16]) + data[at + 1 :]
    assert read_witness(one) is None
    head = one[:48] if at < 48 else one[48:96]
    assert read_witness(head * 2 + data[96:]) is None


def test_an_index_that_is_not_begun_or_of_another_version_says_nothing() -> None:
    assert read_witness(index_of(SALTS, 3, 1, begun=0)) is None
    assert read_witness(index_of(SALTS, 3, 1, version=3007001)) is None
    assert read_witness(index_of(SALTS, 3, 1)) == Witness(SALTS, 3, 1)


PAGES = [bytes([65 + i]) * SIZE for i in range(4)]
"""Pages of a file."""


class Pages(list[bytes]):
    """Pages of a file; equal apart from the count of pages that stands in the first."""

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        assert isinstance(other, list)
        return self._without_count(self) == self._without_count(other)

    @staticmethod
    def _without_count(pages: list[bytes]) -> list[bytes]:
        return [page[:28] + page[32:] if i == 0 else page for i, page in enumerate(pages)]


def restored(data: bytes, database: bytes, committed: int) -> tuple[Pages, int]:
    """The pages that are put back, and how many are lost."""
    made, lost = restore_pages(database, log_of(data), committed)
    assert len(made) % SIZE == 0
    assert int.from_bytes(made[28:32], "big") == len(made) // SIZE
    return Pages(made[at : at + SIZE] for at in range(0, len(made), SIZE)), lost


def test_pages_of_a_log_take_the_place_of_those_of_the_file() -> None:
    database = b"".join(PAGES)
    written = Written([(2, 0, 1), (3, 4, 2), (2, 4, 3), (6, 6, 4)])
    one, two, three, six = PAGES[0], written.content(3), written.content(2), written.content(4)
    assert restored(written.data, database, 4) == ([one, two, three, PAGES[3], bytes(SIZE), six], 0)
    assert restored(written.data, database, 2) == ([one, written.content(1), three, PAGES[3]], 0), "only what was stored"
    assert restored(written.data[: written.at(2)], database, 4)[1] == 2, "two frames are cut off"
    assert restored(written.data, database + b"part", 0) == (PAGES, 0), "a part of a page is none"
    assert restore_pages(b"", log_of(written.damaged(written.at(0) + 99)[: written.at(1)]), 1) == (b"", 1), "no page at all"


@pytest.mark.parametrize("index", range(3))
def test_a_damaged_frame_loses_its_page_unless_a_later_one_or_the_file_has_it(index: int) -> None:
    database = b"".join(PAGES)
    written = Written([(1, 4, 1), (2, 4, 2), (3, 4, 3)])
    data = written.damaged(written.at(index) + 24 + 77)
    pages = [written.content(i) for i in (1, 2, 3)]
    expected = [PAGES[i] if i == index else page for i, page in enumerate(pages)]
    assert restored(data, database, 3) == ([*expected, PAGES[3]], 1)
    copied = b"".join([*pages, PAGES[3]])
    assert restored(data, copied, 3) == ([*pages, PAGES[3]], 0), "it was copied into the file"
    assert restored(data, database[: index * SIZE], 3)[1] == 1, "the file does not have it"
    again = Written([(1, 4, 1), (2, 4, 2), (3, 4, 3), (index + 1, 4, 9)])
    later = [again.content(9) if i == index else page for i, page in enumerate(pages)]
    assert restored(again.damaged(again.at(index) + 24 + 77), database, 4) == ([*later, PAGES[3]], 0)


def test_a_page_that_was_copied_is_not_stale_after_an_earlier_damage() -> None:
    written = Written([(2, 4, 1), (2, 4, 2)])
    data = written.damaged(written.at(0) + 24 + 77)
    data = data[: written.at(1) + 90] + b"\0\0" + data[written.at(1) + 92 :]
    database = PAGES[0] + written.content(2)
    assert restored(data, database, 2) == ([PAGES[0], written.content(2)], 0)
    assert restored(data, b"".join(PAGES[:2]), 2) == (PAGES[:2], 1), "one page, however often"


@pytest.mark.parametrize(("page", "lost"), [(0, 2), (4, 1), (5, 1), (8, 1), (9, 2), (2**31, 2)])
def test_frames_with_a_damaged_number_lose_a_page_each_where_it_is_none_that_there_can_be(page: int, lost: int) -> None:
    written = Written([(1, 4, 1), (2, 4, 2), (3, 4, 3), (2, 4, 4)])
    data = bytearray(written.data)
    for index in (1, 3):
        data[written.at(index) : written.at(index) + 4] = struct.pack(">I", page)
    expected = [written.content(1), PAGES[1], written.content(3), PAGES[3]]
    assert restored(bytes(data), b"".join(PAGES), 4) == (expected, lost)


@given(st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=3))
def test_a_log_of_all_pages_is_one_transaction_in_the_order_of_this_machine(fills: list[int]) -> None:
    database = b"".join(struct.pack(">I", fill) * (PAGE_SIZE // 4) for fill in fills)
    data = write_log(database)
    order, salts, count = sys.byteorder, data[16:24], len(fills)
    assert data[:16] == struct.pack(">4I", MAGIC[order], 3007000, PAGE_SIZE, 0)
    sums = checksum(data[:24], order)
    assert data[24:32] == struct.pack(">2I", *sums)
    rest = data[32:]
    for i in range(count):
        begin, page = struct.pack(">2I", i + 1, count if i == count - 1 else 0), database[i * PAGE_SIZE : (i + 1) * PAGE_SIZE]
        sums = checksum(begin + page, order, sums)
        expected = begin + salts + struct.pack(">2I", *sums) + page
        assert rest[: len(expected)] == expected
        rest = rest[len(expected) :]
    assert rest == b""
    assert write_log(database)[16:24] != salts, "every log has salts of its own"


class Looks:
    """A store whose files are seen in turn; the last of them for the rest."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *states: tuple[bytes, bytes]) -> None:
        self.states, self.seen, self.pauses = list(states), list[str](), list[float]()
        monkeypatch.setattr(write_ahead_log, "_bytes_of", self._read)
        monkeypatch.setattr(write_ahead_log.time, "sleep", self.pauses.append)

    def _read(self, file: Path, end: str) -> bytes:
        assert file == Path("store.db")
        self.seen.append(end)
        index, log = self.states[0]
        if end == "-shm":
            return index
        if len(self.states) > 1:
            self.states.pop(0)
        return log


def test_damage_is_what_is_there_at_a_second_look(monkeypatch: pytest.MonkeyPatch) -> None:
    written = Written([(i + 1, 1, i) for i in range(4)])
    index = index_of(SALTS, 4, 0)
    bad, worse = (index, written.damaged(written.at(2) + 50)), (index, written.damaged(written.at(1) + 50))
    good, new = (index, written.data), (index_of(SALTS, 4, 1), bad[1])

    looks = Looks(monkeypatch, bad)
    assert find_damage(Path("store.db"), with_index=True) == LogDamage(2, 4, 1)
    assert (looks.seen, looks.pauses) == (["-shm", "-wal"] * 2, [0.02])

    looks = Looks(monkeypatch, bad, good)
    assert find_damage(Path("store.db"), with_index=True) is None
    assert (looks.seen, looks.pauses) == (["-shm", "-wal"] * 2, [0.02])

    looks = Looks(monkeypatch, good, bad)
    assert find_damage(Path("store.db"), with_index=True) is None
    assert looks.pauses == []

    looks = Looks(monkeypatch, bad, worse, bad, bad)
    assert find_damage(Path("store.db"), with_index=True) == LogDamage(2, 4, 1)
    assert len(looks.pauses) == 3

    looks = Looks(monkeypatch, bad, worse, bad, worse, bad, worse)
    assert find_damage(Path("store.db"), with_index=True) is None, "a process that writes on is not damage"
    assert len(looks.pauses) == 4

    looks = Looks(monkeypatch, bad, worse, new)
    assert find_damage(Path("store.db"), with_index=True) == LogDamage(2, 4, 1)
    assert len(looks.pauses) == 3, "what the index has copied is not among what is compared"

    header = (index, b"\0" + bad[1][1:])
    looks = Looks(monkeypatch, header, (index, b"\1" + bad[1][1:]), (index_of(SALTS, 5, 0), bad[1]), good)
    assert find_damage(Path("store.db"), with_index=True) is None, "log or index begun again between two looks"
    assert len(looks.pauses) == 3


def test_the_index_is_read_only_where_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    written = Written([(1, 1, 1)])
    looks = Looks(monkeypatch, (index_of(SALTS, 4, 0), written.data))
    assert find_damage(Path("store.db"), with_index=False) is None
    assert looks.seen == ["-wal"], "and nothing is taken for an index"
    looks = Looks(monkeypatch, (index_of(SALTS, 4, 0), written.data))
    assert find_damage(Path("store.db"), with_index=True) == LogDamage(1, 4, 3)


def test_damage_in_words() -> None:
    assert str(LogDamage(1_000, 3_000, 2)) == (
        "2 of 3,000 frames of the write-ahead log (-wal) are damaged or missing, and"
        " SQLite would drop the 2,000 from number 1,001 on"
    )
    assert str(LogDamage(1, 3, 2, is_other=True)) == (
        "the write-ahead log (-wal) and its index (-shm) do not belong together, and SQLite would play the log into"
        " the file, whichever store it is of"
    )
    assert LogDamage(1, 3, 2).is_other is False


def test_words_of_a_frame_are_read_as_numbers_without_a_sign() -> None:
    log = log_of(Written([(2**32 - 1, 2**31, 3)]).data)
    assert (log.pages.dtype, log.sizes.dtype) == (np.uint32, np.uint32)
    assert (log.pages[0], log.sizes[0]) == (2**32 - 1, 2**31)
