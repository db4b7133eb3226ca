"""Native calls are cloned in the syntax of the chat template: what it renders, and what the parser reads back in play."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from palaestra.agents.backends.chat_template import ChatTemplate
from palaestra.agents.backends.local import LocalBackend
from palaestra.agents.backends.token_turns import extended_prompt, finished_turn
from palaestra.agents.core import Request
from palaestra.agents.export.conversations import chat_record
from palaestra.agents.llm import LLMAgent
from palaestra.algorithms.data.demonstrations import Dictation, tokenize
from palaestra.envs.formats.dialects import HERMES
from palaestra.envs.formats.hermes import format_results
from palaestra.envs.formats.reasoning import split_reasoning
from palaestra.models.tiny_lm import build_tiny_lm, train_tokenizer
from palaestra.types import Message, Outcome, Step, ToolCall, ToolResult, Trajectory
from tests.agents.backends.test_end_of_turn import FOLDER, MARKS, NAMES, TEXTS
from tests.agents.backends.test_published_templates import GET

ALL_MARKS = re.compile(MARKS.pattern + r'|<\|?/?tool_[a-z_]+\|?>|</?tool_[a-z]+>|\[/?[A-Z_]+\]|<\|"\|>')
# what they ask with is not what they show later: <think> with a line break that is missing, or no turn opened after a result
ASKS_OTHERWISE = re.compile("nemotron|diffusion_gemma|gemma4_v5")
NATIVE = ["qwen3_6", "glm4moe", "gemma4", "lfm2_v2", "llama3_1", "gptoss", "muse_glimmer", "nemotron_3_nano", "qwen2_5"]
_templates: dict[str, ChatTemplate] = {}


def template_of(name: str) -> ChatTemplate:
    """Return a template whose marks, those of calls too, are tokens."""
    if name not in _templates:
        source = (FOLDER / f"{name}.jinja").read_text(encoding="utf-8")
        tokenizer = train_tokenizer(TEXTS)
        own_end = "</s>" if "eos_token" in source else "<|endoftext|>"
        marks = sorted({*ALL_MARKS.findall(source), own_end} - set(tokenizer.get_vocab()))
        tokenizer.add_special_tokens({"additional_special_tokens": marks})
        tokenizer.eos_token = own_end
        tokenizer.chat_template = source
        _templates[name] = ChatTemplate(tokenizer)
    return _templates[name]


WITH_TOOLS = [name for name in NAMES if not template_of(name).face.tools_problem]
pytestmark = pytest.mark.skipif(not NAMES, reason="TRL, which ships the templates, is not installed")


def played(*actions: Message) -> Trajectory:
    """Return an episode in which every call is answered by a result."""
    steps: list[Step] = []
    shown = "obs0"
    for number, action in enumerate(actions):
        results = [ToolResult(call.name, f"result {number}", "ok", call.id) for call in action.tool_calls]
        info = {"tool_results": [result.to_json() for result in results]} if results else {}
        steps.append(Step(shown, action, info=info))
        shown = format_results(results) if results else "more"
    task = {"key": "k", "split": "train", "type": ""}
    outcome = Outcome(1.0, True, "success")
    return Trajectory("e", "x", task, instructions="Rules.", tools=(GET,), steps=tuple(steps), outcome=outcome)


def cloned(template: ChatTemplate, episode: Trajectory) -> Trajectory:
    agent = LLMAgent(Dictation(template, max_context=10**6), format="tools")
    (found,), _ = tokenize([episode], agent, template, max_context=10**6)
    return found


def own_text(template: ChatTemplate, episode: Trajectory, num_turns: int) -> str:
    """Return the template's own rendering of the dialogue up to an action, its calls as calls."""
    messages: list[dict[str, Any]] = []
    answers = 0
    for message in chat_record(episode)["messages"]:
        message = dict(message)
        for call in message.get("tool_calls", ()):
            call["function"]["arguments"] = json.loads(call["function"]["arguments"])
        if template.face.takes_parts:
            message["content"] = [{"type": "text", "text": message["content"]}]
        messages.append(message)
        answers += message["role"] == "assistant"
        if answers == num_turns:
            break
    return str(template.tokenizer.apply_chat_template(messages, tools=[GET], tokenize=False, bos_token=""))


def call(number: int, **arguments: Any) -> Message:
    return Message("assistant", "", (ToolCall("get", arguments, f"call0000{number}"),))


@pytest.mark.parametrize("name", WITH_TOOLS)
def test_cloned_calls_are_the_templates_own_text(name: str) -> None:
    template = template_of(name)
    episode = played(call(1, item="oak log", count=2), call(2, item="elm"), Message("assistant", "done"))
    turns = [(segment, span) for segment in cloned(template, episode).segments for span in segment.turns]
    assert [span.turn for _, span in turns] == [0, 1, 2]
    decode = template.tokenizer.decode
    for number, (segment, span) in enumerate(turns, start=1):
        ids, written = segment.ids[: span.end], segment.ids[span.start : span.end]
        own = own_text(template, episode, number)
        assert written[-1] in template.end_ids
        assert not template.end_ids.intersection(written[:-1])
        assert decode(written[:-1]) in own
        if not ASKS_OTHERWISE.match(name):
            assert (own + decode(ids[-1:])).startswith(decode(ids))
        read = template.read(template.decode(written), [GET])
        expected = [(one.name, one.arguments) for one in episode.steps[number - 1].action.tool_calls]
        assert [(one.name, one.arguments) for one in read.tool_calls] == expected


