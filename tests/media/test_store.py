import copy
import hashlib
import multiprocessing
import os
import pickle
import random
import subprocess
import sys
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.errors import StoreError, UsageError
from palaestra.media import (
    FolderMedia,
    Media,
    MemoryMedia,
    current_media,
    describe,
    png_bytes,
    set_media,
    tone,
    use_media,
    wav_bytes,
)
from palaestra.media.headers import SUFFIXES
from palaestra.media.store import STALE_DRAFT_S, VARIABLE, MediaOutbox, read_known_tags

TONE = tone(440, 0.1)
PICTURE = png_bytes(np.full((4, 4, 3), 9, np.uint8))


@pytest.fixture(params=["memory", "folder"])
def store(request, tmp_path):
    return MemoryMedia() if request.param == "memory" else FolderMedia(tmp_path / "media")


def test_bytes_are_named_described_and_found_again(store):
    media = store.put(TONE)
    assert media == Media(hashlib.sha256(TONE).hexdigest(), "audio/wav", 0.1, 16_000)
    assert store.get(media) == store.get(media.sha256) == store.find(media) == TONE
    assert media in store
    assert media.sha256 in store
    assert list(store) == [media.sha256]


def test_the_same_bytes_are_kept_once(store):
    for _ in range(3):
        store.put(TONE)
        store.put(bytearray(PICTURE), "image/png")
    assert len(store) == 2
    assert store.num_bytes == len(TONE) + len(PICTURE)
    assert sorted(store) == sorted(hashlib.sha256(data).hexdigest() for data in (TONE, PICTURE))


@pytest.mark.parametrize("data", [TONE, PICTURE], ids=["sound", "picture"])
@pytest.mark.parametrize("order", [0, 1], ids=["part first", "all first"])
def test_bytes_added_under_part_of_their_description_answer_to_any_true_part_of_it(store, data, order):
    whole = describe(data)
    bare = Media(whole.sha256, whole.type)
    half = replace(bare, rate=whole.rate)
    for media in (half, whole) if order == 0 else (whole, half):
        store.add([(media, data)])
    assert len(store) == 1
    assert all(store.find(media) == data for media in (bare, half, whole))
    assert store.find(replace(whole, **({"rate": 1} if whole.rate else {"width": 1}))) is None


@pytest.mark.parametrize("data", [TONE, PICTURE], ids=["sound", "picture"])
def test_what_bytes_tell_of_themselves_completes_what_is_said_of_them(store, data):
    whole = describe(data)
    store.add([(Media(whole.sha256, whole.type), data)])
    assert store.find(whole) == data
    assert store.find(replace(whole, **({"rate": 1} if whole.rate else {"width": 1}))) is None


def test_a_type_of_the_callers_own_keeps_its_bytes(store):
    media = store.put(b"some codec", "audio/x-codec", seconds=2, rate=8000)
    assert (media.type, media.seconds, media.rate) == ("audio/x-codec", 2.0, 8000)
    assert store.get(media.sha256) == b"some codec"


def test_what_is_nowhere_is_none_or_one_clear_error(store):
    media = describe(TONE)
    assert store.find(media) is None
    assert media not in store
    with pytest.raises(StoreError, match=rf"does not hold the audio {media.sha256}. Put its bytes there first"):
        store.get(media)


@pytest.mark.parametrize("name", ["", "../secret", "/etc/passwd", "A" * 64, "a" * 63, "a" * 65, 3, None])
def test_a_name_that_is_no_hash_reaches_no_file(store, name):
    assert name not in store
    with pytest.raises(UsageError, match="SHA-256 of 64 hexadecimal digits"):
        store.find(name)


def test_bytes_that_cannot_be_taken_are_refused(tmp_path):
    for store in (MemoryMedia(max_item_bytes=100), FolderMedia(tmp_path, max_item_bytes=100), MemoryMedia(max_bytes=100)):
        with pytest.raises(UsageError, match=r"got 3,244 bytes; expected 1 to 100 \(max_item_bytes\)"):
            store.put(TONE)
        with pytest.raises(UsageError, match="got 0 bytes"):
            store.put(b"")
        with pytest.raises(UsageError, match="of no known type"):
            store.put(b"hello")
        with pytest.raises(UsageError, match="got a str; expected the bytes"):
            store.put("hello")
        assert len(store) == 0


