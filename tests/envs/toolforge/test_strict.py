"""The strict scorer: what solves, what does not, and that the order of calls does not count."""

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.envs.judging.asking import Problem
from palaestra.envs.sandbox import Sandbox
from palaestra.envs.toolforge.files import open_instances
from palaestra.envs.toolforge.llm.trial import Golden, try_source
from palaestra.envs.toolforge.stages.checks import solved_by as solved_as_proven
from palaestra.envs.toolforge.strict import Played, brings_answer, is_solved, matching, solved_by
from tests.envs.toolforge.made import chain, made, parallel
from tests.envs.toolforge.published_data import rows
from tests.fixtures import fixture_files


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox() as made_once:
        yield made_once


def played(tool, value, status="ok", content=None, **arguments):
    return Played(tool, arguments, status, value, str(value) if content is None else content)


@pytest.mark.parametrize(
    ("call", "solves"),
    [
        (played("founder_of", {"founder": "ISKA  tarn"}, company="Velmora"), True),
        (played("founder_of", {"founder": "Iska Tarn"}, "error", company="Velmora"), False),
        (played("founder_of", {"other": "Iska Tarn"}, company="Velmora"), False),
        (played("founder_of", {"founder": "Iska Tarn Jr"}, company="Velmora"), False),
        (played("born_in", {"founder": "Iska Tarn"}, company="Velmora"), False),
        (played("founder_of", {"founder": "Iska Tarn"}, company="Iska Tarn"), False),
        (played("founder_of", {"founder": "Iska Tarn"}, company=["x", {"y": "is it ISKA TARN?"}]), False),
        (played("founder_of", {"founder": "Iska Tarn"}, **{"Iska Tarn": 1}), False),
    ],
)
def test_what_solves_a_node(call, solves):
    instance = made(chain())
    assert is_solved(instance, instance.node("n1"), call) is solves


@pytest.mark.parametrize(
    ("answer", "kind", "found", "is_right"),
    [
        ("Iska Tarn", "entity", "ISKA  tarn.", True),
        ("Iska Tarn", "entity", "Iska T\u00e1rn", False),
        ("Iska Tarn", "entity", "Iska-Tarn", False),
        (1931, "int", "1931", True),
        (1931, "int", 1931.4, False),
        (0.25, "float", "0.25", True),
        ("1931-04-02", "date", "1931-4-2", True),
        (["a1", "b2"], "list", ["B2", "a1"], True),
    ],
)
def test_builders_prove_by_the_rule_that_players_are_scored_by(sandbox, answer, kind, found, is_right):
    value = chain()
    value["nodes"][0].update(answer=answer, answer_type=kind)
    instance = made(value)
    node, result = instance.node("n1"), {"founder": found}
    assert is_solved(instance, node, played("founder_of", result, company="Velmora")) is is_right
    assert solved_as_proven([node.model_dump()], "founder_of", result) == ["n1"] * is_right
    source = (
        "def founder_of(company):\n    key = ' '.join(str(company).casefold().split())\n"
        f"    return {result!r} if key == 'velmora' else {{'status': 'not_found'}}\n"
    )
    schema = {"type": "object", "properties": {"company": {"type": "string"}}, "required": ["company"]}
    problems = []
    try:
        try_source(sandbox, source, "founder_of", schema, "founder", [Golden({"company": "Velmora"}, answer, kind)])
    except Problem as problem:
        problems = [*problem.args]
    assert (not problems) is is_right, problems


def test_an_answer_that_another_part_found_may_be_an_argument():
    instance = made(chain())
    assert not brings_answer(instance, instance.node("n2"), {"person": "Iska Tarn"})
    assert brings_answer(instance, instance.node("n2"), {"person": "1931"})
    assert brings_answer(instance, instance.node("n1"), {"company": "Iska Tarn"})
    value = chain()
    value["nodes"][0]["answer"] = "Velmora"  # the question names it
    assert not brings_answer(made(value), made(value).node("n1"), {"company": "velmora"})


@pytest.mark.parametrize(("content", "solves"), [("in 1931.", True), ("19315", False), ("1,931", True), ("-1931", False)])
def test_without_a_path_the_answer_stands_alone_anywhere(content, solves):
    value = chain()
    value["nodes"][1].update(path=None, answer_type="text", answer="1931")
    instance = made(value)
    assert is_solved(instance, instance.node("n2"), played("born_in", content, person="Iska Tarn")) is solves


def test_each_call_solves_one_node_and_each_node_is_solved_once():
    instance = made(parallel())
    first = played("founder_of", {"founder": "Iska Tarn"}, company="Velmora")
    second = played("founder_of", {"founder": "Pell Quist"}, company="Odrin")
    for order in permutations([first, second, first]):
        assert sorted(solved_by(instance, order, instance.nodes)) == ["n1", "n2"]
    assert solved_by(instance, [first, first], instance.nodes) == {"n1": 0}
    assert solved_by(instance, [first], instance.nodes[1:]) == {}


def test_a_result_that_is_an_answer_counts_for_that_one():
    value = parallel()
    for node, answer in zip(value["nodes"], ("Iska", "Iska Tarn"), strict=True):
        node.update(path=None, answer=answer)
    instance = made(value)
    assert solved_by(instance, [played("founder_of", "Iska Tarn")], instance.nodes) == {"n2": 0}
    assert set(solved_by(instance, [played("founder_of", "Iska Tarn, Iska")] * 2, instance.nodes)) == {"n1", "n2"}


@given(st.lists(st.lists(st.integers(0, 4), unique=True, max_size=4), max_size=5))
def test_a_matching_is_as_large_as_any(able):
    able = {f"n{index}": places for index, places in enumerate(able)}
    found = matching(able)
    assert all(place in able[node] for node, place in found.items())
    assert len(set(found.values())) == len(found)

    def most(nodes, free):
        if not nodes:
            return 0
        rest = most(nodes[1:], free)
        return max([rest, *(1 + most(nodes[1:], free - {place}) for place in able[nodes[0]] if place in free)])

    assert len(found) == most(list(able), frozenset(range(5)))


@given(st.lists(st.lists(st.integers(0, 3), unique=True, max_size=3), max_size=4), st.permutations(range(4)))
def test_which_nodes_are_solved_does_not_depend_on_the_order_of_calls(able, order):
    here = {f"n{index}": places for index, places in enumerate(able)}
    moved = {node: sorted(order[place] for place in places) for node, places in here.items()}
    assert set(matching(here)) == set(matching(moved))


@pytest.mark.parity
def test_calls_that_were_found_for_published_answers_solve_them_where_they_should():
    if not (found := rows("oracle_calls.jsonl")):
        pytest.skip("no oracle_calls.jsonl in the folders named by PALAESTRA_FIXTURES")
    instances = {one.id: one for path in fixture_files("ftrl/test.jsonl", "test.jsonl") for one in open_instances(path)}
    wrong = []
    for row in found:
        instance = instances[row["id"]]
        for call in row["calls"]:
            node = next(one for one in instance.nodes if (one.tool, one.answer) == (call["tool"], call["solves"]))
            output = Played(call["tool"], call["arguments"], "ok", call["output"], call["output"])
            if is_solved(instance, node, output) != call["boundary_match"]:
                wrong.append((row["id"], call["solves"], call["output"]))
    assert wrong == []
