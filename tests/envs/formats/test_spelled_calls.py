"""Three outcomes: an attempt is run or advised on and ends nothing, speech is not run, a plain answer is one."""

from __future__ import annotations

import itertools
import json
from collections import Counter

import gymnasium
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palaestra.agents.formats import FORMATS
from palaestra.envs.formats.attempts import find_attempt
from palaestra.envs.formats.speech import has_words, is_made, manner
from palaestra.envs.tools import sample_call
from palaestra.types import Message, ToolCall
from tests.envs.formats.reported_calls import ANSWERS, DATA, FRESH_REPORTS, REPORTS, SIGNATURES, UNANSWERED
from tests.envs.formats.spelled_calls import (
    ELEMENTS,
    FAMILIES,
    FREE,
    HEADED,
    LEADS,
    MENTIONS,
    PLAIN,
    SHAPED,
    SPEECH,
    TELLING,
    filled,
)

TOOLS = {
    name: gymnasium.make(f"palaestra/{name}-v0").reset(seed=0)[1]["tools"] for name in ("Desk", "TextCraft")
}  # names of their own, and names that are ordinary words
FORMAT = FORMATS["tools"]()
READ = {**FREE, **FAMILIES, **ELEMENTS}
ATTEMPTS = {**READ, **SHAPED}
ADVISED = {"function gemma", "hunyuan 3", "a mark alone"}
"""Families that are answered with advice and not read."""

offers = st.sampled_from(sorted(TOOLS))
seeds = st.integers(0, 2**32)


def drawn(tools, seed: int) -> ToolCall:
    return sample_call(tools, np.random.default_rng(seed))


def outcome(text: str, tools) -> tuple[str, Message]:
    """Play an answer: what becomes of it, and the message that is played."""
    message = FORMAT.read(Message("assistant", text), tools)
    if message.tool_calls and all(call.name for call in message.tool_calls):
        return "runs", message
    if message.error or message.tool_calls or find_attempt(message.content, tools) is not None:
        return "advice", message
    return "final", message


@settings(max_examples=300)
@given(offers, seeds, st.sampled_from(sorted(ATTEMPTS)), st.sampled_from(LEADS))
def test_an_attempt_in_any_spelling_ends_nothing_and_runs_what_it_says(offer, seed, spelling, lead):
    tools = TOOLS[offer]
    call = drawn(tools, seed)
    result, message = outcome(lead + ATTEMPTS[spelling](call), tools)
    assert result != "final"
    if spelling in READ and result == "runs":
        assert [(one.name, one.arguments) for one in message.tool_calls] == [(call.name, call.arguments)]
        assert message.content.strip() in ("", lead.strip()) or spelling in FAMILIES


@settings(max_examples=200)
@given(offers, seeds, st.sampled_from(sorted(FREE | HEADED)), st.sampled_from(LEADS))
def test_a_call_that_stands_alone_is_read(offer, seed, spelling, lead):
    assert outcome(lead + (FREE | HEADED)[spelling](drawn(TOOLS[offer], seed)), TOOLS[offer])[0] == "runs"


@pytest.mark.parametrize("spelling", [*FAMILIES, *ELEMENTS])
def test_the_marks_of_a_family_are_read_or_answered_by_the_environment_too(spelling):
    call = ToolCall("search_notes", {"query": "Glass lunch"})
    text = READ[spelling](call)
    assert outcome(text, TOOLS["Desk"])[0] == ("advice" if spelling in ADVISED else "runs")
    env = gymnasium.make("palaestra/Desk-v0")
    env.reset(seed=0)
    assert not env.step(text)[2]


@settings(max_examples=300)
@given(offers, seeds, st.sampled_from(sorted(ATTEMPTS)), st.sampled_from(SPEECH))
def test_a_call_that_is_quoted_denied_exemplified_or_reported_is_not_run(offer, seed, spelling, around):
    text = around[0] + ATTEMPTS[spelling](drawn(TOOLS[offer], seed)) + around[1]
    assert outcome(text, TOOLS[offer])[0] != "runs"


