import pytest

from palaestra.envs.vehicle.car.tables import MODULES, Function, car_tables
from tests.envs.vehicle.published_data import answer_problems, build, rows, trace_states

pytestmark = pytest.mark.parity


def queries() -> list[Function]:
    tables = car_tables()
    return [function for module in MODULES for function in tables.modules[module].functions.values() if function.op == "query"]


def told_by(function: Function) -> list[dict[str, object]]:
    wanted = (function.module, function.name)
    return [trace for trace in rows("traces.jsonl.gz") if (trace["module"], trace["api"]) == wanted]


@pytest.mark.parametrize("function", queries(), ids=lambda function: f"{function.module}.{function.name}")
def test_a_query_tells_what_the_published_one_tells_and_changes_nothing(function: Function) -> None:
    traces = told_by(function)
    if not traces:
        pytest.skip(f"no calls of {function.module}.{function.name} in the folders named by PALAESTRA_FIXTURES")
    for trace in traces:
        world = build(trace_states()[trace["state"]], "published")
        result = world.call_with(function.module, function.name, (), trace["kwargs"])
        assert not answer_problems(trace, result), trace["id"]
        assert result.changes == [], trace["id"]


def test_reading_messages_tells_what_the_published_phone_tells() -> None:
    function = car_tables().function("conversation", "conversation_message_view")
    traces = told_by(function)
    if not traces:
        pytest.skip("no calls of conversation_message_view in the folders named by PALAESTRA_FIXTURES")
    for trace in traces:
        world = build(trace_states()[trace["state"]], "published")
        result = world.call_with(function.module, function.name, (), trace["kwargs"])
        assert not answer_problems(trace, result), trace["id"]
