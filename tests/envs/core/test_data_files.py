"""Whatever a path leads to, every reader of data gives its file or one clear error, at once."""

from __future__ import annotations

import gzip
import json
import os
import socket
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest
from hypothesis import given
from hypothesis import strategies as st

import palaestra  # noqa: F401  registers the environments
from palaestra.agents.backends.prices import PriceTable
from palaestra.agents.backends.scripted import ScriptedBackend
from palaestra.agents.export.reading import load_conversations, load_episodes, load_trajectories
from palaestra.agents.store.check import check_store
from palaestra.agents.store.store import RunStore
from palaestra.algorithms.run.recipe import load_recipe
from palaestra.envs.agentgym.published import read_items
from palaestra.envs.agentgym.textcraft.books import load_book
from palaestra.envs.core import data_files
from palaestra.envs.core.data_files import files_in, kind_of, read_data, read_text
from palaestra.envs.vehicle.published.tasks import load_published
from palaestra.errors import ConfigError, StoreError, UsageError

RECIPE = {
    "type": "minecraft:crafting_shapeless",
    "ingredients": [{"item": "minecraft:log"}],
    "result": {"item": "minecraft:plank", "count": 4},
}
READERS: dict[str, Callable[[Path], Any]] = {
    "textcraft": load_book,
    "agentgym": lambda path: read_items(path, "textcraft"),
    "vehicle": load_published,
    "training": load_recipe,
    "prices": PriceTable.load,
    "script": ScriptedBackend.from_file,
    "conversations": lambda path: list(load_conversations(path)),
    "trajectories": lambda path: list(load_trajectories(path)),
    "episodes": lambda path: list(load_episodes(path)),
    "a run store": lambda path: RunStore(path, read_only=True).close(),
    "a check of a store": check_store,
}


def loop(folder: Path) -> Path:
    (folder / "a").symlink_to(folder / "b")
    (folder / "b").symlink_to(folder / "a")
    return folder / "a"


def loop_below(folder: Path) -> Path:
    return loop(folder) / "x" / "tasks.jsonl"


def pipe(folder: Path) -> Path:
    os.mkfifo(folder / "pipe.json")
    return folder / "pipe.json"


def unix_socket(folder: Path) -> Path:
    here = Path.cwd()
    os.chdir(folder)  # its path has to be short
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind("s")
    finally:
        os.chdir(here)
    return folder / "s"


def latin(folder: Path) -> Path:
    (folder / "x.toml").write_bytes(b"\xff\xfe\x00")
    return folder / "x.toml"


def file_as_folder(folder: Path) -> Path:
    (folder / "x").write_text("a")
    return folder / "x" / "y"


ODD: dict[str, Callable[[Path], Path]] = {
    "links in a circle": loop,
    "below links in a circle": loop_below,
    "a pipe": pipe,
    "a socket": unix_socket,
    "endless device": lambda folder: Path("/dev/zero"),
    "empty device": lambda folder: Path("/dev/null"),
    "a long name": lambda folder: folder / ("x" * 5000),
    "a long path": lambda folder: folder.joinpath(*["x" * 100] * 200),
    "a null": lambda folder: folder / "a\0b",
    "nothing": lambda folder: folder / "nothing",
    "below a file": file_as_folder,
    "an empty folder": lambda folder: folder,
    "a dead link": lambda folder: (folder / "dead").symlink_to(folder / "none") or folder / "dead",  # type: ignore[func-returns-value]
    "not UTF-8": latin,
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("odd", ODD)
def test_whatever_a_path_leads_to_is_one_clear_error(reader: str, odd: str, tmp_path: Path) -> None:
    with pytest.raises((UsageError, StoreError)) as caught:
        READERS[reader](ODD[odd](tmp_path))
    text = str(caught.value)
    assert "\n" not in text
    assert 20 < len(text) < 900


@pytest.mark.parametrize("odd", [name for name in ODD if name not in ("nothing", "an empty folder", "not UTF-8")])
def test_recipes_of_textcraft_may_be_anything_and_make_says_so(odd: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        gym.make("palaestra/TextCraft-v0", recipes=str(ODD[odd](tmp_path)))


@pytest.mark.parametrize(
    ("name", "make", "match"),
    [
        ("a.json", lambda path: path.mkdir(), "a.json' is a folder; expected a file, as its name says"),
        ("a.json", lambda path: os.mkfifo(path), "a.json' is a pipe"),
        ("a.json", lambda path: path.symlink_to("/dev/zero"), "a.json' is a device"),
        ("a.json", lambda path: path.symlink_to(path), "a.json' cannot be read: its links lead in a circle"),
        ("a.json", lambda path: path.symlink_to("none"), "a.json' is a link to nothing"),
        ("a.json", lambda path: path.write_bytes(b" " * (2**20 + 1)), "a.json' is larger than 1,048,576 bytes"),
        ("a.json", lambda path: path.write_bytes(b"\xff"), "a.json' is not UTF-8 text"),
        ("a.json", lambda path: path.write_bytes(b"[" * 200_000), "a.json is not valid JSON"),
    ],
)
def test_a_folder_of_recipes_with_something_odd_in_it(
    name: str, make: Callable[[Path], Any], match: str, tmp_path: Path
) -> None:
    (tmp_path / "plank.json").write_text(json.dumps(RECIPE))
    assert load_book(tmp_path).items
    make(tmp_path / name)
    with pytest.raises(ConfigError, match=match):
        load_book(tmp_path)


def test_names_that_are_not_recipes_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "plank.json").write_text(json.dumps(RECIPE))
    book = load_book(tmp_path)
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / ".hidden.json").mkdir()
    assert load_book(tmp_path) == book
    (tmp_path / "link.json").symlink_to(tmp_path / "plank.json")
    assert load_book(tmp_path).items == book.items