values = st.text(st.sampled_from("ab 1{}[]<>|/\"'\\\n\té东🙂"), max_size=12) | st.sampled_from(
    ["<|im_end|>", "<|eot_id|>", "</parameter>", "</tool_call>", "<|\"|>", "true", "3", "null", "  x ", "</think>"]
)  # fmt: skip
arguments = st.fixed_dictionaries(
    {"item": values}, optional={"count": st.integers(-9, 99), "where": st.lists(values, max_size=2)}
)
said = st.sampled_from(["", "", "Now more."])
thought = st.sampled_from(["", "", "I think so."])


@pytest.mark.parametrize("name", WITH_TOOLS)
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(given_=st.lists(arguments, min_size=1, max_size=2), content=said, reasoning=thought)
def test_what_is_cloned_is_read_back_in_play(name: str, given_: list[dict[str, Any]], content: str, reasoning: str) -> None:
    template = template_of(name)
    calls = tuple(ToolCall("get", one, f"call0000{number}") for number, one in enumerate(given_))
    action = Message("assistant", content, calls, reasoning=reasoning)
    episode = played(action, Message("assistant", "done"))
    found = cloned(template, episode)
    segment, span = next((segment, span) for segment in found.segments for span in segment.turns)
    written = segment.ids[span.start : span.end]
    # as `LocalBackend` does, to the end token at which it stops
    length = next(number for number, token in enumerate(written, start=1) if token in template.end_ids)
    assert length == len(written)
    request = Request(episode.messages()[:2], (GET,))
    answer = finished_turn(template, request, segment.ids[: span.start], written, "eos").answer
    assert [(one.name, one.arguments) for one in answer.tool_calls] == [("get", one) for one in given_]


@pytest.mark.parametrize("name", WITH_TOOLS)
def test_a_call_that_cannot_be_read_is_answered_with_the_templates_own_syntax(name: str) -> None:
    template = template_of(name)
    dialect = template.face.dialect
    assert dialect is not None
    mark = dialect.mark.search(template.face.written_call)
    assert mark is not None
    broken = f"{template.face.written_call[mark.start() : mark.end()]} x ]}}"
    read = template.read(broken, [GET])
    if dialect is not HERMES and dialect.parse(broken, [GET]).tool_calls:
        assert [call.name for call in read.tool_calls] == [""]
        assert dialect.example in read.error
    assert template.read("Plain words.", [GET]) == Message("assistant", "Plain words.")


@pytest.mark.parametrize("name", [name for name in NATIVE if name in NAMES])
def test_known_templates_write_their_own_syntax(name: str) -> None:
    template = template_of(name)
    ids = template.written_calls(call(1, item="oak log", count=2), [GET])
    assert ids
    assert ("<tool_call>\n{" in template.tokenizer.decode(ids)) == (name == "qwen2_5")
    assert not template.written_calls(Message("assistant", "done"), [GET])
    assert not template.written_calls(Message("assistant", "", (ToolCall("get", "{half"),)), [GET])


@pytest.mark.parametrize("name", [name for name in ("qwen2_5", "qwen3_6", "llama3_1", "lfm2_v2") if name in NAMES])
def test_prompts_of_cloning_are_those_of_play(name: str) -> None:
    """A model that writes exactly what was cloned is asked with the same tokens."""
    template = template_of(name)
    episode = played(call(1, item="oak log", count=2), call(2, item="elm"), Message("assistant", "done"))
    turns = [(segment, span) for segment in cloned(template, episode).segments for span in segment.turns]
    agent = LLMAgent(Dictation(template, max_context=10**6), format="tools")

    class Echo(Dictation):
        """Answers with the cloned tokens, and notes with what it is asked, as the local backend builds it."""

        prompts: ClassVar[list[tuple[int, ...]]] = []

        async def generate(self, request: Request) -> Any:
            turn = self._turns.get(request.session)
            prompt = (extended_prompt(template, turn, request) if turn else None) or template.render(
                request.messages, request.tools
            )
            segment, span = turns[len(self.prompts)]
            self.prompts.append(prompt)
            written = segment.ids[span.start : span.end]
            self._turns[request.session] = turn = finished_turn(template, request, prompt, written, "eos")
            return type("Given", (), {"message": turn.answer, "usage": None})

    async def play() -> list[tuple[int, ...]]:
        backend = Echo(template, max_context=10**6)
        history = list(episode.messages()[:2])
        for step, following in zip(episode.steps, [*episode.steps[1:], None], strict=True):
            answer = await backend.generate(Request(tuple(history), (GET,), session="s"))
            shown = agent._active if following is None else agent.format
            played_ = shown.read(answer.message, [GET])
            history += [played_, *(shown.show(played_, following.observation, step.info) if following else [])]
        return backend.prompts

    Echo.prompts = []
    assert asyncio.run(play()) == [segment.ids[: span.start] for segment, span in turns]


