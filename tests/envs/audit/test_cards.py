"""Cards of all environments: which are made, which are skipped, and which no longer hold."""

import importlib
import sys
from dataclasses import replace

import gymnasium
import pytest

from palaestra.envs.audit import audit_all, audit_splits, cards, changes
from palaestra.envs.audit.card import Card
from palaestra.envs.audit.shipped import short
from palaestra.envs.registration import list_envs
from palaestra.errors import ConfigError, UnknownNameError, UsageError

TEXTCRAFT = "palaestra/TextCraft-v0"

GUESS = '''
"""Guess the word."""

import numpy as np

from palaestra.envs.core.tasks import GeneratedTasks, Task
from palaestra.envs.core.text_env import TextEnv, Turn

WORDS = "anchor bishop candle dragon ember falcon garnet harbor island jacket kettle lantern".split()


def task(split, number):
    rng = np.random.default_rng((number, split == "test"))
    word = f"{WORDS[int(rng.integers(12))]}-{int(rng.integers(10**6))}"
    return Task(f"{split}/{number}", split, "", {"word": word, "text": f"Say {word} {len(word)} times in upper case."})


class Guess(TextEnv):
    """Say a word in upper case."""

    full_return = 1.0

    def __init__(self, **kwargs):
        super().__init__(GeneratedTasks(task, {"train": None, "test": 30}), **kwargs)

    def expert(self):
        yield self.task.data["word"].upper()

    def _begin(self, task):
        return task.data["text"]

    def _act(self, action):
        is_right = action == self.task.data["word"].upper()
        return Turn("", float(is_right), True, is_right)

    def _save(self):
        return {}

    def _load(self, task, state):
        pass
'''


NAME = "guess_the_word"


@pytest.fixture(scope="module")
def guess(tmp_path_factory):
    """Yield a function that writes the module of an environment, changed if wanted, and loads it anew."""
    folder = tmp_path_factory.mktemp("guess")
    sys.path.insert(0, str(folder))
    gymnasium.register("tests/CardedGuess-v0", entry_point=f"{NAME}:Guess")

    def write(old="", new=""):
        assert old in GUESS
        (folder / f"{NAME}.py").write_text(GUESS.replace(old, new) if old else GUESS)
        importlib.invalidate_caches()
        sys.modules.pop(NAME, None)

    sys.dont_write_bytecode, before = True, sys.dont_write_bytecode  # the same second, the same size: a stale .pyc
    yield write
    sys.dont_write_bytecode = before
    gymnasium.registry.pop("tests/CardedGuess-v0")
    sys.modules.pop(NAME, None)
    sys.path.remove(str(folder))


@pytest.fixture(scope="module")
def kept(guess):
    """Return the cards of an environment as they are read from a file."""
    guess()
    return [Card.from_json(short(card)) for card in audit_splits("tests/CardedGuess-v0", 9)]


def test_every_split_has_a_card_the_default_one_first(kept):
    assert [card.split for card in kept] == ["test", "train"]
    assert all(card.n == 9 for card in kept)
    assert all(card.sections["quick"]["floors"]["nothing"] == [0, 0] for card in kept)


def test_what_did_not_change_is_not_played(kept, guess, monkeypatch):
    guess()

    def refuse(*args, **kwargs):
        raise AssertionError("played")

    monkeypatch.setattr(cards, "audit_environment", refuse)
    assert [changes(card) for card in kept] == [[], []]
    assert "audit it again" in changes(replace(kept[0], sections={}, hashes={}))[0]


def test_code_that_changed_and_plays_as_before_is_no_change(kept, guess):
    guess('"""Say a word in upper case."""', '"""Say a word in capital letters."""')
    assert changes(kept[0]) == []


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("is_right = action ==", 'is_right = action == "Done." or action ==', "floors/done/0 was 0.0 and is 1.0"),
        ("float(is_right)", "0.5 * is_right", "ceiling/1 was 1.0 and is 0.5"),
        (
            'yield self.task.data["word"].upper()',
            'yield self.task.data["word"]',
            "points/ceiling.success was pass and is fail",
        ),
        ("full_return = 1.0", "full_return = 2.0", "points/ceiling.return was pass and is fail"),
    ],
)
def test_code_that_plays_otherwise_is_named(kept, guess, old, new, named):
    guess(old, new)
    found = changes(kept[0])
    assert named in found, found


def test_all_skips_what_cannot_be_audited_and_says_why(guess):
    guess()
    gymnasium.register("tests/Broken-v0", entry_point="no_such_module:Env")
    try:
        begun = []
        found = audit_all(1, env_ids=["tests/Broken-v0", "tests/CardedGuess-v0"], begin=begun.append)
    finally:
        gymnasium.registry.pop("tests/Broken-v0")
    assert begun == ["tests/Broken-v0", "tests/CardedGuess-v0"]
    assert [(card.env, card.split) for card in found.cards] == [
        ("tests/CardedGuess-v0", "test"),
        ("tests/CardedGuess-v0", "train"),
    ]
    assert list(found.skipped) == ["tests/Broken-v0"]
    assert "no_such_module" in found.skipped["tests/Broken-v0"]


def test_all_means_every_registered_id(monkeypatch):
    monkeypatch.setattr(cards, "audit_splits", lambda env_id, n, *, seed, effort: (env_id,))
    found = audit_all(1)
    assert sorted([*found.cards, *found.skipped]) == sorted(list_envs())
    assert {env_id for env_id in list_envs() if env_id.startswith("palaestra/")} <= set(found.cards)


def test_an_id_that_lacks_something_is_skipped_with_what_it_needs(monkeypatch):
    monkeypatch.setattr(cards, "missing", lambda env_id: "Install Java.")
    assert audit_all(1, env_ids=[TEXTCRAFT]).skipped == {TEXTCRAFT: "Install Java."}


def test_wrong_requests_are_refused():
    with pytest.raises(ConfigError, match="whole number"):
        audit_all(0)
    with pytest.raises(UnknownNameError, match="TextCraft"):
        audit_all(1, env_ids=["palaestra/TextCraf-v0"])
    with pytest.raises(UnknownNameError, match="split"):
        audit_splits(TEXTCRAFT, 1, split="dev")
    with pytest.raises(UsageError, match="not an audit card"):
        Card.from_json({"env": TEXTCRAFT})
