"""What a model thought is split off, whatever it wrote there and however it marked it."""

from __future__ import annotations

import re
import signal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palaestra.agents.formats import FORMATS, make_format
from palaestra.envs.formats import ACTION_FORMATS, format_message, parse_message
from palaestra.envs.formats.reasoning import _fences, hide_tags, is_tag, said, split_reasoning, without_reasoning
from palaestra.envs.formats.thought_marks import FRONTS, MARKS, THOUGHT_MARK
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
PAIRS = [pair for marks in MARKS for pair in marks.examples if pair[0]]
CLOSERS = [close for marks in MARKS for _, close in marks.examples if close not in ("<|end|>", "<think/>")]
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


@given(st.sampled_from(CLOSERS), thoughts.filter(str.strip), answers)
def test_a_closing_tag_that_nothing_opened_ends_reasoning(close, thought, answer):
    reasoning, rest = split_reasoning(f"{thought}\n{close}\n\n{answer}")
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
    is_opened = is_opened or pair[1] not in CLOSERS
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
        "First look.\nPut your plan into <think> tags.\nThen go.",
        "```xml\n<think>hello</think>\n```\nThat is the template.",
        '{"note": "a </think> b"}',
        '<tool_call>\n{"name": "take", "arguments": {"item": "</think> or <think>"}}\n</tool_call>',
        '<tool_call>{"name": x</tool_call>\n<tool_call>{"name": "take", "arguments": {"item": "</think> c"}}</tool_call>',
        '<tool_call>{"name": "a<tool_call>{}</think> c"}</tool_call><tool_call>{"name": "</think> d"}</tool_call>',
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


def test_every_mark_of_the_table_is_one_and_can_be_hidden():
    for marks in MARKS:
        for pair in marks.examples:
            for mark in filter(None, pair):
                assert is_tag(mark) == (mark != "<|end|>")
                assert (hide_tags(mark) != mark) == (mark != "<|end|>")
                assert THOUGHT_MARK.fullmatch(mark).lastgroup in (f"opens_{marks.name}", f"closes_{marks.name}", "ends")


BAD = '<tool_call>\n{"name": "take", "arguments": {"item": "draft"}}\n</tool_call>'
GOOD = BAD.replace("draft", "good")
NESTED = (
    "{o}one {bad}{c}\n{good}",
    "{bad}\n{c}\n{good}",
    "{o}one {o2}two{c2} {bad}{c}\n{good}",
    "{o}one {o}two{c} {bad}{c}\n{good}",
    "{o}\n{o}{bad}{c}\n{good}",
    "{o}one\n```\n{bad}\n```\n{c}{good}",
    "```xml\n{o}\nI could {bad}\n{c}\n```\n{good}",
    "```\n{o}\n{bad}\n```\n{c}\n{good}",
    "```\n{o}\n{bad}\n{c}\n{good}\n```",
    "{good}\n{o}one {bad}",
    "{good}\n{o}one {o2}two{c2} {bad}",
    "{o}a{c}{good}{o}{bad}{c}",
)


@pytest.mark.parametrize("shape", NESTED)
@pytest.mark.parametrize("name", ["tools", "hermes"])
@settings(max_examples=60)
@given(pair=pairs, other=pairs)
def test_a_call_is_run_or_was_only_thought_of_whatever_stands_around_it(shape, name, pair, other):
    (o, c), (o2, c2) = pair, other
    if "{o}" not in shape and c not in CLOSERS:
        return
    if "{o2}" in shape and (c2 not in CLOSERS or c not in CLOSERS) and o2 != o:
        return  # `<|end|>` ends the marks that know it only, where they are the innermost
    text = shape.format(o=o, c=c, o2=o2, c2=c2, bad=BAD, good=GOOD)
    read = make_format(name).read(without_reasoning(Message("assistant", text)), TOOLS)
    items = [call.arguments["item"] for call in read.tool_calls]
    assert "draft" not in items
    assert items == ["good"] or ("{o2}" in shape and not items)
    assert "draft" not in read.content


