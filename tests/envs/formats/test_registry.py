"""Every registered text form of an action, by the same rules."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from palaestra_toys.bang import BangFormat

from palaestra.agents.formats import FORMATS, make_format
from palaestra.envs.formats import ACTION_FORMATS, ActionFormat, ActionFormatError, action_format
from palaestra.envs.formats.action_format import FINAL_ANSWER
from palaestra.envs.formats.attempts import find_attempt
from palaestra.envs.formats.json_call import JsonCallFormat
from palaestra.envs.formats.python_call import PythonCallFormat
from palaestra.envs.formats.reasoning import spoken_of
from palaestra.envs.formats.thought_marks import FRONT, MARKS
from palaestra.errors import UnknownNameError, UsageError
from palaestra.types import Message, ToolCall

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "take",
            "description": "Take an item.",
            "parameters": {
                "type": "object",
                "properties": {"item": {"type": "string"}, "count": {"type": "integer"}},
                "required": ["item"],
            },
        },
    }
]
FORMS = {**ACTION_FORMATS, BangFormat.name: BangFormat()}  # of this package, and one from outside, which is given as an object
names = pytest.mark.parametrize("name", FORMS)
words = (
    st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")), min_size=1, max_size=30).map(str.strip).filter(bool)
)
prose = words.filter(
    lambda text: (
        "Action:" not in text
        and "Thought:" not in text
        and not text.startswith(("{", "`", "#"))
        and spoken_of(text) == text
        and find_attempt(f"Action: {text}", TOOLS) is None
        and not FRONT.match(text)
    )
)
calls = st.builds(
    lambda item, count: ToolCall("take", {"item": item, "count": count}), st.text(max_size=20), st.integers(0, 9)
)


@pytest.mark.parametrize("name", [name for name in ACTION_FORMATS if name != "text"])
@pytest.mark.parametrize("item", ["grüne Teekanne", "茶壺 🫖", "чайник", "إبريق"])
def test_letters_of_every_script_are_written_as_they_stand(name, item):
    form = ACTION_FORMATS[name]
    tool = {"type": "function", "function": {"name": "take", "description": item, "parameters": {"type": "object"}}}
    for text in (form.write(Message("assistant", "", (ToolCall("take", {"item": item}),))), form.describe([tool])):
        assert item in text
        assert "\\u" not in text, "a model writes what it reads"


@names
def test_a_form_has_the_name_under_which_it_is_registered(name):
    form = FORMS[name]
    assert isinstance(form, ActionFormat)
    assert form.name == name
    assert action_format(form) is form
    assert name not in ACTION_FORMATS or action_format(name) is form


@names
@given(call=calls, thought=prose)
def test_a_call_that_is_written_is_read_again(name, call, thought):
    form = FORMS[name]
    if name == "text":
        return  # the environment's own text; calls are written in the canonical form, which is read before
    text = form.write(Message("assistant", "", (call,), reasoning=thought), TOOLS)
    read = form.parse(text, TOOLS)
    assert read.tool_calls == (call,)
    assert read.reasoning.split() == thought.split()
    assert not read.content


@pytest.mark.parametrize("name", [name for name in ACTION_FORMATS if name != "text"])
@given(call=calls, thought=st.lists(st.sampled_from([mark for m in MARKS for p in m.examples for mark in p]), min_size=1))
def test_marks_within_a_thought_hide_no_call(name, call, thought):
    text = FORMS[name].write(Message("assistant", "", (call,), reasoning=" x ".join(thought)), TOOLS)
    assert FORMS[name].parse(text, TOOLS).tool_calls == (call,)


@names
@given(answer=prose)
def test_a_text_that_is_written_is_read_again(name, answer):
    form = FORMS[name]
    text = form.write(Message("assistant", answer), TOOLS)
    read = form.parse(text, TOOLS)
    assert (read.content, read.tool_calls) == (answer, ())
    assert form.write(Message("assistant", text), TOOLS) == text or name == "hermes"


@names
@given(text=st.text())
def test_any_text_is_read_or_refused_with_a_message_for_the_model(name, text):
    with contextlib.suppress(ActionFormatError):
        assert FORMS[name].parse(text, TOOLS).role == "assistant"


@names
def test_a_form_of_calls_refuses_environments_without_tools_and_shows_the_tools_of_others(name):
    form = FORMS[name]
    if form.needs_tools:
        with pytest.raises(UsageError, match="use 'react' or 'text'"):
            form.describe([])
        assert "take" in form.describe(TOOLS)
        assert "count" in form.describe(TOOLS)
    else:
        assert "take" not in form.describe([])


@names
def test_two_calls_are_written_or_refused(name):
    two = Message("assistant", "", (ToolCall("take", {"item": "a"}), ToolCall("take", {"item": "b"})))
    if name in ("text", "hermes"):
        assert FORMS[name].write(two, TOOLS).count("<tool_call>") == 2
    else:
        with pytest.raises(UsageError, match="has 2"):
            FORMS[name].write(two, TOOLS)


@names
def test_agents_know_every_form_by_its_name_or_as_it_is(name):
    assert name not in ACTION_FORMATS or FORMATS[name]().name == name
    assert make_format(FORMS[name]).name == name


def test_an_unknown_form_names_the_nearest():
    with pytest.raises(UnknownNameError, match="Did you mean 'react'"):
        action_format("reakt")


@pytest.mark.parametrize("form", [JsonCallFormat(answers=False), PythonCallFormat(answers=False)], ids=lambda form: form.name)
def test_a_form_without_final_answers_knows_tools_only(form):
    assert FINAL_ANSWER in ACTION_FORMATS[form.name].describe(TOOLS)
    assert FINAL_ANSWER not in form.describe(TOOLS)
    with pytest.raises(UsageError, match="writes calls only"):
        form.write(Message("assistant", "Done."), TOOLS)


def test_without_final_answers_their_function_is_one_like_any_other():
    written = {name: ACTION_FORMATS[name].write(Message("assistant", "Done."), TOOLS) for name in ("json", "code")}
    assert JsonCallFormat(answers=False).parse(written["json"]).tool_calls == (ToolCall(FINAL_ANSWER, {"answer": "Done."}),)
    with pytest.raises(ActionFormatError, match=f"Unknown function '{FINAL_ANSWER}'"):
        PythonCallFormat(answers=False).parse(written["code"], TOOLS)


def test_ids_of_calls_are_not_written_for_a_model():
    call = ToolCall("take", {"item": "a"}, "call_7")
    assert "call_7" not in ACTION_FORMATS["hermes"].write(Message("assistant", "", (call,)), TOOLS)


def test_arguments_that_are_not_an_object_cannot_be_written():
    for name in ("react", "json", "code"):
        with pytest.raises(UsageError, match="unparsed text"):
            ACTION_FORMATS[name].write(Message("assistant", "", (ToolCall("take", "{broken"),)), TOOLS)
