"""Items made by number: labels, splits, and what scripted agents earn on them."""

import json
import subprocess
import sys

import pytest

from palaestra.envs.critic import paper_columns, published, score, to_published
from palaestra.envs.critic.generate import LABELS, NUM_TEST, PER_LABEL, make_record
from palaestra.envs.critic.made_tools import made, problem_of
from palaestra.envs.critic.paper import read_reply
from palaestra.envs.critic.published import FINISH_SENTENCE
from palaestra.envs.critic.record import Action
from palaestra.envs.critic.slips import label_of
from palaestra.envs.wrappers.injection.taxonomy import EXTENDED, EXTERNAL, INTERNAL
from palaestra.errors import UsageError


@pytest.fixture(scope="module")
def internal():
    return [make_record("internal", "test", index) for index in range(NUM_TEST["internal"])]


@pytest.fixture(scope="module")
def external():
    return [make_record("external", "test", index) for index in range(NUM_TEST["external"])]


def said(action: Action, error: str = "") -> str:
    return json.dumps({**({"error": error} if error else {}), **action.to_published()})


def means(scored):
    """The means of each label, by the names of the measures."""
    found = {}
    for one in scored:
        for name, value in one.scores.items():
            found.setdefault((one.label, name), []).append(value)
    return {key: sum(values) / len(values) for key, values in found.items()}


def test_every_label_has_its_items(internal, external):
    for records, family in ((internal, "internal"), (external, "external")):
        for label in LABELS[family]:
            assert sum(record.label == label for record in records) == PER_LABEL >= 200
    assert LABELS["internal"] == ("", *INTERNAL)
    assert LABELS["external"] == (*EXTERNAL, *EXTENDED)


@pytest.mark.parametrize("profile", ["paper", "published"])
def test_the_oracle_earns_everything(internal, external, profile):
    scored = [score(one, [said(one.golden, one.label)], "internal", profile=profile) for one in internal]
    for one in external[:: 1 if profile == "paper" else 10]:
        retry, report = said(one.golden_failed), Action(name="FinishAction", args=FINISH_SENTENCE)
        scored += [score(one, [retry, said(one.next)], "skip", profile=profile)]
        scored += [score(one, [retry, said(report)], "finish", profile=profile)]
    assert {round(value, 12) for one in scored for value in one.scores.values()} == {1.0}
    assert {round(one.credit, 12) for one in scored} == {1.0}
    assert {one.behaviour for one in scored} == {"correct", "proceed", "retry_then_skip", "retry_then_finish"}
    assert all(round(value, 12) == 1 for value in paper_columns(scored).values())


def test_always_claiming_and_never_claiming(internal):
    key = "parameters_key_error"
    always = means(score(one, [said(one.golden, key)], "internal") for one in internal)
    never = means(score(one, [said(one.golden)], "internal") for one in internal)
    for label in ("", *INTERNAL):
        assert always[label, "detect"] == float(bool(label))
        assert never[label, "detect"] == float(not label)
        if label:
            assert always[label, "category"] == float(label == key)
            assert never[label, "category"] == 0


def test_retrying_without_end(external):
    scored = [score(one, [said(one.golden_failed)] * 4, "skip") for one in external]
    assert set(means(scored).values()) == {0, 1}
    assert {(name, value) for (_, name), value in means(scored).items()} == {
        *(("retry", 1), ("parse_rate", 1)),
        *((name, 0) for name in ("break", "tool", "args")),
    }
    assert {one.behaviour for one in scored} == {"endless_retry"}


def test_wrong_steps_are_wrong_in_the_way_that_they_say(internal):
    for one in internal:
        reply = read_reply(one.messages[-2]["content"])
        assert reply is not None
        assert reply.action is not None
        listed = {tool["function"]["name"]: made()[tool["function"]["name"]] for tool in one.tools}
        if one.label:
            call, right = (reply.action.name, reply.action.args), (one.golden.name, one.golden.args)
            assert label_of(call, right, listed) == one.label, one.id
        else:
            assert problem_of(listed.get(reply.action.name), reply.action.name, reply.action.args) == ""
        assert problem_of(listed[one.golden.name], one.golden.name, one.golden.args) == ""
        silent = problem_of(listed.get(reply.action.name), reply.action.name, reply.action.args) == ""
        assert silent != one.messages[-1]["content"].startswith("Error: "), one.id
        if one.label == "tool_select_error":
            assert silent
        elif one.label in ("tool_hallucination_error", "parameters_key_error"):
            assert not silent


def test_failures_do_not_give_their_label_away(external):
    for one in external:
        assert not any(word in one.messages[-1]["content"] for word in ("injected", "simulated", one.label)), one.id


def test_what_a_user_asks_for_says_every_value(internal):
    for one in internal:
        asked = one.messages[1]["content"]
        for value in one.golden.args.values():
            parts = value if isinstance(value, list) else [] if value is True else [value]
            assert all(str(part) in asked for part in parts), one.id


def test_splits_do_not_meet(internal, external):
    def expected(record):
        action = record.golden or record.golden_failed
        return json.dumps([action.name, action.args], sort_keys=True)

    for family, records in (("internal", internal), ("external", external)):
        train = {expected(make_record(family, "train", index)) for index in range(200)}
        assert not train & {expected(record) for record in records}


def test_items_are_those_of_the_published_form(external):
    for one in external[:10]:
        item = to_published(one)
        assert published.retry_loop(item, lambda _, one=one: said(one.next), False) == [said(one.next)]


def test_the_same_item_in_another_process():
    code = "from palaestra.envs.critic.generate import make_record as m; print(m('internal', 'train', 7, cot=True).to_line())"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == make_record("internal", "train", 7, cot=True).to_line()


def test_both_forms_of_an_item_differ_in_thoughts_alone():
    bare, full = (make_record("external", "train", 3, cot=cot) for cot in (False, True))
    assert full.golden_failed.thought
    assert bare.golden_failed.thought is None
    assert (bare.golden_failed.args, bare.messages[1]) == (full.golden_failed.args, full.messages[1])


@pytest.mark.parametrize(
    ("family", "split", "index"), [("other", "test", 0), ("internal", "dev", 0), ("internal", "test", -1)]
)
def test_items_that_do_not_exist(family, split, index):
    with pytest.raises(UsageError):
        make_record(family, split, index)