@given(pairs, st.sampled_from(sorted(set(FORMATS) - {"auto"})), pairs)
def test_what_follows_a_thought_within_an_open_one_is_thought(pair, name, other):
    text = f"{pair[0]}one {other[0]}two{other[1]} {BAD}"
    if other[1] in CLOSERS and pair != other:
        assert split_reasoning(text)[1] == ""
    read = make_format(name).read(without_reasoning(Message("assistant", text)), TOOLS)
    assert not read.tool_calls


@pytest.mark.parametrize("front", FRONTS)
def test_words_at_the_front_mark_a_thought_where_its_end_follows(front):
    opening, ending = front.example
    assert split_reasoning(f"{opening}Maybe {BAD}\n{ending}\n{GOOD}") == (f"Maybe {BAD}", GOOD)
    if front.must_end:
        assert split_reasoning(f"{opening}Maybe.") == ("", f"{opening}Maybe.")
    else:
        assert split_reasoning(f"{opening}Maybe {BAD}") == (f"Maybe {BAD}", "")
    for text in (f"So: {opening}Maybe {ending}", f"{ending} Yes."):
        assert split_reasoning(text) == ("", text)
    message = Message("assistant", f"{opening}Maybe {ending} yes &#72;ere &{front.entity[1:]}{opening[1:]}", reasoning=opening)
    assert parse_message(format_message(message)) == message


FRONT_FORMS = (
    *((f"<{n}>", f"</{n}>") for n in ("plan", "PLAN", "planning", "reason", "Reason", "reasons")),
    *((f"<{n}>", f"</{n}>") for n in ("reasoning_content", "thought_text")),
    *((f"[{n}]", f"[/{n}]") for n in ("REASONING", "THINKING", "Thinking", "THOUGHTS", "ANALYSIS", "PLAN")),
    *((f"```{n}\n", "\n```") for n in ("thinking", "thought", "reasoning", "Think", "plan", "analysis", "scratchpad")),
    ("<details>\n<summary>Thinking</summary>\n", "</details>"),
    ("<details open><summary>My thoughts</summary>", "</details>"),
    ("<details type='reasoning' done='true' duration='3'>\n<summary>3 s</summary>\n", "</details>"),
    ("<details><summary>🧠 The reasoning process</summary>", "</details>"),
)  # fmt: skip


@given(st.sampled_from(FRONT_FORMS), drafts.map("\n".join), st.sampled_from(["", "\n", "<think>hm</think>\n", "  "]))
def test_what_marks_a_thought_at_the_front_is_split_off_and_a_draft_in_it_is_not_run(form, thought, before):
    is_fence, opening = form[0].startswith("```"), thought.count("```") % 2
    text = f"{before}{form[0]}Hm, no.{thought}{form[1]}\n\n{GOOD}"
    if not (is_fence and opening):
        read = make_format("tools").read(without_reasoning(Message("assistant", text)), TOOLS)
        assert [call.arguments["item"] for call in read.tool_calls] == ["good"]
        assert "Hm, no." in split_reasoning(text)[0]
    assert "draft" not in split_reasoning(text)[1]


@given(st.sampled_from(FRONT_FORMS), answers)
def test_what_marks_a_thought_at_the_front_is_text_elsewhere_and_where_it_does_not_end(form, answer):
    if "reasoning_content" in form[0] or "thought_text" in form[0]:
        return  # nothing else has such a name
    for text in (f"So {answer}:\n{form[0]}a, b{form[1]}", f"{form[0]}a, b {answer}"):
        assert split_reasoning(text) == ("", text)
    message = Message("assistant", f"{form[0]}a{form[1]} b", (ToolCall("take", {"item": form[0]}),), reasoning=form[0])
    assert parse_message(format_message(message)) == message