def test_a_folder_of_very_many_files_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_files, "MAX_FILES", 3)
    for number in range(3):
        (tmp_path / f"{number}.json").write_text("{}")
    assert len(files_in(tmp_path, ".json")) == 3
    (tmp_path / "more").write_text("")
    with pytest.raises(ConfigError, match="more than 3 entries"):
        files_in(tmp_path, ".json")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read_is_said(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{}")
    (tmp_path / "a.json").chmod(0)
    with pytest.raises(ConfigError, match="no right to read it"):
        load_book(tmp_path)


def test_reading_is_bounded(tmp_path: Path) -> None:
    file = tmp_path / "x"
    file.write_bytes(b"12345")
    assert read_data(file, max_bytes=5) == b"12345"
    with pytest.raises(ConfigError, match="larger than 4 bytes"):
        read_data(file, max_bytes=4)
    with file.open("wb") as stream:
        stream.truncate(2**33)  # takes no place on the disk
    tracemalloc.start()
    with pytest.raises(ConfigError, match="larger than"):
        read_data(file, max_bytes=2**20)
    with pytest.raises(ConfigError, match="larger than"):
        load_book(file)
    with pytest.raises(ConfigError, match="larger than"):
        load_recipe(file)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 64 * 2**20


def test_a_file_of_tasks_that_unpacks_to_any_size_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("palaestra.envs.vehicle.published.tasks.MAX_BYTES", 2**20)
    (tmp_path / "tasks.jsonl.gz").write_bytes(gzip.compress(bytes(2**26)))
    with pytest.raises(UsageError, match="unpacks to more than 1,048,576 bytes"):
        load_published(tmp_path)


def test_line_ends_are_those_of_text_files(tmp_path: Path) -> None:
    file = tmp_path / "x"
    file.write_bytes(b"a\r\nb\rc\n")
    assert read_text(file, max_bytes=99) == file.read_text(encoding="utf-8") == "a\nb\nc\n"
    assert kind_of(file) == "file"


def test_deep_toml_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "deep.toml"
    file.write_text("x = " + "[" * 5000 + "]" * 5000)
    with pytest.raises(ConfigError, match="nested too deeply"):
        load_recipe(file)


@pytest.mark.parametrize("path", ["", "~no-such-user-of-this-machine/x"])
def test_paths_that_mean_nothing(path: str) -> None:
    with pytest.raises(ConfigError, match="path"):
        gym.make("palaestra/TextCraft-v0", recipes=path)


@given(text=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\ufeff"), max_size=50))
def test_a_byte_order_mark_is_not_part_of_a_text(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("bom") / "x.txt"
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert read_text(path, max_bytes=1000) == text
