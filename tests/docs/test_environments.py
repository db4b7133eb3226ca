import contextlib
import copy
import re
from pathlib import Path
from typing import get_args

import pytest

import palaestra.envs
from palaestra.envs import RecordTrajectory
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
    env.reset(seed=0)
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
