"""SciWorld against recorded play, and against a second simulator of ours."""

import json
import re
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from palaestra.envs.agentgym.sciworld.engine import StartScienceWorld
from palaestra.envs.agentgym.sciworld.env import SciWorldEnv
from palaestra.envs.agentgym.sciworld.tasks import KINDS, LAYOUTS, PublishedIds, split_of
from tests.fixtures import need_fixtures, need_rows

pytestmark = pytest.mark.parity

FOLDER = "agentgym/sciworld"
BY_CHANCE = {"grow-fruit": "open bee hive"}
"""Kinds whose score per step differs between two loads of a JVM with other identity hashes, and the command it begins with:
bees visit flowers in another order."""


def content(text: str) -> Counter[str]:
    """Return the parts of a text without their order: lines, and the items of lists."""
    return Counter(part.strip() for part in re.split(r"[\n,()]|: ", text) if part.strip())


def steps_of(row: dict[str, Any]) -> list[dict[str, Any]]:
    tail = [{"action": action, "score": score, "done": done} for action, score, done in row["tail_scores"]]
    return [*row["prefix_steps"], *tail]


class Played(NamedTuple):
    """A row, and what our environment said to it: observation, reward, terminated and info of each step."""

    row: dict[str, Any]
    observation: str
    info: dict[str, Any]
    steps: list[tuple[str, float, bool, dict[str, Any]]]


@pytest.fixture(scope="module")
def played(make: Callable[..., SciWorldEnv]) -> list[Played]:
    env, found = make(compat="upstream"), []
    for row in need_rows(f"{FOLDER}/traces.jsonl"):
        observation, info = env.reset(options={"task": f"{row['task']}/{row['variation']}"})
        steps = []
        for step in steps_of(row)[1:]:
            told, reward, terminated, truncated, step_info = env.step(step["action"])
            assert not truncated
            steps.append((told, float(reward), terminated, step_info))
        found.append(Played(row, observation, info, steps))
    return found


def test_every_trace_is_reproduced_in_texts_scores_and_flags(played: list[Played]) -> None:
    for row, observation, info, steps in played:
        first, *recorded = steps_of(row)
        assert content(observation) == content(f"{row['description']}\n{first['observation']}"), row["task"]
        assert (info["upstream"]["score"], info["upstream"]["reward"]) == (first["score"], first["reward"])
        by_chance = False
        for step, (told, reward, terminated, step_info) in zip(recorded, steps, strict=True):
            place = f"{row['task']}: {step['action']}"
            by_chance |= step["action"] == BY_CHANCE.get(row["task"])
            assert terminated == step["done"], place
            assert step_info["success"] == (step_info["score"] == 100), place
            if not by_chance:
                assert step_info["score"] == step["score"], place
            if "reward" in step:
                assert reward == pytest.approx(step["reward"] / 100), place
            if "observation" in step:
                assert content(told) == content(step["observation"]), place
        _, _, terminated, step_info = steps[-1]
        assert terminated == step_info["success"] == row["completed"], row["task"]


def test_a_second_simulator_says_the_same_byte_for_byte(played: list[Played]) -> None:
    second = StartScienceWorld()()
    try:
        for row, observation, info, steps in played:
            description = second.load(row["task"], row["variation"], "")
            first = second.play_publicly("look around")  # the call which `ScienceWorld.step` goes around
            assert observation == f"{description}\n{first.text}"
            assert info["upstream"]["score"] == first.score
            for step, (told, _, terminated, step_info) in zip(steps_of(row)[1:], steps, strict=True):
                reply = second.play_publicly(step["action"])
                assert (told, step_info["score"], terminated) == reply, (row["task"], step["action"])
    finally:
        second.kill()


def test_layouts_and_sizes_are_those_of_the_published_index() -> None:
    for file in need_fixtures(f"{FOLDER}/index.json"):
        index = json.loads(file.read_text())
        by_id = {kind.id: kind for kind in KINDS}
        for task in index["tasks"]:
            kind = by_id[task["task_id"]]
            assert (kind.name, kind.variations) == (task["task"], task["variations"])
            sizes = Counter(split_of(kind, variation) for variation in range(kind.variations))
            assert dict(sizes) == task["split_sizes"]
            for layout in ("upstream_code", "published_ids"):
                ids = task[layout]
                assert (kind in LAYOUTS[layout]) == (ids is not None)
                if ids is not None:
                    first, last = ids
                    assert PublishedIds()[f"{layout}#{first}"] == f"{kind.name}/0"
                    assert PublishedIds()[f"{layout}#{last}"] == f"{kind.name}/{kind.variations - 1}"
                    assert last - first + 1 == kind.variations
