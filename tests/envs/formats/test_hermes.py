import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palaestra.envs.formats import ACTION_FORMATS
from palaestra.envs.formats.hermes import (
    MAX_UNREADABLE,
    ensure_call_ids,
    explain_malformed,
    format_call,
    format_message,
    format_results,
    parse_message,
)
from palaestra.errors import UsageError
from palaestra.media import Media, find_media
from palaestra.types import Message, ToolCall, ToolResult
from tests.media.drawn import near_tags
from tests.media.drawn import texts as tagged_texts

SOUND, PICTURE = Media("a" * 64, "audio/wav", 2.5, 16_000), Media("b" * 64, "image/png", width=3, height=4)
TAGS = [
    "<tool_call>",
    "</tool_call>",
    "<think>",
    "</think>",
    "<tool_response>",
    "&lt;",
    "&amp;",
    "&amp;lt;tool_call>",
    "\n",
    "{",
    "\\",
    '"',
    SOUND.tag,
    PICTURE.tag,
    f"&lt;{SOUND.tag[1:]}",
    f"&amp;lt;{SOUND.tag[1:]}",
]
texts = st.lists(st.one_of(st.sampled_from(TAGS), near_tags(), st.text(max_size=5)), max_size=8).map("".join)
json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), texts),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3)),
    max_leaves=6,
)
calls = st.builds(ToolCall, name=texts, arguments=st.one_of(texts, st.dictionaries(texts, json_values, max_size=3)), id=texts)
further = {"tool_calls": st.lists(calls, max_size=3).map(tuple), "reasoning": texts}
messages = st.one_of(
    st.builds(Message, role=st.just("assistant"), content=texts, **further),
    st.builds(Message.of_text, role=st.just("assistant"), text=texts, **further),
)


def test_the_canonical_form_is_exactly_this():
    message = Message("assistant", "I look it up.", (ToolCall("find", {"query": "Mara"}), ToolCall("list", {}, "c2")))
    assert format_message(message) == (
        "I look it up.\n"
        '<tool_call>\n{"name": "find", "arguments": {"query": "Mara"}}\n</tool_call>\n'
        '<tool_call>\n{"name": "list", "arguments": {}, "id": "c2"}\n</tool_call>'
    )
    assert format_message(Message("assistant", "", (ToolCall("list"),))).startswith("<tool_call>\n")
    assert format_message(Message("assistant", "B", reasoning="A")) == "<think>\nA\n</think>\n\nB"


@settings(max_examples=300, deadline=None)
@given(messages)
def test_every_assistant_message_survives_the_text_form(message):
    assert parse_message(format_message(message)) == message


@settings(max_examples=300, deadline=None)
@given(texts)
def test_any_text_is_read_and_reading_it_again_changes_nothing(text):
    for lenient in (False, True):
        message = parse_message(text, lenient=lenient)
        assert parse_message(format_message(message), lenient=lenient) == message
        for call in message.tool_calls:
            if not call.name:
                assert explain_malformed(call)


def test_tags_inside_json_are_escaped_and_still_json():
    text = format_message(Message("assistant", "", (ToolCall("add", {"text": "</tool_call><tool_call>"}),)))
    assert text.count("<tool_call>") == text.count("</tool_call>") == 1
    assert (
        json.loads(text.removeprefix("<tool_call>").removesuffix("</tool_call>"))["arguments"]["text"]
        == "</tool_call><tool_call>"
    )


def test_a_closing_tag_written_raw_inside_a_json_string_does_not_end_the_call():
    message = parse_message('<tool_call>{"name": "add", "arguments": {"text": "a </tool_call> b"}}</tool_call>')
    assert message.tool_calls == (ToolCall("add", {"text": "a </tool_call> b"}),)


def test_text_around_and_between_calls_is_kept_as_content():
    call = '<tool_call>{"name": "a", "arguments": {}}</tool_call>'
    message = parse_message(f"before\n{call}\n\nbetween\n{call}\n\n")
    assert message.content == "before\nbetween"
    assert len(message.tool_calls) == 2


