"""Items made harder: the ground truth stays, planted violations are seen, chance comes from seed and id alone."""

import re
import statistics

import pytest

from palaestra.envs.critic import overall, paper_columns, score, to_published
from palaestra.envs.critic.evolution import STRATEGIES, Refused, evolve, evolve_all, problems_of
from palaestra.envs.critic.generate import make_record
from palaestra.envs.critic.record import of_published
from palaestra.envs.critic.report import groups
from palaestra.errors import UnknownNameError
from tests.envs.critic.made_items import internal
from tests.hash_seeds import outputs

RECORDS = [make_record(family, "test", index) for family in ("internal", "external") for index in range(20)]
TEST_SCRIPT = """
from palaestra.envs.critic import evolve_all
from palaestra.envs.critic.generate import make_record
print(*[r.to_line() for r in evolve_all([make_record("internal", "test", i) for i in range(8)], seed=3).records], sep="\\n")
"""


def tokens(record):
    return sum(len(re.findall(r"\w+|[^\w\s]", message["content"])) for message in record.messages)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_each_way_leaves_the_ground_truth_and_changes_the_item(strategy):
    found = evolve_all(RECORDS, [strategy], seed=1)
    assert found.refused == {}
    for before, after in zip(RECORDS, found.records, strict=True):
        assert after.evolution == [strategy]
        assert (after.golden, after.golden_failed, after.next, after.label) == (
            before.golden,
            before.golden_failed,
            before.next,
            before.label,
        )
        assert after.messages != before.messages
        assert problems_of(before, after) == []
        back = of_published(after.id, to_published(after))
        assert (back.messages, back.tools, back.k) == (after.messages, after.tools, after.k)


def test_mixed_items_are_as_long_as_the_papers():
    found = evolve_all(RECORDS, seed=2)
    assert found.refused == {}
    ratios = [tokens(after) / tokens(before) for before, after in zip(RECORDS, found.records, strict=True)]
    assert 1.65 <= statistics.mean(ratios) <= 2.0
    assert all(2 <= len(record.evolution) <= 4 for record in found.records)
    assert len({record.id for record in [*RECORDS, *found.records]}) == 2 * len(RECORDS) - 20  # families share base ids


def test_a_golden_reply_is_worth_the_same():
    for before in RECORDS[:10]:
        after = evolve(before, seed=5)
        reply = before.golden.text()
        assert score(after, [reply], "internal").scores == score(before, [reply], "internal").scores


def test_figures_by_way_stand_in_the_report():
    scored = [score(record, [record.golden.text()], "internal") for record in evolve_all(RECORDS[:12], seed=1).records]
    scored += [score(record, [record.golden.text()], "internal") for record in RECORDS[:12]]
    assert {"base", "evolved", *(f"evolved by {name}" for name in STRATEGIES)} <= set(groups(scored))
    assert overall(paper_columns(scored)) is None  # external items are missing


def test_chance_comes_from_seed_and_id_alone():
    alone = [evolve(record, seed=3).to_line() for record in RECORDS[:8][::-1]][::-1]
    assert outputs(TEST_SCRIPT) == {"\n".join(alone) + "\n"}
    assert evolve(RECORDS[0], seed=4).messages != evolve(RECORDS[0], seed=3).messages


def changed(record, **fields):
    return record.model_copy(update=fields)


def said(system, user):
    return [{"role": "system", "content": system}, {"role": "user", "content": user}]


def test_planted_violations_are_seen():
    base = RECORDS[0]
    after = evolve(base, ["noisy_query", "harder_tools", "extra_tools", "long_context"], seed=1)
    assert problems_of(base, after) == []
    golden = base.golden
    name = next(value for value in golden.args.values() if isinstance(value, str))
    assert any(
        "golden" in one for one in problems_of(base, changed(after, golden=golden.model_copy(update={"name": "other"})))
    )
    at = len(after.messages) - len(base.messages)
    messages = [dict(message) for message in after.messages]
    messages[1]["content"] += f" And {name}."
    assert any("must not hold" in one for one in problems_of(base, changed(after, messages=messages)))
    messages = [dict(message) for message in after.messages]
    messages[1 + at]["content"] = messages[1 + at]["content"].replace(name, "Nowhere")
    assert any("has to stay" in one for one in problems_of(base, changed(after, messages=messages)))
    messages = [dict(message) for message in after.messages]
    messages[-1]["content"] = "All is well."
    assert any("steps after the query" in one for one in problems_of(base, changed(after, messages=messages)))
    tools = [dict(tool) for tool in after.tools]
    own = next(place for place, tool in enumerate(tools) if tool["function"]["name"] == golden.name)
    parameters = {**tools[own]["function"]["parameters"], "required": []}
    tools[own] = {"type": "function", "function": {**tools[own]["function"], "parameters": parameters}}
    assert any("more than its descriptions" in one for one in problems_of(base, changed(after, tools=tools)))
    twin = next(tool for tool in base.tools if tool["function"]["name"] == golden.name)
    twin = {"type": "function", "function": {**twin["function"], "name": f"{golden.name}_again"}}
    assert any("is described as" in one for one in problems_of(base, changed(after, tools=[*after.tools, twin])))
    assert "Tools were added." in problems_of(base, changed(base, tools=[*base.tools, twin]))


def test_a_clause_that_is_gone_is_seen():
    base = changed(internal(), messages=said("Rules.", "Buy rice. Then water plants."))
    after = changed(base, evolution=["noisy_query"], messages=said("Rules.", "Please buy rice."))
    assert any("water plants" in one for one in problems_of(base, after))


def test_the_name_of_a_tool_that_is_not_there_never_comes_into_the_list():
    for record in RECORDS[:20]:
        if record.label == "tool_hallucination_error":
            after = evolve(record, ["extra_tools"])
            called = [one["content"] for one in record.messages if one["role"] == "assistant"][-1]
            assert not any(f'"name": "{tool["function"]["name"]}"' in called for tool in after.tools)


def test_what_cannot_be_done_is_refused():
    once = evolve(RECORDS[0], ["long_context"])
    with pytest.raises(Refused, match="long_context:again"):
        evolve(once, ["long_context"])
    assert evolve(once, ["noisy_query"]).evolution == ["long_context", "noisy_query"]
    with pytest.raises(UnknownNameError, match="strategy"):
        evolve(RECORDS[0], ["colour"])
    without = changed(internal(), messages=[{"role": "system", "content": "Rules."}, {"role": "assistant", "content": "{}"}])
    assert evolve_all([without, RECORDS[0]]).refused == {without.id: "mixed:few"}
    assert evolve_all([without], ["noisy_query"]).refused == {without.id: "query:none"}


def test_a_corpus_is_read_from():
    after = evolve(RECORDS[0], ["long_context"], corpus=["Stones " * 50], seed=8)
    assert (
        "It has 50 words." in "".join(message["content"] for message in after.messages)
        or "earlier" in after.messages[1]["content"]
    )
