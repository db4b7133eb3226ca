import json

import pytest

from palaestra.envs.vehicle.car.tables import ENVIRONMENT
from tests.envs.vehicle.published_data import answer_problems, build, differences, rows

pytestmark = pytest.mark.parity


@pytest.fixture(scope="module")
def replayed() -> tuple[dict[str, list[str]], list[str], int]:
    """Replay every sequence: problems by module.function, problems of the environment at the end, and steps."""
    wrong: dict[str, list[str]] = {}
    ends: list[str] = []
    count = 0
    for sequence in rows("sequences.jsonl.gz"):
        world = build(sequence, "published")
        for number, step in enumerate(sequence["steps"]):
            result = world.call_with(step["module"], step["api"], (), step["kwargs"])
            problems = differences(step["changed"], result)
            if step["ok"] is not None and result.ok is not step["ok"]:
                problems.append(f"ok: expected {step['ok']}, got {result.ok} ({result.error})")
            if world.tables.function(step["module"], step["api"]).op == "query":
                problems += answer_problems(step, result)
            if problems:
                where = f"{sequence['id']} step {number} {step['kwargs']}: "
                wrong.setdefault(f"{step['module']}.{step['api']}", []).append(where + "; ".join(problems[:4]))
            count += 1
        end = {name: world.state.values[f"{ENVIRONMENT}.{name}"] for name in sequence["final_environment"]}
        if end != sequence["final_environment"]:
            ends.append(f"{sequence['id']}: expected {json.dumps(sequence['final_environment'])}, got {json.dumps(end)}")
    return wrong, ends, count


def called() -> list[str]:
    return sorted({f"{step['module']}.{step['api']}" for row in rows("sequences.jsonl.gz") for step in row["steps"]})


@pytest.mark.parametrize("function", called() or [pytest.param("", marks=pytest.mark.skip(reason="no sequences.jsonl.gz"))])
def test_every_step_of_a_sequence_comes_out_as_published(
    function: str, replayed: tuple[dict[str, list[str]], list[str], int]
) -> None:
    problems = replayed[0].get(function, [])
    assert not problems, f"{len(problems)} steps differ:\n" + "\n".join(problems[:10])


def test_the_environment_ends_as_published(replayed: tuple[dict[str, list[str]], list[str], int]) -> None:
    _, ends, count = replayed
    if not count:
        pytest.skip("no sequences.jsonl.gz in the folders named by PALAESTRA_FIXTURES")
    assert not ends, "\n".join(ends[:10])
