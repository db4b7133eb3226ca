"""Published rows: import and export without loss, and clear errors."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.envs.sandbox import Sandbox
from palaestra.envs.toolforge.build import build
from palaestra.envs.toolforge.instance import InstanceError
from palaestra.envs.toolforge.rows import FIELDS, answer_text, instance_of_row, row_of_instance
from tests.envs.toolforge.made import chain, made, tool
from tests.envs.toolforge.published_data import rows


def row(**changes):
    """Return a small row in the published form."""
    value = {
        "messages": [{"role": "user", "content": "Use the tools.\nQuestion: When was it?"}],
        "tools": json.dumps([tool("find", "word"), tool("spare")], ensure_ascii=False),
        "codes": json.dumps({"find": "def find(word):\n    return '2007'", "spare": "def spare():\n    return ''"}),
        "unsolved_set": json.dumps({"find": ["2007", "é"]}, ensure_ascii=False),
        "solve_rate": 0.0,
        "data_source": "self/multi_hop",
        "split": "test",
        "answer": "2007",
    }
    return value | changes


TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)


@given(
    unsolved=st.dictionaries(TEXTS, st.lists(TEXTS, max_size=3), max_size=3),
    is_ascii=st.booleans(),
    indent=st.sampled_from([None, 1]),
    rate=st.floats(0, 1),
    answer=st.none() | TEXTS,
    key=st.none() | st.text(min_size=1, max_size=8),
    split=st.sampled_from(["train", "test"]),
)
def test_a_row_comes_back_as_it_was(unsolved, is_ascii, indent, rate, answer, key, split):
    value = row(
        unsolved_set=json.dumps(unsolved, ensure_ascii=is_ascii, indent=indent), solve_rate=rate, answer=answer, split=split
    )
    if key is not None:
        value = {"id": key, **value}
    instance = instance_of_row(value, number=7)
    assert row_of_instance(instance) == value
    assert json.dumps(row_of_instance(instance)) == json.dumps(value)
    assert instance.id == (f"ftrl-{split}-007" if key is None else key)
    assert [(one.tool, one.answer) for one in instance.nodes] == [(t, a) for t, answers in unsolved.items() for a in answers]
    assert instance_of_row(row_of_instance(instance), number=7) == instance


def test_nodes_question_and_sizes():
    instance = instance_of_row(row())
    assert instance.nodes[0].model_dump() == {
        "id": "n1", "text": "", "tool": "find", "deps": [], "answer": "2007",
        "answer_type": "text", "path": None, "golden_args": None,
    }  # fmt: skip
    assert (instance.question, instance.scenario, instance.split) == ("When was it?", "multi_hop", "test")
    assert (instance.difficulty.n_tools, instance.difficulty.n_distractors) == (2, 1)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        *(({k: v for k, v in row().items() if k != name}, f"lacks the field '{name}'") for name in FIELDS),
        (row(more=1), "unknown field 'more'"),
        (row(tools="[{"), "field 'tools' is not JSON"),
        (row(tools=[]), "field 'tools' is list; expected a text"),
        (row(tools="[1]"), "not a list of OpenAI function schemas"),
        (row(codes="[]"), "field 'codes' is not an object"),
        (row(unsolved_set='{"find": "2007"}'), "field 'unsolved_set' is not an object of lists"),
        (row(solve_rate=2), "field 'solve_rate' is 2"),
        (row(solve_rate=True), "field 'solve_rate' is True"),
        (row(data_source="self/other"), "field 'data_source' is 'self/other'"),
        (row(answer=5), "field 'answer' is int"),
        (row(messages="hello"), "field 'messages'"),
        (row(messages=[]), "messages"),
        ([], "expected an object"),
    ],
)
def test_what_is_not_a_row_is_refused(value, message):
    with pytest.raises(InstanceError, match=rf"FILE, row 3.*{message}"):
        instance_of_row(value, where="FILE, row 3")


def test_an_instance_of_python_tools_has_a_published_row():
    instance = made(chain())
    value = row_of_instance(instance)
    assert tuple(value) == ("id", *FIELDS)
    assert json.loads(value["unsolved_set"]) == {"founder_of": ["Iska Tarn"], "born_in": ["1931"]}
    assert (value["answer"], value["data_source"]) == ("1931", "self/multi_hop")
    again = instance_of_row(value)
    assert again.tools == instance.tools
    assert again.impl == instance.impl


def test_a_table_that_does_nothing_has_no_published_row():
    value = chain()
    value["impl"]["born_in"] = {"kind": "table", "spec": {}}
    with pytest.raises(InstanceError, match="'born_in' of 'made-1' is a table that cannot be written"):
        row_of_instance(made(value))


def test_a_built_instance_is_exported_as_python_that_gives_the_answers():
    """Golden calls of the exported sources, in the sandbox."""
    instance = build("easy", scenario="multi_hop")
    again = instance_of_row(json.loads(json.dumps(row_of_instance(instance))))
    answers = {(node.tool, node.answer) for node in again.nodes}
    assert answers == {(node.tool, answer_text(node.answer)) for node in instance.nodes}
    with Sandbox() as sandbox:
        for node in instance.nodes:
            result = sandbox.load(again.impl[node.tool].source).call(node.tool, node.golden_args)
            assert result.value()[node.path] == node.answer


def test_answers_as_texts():
    assert answer_text(["a", 1, True, 2.5]) == "a, 1, true, 2.5"


@pytest.mark.parity
def test_every_published_row_comes_back_as_it_was():
    if not (found := rows("test.jsonl")):
        pytest.skip("no test.jsonl in the folders named by PALAESTRA_FIXTURES")
    for number, value in enumerate(found):
        instance = instance_of_row(value, number=number)
        assert json.dumps(row_of_instance(instance), ensure_ascii=False) == json.dumps(value, ensure_ascii=False)