def test_keeping_copies_what_is_missing_and_says_what_is_nowhere(store):
    source = MemoryMedia()
    media = [source.put(TONE), source.put(PICTURE)]
    store.put(TONE)
    store.keep(media, source)
    assert sorted(store) == sorted(item.sha256 for item in media)
    nowhere = describe(tone(100, 0.1))
    with pytest.raises(StoreError, match=nowhere.sha256):
        store.keep([nowhere], source)


# -- in memory --------------------------------------------------------------------------------------------------------


def test_memory_is_bounded_and_what_it_drops_is_never_missing_silently():
    sounds = [tone(f, 0.1) for f in (100, 200, 300)]
    store = MemoryMedia(max_bytes=2 * len(TONE))
    media = [store.put(sound) for sound in sounds[:2]]
    store.get(media[0])
    store.put(sounds[2])
    assert store.num_bytes == 2 * len(TONE)
    assert media[0] in store
    assert media[1] not in store
    for ask in (store.get, store.find):
        with pytest.raises(StoreError, match=rf"dropped the audio {media[1].sha256}: more than .* {VARIABLE}"):
            ask(media[1])
    store.put(sounds[1])
    assert store.get(media[1]) == sounds[1]


def test_threads_share_a_store():
    store = MemoryMedia(max_bytes=20 * len(TONE))

    def work(number: int) -> None:
        for i in range(60):
            sound = tone(100 + (number * 7 + i) % 30, 0.1)
            assert store.get(store.put(sound)) == sound

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.num_bytes == sum(len(store.get(name)) for name in store) <= 20 * len(TONE)


def test_a_copied_store_is_the_store_and_a_pickled_one_the_current_one():
    store = MemoryMedia()
    assert copy.deepcopy(store) is store
    assert pickle.loads(pickle.dumps(store)) is current_media()


# -- in a folder ------------------------------------------------------------------------------------------------------


def test_files_bear_their_hash_and_the_end_of_their_type(tmp_path):
    store = FolderMedia(tmp_path / "a" / "media")
    tone_, picture = store.put(TONE), store.put(PICTURE)
    assert sorted(path.name for path in store.folder.iterdir()) == sorted([f"{tone_.sha256}.wav", f"{picture.sha256}.png"])
    assert store.path(tone_) == store.path(tone_.sha256) == store.folder / f"{tone_.sha256}.wav"
    twin = pickle.loads(pickle.dumps(store))
    assert twin.get(tone_) == TONE
    assert len(FolderMedia(tmp_path / "nowhere")) == 0
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("damage", [b"", TONE[:-1], TONE[:-1] + b"\x07", TONE + b"\0"])
def test_damage_is_found_by_the_hash_and_healed_by_the_bytes(tmp_path, damage):
    media = FolderMedia(tmp_path).put(TONE)
    (tmp_path / f"{media.sha256}.wav").write_bytes(damage)
    store = FolderMedia(tmp_path)
    assert media not in store
    with pytest.raises(StoreError, match=r"is damaged: its [\d,]+ bytes do not have the hash in its name. Restore it"):
        store.get(media)
    store.put(TONE)
    assert store.get(media) == TONE


def test_a_file_that_vanished_is_written_again(tmp_path):
    store = FolderMedia(tmp_path)
    media = store.put(TONE)
    (tmp_path / f"{media.sha256}.wav").unlink()
    assert media not in store
    store.put(TONE)
    assert store.get(media) == TONE


def test_other_files_in_the_folder_do_no_harm(tmp_path):
    store = FolderMedia(tmp_path)
    media = store.put(TONE)
    (tmp_path / f".{media.sha256}.wav.99.abcd.draft").write_bytes(b"half")
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / ("f" * 64)).mkdir()
    assert list(store) == [media.sha256]
    assert len(store) == 1
    assert store.num_bytes == len(TONE)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="rights do not bind this user")
def test_a_folder_that_cannot_be_written_is_one_clear_error(tmp_path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(StoreError, match=r"Media cannot be written to .* change its rights"):
            FolderMedia(tmp_path / "media").put(TONE)
    finally:
        tmp_path.chmod(0o700)


def test_a_path_that_is_no_folder_is_one_clear_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="Media cannot be written to"):
        FolderMedia(tmp_path / "file" / "media").put(TONE)


