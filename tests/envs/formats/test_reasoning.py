"""What a model thought is split off, whatever it wrote there and however it marked it."""

from __future__ import annotations

import re
import signal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palaestra.envs.formats import ACTION_FORMATS, format_message, parse_message
from palaestra.envs.formats.reasoning import NAMES, _fences, hide_tags, said, split_reasoning, without_reasoning
from palaestra.types import Message, ToolCall

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "take",
            "description": "Take an item.",
            "parameters": {"type": "object", "properties": {"item": {"type": "string"}, "count": {"type": "integer"}}},
        },
    }
]
PAIRS = [(f"<{name}>", f"</{name}>") for name in NAMES]
PAIRS += [(o.upper(), c.title()) for o, c in PAIRS[:3]] + [("[THINK]", "[/THINK]")]
PAIRS += [("<|channel|>analysis<|message|>", "<|end|><|start|>assistant<|channel|>final<|message|>")]
pairs = st.sampled_from(PAIRS)
CALL = '<tool_call>\n{"name": "take", "arguments": {"item": "draft"}}\n</tool_call>'
DRAFTS = [
    CALL,
    "Maybe Action: take?",
    "Thought: x\nAction: wrong",
    "```python\ntake(item='draft')\n```",
    '```json\n{"function_name": "take", "arguments": {"item": "draft"}}\n```',
    '{"function_name": "take", "arguments": {"item": "draft"}}',
    "get 9 draft",
    '[TOOL_CALLS] [{"name": "take", "arguments": {}}]',
    "an open fence ```python",
    "a brace { and a quote \"'",
    "<modules>draft</modules>",
    "",
    "\n\n",
]
drafts = st.lists(
    st.one_of(st.sampled_from(DRAFTS), st.text(st.characters(exclude_characters="<[", codec="utf-8"))), max_size=4
)
thoughts = drafts.map("\n".join)
answers = st.text(st.characters(exclude_characters="<[`\"'{", codec="utf-8"), min_size=1).filter(str.strip)
soup = st.lists(
    st.one_of(
        st.sampled_from([tag for pair in PAIRS for tag in pair]),
        st.sampled_from([*DRAFTS, "`", '"', "\n", "```\n", " ", "<", "think>", "</", "x", "&lt;think>"]),
    ),
    max_size=9,
).map("".join)


@given(pairs, thoughts, answers)
def test_a_block_at_the_front_is_reasoning_and_the_rest_is_the_answer(pair, thought, answer):
    reasoning, rest = split_reasoning(f"{pair[0]}\n{thought}\n{pair[1]}\n\n{answer}")
    assert rest == answer
    assert reasoning == thought


@given(pairs, thoughts.filter(str.strip), answers)
def test_a_closing_tag_that_nothing_opened_ends_reasoning(pair, thought, answer):
    if pair[1][0] == thought.strip()[-1:]:
        return
    reasoning, rest = split_reasoning(f"{thought}\n{pair[1]}\n\n{answer}")
    assert rest == answer
    assert reasoning.strip() == thought.strip()


@given(pairs, thoughts)
def test_thinking_that_never_ends_is_no_answer(pair, thought):
    assert split_reasoning(f"{pair[0]}\n{thought}")[1].strip() == ""
    assert split_reasoning(f"Well.\n{pair[0]}\n{thought}")[1].strip() == "Well."


@given(st.lists(st.tuples(pairs, thoughts), min_size=1, max_size=4), st.lists(answers, min_size=5, max_size=5))
def test_any_number_of_blocks_between_any_words_leaves_the_words(blocks, words):
    text = words[0] + "".join(
        f"\n{o}\n{thought}\n{c}\n{word}" for ((o, c), thought), word in zip(blocks, words[1:], strict=False)
    )
    rest = split_reasoning(text)[1]
    assert "draft" not in rest
    assert rest.split() == " ".join(words[: len(blocks) + 1]).split()


@settings(max_examples=300)
@given(soup)
def test_splitting_again_changes_nothing(text):
    reasoning, rest = split_reasoning(text)
    assert split_reasoning(rest) == ("", rest)
    assert rest == text or len(rest) < len(text)
    message = without_reasoning(Message("assistant", text))
    assert without_reasoning(message) == message
    assert said(text) == message.content == rest
    assert said(Message("assistant", text)) == message
    both = said(Message("assistant", text, reasoning="before"))
    assert both == Message("assistant", rest, reasoning=f"before\n\n{reasoning}" if reasoning else "before")
    assert bool(reasoning) == bool(message.reasoning)