@pytest.mark.parametrize(
    "text",
    [
        "[thinking](http://x.example) is a link.[/thinking]",
        "<details><summary>Dates</summary>Friday</details> Bye.",
        "<planet>Mars</planet> is red.",
        "```python\nprint(1)\n```\nDone.",
        "```think about it\n```\nDone.",
    ],
)
def test_what_only_begins_like_a_thought_is_text(text):
    assert split_reasoning(text) == ("", text)


@pytest.mark.parametrize("fence", ["```", "~~~", "~~~~~"])
@given(pairs.filter(lambda pair: pair[1] in CLOSERS), st.sampled_from(["xml", "", "text x=1"]))
def test_a_thought_in_a_fenced_block_of_either_kind_is_text(fence, pair, info):
    text = f"It is written so:\n{fence}{info}\nx {pair[0]}hello{pair[1]}\n{fence}\nThat is it."
    assert split_reasoning(text) == ("", text)


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("```xml\n<think>hello</think>\n```\nThat is it.", "```xml\n<think>hello</think>\n```\nThat is it."),
        ('```json\n{"item": "<think>{x}</think>"}\n```', '```json\n{"item": "<think>{x}</think>"}\n```'),
        ("```\n<think>get(1)</think>\n```\nget 1", "get 1"),
        ("```\n<think>get(1)\n```\n</think>\nget 1", "get 1"),
        ("```\nget(1)\n</think>\n```\nget 1", "get 1"),
        ("Here are my reasoning steps:\nx\n[BEGIN FINAL RESPONSE]\nget 1\n[END FINAL RESPONSE]", "get 1"),
        ("<|channel>thought\n<channel|>get 1", "get 1"),
        ("<|think|>hm<|end|><|begin|>assistant<|content|>get 1", "get 1"),
        ("the <|end|> of it", "the <|end|> of it"),
        ("<think>a <reflection>b </think>get 1", "get 1"),
        ("<think>a <reflection>b </think>get 2</reflection>get 1", "get 1"),
        ("<think>\n<reflection>b</reflection> get 1", ""),
        ("<think>\n<think>b</think> get 1", "get 1"),
        ("a <thinking about it> b < think c", "a <thinking about it> b < think c"),
        ("<cost_analysis>3</cost_analysis>", "<cost_analysis>3</cost_analysis>"),
    ],
)
def test_what_is_left_of_a_text(text, rest):
    assert split_reasoning(text)[1].strip() == rest


PIECES = (
    "<think>", "</think>", "<think>a</think>", "x <think> y ", "<tool_call>{", "`<think>`", "[THINK]", "<tool_call>{}</think>",
    "```\n<think>a</think>\n```\n", "<think>```a\n", "a\n<think>x</think>", "~~~~~\n<think></think>", "<thi<think></think>nk>",
    "<think a='", "<think " + " " * 90, "<think a=1 b=2 c=", "<a_a_a_", "<" + "a" * 60, "<think></analysis>",
    "<think><thinking>", "<think> x </cot>", "```\n<think>{</think>\n```\n", "```\n</think>", "<|end|>", "<think>\n",
    "<|channel|>analysis<|message|>{<|end|>", "◁think▷ x ", "[BEGIN FINAL RESPONSE][END FINAL RESPONSE]", "analysisI",
    "```thinking\n", "```thinking\n```json\n", "```thinking\n```\n", "<plan>", "<details open ", "<details><summary>a",
    "[PLAN]", "<details a=1 b=", "Here is my thought process:", "to=self ", "to=self<|eom|>assistant",
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


@pytest.mark.parametrize("space", ["\r", "\x0b", "\x0c", "\x85", "\xa0", "\u2028", "\u3000", " \xa0", "a", "`"])
def test_a_fenced_block_is_closed_by_a_line_with_nothing_but_spaces_and_tabs_behind_its_marks(space):
    text = f"```\na\n```{space}\nb\n``` \t\nc"
    assert _fences(text) == [(0, text.index("\nc"))]
    assert _fences("```\na\n``` \t \nb\n``` \t\nc") == [(0, 12)]
