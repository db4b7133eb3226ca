import contextlib
import copy
import re
import sys
from pathlib import Path
from typing import get_args

import gymnasium
import pytest

import palaestra.envs
from palaestra.agents import ExpertAgent, evaluate
from palaestra.envs import RecordTrajectory, check_environment
from palaestra.results import Arm
from palaestra.types import StopReason
from tests.envs.miniature import CounterEnv

PAGE = (Path(__file__).parents[2] / "docs" / "environments.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)


def table_under(heading: str) -> list[str]:
    """Return the first column of the first table under a heading."""
    rows = PAGE.split(heading, 1)[1].split("\n\n|", 1)[1].split("\n\n", 1)[0].splitlines()[2:]
    return [re.findall(r"`(\w+)", row)[0] for row in rows]


def test_the_code_on_the_page_runs():
    names: dict = {}
    apart = [block for block in BLOCKS if 'vectorization_mode="async"' in block]
    assert len(apart) == 1  # starts processes; tests of the vector environments do that
    for block in BLOCKS:
        if block not in apart:
            exec(block, names)
    assert names["info"]["success"]
    assert len(names["observations"]) == 64


def test_the_environment_with_metrics_and_results_on_the_page_has_them():
    names: dict = {}
    exec(next(block for block in BLOCKS if "class SpellingEnv" in block), names)
    env = RecordTrajectory(names["SpellingEnv"]())
    env.reset(seed=0, options={"split": "train"})
    env.step("rythm")
    env.step("rhythm")
    [played] = env.trajectories
    assert played.steps[0].info["metrics"] == {"letters_right": 1 / 6, "length": 5}
    assert played.outcome.metrics == {"letters_right": 1.0, "length": 6.0}
    found = names["spelling_results"]([Arm("r", "a", "x/Spelling-v0", name="a", episodes=[played])])
    assert found.tables[0].rows == (("a", "rhythm"),)
    assert found.blocks(played)[0][0].text == "r y t h m"
    assert names["spelling_results"]([]).tables == ()


def test_the_environment_on_an_engine_on_the_page_works():
    names: dict = {}
    exec(next(block for block in BLOCKS if "MirrorEnv" in block), names)
    with contextlib.closing(names["MirrorEnv"]()) as env:
        env.reset(seed=0)
        assert env.step("two\nlines")[-1]["action_error"]
        assert env.step("ab")[0] == "ba"
        twin = copy.deepcopy(env)
        assert env.step("lager")[:3] == twin.step("lager")[:3] == ("regal", 1.0, True)
        twin.close()


@pytest.mark.parametrize("name", ["SpellingEnv", "MirrorEnv"])
def test_the_environments_on_the_page_pass_the_checker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    (tmp_path / "my_package").mkdir()
    block = next(block for block in BLOCKS if f"class {name}" in block)
    (tmp_path / "my_package" / "spelling.py").write_text(block, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    for module in [module for module in sys.modules if module.partition(".")[0] == "my_package"]:
        del sys.modules[module]
    env_id = f"page/{name}-v0"
    options = {} if name == "MirrorEnv" else {"vector_entry_point": f"palaestra.envs.core.vector:{env_id}"}
    gymnasium.register(env_id, f"my_package.spelling:{name}", order_enforce=False, disable_env_checker=True, **options)
    try:
        report = check_environment(env_id)
        assert report.ok, str(report)
        done = evaluate(env_id, ExpertAgent(), n=1)  # on test tasks, as evaluations are by default
        assert done.summary.success.mean == 1
    finally:
        del gymnasium.registry[env_id]


def test_the_info_fields_on_the_page_are_those_of_an_environment():
    env = CounterEnv()
    _, info = env.reset(seed=0)
    assert table_under("The info of `reset`:") == list(info)
    assert table_under("The info of every step:") == list(env.step("up")[-1])


def test_the_methods_and_wrappers_on_the_page_exist():
    for name in table_under("## State"):
        assert callable(getattr(CounterEnv, name))
    for name in table_under("## Wrappers"):
        assert name in palaestra.envs.__all__


@pytest.mark.parametrize("reason", ["success", "failure", "max_rounds"])
def test_the_stop_reasons_on_the_page_exist(reason):
    assert reason in get_args(StopReason)
    assert f"`{reason}`" in PAGE