@settings(max_examples=300)
@given(soup, soup)
def test_the_canonical_form_keeps_tags_that_are_text(content, reasoning):
    message = Message("assistant", content, (ToolCall("take", {"item": content}),), reasoning=reasoning)
    assert parse_message(format_message(message)) == message
    assert parse_message(said(format_message(message))) == Message("assistant", content, message.tool_calls)


@given(st.sampled_from(sorted(ACTION_FORMATS)), pairs, thoughts, st.booleans())
def test_every_form_reads_what_stands_after_the_reasoning(name, pair, thought, is_opened):
    form = ACTION_FORMATS[name]
    action = (
        Message("assistant", "get 1 oak log")
        if name == "text"
        else Message("assistant", "", (ToolCall("take", {"item": "a"}),))
    )
    written = form.write(action, TOOLS)
    read = form.parse(written, TOOLS)
    found = form.parse(f"{pair[0] if is_opened else ''}\n{thought}\n{pair[1]}\n\n{written}", TOOLS)
    assert (found.content, found.tool_calls) == (read.content, read.tool_calls)
    assert thought.strip() in found.reasoning


@given(st.sampled_from(["json", "code", "react", "hermes"]), soup)
def test_calls_whose_arguments_hold_tags_are_written_so_that_they_are_read_again(name, text):
    form = ACTION_FORMATS[name]
    call = ToolCall("take", {"item": text})
    assert form.parse(form.write(Message("assistant", "", (call,)), TOOLS), TOOLS).tool_calls == (call,)


@pytest.mark.parametrize(
    "text",
    [
        "The `<think>` tag opens reasoning and `</think>` closes it.",
        'Models write "</think>" when they are done.',
        "Put your plan into <think> tags.",
        "```xml\n<think>hello</think>\n```\nThat is the template.",
        '{"note": "a </think> b"}',
        '<tool_call>\n{"name": "take", "arguments": {"item": "</think> or <think>"}}\n</tool_call>',
        "I think> that 1 < 2 [think",
        "a <thin k> b",
    ],
)
def test_tags_that_are_spoken_of_are_text(text):
    assert split_reasoning(text) == ("", text)
    assert without_reasoning(Message("assistant", text)) == Message("assistant", text)


def test_reasoning_is_added_to_what_the_server_reported_apart():
    message = without_reasoning(Message("assistant", "<think>b</think>c", reasoning="a"))
    assert (message.reasoning, message.content) == ("a\n\nb", "c")


def test_json_without_tags_is_left_alone():
    assert hide_tags('{"a": "<b>"}') == '{"a": "<b>"}'
    assert hide_tags('{"a": "<THINK>[/think]"}') == '{"a": "\\u003cTHINK>\\u005b/think]"}'


PIECES = (
    "<think>", "</think>", "<think>a</think>", "x <think> y ", "<tool_call>{", "`<think>`", "[THINK]", "<tool_call>{}</think>",
    "```\n<think>a</think>\n```\n", "<think>```a\n", "a\n<think>x</think>", "~~~~~\n<think></think>", "<thi<think></think>nk>",
)  # fmt: skip


@pytest.mark.parametrize("piece", PIECES)
def test_the_work_of_splitting_grows_with_the_length_of_the_text(piece):
    text = piece * (1_500_000 // len(piece))  # work that grows with its square would take half an hour

    def too_much(*_):
        raise AssertionError(f"{piece!r} took 60 s of CPU")

    before = signal.signal(signal.SIGVTALRM, too_much)
    signal.setitimer(signal.ITIMER_VIRTUAL, 60.0)
    try:
        rest = split_reasoning(text)[1]
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0.0)
        signal.signal(signal.SIGVTALRM, before)
    assert split_reasoning(rest)[0] == ""


FENCE = re.compile(r"^[ \t]*(`{3,}|~{3,})[^\n`]*\n.*?^[ \t]*\1[ \t]*$", re.DOTALL | re.MULTILINE)
"""Fenced blocks as one pattern, whose work grows with the square of the text."""


@settings(max_examples=400, deadline=None)
@given(
    st.lists(st.sampled_from(["```", "````", "~~~", "~~~~~", "\n", "\n", " ", "\t", "a", "`", "~", "\r"]), max_size=24).map(
        "".join
    )
)
def test_fenced_blocks_are_those_of_the_pattern(text):
    assert _fences(text) == [found.span() for found in FENCE.finditer(text)]
