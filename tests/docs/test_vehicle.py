import inspect
import re
from pathlib import Path

import pytest

from palaestra.envs.vehicle.env import VehicleWorldEnv
from palaestra.envs.vehicle.requests import vehicle_tasks
from tests.envs.vehicle.dialogues import dialogues

PAGE = (Path(__file__).parents[2] / "docs" / "vehicle.md").read_text(encoding="utf-8")
SHOWN = "\n".join(re.findall(r"^````\n(.*?)^````", PAGE, flags=re.DOTALL | re.MULTILINE))
RUN = re.sub(r"^````\n.*?^````", "", PAGE, flags=re.DOTALL | re.MULTILINE)


def first_column(heading: str) -> list[str]:
    rows = PAGE.split(heading, 1)[1].split("\n|---", 1)[1].split("\n\n", 1)[0].splitlines()[1:]
    return [name for row in rows for name in re.findall(r"`(\w+)`", row.split("|")[1])]


def test_the_code_on_the_page_runs() -> None:
    blocks = re.findall(r"```python\n(.*?)```", RUN, flags=re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        exec(block, {})


def test_the_options_on_the_page_are_those_of_the_environment() -> None:
    arguments = {*inspect.signature(VehicleWorldEnv.__init__).parameters, *inspect.signature(vehicle_tasks).parameters}
    named = first_column("## Options")
    assert set(named) <= arguments
    assert arguments - set(named) == {"self", "split", "max_turns", "render_mode", "generator"}


def test_the_messages_on_the_page_act_on_the_car() -> None:
    calls, *writes = re.findall(r"```(?:python|json)\n.*?```", SHOWN, flags=re.DOTALL)
    env = VehicleWorldEnv(tasks=dialogues())
    env.reset(seed=0, options={"task": "mixed"})
    env.world.call("door", "carcontrol_carDoor_switch", "open", ["passenger seat"])
    *_, info = env.step(calls)
    assert not info["action_error"]
    assert env.world.state.values["door.doors.passenger seat.status"] == "closed"
    assert len(writes) == 3
    for message in writes:
        env = VehicleWorldEnv(tasks=dialogues(), mode="sfc")
        env.reset(seed=0, options={"task": "mixed"})
        env.step("<modules>\nmusic\n</modules>")
        *_, info = env.step(message)
        assert info["request_result"]["scores"]["request_success"]


@pytest.mark.parametrize("mode", ["fc", "sfc"])
def test_the_scores_and_results_on_the_page_are_those_of_a_request(mode: str) -> None:
    env = VehicleWorldEnv(tasks=dialogues(), mode=mode)
    env.reset(seed=0, options={"task": "mixed"})
    *_, info = env.step("No.")
    result = info["request_result"]
    assert set(first_column("## Scores")) == set(result["scores"]) - {"incomparable"}
    text = PAGE.split("## Scores", 1)[1]
    assert all(f"`{name}`" in text for name in result)
    assert set(re.findall(r"`(\w+)`", PAGE.split("in parts: ", 1)[1].split(".", 1)[0])) <= set(env.view())