def test_without_native_calls_auto_is_cloned_in_the_format_that_is_played() -> None:
    name = next((name for name in NAMES if template_of(name).face.tools_problem), None)
    assert name
    template = template_of(name)
    agent = LLMAgent(Dictation(template, max_context=10**6), format="auto")
    (found,), _ = tokenize([played(call(1, item="oak log"))], agent, template, max_context=10**6)
    assert "Action" in template.tokenizer.decode(found.segments[0].ids)


def test_dictation_says_of_its_template_what_the_local_backend_says() -> None:
    model, tokenizer = build_tiny_lm(TEXTS, hidden_size=32, num_layers=1, num_heads=2)
    backend = LocalBackend(model, tokenizer)
    dictation = Dictation(backend.template, max_context=99)
    messages = [Message("user", "obs0")]
    assert dictation.native_tools == backend.native_tools
    assert dictation.count_tokens(messages) == backend.count_tokens(messages)


@pytest.mark.parametrize(
    ("text", "reasoning", "rest"),
    [
        ("{a}hm{e}{s}assistant to=functions.get{c}json{m}{{}}", "hm", "{s}assistant to=functions.get{c}json{m}{{}}"),
        ("{a}hm{e}{s}assistant{c}commentary to=functions.x{m}{{}}", "hm", "{s}assistant{c}commentary to=functions.x{m}{{}}"),
        ("{a}hm{e}{s}assistant{c}final{m}go", "hm", "go"),
        ("{c}commentary{m}I will{e}{s}assistant to=functions.get{m}{{}}", "", None),
        ("to=functions.get{c}commentary json{m}{{}}", "", None),
    ],
)  # fmt: skip
def test_a_thought_of_gpt_oss_ends_where_its_call_begins(text: str, reasoning: str, rest: str | None) -> None:
    marks = {"c": "<|channel|>", "m": "<|message|>", "e": "<|end|>", "s": "<|start|>", "a": "<|channel|>analysis<|message|>"}
    whole = text.format(**marks)
    assert split_reasoning(whole) == (reasoning, whole if rest is None else rest.format(**marks))


@pytest.mark.skipif("gptoss" not in NAMES, reason="TRL does not ship the template")
def test_a_call_after_a_thought_is_read_from_sampled_tokens_of_gpt_oss() -> None:
    template = template_of("gptoss")
    thought = template.encode("<|channel|>analysis<|message|>I think so.<|end|><|start|>assistant")
    written = (*thought, *template.written_calls(call(1, item="oak"), [GET]))
    read = template.read(template.decode(written), [GET])
    assert (read.reasoning, [one.arguments for one in read.tool_calls]) == ("I think so.", [{"item": "oak"}])


@pytest.mark.parametrize("name", [name for name in ("qwen3_5_nothink", "lfm2_2_5", "qwen3", "phi3") if name in NAMES])
def test_thoughts_between_special_tokens_stay_thoughts_and_are_written_with_them(name: str) -> None:
    template = template_of(name)
    template.tokenizer.add_special_tokens({"additional_special_tokens": ["<think>", "</think>"]})
    template = ChatTemplate(template.tokenizer)
    said = "<think>\nI think so.\n</think>\n\nNow."
    ids = template.written_turn(said)
    tags = template.tokenizer.convert_tokens_to_ids(["<think>", "</think>"])
    assert [token for token in ids if token in tags][-2:] == tags
    answer = template.read(template.decode(template.encode(said)), [GET])
    assert (answer.reasoning, answer.content) == ("I think so.", "Now.")
    assert split_reasoning(template.decode(ids))[1] == "Now."
    forged = template.written_turn("Not <think>so</think>.")  # in the middle of an answer they are text
    assert not set(tags) & set(forged[len(forged) - 12 :])


@pytest.mark.skipif("gptoss" not in NAMES, reason="TRL does not ship the template")
def test_thoughts_of_gpt_oss_are_cloned_on_their_channel() -> None:
    template = template_of("gptoss")
    action = Message("assistant", "", (ToolCall("get", {"item": "oak"}, "c1"),), reasoning="I think so.")
    for said in ("", "Now."):  # words next to a call have no place in this template
        ids = template.written_calls(Message("assistant", said, action.tool_calls, reasoning=action.reasoning), [GET])
        text = template.tokenizer.decode(ids)
        assert text.startswith("<|channel|>analysis<|message|>I think so.<|end|><|start|>assistant to=functions.get")
        read = template.read(template.decode(ids), [GET])
        assert (read.reasoning, read.tool_calls[0].arguments) == ("I think so.", {"item": "oak"})
    ids = template.written_turn("<think>\nI think so.\n</think>\n\nDone.")
    own = [{"role": "user", "content": "x"}, {"role": "assistant", "content": "Done.", "thinking": "I think so."}]
    assert template.tokenizer.apply_chat_template(own, tokenize=False).endswith(template.tokenizer.decode(ids))
    answer = template.read(template.decode(ids), ())
    assert (answer.reasoning, answer.content) == ("I think so.", "Done.")