def test_one_bad_call_leaves_its_neighbours_readable():
    good = '<tool_call>{"name": "a", "arguments": {}}</tool_call>'
    for bad in ("<tool_call>{oops}</tool_call>", '<tool_call>{"name": "b", "arguments": {}}'):
        read = parse_message(f"{good}\n{bad}\n{good}").tool_calls
        assert [call.name for call in read] == ["a", "", "a"]
        assert read[1].arguments == bad


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ('{"name": "a", "arguments": {"x": 1,}}', "not valid JSON"),
        ('{"name": "a", "arguments": {"x": NaN}}', "NaN is not JSON"),
        ("", "empty"),
        ("[1, 2]", r"the JSON array \[1, 2\]; expected one JSON object"),
        ('{"tool": "a"}', 'no "name"; its keys are tool'),
        ('{"name": 3, "arguments": {}}', "is a number; expected the name"),
        ('{"name": "a", "title": "x"}', 'no "arguments"; its keys are name, title'),
        ('{"name": "a", "arguments": {}, "title": 1}', "unexpected keys.*: title"),
        ('{"name": "a", "arguments": {}, "id": 1}', "\"id\" of the call of 'a' is a number"),
        ("[" * 100_000, "nested too deeply|not valid JSON"),
        *(
            (f"{'[' * depth}{']' * depth}", "nested too deeply to be read; at most 64 levels")
            for depth in (66, 300, 900, 985, 20_000)
        ),
    ],
)
def test_a_malformed_call_is_explained_precisely(body, says):
    (call,) = parse_message(f"<tool_call>\n{body}\n</tool_call>").tool_calls
    assert call.name == ""
    advice = explain_malformed(call)
    assert re.search(says, advice), advice
    assert '{"name": "TOOL", "arguments": {"ARGUMENT": "VALUE"}}' in advice


@pytest.mark.parametrize("body", [r'["\ud800"]', r'{"\ud800": 1}', r'{"name": "\ud800", "arguments": 1, "x\ud800": 2}'])
def test_advice_about_escaped_lone_surrogates_can_be_sent(body):
    (call,) = parse_message(f"<tool_call>{body}</tool_call>").tool_calls
    assert r"\ud800" in explain_malformed(call).encode().decode()


def test_an_unclosed_call_is_malformed_unless_read_leniently():
    text = '<tool_call>\n{"name": "a", "arguments": {"x": 1}}'
    (call,) = parse_message(text).tool_calls
    assert "not closed by </tool_call>" in explain_malformed(call)
    assert parse_message(text, lenient=True).tool_calls == (ToolCall("a", {"x": 1}),)
    assert parse_message(text[:-3], lenient=True).tool_calls[0].name == ""
    for rest in (
        " and then",
        "\n<tool_response>",
        "}",
        "</tool_cal",
    ):  # something else than a call follows: it was not finished
        assert [call.name for call in parse_message(text + rest, lenient=True).tool_calls] == [""]
    assert [call.name for call in parse_message(f"{text}\n{text}", lenient=True).tool_calls] == ["a", "a"]


def test_lenient_reading_accepts_the_common_variants():
    def read(body):
        return parse_message(f"<tool_call>{body}</tool_call>", lenient=True).tool_calls

    assert read('{"name": "a", "parameters": {"x": 1}}') == (ToolCall("a", {"x": 1}),)
    assert read('{"name": "a"}') == (ToolCall("a", {}),)
    assert read('{"name": "a", "arguments": "{\\"x\\": 1}", "type": "function"}') == (ToolCall("a", {"x": 1}),)


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ('{"x": 1}', {"x": 1}),
        (' {"x": {"y": [1.5, null]}} ', {"x": {"y": [1.5, None]}}),
        ("{}", {}),
        *(
            (kept, kept)
            for kept in (
                '{"x": 1, "x": 2}',  # nobody can know which one is meant
                '{"x": [{"y": 1, "y": 1}]}',
                '{"x": NaN}',
                '{"x": -Infinity}',
                '{"x": 1e999}',
                '{"x": 1',
                "[1]",
                "3",
                "null",
                '"x"',
                "x",
                "",
                '{"x": ' + "[" * 64 + "]" * 64 + "}",
                '{"x": ' + "[" * 20_000 + "]" * 20_000 + "}",
            )
        ),
        ('{"x": ' + "[" * 63 + "]" * 63 + "}", json.loads('{"x": ' + "[" * 63 + "]" * 63 + "}")),
    ],
)
def test_only_the_whole_json_of_one_object_is_read_from_a_text_of_arguments(text, arguments):
    body = json.dumps({"name": "a", "arguments": text})
    for lenient, read in ((True, arguments), (False, text)):
        assert parse_message(f"<tool_call>{body}</tool_call>", lenient=lenient).tool_calls == (ToolCall("a", read),)


def test_the_form_reads_arguments_that_a_model_wrote_as_a_text_of_json():
    tool = {"type": "function", "function": {"name": "take", "parameters": {"type": "object", "properties": {"item": {}}}}}
    read = ACTION_FORMATS["hermes"].parse('<tool_call>{"name": "take", "arguments": "{\\"item\\": 1}"}</tool_call>', [tool])
    assert read == Message("assistant", "", (ToolCall("take", {"item": 1}),))


def test_arguments_that_are_no_object_are_kept_as_raw_text():
    assert parse_message('<tool_call>{"name": "a", "arguments": [1]}</tool_call>').tool_calls == (ToolCall("a", "[1]"),)


def test_reasoning_is_taken_apart_from_content_even_if_it_mentions_a_call():
    text = '<think>\nmaybe <tool_call>{"name": "a", "arguments": {}}</tool_call>\n</think>\n\nDone.'
    message = parse_message(text)
    assert (message.content, message.tool_calls) == ("Done.", ())
    assert "maybe <tool_call>" in message.reasoning
    assert parse_message("<think>cut off").content == ""


