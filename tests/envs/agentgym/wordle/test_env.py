"""The face of Wordle: tries, formats, tools, published lists and files."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palaestra.envs.agentgym.wordle.env import WordleEnv
from palaestra.envs.agentgym.wordle.tasks import own_words, split_of
from palaestra.errors import ConfigError, MissingDataError, UnknownNameError, UsageError
from palaestra.types import Message, ToolCall
from tests.hash_seeds import outputs

WORDS = ["panic", "solar", "shire", "proxy", "point", "robot"]


@pytest.fixture
def words_file(tmp_path):
    path = tmp_path / "six.txt"
    path.write_text("\n".join(WORDS))
    return path


def test_the_splits_share_no_word():
    train, test = set(own_words("train")), set(own_words("test"))
    assert not train & test
    assert min(len(train), len(test)) > 100
    env = WordleEnv()
    for split in env.tasks.splits:
        for task in env.tasks.split(split).first(50):
            assert {split_of(word) for word in task.data["words"]} == {split}
            assert len(set(task.data["words"])) == 40


def test_the_instructions_list_the_words(words_file):
    env = WordleEnv(words_file)
    _, info = env.reset(options={"task": "upstream#0"})
    assert "The words: panic, solar, shire, proxy, point, robot" in info["instructions"]
    assert "The words" not in WordleEnv().instructions()


def test_a_published_game_is_won(words_file):
    env = WordleEnv(words_file, compat="upstream")
    observation, info = env.reset(options={"task": "upstream#3"})
    assert (observation, info["upstream"]) == ("Let's start Wordle!", {"observation": "Let's start Wordle!"})
    assert info["task"]["key"] == "six/3"
    for action in env.expert():
        observation, reward, terminated, _, info = env.step(action)
    assert (observation, reward, terminated) == ("g g g g g\n", 1.0, True)
    assert info["upstream"] == {"observation": "g g g g g\n", "reward": 1, "done": True}
    assert env.available_actions() == []


def test_six_tries_end_the_game_whatever_they_are():
    env = WordleEnv()
    env.reset(seed=0)
    before = env.state_hash()
    for guess in ("p a n", "panics", "", "C R A N E", "crèpe"):
        observation, reward, terminated, truncated, info = env.step(guess)
        assert (observation, reward, terminated, truncated) == ("invalid word", 0.0, False, False)
        assert "is not a word of the list" in info["action_error"]
        assert env.state_hash() == before
    observation, reward, terminated, truncated, info = env.step("zzzzz")
    assert (observation, reward, terminated, info["success"]) == ("invalid word", 0.0, True, False)
    assert info["stop_reason"] == "failure"
    assert env.reset(seed=1)[0] == "Let's start Wordle!"


def test_guesses_come_as_react_and_as_calls():
    env = WordleEnv(action_format="react")
    env.reset(seed=0)
    guess = env.world.words.words[0]
    assert not env.step(f"Thought: go.\nAction: {' '.join(guess)}")[4]["action_error"]
    results = env.step(Message("assistant", "", (ToolCall("guess", {"word": env.world.words.words[1].upper()}),)))[4]
    assert results["tool_results"][0].status == "ok"
    assert env.world.guesses == [guess, env.world.words.words[1]]
    results = env.step(Message("assistant", "", (ToolCall("guess", {"word": "pan"}),)))[4]
    assert results["action_error"]
    assert env._num_tries == 2  # a call that does not fit its schema is not a try


@given(st.integers(0, 2**31), st.integers(0, 5), st.data())
@settings(max_examples=25, deadline=None)
def test_a_restored_game_goes_on_as_the_first_one_does(seed, turns, data):
    env, twin = WordleEnv(), WordleEnv()
    env.reset(seed=seed)
    guesses = st.sampled_from([*env.world.words.words, "zzzzz", "?"])
    for _ in range(turns):
        if env.step(data.draw(guesses))[2]:
            return
    twin.restore(env.snapshot())
    for _ in range(6 - turns):
        guess = data.draw(guesses)
        results = [one.step(guess) for one in (env, twin)]
        assert results[0] == results[1]
        assert env.state_hash() == twin.state_hash()
        if results[0][2]:
            return


def test_games_are_the_same_in_another_process_with_another_hash_seed():
    program = "from tests.envs.agentgym.wordle.test_env import played; print(played())"
    assert outputs(program, ("0", "77")) == {f"{played()}\n"}


def played() -> str:
    env, told = WordleEnv(), []
    for split in env.tasks.splits:
        for task in env.tasks.split(split).first(4):
            env.reset(options={"task": task.key})
            for action in env.expert():
                told.append((action, env.step(action)[0], env.state_hash()))
    return json.dumps(told)


def test_published_files_number_their_games(words_file, tmp_path):
    for name, numbers in (("train", (1, 2)), ("eval", (3,))):
        rows = [{"item_id": f"lmrlgym_wordle_{n}", "conversations": None} for n in numbers]
        (tmp_path / f"{name}.json").write_text(json.dumps(rows))
    sources = {"agenttraj": {"path": tmp_path / "train.json", "split": "train"}, "agenteval": tmp_path / "eval.json"}
    env = WordleEnv(words_file, tasks=sources)
    assert (env.tasks.size("train"), env.tasks.size("test")) == (2, 1)
    assert env.reset(options={"task": "agenteval#3"})[1]["task"]["key"] == "six/3"
    (tmp_path / "eval.json").write_text(json.dumps([{"item_id": "lmrlgym_wordle_2"}]))
    with pytest.raises(ConfigError, match="in the files of both splits"):
        WordleEnv(words_file, tasks=sources)
    (tmp_path / "eval.json").write_text(json.dumps([{"item_id": "lmrlgym_wordle_first"}]))
    with pytest.raises(ConfigError, match="has no number"):
        WordleEnv(words_file, tasks=sources)


def test_lists_and_ids_that_are_wrong_are_clear_errors(words_file, tmp_path):
    with pytest.raises(MissingDataError, match=r"tweet_words\.txt"):
        WordleEnv(tmp_path / "none.txt")
    for text, problem in (("crane\nCrane", "twice"), ("crane\ncran", "'cran'"), ("crane\ncrane", "twice"), ("", "0 words")):
        (tmp_path / "bad.txt").write_text(text)
        with pytest.raises(ConfigError, match=problem):
            WordleEnv(tmp_path / "bad.txt")
    env = WordleEnv(words_file)
    for name in ("upstream#10000", "six/-1", "six/03", "six/x", "seven/1", "five"):
        with pytest.raises(UsageError):
            env.reset(options={"task": name})
    with pytest.raises(UsageError, match="MAPPING#N"):
        env.reset(options={"task": "3"})
    with pytest.raises(UnknownNameError, match="num_word"):
        WordleEnv(num_wordz=3)
    for options in ({"num_words": 1}, {"num_words": 101}, {"num_test_tasks": 0}, {"tasks": {}}, {"words": 3}):
        with pytest.raises(ConfigError):
            WordleEnv(**options)
    with pytest.raises(ConfigError, match="goes with lists of our own"):
        WordleEnv(words_file, num_words=7)


@pytest.mark.parametrize("options", [{}, {"num_words": 2}, {"action_format": "react"}])
def test_drawn_guesses_are_words_of_the_episodes_own_list(options, words_file):
    for env in (WordleEnv(**options), WordleEnv(words_file, action_format=options.get("action_format", "text"))):
        env.action_space.seed(3)
        guessed = set()
        for seed in range(25):
            env.reset(seed=seed)
            if seed % 2:
                twin = type(env)(**options) if env._list is None else WordleEnv(words_file, action_format=env.action_format)
                twin.restore(env.snapshot())
                twin.action_space.seed(seed)
                env = twin
            over = False
            while not over:
                _, _, over, _, info = env.step(env.action_space.sample())
                assert not info["action_error"]
            guessed |= set(env.world.guesses)
            assert guessed <= set(own_words("train")) | set(WORDS)
        assert len(guessed) >= (len(WORDS) if env._list else 20)


def test_random_play_is_the_floor_that_guesses_from_the_list_set():
    env = WordleEnv(split="test")
    env.action_space.seed(0)
    won = 0
    for seed in range(300):
        env.reset(seed=seed)
        over = False
        while not over:
            _, _, over, _, info = env.step(env.action_space.sample())
        won += info["success"]
    assert 0.06 * 300 < won < 0.25 * 300


@given(words=st.lists(st.text("abcxyz", min_size=5, max_size=5), min_size=1, max_size=8, unique=True), data=st.data())
@settings(max_examples=25)
def test_capitals_and_a_byte_order_mark_in_a_list_are_plain_enough(tmp_path_factory, words, data):
    folder = tmp_path_factory.mktemp("lists")
    (folder / "a.txt").write_text("\n".join(words))
    spelled = ["".join(c.upper() if data.draw(st.booleans()) else c for c in word) for word in words]
    (folder / "b.txt").write_bytes(b"\xef\xbb\xbf" + "\r\n".join(spelled).encode())
    games = []
    for name in ("a", "b"):
        env = WordleEnv(folder / f"{name}.txt")
        env.reset(options={"task": "upstream#0"})
        games.append([env.step(" ".join(words[0]))[0], env.world.words.words])
    assert games[0] == games[1]
