"""Asking for one JSON object: whatever a model writes, an item passes or is dropped, and nothing else happens."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palaestra.envs.judging.asking import Asker, Audit, Dropped, Problem, json_object, prompt, read_as
from palaestra.envs.toolforge.graph import SCENARIOS
from palaestra.envs.toolforge.llm.replies import Decomposition, DraftDocument, DraftNode, Integration, Verdict
from palaestra.envs.toolforge.llm.rules import check_call, check_decomposition, check_document, check_groups, check_verdict
from palaestra.envs.toolforge.llm.screen import problems_of
from palaestra.errors import ModelError

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-9, 99999)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
TYPES = st.sampled_from(["int", "float", "date", "entity", "text", "bool", "list"])
IDS = st.sampled_from(["n1", "n2", "n3", "n12"])
TEXTS = st.text(min_size=1, max_size=12) | st.sampled_from(["the age of {n1}", "{n2} and {n3}", "2001-02-03", "yes", "{"])
NODES = st.fixed_dictionaries(
    {"id": IDS, "text": TEXTS, "deps": st.lists(IDS, max_size=2), "answer": JSON | TEXTS, "answer_type": TYPES}
)
OPERATIONS = st.none() | st.fixed_dictionaries(
    {"kind": st.sampled_from(["sum", "list", "days", "ratio", "largest", "x"]), "over": st.lists(IDS, min_size=1, max_size=2)}
)
FINALS = st.fixed_dictionaries({"answer": JSON | TEXTS, "answer_type": TYPES, "op": OPERATIONS})
SPLITS = st.fixed_dictionaries(
    {
        "question": TEXTS,
        "entities": st.lists(TEXTS, max_size=1),
        "nodes": st.lists(NODES, min_size=1, max_size=3),
        "final": FINALS,
    }
)


def lines_of(check):
    """What a check complains of; nothing but a `Problem` may be raised."""
    try:
        check()
    except Problem as problem:
        return [*problem.lines, str(problem)]
    return []


@settings(max_examples=300, deadline=None)
@given(st.text() | JSON.map(json.dumps) | SPLITS.map(json.dumps))
def test_a_reply_is_an_object_or_a_problem(text):
    lines = lines_of(lambda: json_object(text))
    assert lines or isinstance(json_object(text), dict)


@pytest.mark.parametrize("text", ['```json\n{"a": 1}\n```', '  {"a": 1}\n', '```\n{"a": 1}\n```'])
def test_a_fence_is_no_obstacle(text):
    assert json_object(text) == {"a": 1}


@pytest.mark.parametrize("text", ['{"a": NaN}', '{"a": 1} {"b": 2}', "{" * 5000, '{"a": "\\ud800"}', '{"a": 1', "null", '"x"'])
def test_what_is_not_one_strict_object_is_refused(text):
    with pytest.raises(Problem):
        json_object(text)


@settings(max_examples=400, deadline=None)
@given(SPLITS, st.sampled_from(SCENARIOS))
def test_any_decomposition_passes_or_is_a_problem(value, scenario):
    assert all(lines_of(lambda: check_decomposition(read_as(Decomposition, value), scenario, 1, 3)))


SCHEMAS = st.dictionaries(
    st.sampled_from(["type", "properties", "required", "additionalProperties", "$ref", "enum", "items", "default"]),
    JSON
    | st.just("object")
    | st.just(False)
    | st.lists(st.just("a"), max_size=1)
    | st.fixed_dictionaries({"a": JSON | st.fixed_dictionaries({"type": TEXTS, "description": TEXTS, "default": JSON})}),
    max_size=5,
)


@settings(max_examples=400, deadline=None)
@given(SCHEMAS, st.dictionaries(st.sampled_from(["a", "b"]), JSON, max_size=2), JSON | TEXTS)
def test_any_document_and_any_call_pass_or_are_a_problem(parameters, arguments, answer):
    document = DraftDocument(name="find_it", description="Finds.", parameters=parameters, result_field="it_is")
    node = DraftNode(id="n2", text="{n1}", deps=["n1"], answer="Kastor", answer_type="entity")
    lines = lines_of(lambda: check_document(document, [answer]))
    if not lines:
        lines = lines_of(lambda: check_call(arguments, document, node, "Who?", {"n1": answer, "n2": "Kastor"}))
    assert all(lines)


@settings(max_examples=200, deadline=None)
@given(JSON)
def test_any_verdict_and_any_groups_pass_or_are_a_problem(value):
    assert all(lines_of(lambda: check_verdict(read_as(Verdict, value), ["n1", "n2"])))
    assert all(lines_of(lambda: check_groups(read_as(Integration, value), ["n1", "n2"])))


@settings(max_examples=300, deadline=None)
@given(
    st.text()
    | st.sampled_from(["def f(a): return a", "def f(a, /): pass", "def f(a={}): pass", "x = [" * 50, "\0", "class A: pass"])
)
def test_any_source_is_read_without_running(text):
    schema = {"properties": {"a": {"type": "string"}}, "required": ["a"]}
    assert all(isinstance(line, str) and line for line in problems_of(text, "f", schema))


@pytest.mark.parametrize(
    "line",
    [
        "import os",
        "from subprocess import run",
        "from . import x",
        "eval('1')",
        "open('x')",
        "().__class__",
        "__import__('os')",
        "getattr(a, 'b')",
        "global g",
        "print(a)",
    ],
)
def test_lines_that_a_tool_does_not_need_are_refused(line):
    schema = {"properties": {"a": {"type": "string"}}, "required": ["a"]}
    assert problems_of(f"def f(a):\n    {line}\n    return a", "f", schema)
    assert problems_of("def f(a):\n    import re\n    return re.sub('x', 'y', a)", "f", schema) == []


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from(["", "no", "[]", '{"a": 1}', '{"b": 1}', "fault"]), max_size=30),
    st.integers(0, 3),
    st.integers(0, 2),
)
def test_requests_are_bounded_and_each_is_recorded(script, repairs, regenerations):
    replies = iter(script)
    asked = []

    def complete(messages):
        asked.append(messages)
        reply = next(replies, "")
        if reply == "fault":
            raise ModelError("gone")
        return reply

    def read(value):
        if "a" not in value:
            raise Problem("there is no a")
        return value["a"]

    audit = Audit("x")
    asker = Asker(complete, repairs=repairs, regenerations=regenerations)
    found = reason = None
    try:
        found = asker.ask(audit, "L1", prompt("Write.", {}), read)
    except Dropped as dropped:
        reason = str(dropped)
    assert (found, reason) in ((1, None), (None, "L1:invalid"), (None, "L1:unreachable"))
    assert [attempt.outcome for attempt in audit.attempts].count("ok") == (found or 0)
    assert len(asked) == len(audit.attempts) <= (1 + repairs) * (1 + regenerations)
    json.dumps(audit.to_json())
