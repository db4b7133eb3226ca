"""Secrets of environments, agents, recipes, and of backends whose server repeats them: no byte written holds one."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import pytest

from palaestra.agents import masking
from palaestra.agents.backends import registry
from palaestra.agents.backends.endpoint import Endpoint
from palaestra.agents.backends.litellm_sdk import import_litellm
from palaestra.agents.evaluation.evaluation import evaluate
from palaestra.agents.masking import remember_secrets, without_secrets
from palaestra.agents.secret_spellings import SecretFinder
from palaestra.agents.store import RunStore
from palaestra.agents.view.pages import Pages
from palaestra.cli.main import main
from palaestra.envs.desk.env import DeskEnv
from tests.agents.backends.fault_server import PROVIDERS, chat_completion, fault_server
from tests.agents.backends.test_secrets import FORMS, assert_no_secret, bytes_written, spelled

HERE = __name__
DESK = "palaestra/Desk-v0"


class TokenEnv(DeskEnv):
    """A world behind a server, which repeats its token and its address when it fails."""

    def __init__(self, *, token: str = "", address: str = "", fails: str = "step", **options: Any) -> None:
        super().__init__(**options)
        self.sent = (token, address)
        self.fails = fails
        self._fail("make")

    def reset(self, **options: Any) -> Any:
        self._fail("reset")
        return super().reset(**options)

    def step(self, action: Any) -> Any:
        self._fail("step")
        return super().step(action)

    def _fail(self, phase: str) -> None:
        if self.fails == phase:
            raise RuntimeError(f"refused {self.sent[0]}: {self.sent}")


gymnasium.register("secrets/Token-v0", entry_point=f"{HERE}:TokenEnv")


class TokenAgent:
    """An agent of one's own that shows its token in its name and in its errors."""

    def __init__(self, *, token: str, fails: str = "act") -> None:
        self.token, self.fails = token, fails
        self.name = f"mine {token}"
        self._fail("init")

    def reset(self, info: Any) -> None:
        self._fail("reset")

    def act(self, observation: str, info: Any) -> str:
        self._fail("act")
        return "look"

    def _fail(self, phase: str) -> None:
        if self.fails == phase:
            raise RuntimeError(f"no {self.token}")


Check = Callable[[], str]


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each test stand alone: what another one remembered must not help it."""
    monkeypatch.setattr(masking, "_finder", SecretFinder())


@pytest.fixture
def written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> Check:
    """Work in a folder of its own; return what looks through everything written there, shown and logged."""
    monkeypatch.chdir(tmp_path)
    for name in {name for entry in registry.BACKENDS.values() for name in entry.variables}:
        monkeypatch.delenv(name, raising=False)
    caplog.set_level(logging.DEBUG)

    def check() -> str:
        said = capfd.readouterr()
        shown = {"stdout": said.out.encode(), "stderr": said.err.encode(), "log": caplog.text.encode()}
        assert_no_secret({**bytes_written(tmp_path), **shown})
        return said.out + said.err

    return check


def look_at(run_id: str) -> None:
    """Look at a run with every command, and write what can be written of it."""
    main(["runs", "show", run_id])
    main(["runs", "show", run_id, "--json"])
    main(["report", run_id])
    for form in ("jsonl", "chat", "agenttraj"):
        main(["export", run_id, "-o", f"out.{form}", "--format", form])
    pages = Pages(Path("runs"))
    for number, path in enumerate(("/", "/run", "/compare", "/episodes", "/state")):
        Path(f"page-{number}.html").write_bytes(pages.answer(path, {"run": [run_id]}).body)


@pytest.mark.parametrize("workers", ["0", "1"])
@pytest.mark.parametrize("phase", ["make", "reset", "step"])
def test_secret_arguments_of_an_environment_are_not_written(written: Check, phase: str, workers: str) -> None:
    given = ["--set", "token=mk9-token", "--set", "address=http://mk9-u:mk9-p@h/x?k=mk9-q", "--set", f"fails={phase}"]
    env_id = f"{HERE}:secrets/Token-v0"
    code = main(["evaluate", "--env", env_id, "--model", "random", "-n", "2", "--workers", workers, "--run", "a", *given])
    assert code == (1 if phase == "make" else 3)
    if phase != "make":
        look_at("a")
        with RunStore("runs", read_only=True) as store:
            assert all("refused ***" in line.error_message for line in store.episodes("a"))
    main(["check", env_id, *given, "--only", "reset"])
    assert "***" in written()


def test_arguments_given_in_python_are_not_written(tmp_path: Path) -> None:
    given = {"token": "mk9-token", "address": "http://mk9-u:mk9-pass@h", "fails": "step"}
    with RunStore(tmp_path) as store:
        evaluate(f"{HERE}:secrets/Token-v0", lambda observation, info: "look", env_kwargs=given, n=2, store=store, run_id="a")
        assert all("refused ***" in episode.error_message for episode in store.episodes("a"))
    assert_no_secret(bytes_written(tmp_path))


@pytest.mark.parametrize("phase", ["init", "reset", "act", "never"])
def test_a_secret_option_of_an_agent_is_not_written(written: Check, phase: str) -> None:
    words = ["evaluate", "--env", DESK, "--model", f"{HERE}:TokenAgent", "--option", "token=mk9-token", "-n", "2"]
    main([*words, "--option", f"fails={phase}", "--max-turns", "2", "--run", "a"])
    if phase != "init":
        look_at("a")
        with RunStore("runs", read_only=True) as store:
            assert {line.agent for line in store.episodes("a")} == {"mine ***"}
    written()


class FolderAgent:
    """An agent of one's own that works in a folder."""

    def __init__(self, *, folder: str) -> None:
        self.folder = folder
        if not Path(folder).is_dir():
            raise RuntimeError(f"no folder {folder}")

    def act(self, observation: str, info: Any) -> str:
        return "look"


