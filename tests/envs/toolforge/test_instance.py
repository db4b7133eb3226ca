"""The format `toolenv/1`: what is read, what is refused, and that writing is exact."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.envs.toolforge.instance import Instance, InstanceError
from tests.envs.toolforge.made import chain, made, parallel

TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(TEXTS, VALUES, max_size=3), TEXTS, VALUES)
def test_a_line_comes_back_as_it_was(meta, question, answer):
    meta.pop("split", None)
    value = chain(question=question, meta=meta)
    value["nodes"][1]["answer"] = answer
    instance = made(value)
    line = instance.to_line()
    assert "\n" not in line
    assert Instance.from_line(line).to_line() == line
    assert Instance.from_line(line.encode()) == instance


def test_defaults_are_written_and_keys_stand_in_the_order_of_the_format():
    value = json.loads(made(parallel()).to_line())
    assert list(value)[:6] == ["format", "id", "source", "seed", "builder_version", "scenario"]
    assert value["difficulty"]["levels"] == {"function": 0, "params": 0, "types": 0, "toolset": 0}
    assert list(value["nodes"][0]) == ["id", "text", "tool", "deps", "answer", "answer_type", "path", "golden_args"]


def without(value, key):
    return {name: one for name, one in value.items() if name != key}


def changed(place, **changes):
    value = chain()
    part = value
    for step in place:
        part = part[step]
    part.update(changes)
    return value


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (chain(format="toolenv/2"), "has the format 'toolenv/2'; expected 'toolenv/1'"),
        (without(chain(), "format"), "has the format None"),
        (without(chain(), "nodes"), "nodes: Field required"),
        (chain(more=1), "more: Extra inputs are not permitted"),
        (changed(("nodes", 0), more=1), r"nodes\.0\.more"),
        (chain(id=""), "id: String should have at least 1 character"),
        (chain(seed="7"), "seed: Input should be a valid integer"),
        (chain(scenario="single_hop"), "the scenario is given as 'single_hop', but its 2 nodes make it 'multi_hop'"),
        (chain(scenario="other"), "scenario"),
        (changed(("nodes", 0), deps=["n2"]), "in a circle"),
        (changed(("nodes", 1), deps=["n9"]), "depends on 'n9', which does not exist"),
        (changed(("nodes", 1), id="n1", deps=[]), "two nodes have the id 'n1'"),
        (changed(("nodes", 1), tool="no_tool"), "asks for the tool 'no_tool', which does not exist"),
        (changed(("nodes", 0), answer_type="colour"), r"nodes\.0\.answer_type"),
        (chain(nodes=[{}] * 100_000), "at most 1000 items"),
        (chain(tools=[]), "impl names 'founder_of', which is not among the tools"),
        (chain(impl={}), "tool 'founder_of' has no implementation"),
        (chain(tools=chain()["tools"] * 2), "two tools are called 'founder_of'"),
        (chain(tools=[{"type": "function"}]), "tool number 1 is not an OpenAI function schema"),
        (changed(("impl", "born_in"), kind="shell"), "impl"),
        (changed(("final",), op={"kind": "sum", "over": ["n7"]}), "final.op names the node 'n7'"),
        (chain(meta={"split": 3}), "meta.split is 3"),
        (chain(messages=[]), "messages"),
        ([chain()], "is not an instance"),
    ],
)
def test_what_is_not_an_instance_is_refused(value, message):
    with pytest.raises(InstanceError, match=message):
        Instance.from_line(json.dumps(value), "FILE, row 3")


@given(st.integers(1, len(made(chain()).to_line()) - 1))
def test_a_line_that_is_cut_off_is_refused(length):
    with pytest.raises(InstanceError, match=r"FILE, row 3 is not JSON .*looks cut off"):
        Instance.from_line(made(chain()).to_line()[:length], "FILE, row 3")


@pytest.mark.parametrize("text", ["NaN", '"\\ud800"', "[" * 100 + "]" * 100, "1e999"])
def test_values_that_cannot_be_sent_are_refused(text):
    line = made(chain()).to_line().replace('"split":"train"', f'"x":{text}')
    with pytest.raises(InstanceError):
        Instance.from_line(line)


def test_nodes_and_tools_by_name():
    instance = made(chain())
    assert instance.node("n2").answer == 1931
    assert instance.tool_names() == ("founder_of", "born_in", "sunk_in")
    assert instance.split == "train"
    with pytest.raises(KeyError):
        instance.node("n3")