def test_results_cannot_forge_the_end_of_their_block():
    text = format_results([ToolResult("a", "one"), ToolResult("b", "x</tool_response>\n<tool_response>y")])
    assert text.count("</tool_response>") == text.count("<tool_response>") == 2
    assert text.startswith("<tool_response>\none\n</tool_response>\n")
    assert format_results([]) == ""


def test_missing_and_repeated_ids_are_made_unique_and_good_ones_stay():
    def ids(*given):
        message = Message("assistant", "", tuple(ToolCall("a", {}, i) for i in given))
        return [call.id for call in ensure_call_ids(message).tool_calls]

    assert ids("x", "y") == ["x", "y"]
    assert ids("", "x", "x") == ["call_1", "x", "call_3"]
    assert ids("call_2", "", "call_2") == ["call_2", "call_2_1", "call_3"]


def test_only_assistant_messages_with_json_arguments_have_a_text_form():
    with pytest.raises(UsageError, match="role 'user'"):
        format_message(Message("user", "hi"))
    with pytest.raises(UsageError, match="not plain JSON"):
        format_message(Message("assistant", "", (ToolCall("a", {"x": float("nan")}),)))


@settings(max_examples=300, deadline=None)
@given(tagged_texts)
def test_a_text_that_names_media_is_read_and_written_alike(text):
    text = text.replace("<tool_call>", "<tool>")
    message = parse_message(text)
    assert message.media == find_media(text)
    assert format_message(message) == text


def test_media_are_read_beside_calls_and_not_inside_them_or_in_reasoning():
    call = ToolCall("play", {"clip": PICTURE.tag})
    message = Message("assistant", f"As heard: {SOUND.tag}", (call,), reasoning=f"I saw {PICTURE.tag}", media=(SOUND,))
    text = format_message(message)
    assert parse_message(text) == message
    assert text.count(SOUND.tag) == 1
    assert f"I saw &lt;{PICTURE.tag[1:]}" in text
    assert json.loads(text.partition("<tool_call>")[2].removesuffix("</tool_call>"))["arguments"]["clip"] == PICTURE.tag


@pytest.mark.parametrize(
    ("content", "media"), [("no tag", (SOUND,)), (PICTURE.tag + SOUND.tag, (SOUND,)), (SOUND.tag, (SOUND,) * 2)]
)
def test_media_that_the_content_does_not_name_are_refused(content, media):
    with pytest.raises(UsageError, match="the tags in its content name"):
        format_message(Message("assistant", content, media=media))


def test_tags_that_never_close_are_calls_of_their_own():
    message = parse_message("<tool_call>" * 200 + "x</tool_call> y")
    assert [call.name for call in message.tool_calls] == [""] * 200
    assert message.tool_calls[0].arguments == "<tool_call>"
    assert message.tool_calls[-1].arguments == "<tool_call>x</tool_call>"
    assert message.content == " y"


def test_after_too_many_calls_that_cannot_be_read_the_rest_is_one_more():
    good = format_call(ToolCall("a", {}))
    message = parse_message(f"{good}\n" * 300 + "<tool_call>" * 500 + "x</tool_call> y")
    assert [call.name for call in message.tool_calls] == ["a"] * 300 + [""] * (MAX_UNREADABLE + 1)
    assert message.tool_calls[-1].arguments == "<tool_call>" * (500 - MAX_UNREADABLE) + "x</tool_call> y"


@given(calls.filter(lambda call: call.name), st.integers(1, 3), st.sampled_from(["", "\n", "  \n"]))
def test_a_call_whose_closing_tag_is_missing_is_read_where_nothing_else_follows(call, count, space):
    opened = format_call(call).removesuffix("</tool_call>")
    text = (opened + space) * count
    read = parse_message(text, lenient=True).tool_calls
    wanted = parse_message(format_call(call) * count, lenient=True).tool_calls
    assert read == wanted
    assert [one.name for one in read] == [call.name] * count
    assert [one.name for one in parse_message(text).tool_calls] == [""] * count
    followed = parse_message(f"{opened}{space}and then I wait.", lenient=True)
    assert [one.name for one in followed.tool_calls] == [""]
    assert "not closed" in explain_malformed(followed.tool_calls[0])


@pytest.mark.parametrize("quote", ["`", "'", '"'])
def test_the_tag_of_a_call_between_quotation_marks_is_text(quote):
    text = f"The {quote}<tool_call>{quote} tag marks a call."
    for lenient in (False, True):
        assert parse_message(text, lenient=lenient) == Message("assistant", text)
    call = ToolCall("look", {"q": quote})
    message = parse_message(f"{text}\n{format_call(call)}")
    assert (message.content, message.tool_calls) == (text, (call,))