def test_a_run_whose_options_hold_the_working_folder_resumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("PWD", "OLDPWD", "INIT_PWD", "GOOGLE_APPLICATION_CREDENTIALS"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setenv("POSTGRES_PASSWORD", "palaestra")
    words = ["evaluate", "--env", DESK, "--model", f"{HERE}:FolderAgent", "--option", f"folder={tmp_path}", "--run", "a"]
    assert main([*words, "-n", "2", "--max-turns", "1"]) == 0
    with RunStore("runs") as store:
        assert str(tmp_path) in json.dumps(store.config("a"))
        store.set_status("a", "running")
    assert main(["evaluate", "--run", "a"]) == 0


ECHO = {
    "client=aiohttp": chat_completion("look around"),
    "client=openai": chat_completion("look around"),
    **{model: answer or chat_completion("look around") for model, answer in PROVIDERS.items()},
}


@pytest.mark.parametrize("model", ECHO)
def test_a_server_that_repeats_secrets_in_good_answers_is_not_believed(
    written: Check, model: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FTP_PROXY", "http://mk9-proxy-user:mk9-proxy-pass@127.0.0.1:9")
    if model.startswith("litellm"):
        with capfd.disabled():  # it keeps the stderr that it finds when it is imported
            import_litellm()
    with fault_server() as server:

        def answer(body: Any) -> Any:
            last = server.received[-1]
            said = " ".join(spelled(server, way) for way in FORMS)
            said += f" {json.dumps(body)} mk9-token mk9-deep 1 mk9-deep 2 mk9-proxy-pass mk9-proxy-user:mk9-proxy-pass"
            text = json.dumps(f"you sent {json.dumps(last.headers)} to {last.target} {said}")[1:-1]
            return json.loads(json.dumps(ECHO[model]).replace("look around", text))

        server.answer = answer
        chosen = ["--model", f"{server.base_url}#m", "--option", model] if "=" in model else ["--model", model]
        chosen += [] if "=" in model else ["--base-url", server.base_url]
        words = [
            "evaluate",
            "--env",
            f"{HERE}:secrets/Token-v0",
            *chosen,
            "--option",
            "api_key=mk9-key",
            "--option",
            "headers={X-Team='mk9-header value'}",
            "--option",
            "extra={metadata={keys=[{name='api_key', value='mk9-deep 1'}], credentials={user={id=['mk9-deep 2']}}}}",
            *("--set", "token=mk9-token", "--set", "fails=never"),
        ]
        assert main([*words, "-n", "2", "--max-turns", "2", "--run", "a"]) == 0
        assert "mk9-key" in json.dumps(server.received[0].headers)
        assert model.startswith("litellm") or "mk9-deep 2" in json.dumps(
            server.received[0].body
        )  # it keeps metadata to itself
    look_at("a")
    with RunStore("runs", read_only=True) as store:
        actions = [step.action for episode in store.trajectories("a") for step in episode.steps]
    assert actions
    assert all("you sent" in str(action) and "***" in str(action) for action in actions)
    written()


def test_secrets_of_a_recipe_are_not_written(written: Check, tmp_path: Path) -> None:
    (tmp_path / "w").mkdir()
    recipe = tmp_path / "r.toml"
    recipe.write_text(
        """
        phases = ["grpo"]
        env = {id = "palaestra/Desk-v0"}
        evaluation = {n = 2, max_turns = 1, baselines = ["random"]}
        grpo = {steps = 1}
        [model]
        hidden_size = 16
        num_layers = 1
        num_heads = 2
        corpus_episodes = 4
        [sampler]
        url = "http://mk9-user:mk9-pass@127.0.0.1:9/v1?k=mk9-query"
        model = "m"
        weights = "w"
        retries = 0
        """
    )
    assert main(["train", str(recipe), "--run", "a", "--plain"]) != 0
    main(["train", "--run", "a", "--plain"])
    main(["runs", "show", "a"])
    recipe.unlink()
    written()


def test_only_what_cannot_be_a_word_is_looked_for_in_answers() -> None:
    plain = {"api_key": "EMPTY", "headers": {"X-Team": "research", "Y": "mk9-header value"}}
    remember_secrets("http://admin:secret@h/v1", plain)
    words = ["research", "EMPTY", "admin", "a secret"]
    assert without_secrets(words) == words
    assert without_secrets(["a mk9-header value"]) == ["a ***"]


def test_answers_without_a_secret_are_left_as_they_are() -> None:
    endpoint = Endpoint(name="s", model="m", base_url="http://h/v1", api_key="mk9-key")
    data = {"token": "x", "a": ["http://u:p@h/?q=1", 2, None, {"b": True}]}
    assert endpoint.decode(json.dumps(data).encode()) == data
    data["a"].append("so mk9-key it is")  # type: ignore[attr-defined]
    assert endpoint.decode(json.dumps(data).encode())["a"][-1] == "so *** it is"
    assert endpoint.decode(json.dumps(data).encode())["a"][:-1] == data["a"][:-1]


def test_every_text_of_an_answer_is_looked_through() -> None:
    data = {"a": "abc-12", "b": ["xabc-12", {"c": "abc-12abc-12", "abc-12": 1, "ABC-12": 2}], "d": 5}
    expected = {"a": "***", "b": ["x***", {"c": "******", "***": 1, "*** 2": 2}], "d": 5}
    remember_secrets({"token": "abc-12"})
    assert without_secrets(data) == expected
