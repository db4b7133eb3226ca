"""Reasons for which answers end: every word that a provider has, and those that none has yet."""

from __future__ import annotations

import logging
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.agents.core import Generation
from palaestra.agents.endings import (
    CUT,
    FAILED,
    FILTERED,
    UNFINISHED,
    UNREAD,
    WHOLE,
    Ending,
    check_ending,
    ending_of,
    is_empty,
    plain_reason,
    reason_text,
    unknown_reason,
)
from palaestra.agents.evaluation.summary import Summary
from palaestra.errors import ContentFilterError, ModelError
from palaestra.types import Message, Usage

FAMILIES = {
    Ending.WHOLE: WHOLE,
    Ending.CUT: CUT,
    Ending.FILTERED: FILTERED,
    Ending.FAILED: FAILED,
    Ending.UNFINISHED: frozenset(UNFINISHED),
    Ending.UNREAD: UNREAD,
}
WORDS = [(word, family) for family, words in FAMILIES.items() for word in sorted(words)]
SPELLINGS = [
    str,
    str.upper,
    lambda word: word.replace("_", "-"),
    lambda word: f" {word} ",
    lambda word: f"FINISH_REASON_{word}",
]


def camel(word: str) -> str:
    first, *rest = word.split("_")
    return first + "".join(part.capitalize() for part in rest)


@pytest.mark.parametrize(("word", "family"), WORDS)
def test_a_word_means_the_same_in_every_spelling(word: str, family: Ending) -> None:
    assert {ending_of(spell(word)) for spell in [*SPELLINGS, camel]} == {family}


def test_no_word_has_two_meanings() -> None:
    assert len({word for word, _ in WORDS}) == len(WORDS)


def provider_words() -> list[str]:
    """Return every reason that the SDKs of the providers name."""
    anthropic = pytest.importorskip("anthropic.types")
    beta = pytest.importorskip("anthropic.types.beta")
    google = pytest.importorskip("google.genai.types")
    responses = pytest.importorskip("openai.types.responses.response")
    chat = pytest.importorskip("openai.types.chat.chat_completion")
    details = responses.IncompleteDetails.model_fields["reason"].annotation
    chosen = chat.Choice.model_fields["finish_reason"].annotation
    found = [
        *get_args(anthropic.StopReason),
        *get_args(beta.BetaStopReason),
        *(reason.value for reason in google.FinishReason),
    ]
    found += [*get_args(responses.ResponseStatus), *get_args(get_args(details)[0]), *get_args(chosen)]
    return sorted(set(found))


def test_every_word_of_every_provider_is_known() -> None:
    words = provider_words()
    assert len(words) > 40
    assert [word for word in words if ending_of(word) is Ending.UNKNOWN] == []
    whole = [word for word in words if ending_of(word) is Ending.WHOLE]
    finished = {"STOP", "stop", "end_turn", "stop_sequence", "tool_use", "tool_calls", "function_call", "completed"}
    assert set(whole) == finished


# as the documentation of servers without an SDK here lists them: DeepSeek, Zhipu, Cohere, Bedrock, watsonx, Mistral, TGI, vLLM
DOCUMENTED = {
    Ending.WHOLE: "COMPLETE STOP_SEQUENCE TOOL_CALL eos_token stop_sequence endoftext function_call",
    Ending.CUT: "MAX_TOKENS model_length max_tokens token_limit time_limit length model_context_window_exceeded",
    Ending.FILTERED: "sensitive guardrail_intervened content_filtered ERROR_TOXIC",
    Ending.FAILED: "insufficient_system_resource network_error ERROR ERROR_LIMIT USER_CANCEL cancelled not_finished abort "
    "malformed_model_output engine_overloaded internal_error server_error",
    Ending.UNREAD: "malformed_tool_use",
}


@pytest.mark.parametrize("family", DOCUMENTED)
def test_words_of_other_servers_are_known(family: Ending) -> None:
    assert {ending_of(word) for word in DOCUMENTED[family].split()} == {family}


@pytest.mark.parametrize(
    ("word", "family"),
    [
        ("max_reply_tokens", Ending.CUT),
        ("output_length_reached", Ending.CUT),
        ("TRUNCATED_BY_SERVER", Ending.CUT),
        ("content_filter_v2", Ending.FILTERED),
        ("input_moderated", Ending.FILTERED),
        ("usage_policy", Ending.FILTERED),
        ("backend_error", Ending.FAILED),
        ("upstreamTimeout", Ending.FAILED),
        ("request_aborted", Ending.FAILED),
        ("galaxy", Ending.UNKNOWN),
    ],
)
def test_a_new_word_is_judged_by_its_family(word: str, family: Ending) -> None:
    assert ending_of(word) is family


@pytest.mark.parametrize(("word", "family"), WORDS)
def test_each_family_is_played_or_raised(word: str, family: Ending) -> None:
    generation = Generation(Message("assistant", "It is done."), word, Usage(calls=1, completion_tokens=4))
    if family in (Ending.WHOLE, Ending.CUT, Ending.UNREAD):
        checked = check_ending(generation, "stub")
        assert bool(checked.message.error) == (family is Ending.UNREAD)
        return
    with pytest.raises(ModelError) as found:
        check_ending(generation, "stub")
    assert found.value.retryable == (family is Ending.FAILED)
    assert isinstance(found.value, ContentFilterError) == (family is Ending.FILTERED)
    assert found.value.usage == generation.usage


def test_an_unknown_word_is_played_counted_and_told_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            generation = Generation(Message("assistant", "It is done."), "Black Hole 7")
            assert check_ending(generation, "stub-of-this-test") is generation
    assert [record.getMessage().count("black_hole_7") for record in caplog.records] == [1]
    assert unknown_reason("Black Hole 7") == "black_hole_7"
    counted = Summary.answers.fget  # type: ignore[attr-defined]
    told = counted(type("One", (), {"answer_faults": {"black_hole_7": 2, "length": 1}}))
    assert told == "1 turn cut, 0 filtered, 0 empty, 2 for a reason that is not known (black_hole_7)"


@given(st.text(max_size=80))
def test_any_text_is_a_reason(text: str) -> None:
    name = unknown_reason(text)
    assert bool(name) == (ending_of(text) is Ending.UNKNOWN and bool(text.strip()))
    assert len(name) <= 40
    assert name.isascii()
    assert plain_reason(text, has_calls=False)


@pytest.mark.parametrize(
    ("sent", "read"),
    [("stop", "stop"), (None, ""), ({"type": "length", "length": 16}, "length"), ({"matched": 2}, "unspecified"), (7, "7")],
)
def test_a_reason_need_not_be_a_text(sent: object, read: str) -> None:
    assert reason_text(sent) == read


MARKS = [
    "<|end|>",
    "<|im_end|>",
    "<|eot_id|>",
    "</s>",
    "<end_of_turn>",
    "<turn|>",
    "<|return|>",
    "<｜end▁of▁sentence｜>",
    " ",
    "\n",
]


@given(st.lists(st.sampled_from(MARKS), max_size=4), st.sampled_from(["", "yes", "<|open|>"]))
def test_tokens_that_end_turns_are_not_a_text(marks: list[str], text: str) -> None:
    assert is_empty(Message("assistant", "".join([*marks, text, *marks]))) == (not text)