def test_a_disk_that_fails_leaves_no_half_of_a_file(tmp_path, monkeypatch):
    def fail(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    store = FolderMedia(tmp_path)
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(StoreError, match="No space left on device"):
        store.put(TONE)
    assert list(tmp_path.iterdir()) == []


def test_bytes_are_on_the_disk_before_their_name_is(tmp_path, monkeypatch):
    done: list[str] = []
    real_fsync, real_replace = os.fsync, os.replace

    def fsync(descriptor: int) -> None:
        done.append("folder" if os.path.isdir(f"/proc/self/fd/{descriptor}") else "file")
        real_fsync(descriptor)

    def replace(draft, path) -> None:
        done.append("name")
        real_replace(draft, path)

    store = FolderMedia(tmp_path)
    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replace)
    source = MemoryMedia()
    store.keep([source.put(TONE), source.put(PICTURE)], source)
    assert done == ["file", "file", "name", "name", "folder"]
    store.keep([source.put(TONE)], source)
    assert len(done) == 5


def write_for_ever(folder: str, started) -> None:
    store = FolderMedia(folder)
    for number in range(1_000_000):
        store.put(tone(100 + number % 3000, 0.5))
        if number == 2:
            started.send("writing")


@pytest.mark.skipif("forkserver" not in multiprocessing.get_all_start_methods(), reason="needs fork")
def test_writers_killed_at_random_instants_leave_only_whole_files(tmp_path):
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    rng, sizes = random.Random(3), []
    for _ in range(20):
        mine, theirs = context.Pipe()
        child = context.Process(target=write_for_ever, args=(str(tmp_path), theirs))
        child.start()
        theirs.close()
        mine.recv()
        time.sleep(rng.uniform(0, 0.03))
        child.kill()
        child.join()
        mine.close()
        store = FolderMedia(tmp_path)
        assert all(len(store.get(name)) == 16_044 for name in store)
        sizes.append(len(store))
    assert sizes == sorted(sizes)
    assert sizes[-1] > sizes[0]


# -- the current one --------------------------------------------------------------------------------------------------


def test_a_later_writer_removes_what_a_killed_one_left_and_nothing_else(tmp_path):
    folder = tmp_path / "media"
    first = FolderMedia(folder)
    kept = first.put(TONE)
    name = f"{'0' * 64}.png"
    stale, told = folder / f".{name}.7.aa.draft", folder / f".{'1' * 64}.told-{'2' * 16}.7.aa.draft"
    fresh, foreign = folder / f".{name}.8.bb.draft", folder / ".notes.draft"
    for path in (stale, told, fresh, foreign):
        path.write_bytes(b"half of it")
    for path in (stale, told, foreign):
        then = path.stat().st_mtime - STALE_DRAFT_S - 60
        os.utime(path, (then, then))
    FolderMedia(folder).get(kept)
    first.put(png_bytes(np.zeros((1, 1, 3), np.uint8)))
    assert stale.exists()  # a reader removes nothing, and a writer looks once, when it begins
    FolderMedia(folder).put(PICTURE)
    assert [path.exists() for path in (stale, told, fresh, foreign)] == [False, False, True, True]
    assert len(FolderMedia(folder)) == 3


def test_the_current_store_can_be_another_for_a_while_or_for_good(tmp_path):
    before = current_media()
    assert current_media() is before
    with use_media(FolderMedia(tmp_path)) as store:
        assert current_media() is store
        with pytest.raises(ZeroDivisionError), use_media(MemoryMedia()):
            raise ZeroDivisionError
        assert current_media() is store
    assert current_media() is before
    set_media(store)
    assert current_media() is store
    set_media(before)


