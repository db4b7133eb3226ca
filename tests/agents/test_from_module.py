from __future__ import annotations

import sys
from pathlib import Path

import pytest

from palaestra.agents import evaluate, list_agents, make_agent
from palaestra.errors import ConfigError, UnknownNameError, UsageError
from tests.agents.countdown import ENV_ID

SOURCE = '''
class Downward:
    """Says a word."""

    def __init__(self, word="down", *, name="downward"):
        self.word, self.name = word, name

    def act(self, observation, info):
        return self.word

class Shelf:
    agent = Downward(name="on the shelf")

class Broken:
    def __init__(self):
        raise KeyError("no such thing")

instance = Downward(name="an instance")
number = 3

def function(observation, info):
    return "down"
'''


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module that lies in the working directory, which is not on the path."""
    (tmp_path / "agents_of_mine.py").write_text(SOURCE, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    monkeypatch.delitem(sys.modules, "agents_of_mine", raising=False)
    return "agents_of_mine"


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("Downward", "downward"),
        ("instance", "an instance"),
        ("function", "function"),
        ("Shelf.agent", "on the shelf"),
    ],
)
def test_a_class_an_instance_and_a_function_play(module: str, path: str, name: str) -> None:
    agent = make_agent(f"{module}:{path}")
    assert agent.name == name
    assert evaluate(ENV_ID, agent, n=6).summary.success.mean == 1


def test_options_are_arguments_of_the_class(module: str) -> None:
    agent = make_agent(f"{module}:Downward", word="up", name="wrong way")
    assert agent.name == "wrong way"
    assert evaluate(ENV_ID, agent, n=3).summary.success.mean == 0


@pytest.mark.parametrize(
    ("path", "options", "error", "message"),
    [
        ("Downwards", {}, UnknownNameError, "Unknown name in 'agents_of_mine' 'Downwards'. Did you mean 'Downward'"),
        ("number", {}, UsageError, "The agent 'agents_of_mine:number' got a int; expected an Agent, a function"),
        ("Broken", {}, UsageError, "could not be built: KeyError: 'no such thing'"),
        ("Downward", {"speed": 3}, ConfigError, "unexpected keyword argument 'speed'.*--option KEY=VALUE"),
        ("function", {"word": "up"}, ConfigError, "is not a class and takes no options; leave out word"),
        ("instance", {"word": "up"}, ConfigError, "is not a class and takes no options; leave out word"),
    ],
)
def test_what_does_not_fit_is_one_error(
    module: str, path: str, options: dict[str, object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message) as caught:
        make_agent(f"{module}:{path}", **options)
    assert "\n" not in str(caught.value)


def test_a_module_that_fails_says_why(module: str) -> None:
    Path(f"{module}_2.py").write_text("import nowhere_to_be_found\n", encoding="utf-8")
    with pytest.raises(
        UsageError, match=r"'agents_of_mine_2', and importing it failed with ModuleNotFoundError: .*to_be_found"
    ):
        make_agent(f"{module}_2:Agent")


def test_without_such_a_module_it_is_an_unknown_backend(module: str) -> None:
    with pytest.raises(UsageError, match=r"Unknown backend 'opnai'. Did you mean 'openai'.* MODULE:NAME"):
        make_agent("opnai:gpt")
    with pytest.raises(UsageError, match=r"No module 'nowhere.at.all' was found.*own is MODULE:NAME.*Backends: .*openai"):
        make_agent("nowhere.at.all:Agent")


@pytest.mark.parametrize(
    ("spec", "found"),
    [
        ("agent_of_mine:Downward", "No module 'agent_of_mine' was found.* Did you mean 'agents_of_mine:Downward'"),
        ("agents-of-mine:Downward", "Did you mean 'agents_of_mine:Downward'"),
        ("./agents_of_mine.py:Downward", "Did you mean 'agents_of_mine:Downward'.*without the .py"),
        ("agents_of_mine.py:Downward", "Did you mean 'agents_of_mine:Downward'.*without the .py"),
        ("agents_of_mine:", "does not name anything in the module 'agents_of_mine'. Did you mean 'agents_of_mine:NAME'"),
        (":Downward", "':Downward' names no module before the colon"),
        ("agents_of_mine.Downward", "Did you mean 'agents_of_mine:Downward'"),
        ("agents_of_mine.py", "Did you mean 'agents_of_mine:NAME'"),
        ("of_mine/agents.py:Downward", "No module 'of_mine/agents.py' was found"),
        ("openai", "Did you mean 'openai:NAME'"),
        ("HTTP", "Did you mean 'http://HOST:PORT/v1#NAME'"),
        ("gpt-4o", "Did you mean 'openai:gpt-4o'"),
        ("o3-mini", "Did you mean 'openai:o3-mini'"),
        ("claude-opus-4", "Did you mean 'anthropic:claude-opus-4'"),
        ("gemini-2.5-pro", "Did you mean 'google:gemini-2.5-pro'"),
        ("org/folder", "Did you mean 'hf:org/folder'"),
        ("expret", "Did you mean 'expert'"),
        ("", "Unknown agent ''. Give random"),
        (" ", "Unknown agent ' '. Give random"),
        ("x" * 5000, "Unknown agent 'x.*'. Give random"),
        ("x" * 5000 + ":y", "No module 'x.*' was found"),
        ("a\0b", "Unknown agent 'a.*b'. Give random"),
        ("a\0b:c", "No module 'a.*b' was found"),
        ("ftp://host/v1#m", "Unknown backend 'ftp'"),
        ("OpenAI:gpt", "write it in small letters: 'openai:gpt'"),
    ],
)
def test_what_was_meant_is_suggested(module: str, spec: str, found: str) -> None:
    Path("org/folder").mkdir(parents=True)
    with pytest.raises(UsageError, match=found) as caught:
        make_agent(spec)
    assert "\n" not in str(caught.value)


def test_a_near_package_of_the_working_directory_is_suggested(module: str) -> None:
    Path("players_of_mine").mkdir()
    Path("players_of_mine/__init__.py").write_text("", encoding="utf-8")
    with pytest.raises(UsageError, match="Did you mean 'players_of_mine:One'"):
        make_agent("player_of_mine:One")


def test_a_secret_in_a_text_that_means_nothing_is_not_shown() -> None:
    with pytest.raises(UsageError) as caught:
        make_agent("opnai.x:gpt", api_key="nothing-to-see-1234567890")
    assert "nothing-to-see" not in str(caught.value)
    with pytest.raises(UsageError, match="No module") as caught:
        make_agent("nothing-to-see-1234567890:gpt", api_key="nothing-to-see-1234567890")
    assert "nothing-to-see" not in str(caught.value)


def test_installed_packages_bring_agents_by_name() -> None:
    assert "toys_presser" in list_agents()
    done = evaluate("toys/Lamp-v0", make_agent("toys_presser", hurry=True), n=1)
    assert done.config["agent"] == "toys_presser"
    assert done.summary.success.mean == 1
    with pytest.raises(
        UsageError, match=r"Unknown agent 'toys_preser'. Did you mean 'toys_presser'.* or an agent of your own"
    ):
        make_agent("toys_preser")


def test_a_module_alone_is_no_agent_and_the_error_says_what_is_missing() -> None:
    with pytest.raises(UsageError, match=r"'colorsys' is the name of a module, not of an agent.*colorsys:NAME"):
        make_agent("colorsys")
    with pytest.raises(UsageError, match=r"Unknown agent 'openai'.*openai:NAME"):
        make_agent("openai")
