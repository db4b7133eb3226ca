"""A repair that is killed leaves all of the damaged store or all of the repaired one."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from palaestra.agents.store.check import check_store
from palaestra.agents.store.store import FILE_NAME, RunStore
from palaestra.agents.store.write_ahead_log import read_witness
from palaestra.errors import StoreError
from tests.agents.store.killed import FRAME, Files, episode, files_of, killed, put, stored

KILLER = """
import os, sys
from palaestra.agents.store.check import check_store
CHANGES = {"os.rename", "os.remove", "os.truncate"}
folder, count = sys.argv[1], 0

def hook(event, args):  # before every call that changes a file in the folder of the store
    global count
    if event in CHANGES or (event == "open" and args[2] & (os.O_WRONLY | os.O_RDWR)) or event == "sqlite3.connect":
        if any(str(arg).removeprefix("file://").startswith(folder) for arg in args[:2]):
            if count == int(os.environ["KILL_AT"]):
                os._exit(9)
            count += 1

for number in range(100):
    for name in sys.argv[2:]:  # the damaged store, from bytes that the test gave
        target = os.path.join(folder, str(number))
        os.makedirs(target, exist_ok=True)
        with open(os.path.join(target, os.path.basename(name)), "wb") as file:
            file.write(open(name, "rb").read())
    child = os.fork()
    if child == 0:
        os.environ["KILL_AT"] = str(number)
        sys.addaudithook(hook)
        check_store(target, repair=True)
        os._exit(0)
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0:
        break
"""


def damaged(states: list[Files]) -> Files:
    """A killed store whose last frame, of an episode's trajectory, is damaged in the log."""
    files = dict(states[-1])
    witness = read_witness(files["-shm"])
    assert witness is not None
    log, mark = bytearray(files["-wal"]), 32 + witness.num_committed * FRAME - 3000
    log[mark : mark + 100] = b"\xa5" * 100
    return {**files, "-wal": bytes(log)}


@pytest.fixture(scope="module")
def states(tmp_path_factory: pytest.TempPathFactory) -> list[Files]:
    folder = tmp_path_factory.mktemp("killed")
    with RunStore(folder) as store:  # pages of a run that was deleted: the repaired file has others in their place
        store.create_run({}, "gone")
        for number in range(20):
            store.add("gone", episode(number))
        store.delete_run("gone")
    return killed(folder, episodes=12, checkpoint_at=5)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("first_page", ["whole", "damaged"])
def test_a_repair_that_is_killed_before_any_of_its_steps_loses_nothing(
    states: list[Files], tmp_path: Path, first_page: str
) -> None:
    files = damaged(states)
    if first_page == "damaged":
        files[""] = b"\x5a" * 4096 + files[""][4096:]
    given, folder = tmp_path / "given", tmp_path / "killed"
    for made in (given, folder):
        made.mkdir()
    put(given, files)
    before = check_store(given)
    kept = {run.run_id: run.kept for run in before.runs}
    assert sum(kept.values()) >= 11
    names = [str(path) for path in given.iterdir()]
    subprocess.run([sys.executable, "-c", KILLER, str(folder), *names], check=True, timeout=120)
    killed_at = sorted(folder.iterdir(), key=lambda path: int(path.name))
    assert len(killed_at) > 8
    kinds = set()
    for place in killed_at:
        with contextlib.suppress(StoreError):
            RunStore(place).close()  # a command that is started again
            kinds.add("opens")
        checked = check_store(place, repair=True)
        kinds.add("repaired" if checked.is_whole else "damaged")
        assert {run.run_id: run.kept for run in checked.runs} == kept
        assert len(stored(place)) == sum(kept.values())
        assert not list(place.glob(".repaired*"))
        saved = [path for path in place.iterdir() if ".damaged-" in path.name and path.name[-4:] not in ("-wal", "-shm")]
        assert {path.read_bytes() for path in saved} == {files[""]}
    assert kinds == {"damaged", "opens", "repaired"}


def test_the_damaged_files_are_kept_under_names_of_their_own(states: list[Files], tmp_path: Path) -> None:
    seen = set()
    for number in range(3):  # within one second
        files = {**damaged(states), "-shm": states[-1]["-shm"]}
        files[""] = files[""][:-1] + bytes([number])
        put(tmp_path, files)
        name = check_store(tmp_path, repair=True).saved_as
        assert name not in seen
        seen.add(name)
        for end, data in files.items():
            assert (tmp_path / f"{name}{end}").read_bytes() == data
        assert set(files_of(tmp_path)) == {""}, "nothing of the old log is left next to the new file"


def test_a_repair_that_cannot_be_written_leaves_the_store_as_it_was(
    states: list[Files], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = damaged(states)
    put(tmp_path, files)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copy2", full)
    with pytest.raises(StoreError, match=r"cannot be written next to .*free space"):
        check_store(tmp_path, repair=True)
    assert files_of(tmp_path) == files
    assert not list(tmp_path.glob(".repaired*"))


def test_a_store_that_is_played_or_open_here_is_not_repaired(states: list[Files], tmp_path: Path) -> None:
    put(tmp_path, states[-1])
    with RunStore(tmp_path) as store:
        store._connection.execute("UPDATE episodes SET score = 9.0 WHERE number = 2")
        with pytest.raises(StoreError, match="is open in this process; close the store"):
            check_store(tmp_path, repair=True)
        with store.lock("a"), pytest.raises(StoreError, match=r"Run 'a' in .* is being played; end that process"):
            check_store(tmp_path, repair=True)
    assert [run.rebuilt for run in check_store(tmp_path, repair=True).runs] == [0, 1]
    assert json.dumps(sorted(stored(tmp_path)))
    assert (tmp_path / FILE_NAME).exists()