def test_a_folder_named_by_the_environment_is_shared_with_other_processes(tmp_path):
    program = (
        "import sys; from palaestra.media import current_media, tone; m = current_media();"
        " print(m.put(tone(440, 0.1)).tag, type(m).__name__)"
    )
    for folder, kind in ((str(tmp_path / "shared"), "FolderMedia"), ("", "MemoryMedia")):
        done = subprocess.run(
            [sys.executable, "-c", program], env={**os.environ, VARIABLE: folder}, capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == f"{describe(TONE).tag} {kind}"
    assert FolderMedia(tmp_path / "shared").get(describe(TONE)) == TONE


# -- what names bytes -------------------------------------------------------------------------------------------------

STEREO = wav_bytes(np.zeros((40, 2), np.int16), 8000)
PUT = (
    (TONE, "", {}),
    (STEREO, "", {}),
    (PICTURE, "", {}),
    (b"ID3 a song", "", {}),
    (b"OggS song", "", {"seconds": 2, "rate": 8}),
)
OWN = ((b"a codec", "audio/x-codec", {"seconds": 3}), (b"a drawing", "image/svg+xml", {}), (TONE + b"\0", "audio/x-raw", {}))
CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from([*SUFFIXES, "audio/x-codec", "audio/x-raw", "image/svg+xml"]),
        "seconds": st.sampled_from([None, 0.0, 0.1, 2.0, 3.0, 9999.0]),
        "rate": st.sampled_from([None, 1, 8, 8000, 16_000]),
        "channels": st.sampled_from([1, 2, 3]),
        "width": st.sampled_from([None, 4, 5]),
        "height": st.sampled_from([None, 4, 5]),
    },
)


def is_right(said: Media, put: Media) -> bool:
    left_out = {name: None for name in ("seconds", "rate", "width", "height") if getattr(said, name) is None}
    return said == replace(put, **left_out)


@given(st.sampled_from([*PUT, *OWN]), CHANGES)
def test_a_tag_names_bytes_only_if_all_it_says_is_right_whatever_the_store(tmp_path_factory, put, changes):
    data, type, measures = put
    folder = tmp_path_factory.mktemp("media")
    stores = (MemoryMedia(), FolderMedia(folder), MediaOutbox())
    (media,) = {store.put(data, type, **measures) for store in stores}
    try:
        said = replace(media, **changes)
    except UsageError:  # a size of a sound ...
        return
    expected = (said.tag, (said,)) if is_right(said, media) else (said.tag, ())
    for store in (*stores, FolderMedia(folder)):
        assert store.holds(said) is (said in store) is is_right(said, media)
        assert store.find(said) == (data if is_right(said, media) else None)
        assert store.find(media.sha256) == data
        with use_media(store):
            assert read_known_tags(said.tag) == expected
        if not is_right(said, media):
            with pytest.raises(StoreError, match="does not hold"):
                store.get(said)


def test_the_same_bytes_may_be_put_as_several_things(tmp_path):
    for store in (MemoryMedia(), FolderMedia(tmp_path), outbox := MediaOutbox()):
        items = [
            store.put(TONE),
            store.put(TONE, "audio/x-raw"),
            store.put(b"ID3 a song"),
            store.put(b"ID3 a song", seconds=3),
            store.put(b"ID3 a song", seconds=4),
        ]
        assert all(item in store for item in items)
        assert replace(items[-1], seconds=5) not in store
    assert all(item in FolderMedia(tmp_path) for item in items)
    assert len(store) == len(FolderMedia(tmp_path)) == 2
    assert {media for media, _ in outbox.take_fresh()} == set(items)


def test_what_was_said_of_bytes_is_on_the_disk_before_they_are(tmp_path, monkeypatch):
    names: list[str] = []
    real = os.replace
    monkeypatch.setattr(os, "replace", lambda draft, path: (names.append(path.name), real(draft, path)))
    media = FolderMedia(tmp_path).put(b"ID3 a song", seconds=3)
    assert [name.split(".")[1][:5] for name in names] == ["told-", "mp3"]
    (told,) = tmp_path.glob("*.told-*")
    told.write_bytes(b"{")
    with pytest.raises(StoreError, match=r"cannot be read .* delete the files .*told-\*"):
        FolderMedia(tmp_path).get(media)
    told.unlink()  # as in folders of earlier versions, what the bytes do not tell is believed
    assert media in FolderMedia(tmp_path)
    assert replace(media, type="audio/flac") not in FolderMedia(tmp_path)


def test_bytes_that_were_dropped_are_missing_only_to_what_names_them():
    store = MemoryMedia(max_bytes=len(TONE))
    media = store.put(TONE)
    store.put(tone(200, 0.1))
    assert store.find(replace(media, rate=1)) is None
    for right in (media, replace(media, rate=None)):
        with pytest.raises(StoreError, match="dropped"):
            store.find(right)


def test_bytes_that_are_put_again_are_not_the_next_to_be_dropped():
    store = MemoryMedia(max_bytes=2 * len(TONE))
    first, second = store.put(TONE), store.put(tone(200, 0.1))
    store.put(TONE)
    store.put(tone(300, 0.1))
    assert first in store
    assert second not in store