@given(offers, seeds, st.sampled_from(sorted(FREE)), st.sampled_from(sorted(FREE)))
def test_calls_between_which_something_is_reported_are_not_run(offer, seed, first, second):
    call = drawn(TOOLS[offer], seed)
    text = f"{FREE[first](call)}\nI already executed this:\n{FREE[second](call)}"
    assert outcome(text, TOOLS[offer])[0] != "runs"


def test_no_plain_answer_is_advised_on_or_run():
    texts = [(offer, text) for offer in TOOLS for text in PLAIN]
    texts += [(o, mention(drawn(TOOLS[o], seed))) for o, mention, seed in itertools.product(TOOLS, MENTIONS, range(10))]
    wrong = [(text, outcome(text, TOOLS[offer])[0]) for offer, text in texts if outcome(text, TOOLS[offer])[0] != "final"]
    assert not wrong


def test_no_report_of_calls_in_any_language_is_advised_on_or_run():
    texts = [(o, filled(form)(drawn(TOOLS[o], seed))) for o, form, seed in itertools.product(TOOLS, REPORTS, range(10))]
    texts += [("Desk", text) for text in (*SIGNATURES, *ANSWERS)]
    texts += [("Desk", filled(form)(drawn(TOOLS["Desk"], seed))) for form, seed in itertools.product(DATA, range(10))]
    wrong = [(text, outcome(text, TOOLS[offer])[0]) for offer, text in texts if outcome(text, TOOLS[offer])[0] != "final"]
    assert not wrong


@pytest.mark.parametrize("text", UNANSWERED)
def test_no_attempt_in_odd_spellings_is_an_answer(text):
    env = gymnasium.make("palaestra/Desk-v0")
    env.reset(seed=0)
    assert outcome(text, TOOLS["Desk"])[0] != "final"
    assert not env.step(text)[2]


def test_most_reports_that_no_rule_was_made_for_are_answers():
    texts = [filled(form)(drawn(TOOLS["Desk"], 3)) for form in FRESH_REPORTS]
    assert sum(outcome(text, TOOLS["Desk"])[0] == "final" for text in texts) >= 0.9 * len(texts)


@pytest.mark.parametrize("name", ["inventory", "get", "craft"])
@pytest.mark.parametrize("frame", ["{}", "```json\n{}\n```", "The result:\n{}", "The result is {}."])
@given(items=st.dictionaries(st.sampled_from(["oak log", "oak planks", "stick"]), st.integers(1, 64), min_size=1))
def test_data_under_the_name_of_a_tool_that_is_an_ordinary_word_is_no_call(name, frame, items):
    assert outcome(frame.replace("{}", json.dumps({name: items})), TOOLS["TextCraft"])[0] == "final"


@given(seeds, st.sampled_from(TELLING), st.sampled_from(["", "I found no note.\n", "Hm.\n\n"]))
def test_who_says_that_a_call_comes_and_makes_none_has_not_answered(seed, spelling, lead):
    assert outcome(lead + spelling(drawn(TOOLS["Desk"], seed)), TOOLS["Desk"])[0] == "advice"


@given(
    seeds,
    st.sampled_from(TELLING),
    st.sampled_from(["\nDone: the note is gone.", "\nIt found two notes, the lunch is on Friday."]),
)
def test_an_announcement_that_an_answer_follows_is_none(seed, spelling, rest):
    text = spelling(drawn(TOOLS["Desk"], seed))
    if not any(mark in text for mark in ("```", "Action", "Tool")):
        assert outcome(text + rest, TOOLS["Desk"])[0] == "final"


@settings(max_examples=200)
@given(seeds, st.sampled_from(["mcp__desk__", "desk__", "mcp__a-b__c_d__", "functions.", "desk.", "desk/"]))
def test_a_name_behind_that_of_its_server_is_the_tool(seed, prefix):
    call = drawn(TOOLS["Desk"], seed)
    for form in ('{"name": "PREFIXNAME", "arguments": JSON}', '{"tool": "PREFIXNAME", "args": JSON}'):
        result, message = outcome(filled(form)(call).replace("PREFIX", prefix), TOOLS["Desk"])
        assert [(one.name, one.arguments) for one in message.tool_calls] == [(call.name, call.arguments)]
        assert result == "runs"
    other = '{"name": "PREFIXno_such_tool", "arguments": {}}'.replace("PREFIX", prefix)
    assert outcome(other, TOOLS["Desk"])[0] == "advice"


