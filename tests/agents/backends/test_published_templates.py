"""Every chat template that TRL ships: what a model wrote is shown, its calls are read in the syntax that it teaches."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from palaestra.agents.backends.chat_template import ChatTemplate
from palaestra.agents.backends.reliable import Reliable
from palaestra.agents.backends.template_face import shared_length, written_text
from palaestra.agents.backends.token_turns import finished_turn
from palaestra.agents.core import Request
from palaestra.agents.llm import LLMAgent
from palaestra.envs.formats.hermes import ensure_call_ids, format_message, parse_message
from palaestra.errors import UsageError
from palaestra.models.tiny_lm import train_tokenizer
from palaestra.types import Message, ToolCall

SPEC = find_spec("trl")
FOLDER = Path(str(SPEC.origin)).parent / "chat_templates" if SPEC else Path("chat_templates")
NAMES = sorted(path.stem for path in FOLDER.glob("*.jinja"))
pytestmark = pytest.mark.skipif(not NAMES, reason="TRL, which ships the templates, is not installed")

GET = {
    "type": "function",
    "function": {
        "name": "get",
        "description": "Take items.",
        "parameters": {
            "type": "object",
            "properties": {
                "item": {"type": "string", "description": "What."},
                "count": {"type": "integer", "description": "How many."},
                "where": {"type": "array", "items": {"type": "string"}, "description": "Places."},
            },
            "required": ["item"],
        },
    },
}
RULES, ASK = Message("system", "These are the rules."), Message("user", "Craft planks.")
NATIVE = {  # syntaxes that TRL's templates teach today; a new template may teach more
    "hermes": "qwen2_5 qwen3 qwen3_instruct_2507 qwen3_vl",
    "functions": "qwen3_5_think qwen3_5_nothink qwen3_6 nemotron_3_nano",
    "arguments": "glm4moe",
    "gemma": "gemma4",
    "pythonic": "lfm2_v2",
    "llama": "llama3_1 llama3_2",
    "harmony": "gptoss",
    "invoke": "muse_glimmer",
}
WORDS = "get craft oak log planks 1 2 rules result <think> </think> <tool_call> </tool_call> These are the rules."
_templates: dict[str, ChatTemplate] = {}


def template_of(name: str) -> ChatTemplate:
    """Return a template with the tiny tokenizer; what it is like is found out once."""
    if name not in _templates:
        made = train_tokenizer([WORDS])
        made.chat_template = (FOLDER / f"{name}.jinja").read_text(encoding="utf-8")
        _templates[name] = ChatTemplate(made)
    return _templates[name]


def shown(template: ChatTemplate, messages: list[Message], tools: Any = ()) -> str:
    return str(template.tokenizer.decode(template.render(messages, tools)))


words = st.text(st.sampled_from("abc xyz<>&{}[]|/\"'\\\n\té东🙂"), max_size=20) | st.sampled_from(
    [
        "</think>",
        "<think>hm",
        "  padded ",
        "<|im_end|>",
        "<|channel|>final",
        "{{ 7 * 7 }}",
        "{% raw %}",
        "None",
        "<|tool_call>",
    ]
)
json_values = st.none() | st.booleans() | st.integers(-9, 99) | words | st.lists(words, max_size=2)
arguments = st.dictionaries(st.sampled_from(["item", "count", "where", "any key"]), json_values, max_size=3)
read_calls = st.builds(ToolCall, st.sampled_from(["get", "no_such_tool", "a b"]), arguments | words)
unread_calls = words.map(lambda text: ToolCall("", f"<tool_call>{text}"))
written = st.builds(
    Message,
    st.just("assistant"),
    words,
    st.lists(read_calls | unread_calls, max_size=3).map(tuple),
    reasoning=st.just("") | st.just("I think."),
    raw=st.just("") | words,
).map(ensure_call_ids)
parsed = words.map(lambda text: parse_message(f"<tool_call>{text}", lenient=True)) | written.map(
    lambda message: parse_message(format_message(message), lenient=True)
)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(message=written | parsed, has_tools=st.booleans(), closing=st.sampled_from(["user", "results"]))
def test_every_message_renders_and_holds_what_was_written(name: str, message: Message, has_tools: bool, closing: str) -> None:
    template = template_of(name)
    message = ensure_call_ids(message)
    calls = message.tool_calls if closing == "results" else ()
    answers = [Message("tool", f'result {i} "of" it', tool_call_id=call.id, name=call.name) for i, call in enumerate(calls)]
    text = shown(template, [RULES, ASK, message, *(answers or [Message("user", "More.")])], [GET] if has_tools else ())
    assert RULES.content in text
    assert ASK.content in text
    for i in range(len(answers)):
        assert f'result {i} "of" it' in text or f'result {i} \\"of\\" it' in text
    assert answers or "More." in text
    if not message.tool_calls:
        assert written_text(message) in text
    elif written_text(message) not in text:  # calls as calls: not one of their words is lost
        assert message.content in text
        for call in message.tool_calls:
            assert call.name
            assert call.name in text
            assert isinstance(call.arguments, dict)
            for key, value in call.arguments.items():
                assert key in text
                words = value if isinstance(value, list) else [value]
                assert all(any(one in text for one in forms(word)) for word in words)


def forms(value: Any) -> list[str]:
    """Return how templates write a value: bare, as JSON, as Python."""
    return [str(value), json.dumps(value, ensure_ascii=False)[1:-1] or '""', json.dumps(value), repr(value)[1:-1] or "''"]


@pytest.mark.parametrize("name", NAMES)
def test_a_template_is_read_in_its_own_syntax_or_refused_with_a_format_that_works(name: str) -> None:
    template = template_of(name)
    if template.face.tools_problem:
        with pytest.raises(UsageError, match="format='react'") as refused:
            template.check_tools()
        assert template.face.tools_problem in str(refused.value)
        return
    assert template.face.dialect is not None
    answer = template.read(template.face.written_call.replace("probe_tool", "get"), [GET])
    assert [(one.name, one.arguments) for one in answer.tool_calls] == [("get", {"item": "oak log", "count": 2})]
    call = ToolCall("get", {"item": 'oak "log"', "count": 3, "where": ["a", "b"]}, "call00001")
    made = shown(template, [RULES, ASK, Message("assistant", "", (call,))], [GET])
    mark = {"llama": '{"name"', "harmony": "to=functions."}.get(template.face.dialect.name)
    mark = mark or template.face.dialect.mark.search(template.face.written_call)[0]  # type: ignore[index]
    begin = made.rindex(mark)
    read = template.read(made[begin:], [GET])
    assert [(one.name, one.arguments) for one in read.tool_calls] == [("get", call.arguments)], "what it renders is read again"


@pytest.mark.parametrize(("syntax", "names"), NATIVE.items())
def test_known_templates_are_not_refused(syntax: str, names: str) -> None:
    found = {name: template_of(name).face.dialect for name in names.split() if name in NAMES}
    assert found
    for name, dialect in found.items():
        template_of(name).check_tools()
        assert dialect is not None
        assert (name, dialect.name) == (name, syntax)


@pytest.mark.parametrize("name", NAMES)
def test_a_call_that_cannot_be_read_is_advice_in_the_syntax_of_the_template(name: str) -> None:
    template = template_of(name)
    if template.face.tools_problem:
        return
    broken = template.face.written_call.replace("oak log", "oak log}}]]</x>").replace("item", "{it\"em'<", 1)
    for text in (broken, '<tool_call>\n{"name": "get", "arguments": {}\n</tool_call>'):
        answer = template.read(text, [GET])
        shown_text = shown(template, [RULES, ASK, ensure_call_ids(answer), Message("user", "More.")], [GET])
        assert (answer.raw or format_message(answer)) in shown_text or answer.tool_calls[0].name
        assert answer.tool_calls
        assert not answer.error or template.face.dialect.example in answer.error  # type: ignore[union-attr]


@pytest.mark.parametrize("name", NAMES)
def test_sampled_ids_are_extended_or_rendered_again_but_results_are_always_shown(name: str) -> None:
    template = template_of(name)
    if template.face.tools_problem:
        return
    body = template.face.written_call.replace("probe_tool", "get")
    ids = (*template.tokenizer.encode(body, add_special_tokens=False), template.tokenizer.eos_token_id)
    request = Request((RULES, ASK), (GET,))
    turn = finished_turn(template, request, template.render(request.messages, request.tools), ids, "eos")
    played = ensure_call_ids(turn.answer)
    result = Message("tool", "result of it", tool_call_id=played.tool_calls[0].id, name="get")
    added = template.continuation([result], request.tools)
    if added is not None:
        assert "result of it" in template.tokenizer.decode(added.ids)
    assert "result of it" in shown(template, [RULES, ASK, played, result], request.tools)


def test_a_template_without_tools_is_refused_when_an_episode_begins_and_auto_takes_another_format() -> None:
    class Backend:
        name = "local"
        native_tools = not template_of("phi3").face.tools_problem
        check_tools = staticmethod(template_of("phi3").check_tools)

    info = {"tools": [GET], "instructions": "Play."}
    with pytest.raises(UsageError, match="it does not show the tools"):
        LLMAgent(Reliable(Backend()), format="tools").reset(info)  # type: ignore[arg-type]
    agent = LLMAgent(Reliable(Backend()), format="auto")  # type: ignore[arg-type]
    agent.reset(info)
    assert agent._active.name == "react"


THOUGHTFUL = {
    name for name in NAMES if any(mark in (FOLDER / f"{name}.jinja").read_text() for mark in ("think>", "channel", "to=self"))
}


@pytest.mark.parametrize("name", sorted(THOUGHTFUL))
def test_a_call_in_a_thought_as_the_template_shows_it_is_not_made(name: str) -> None:
    template = template_of(name)
    if template.face.tools_problem:
        return
    draft = template.face.written_call.replace("probe_tool", "get").replace("oak log", "draft").strip()
    call = ToolCall("get", {"item": "oak", "count": 3}, "call00001")
    made = shown(template, [RULES, ASK, Message("assistant", "", (call,), reasoning=f"I could {draft} but no.")], [GET])
    turn = made[shared_length(shown(template, [RULES, ASK], [GET]), made) :]
    read = template.read(turn, [GET])
    assert [one.arguments for one in read.tool_calls] == [call.arguments]
    assert "draft" not in read.content
    assert ("draft" in read.reasoning) == ("draft" in turn)


def test_thoughts_on_channels_are_reasoning_with_tools_and_without() -> None:
    name = next((name for name in NAMES if name.startswith("gemma4")), None)
    if name is None:
        return
    template = template_of(name)
    marks = ["<|channel>", "<channel|>"]
    template.tokenizer.add_special_tokens({"additional_special_tokens": marks})
    template = ChatTemplate(template.tokenizer)
    ids = tuple(template.encode("<|channel>thought\nget 9 logs\n<channel|>get 1 log"))
    assert set(template.tokenizer.convert_tokens_to_ids(marks)) <= set(ids)
    for tools in ((), (GET,)):
        turn = finished_turn(template, Request((RULES, ASK), tools), (), ids, "eos")
        assert (turn.answer.reasoning, turn.answer.content) == ("get 9 logs", "get 1 log")