@given(offers, st.lists(st.sampled_from([text for text in PLAIN if text and "Action:" not in text]), min_size=1, max_size=4))
def test_plain_answers_one_after_another_are_one(offer, texts):
    assert outcome("\n\n".join(texts), TOOLS[offer])[0] == "final"


def test_the_outcomes_of_the_corpus_are_measured():
    counts: Counter[tuple[str, str]] = Counter()
    for offer, seed in itertools.product(TOOLS, range(2)):
        tools = TOOLS[offer]
        call = drawn(tools, seed)
        for spelling, lead in itertools.product(ATTEMPTS.values(), LEADS):
            counts["attempt", outcome(lead + spelling(call), tools)[0]] += 1
        for spelling, (before, after) in itertools.product(ATTEMPTS.values(), SPEECH):
            counts["speech", outcome(before + spelling(call) + after, tools)[0]] += 1
    assert not counts["attempt", "final"]
    assert not counts["speech", "runs"]
    assert counts["attempt", "runs"] > 2 * counts["attempt", "advice"]


ENDINGS = ("Sure. <think>I do not know yet which one it is, so", "Well:<think>maybe", "Well, <think>maybe not,")


@pytest.mark.parametrize("text", ENDINGS)
def test_prose_with_a_thought_that_was_cut_off_ends_nothing(text):
    env = gymnasium.make("palaestra/Desk-v0")
    env.reset(seed=0)
    _, _, terminated, _, info = env.step(text)
    assert not terminated
    assert info["action_error"]


@pytest.mark.parametrize(
    "frame",
    [
        "CALL",
        "`CALL`",
        "Action: CALL",
        "await CALL",
        "Sure! CALL",
        "Okay, CALL",
        "<execute>CALL</execute>",
        "<action>CALL</action>",
        "I will call CALL.",
        "I'll use `CALL` now.",
        "- CALL",
        "> CALL",
        "r = CALL",
        "print(CALL)",
        "**CALL**",
        '"CALL"',
        "Let me do this: CALL",
    ],
)
@pytest.mark.parametrize(
    "call",
    [
        "vw.tailLight.switch(switch=False)",
        "tailLight.switch(switch=False)",
        "carcontrol_tailLight_switch(switch=False)",
        'vw.tailLight.switch {"switch": false}',
        'tailLight.switch: {"switch": false}',
        "vw.tailLight.is_on = False",
    ],
)
def test_a_call_in_words_ends_no_request_of_vehicle_world(frame, call):
    for kwargs in ({}, {"mode": "sfc"}, {"mode": "hybrid"}):
        env = gymnasium.make("palaestra/VehicleWorld-v0", **kwargs)
        env.reset(seed=0)
        env.step(frame.replace("CALL", call))
        assert env.unwrapped.progress.index == 0, kwargs


@pytest.mark.parametrize(
    "text",
    [
        "I called vw.tailLight.switch(switch=False) and the light is off.",
        "The tailLight module is off.",
        "You can use `vw.tailLight.switch(switch=True)` to turn it on again.",
        "I did not call tailLight.switch(switch=False), because it is off.",
        "The window is at 50 % (half open).",
        "I set the volume (vw.music.volume = 50).",
        "The light is off now: tailLight.is_on = False in the report.",
        "Report:\n- tailLight.is_on = False\n- music.volume = 50",
        "The volume was set (vw.music.volume = 50) as you asked.",
        "Done. tailLight.is_on = False",
        "tailLight.is_on is False now (vw.tailLight.is_on = False).",
        "The state is now: tailLight.is_on = False.",
        "Ich habe tailLight.is_on = False gesetzt.",
    ],
)
def test_words_about_calls_end_a_request_of_vehicle_world(text):
    env = gymnasium.make("palaestra/VehicleWorld-v0")
    env.reset(seed=0)
    env.step(text)
    assert env.unwrapped.progress.index == 1


@given(st.text(), st.text(), st.booleans())
def test_any_words_are_judged(before, after, labelled):
    assert is_made([before], after, labelled=labelled) in (True, False)
    assert not (is_made([before], after) and has_words(after))
    assert manner(f"{before}f(){after}", len(before), len(before) + 3) in ("free", "announced", "spoken")
