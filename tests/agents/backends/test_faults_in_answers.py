"""Answers that look good and are not: lost calls, comments in place of answers, errors and filters next to a text."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.agents.backends.endpoint import Endpoint
from palaestra.agents.backends.google_sdk import content_body, read_content
from palaestra.agents.backends.inside import fault_in, fault_status, is_filtered
from palaestra.agents.backends.litellm_sdk import _with_reason
from palaestra.agents.backends.openai_responses import read_response, responses_body
from palaestra.agents.backends.reliable import Reliable, RetryPolicy
from palaestra.agents.backends.streams import without_comments
from palaestra.agents.backends.token_usage import ANTHROPIC_USAGE, CHAT_USAGE, GOOGLE_USAGE, RESPONSES_USAGE, usage_of
from palaestra.agents.core import Generation, Request
from palaestra.agents.endings import ADVICE, CALLING, Ending, announces_call, ending_of, plain_reason, reason_text
from palaestra.agents.llm import LLMAgent
from palaestra.errors import ContentFilterError, ContextWindowError, ModelError
from palaestra.types import Message, ToolCall, Usage
from tests.agents.answering_server import chat
from tests.agents.backends.provider_answers import CHATS, MODELS, Answer, Call
from tests.agents.backends.provider_server import Reply
from tests.agents.backends.test_every_provider import ask, play
from tests.agents.backends.test_openai_responses import ENDPOINT as RESPONSES
from tests.agents.backends.test_openai_responses import answer, said
from tests.agents.backends.test_wire import TOOLS

ASK = Request((Message("user", "hello"),))
END = Endpoint(name="stub", model="m", base_url="http://127.0.0.1:9/v1")
WORDS = {"anthropic": ["tool_use"], **dict.fromkeys([*CHATS], sorted(CALLING))}


def read(body: Any) -> Generation:
    """Read a chat completion as a client does, and judge its reason as `Reliable` does."""

    class Answering:
        name = "answering"

        async def generate(self, request: Request) -> Generation:
            return END.read(body if isinstance(body, bytes) else json.dumps(body).encode(), request)

        async def aclose(self) -> None:
            return None

    return asyncio.run(Reliable(Answering(), policy=RetryPolicy(retries=0)).generate(ASK))


def choice(text: str | None = "It is done.", finish: str = "stop", **fields: Any) -> dict[str, Any]:
    """Return a chat completion with fields in its choice."""
    whole = chat(text, finish)
    return {**whole, "choices": [{**whole["choices"][0], **fields}]}


# calls that were lost


@pytest.mark.parametrize(("kind", "reason"), [(kind, reason) for kind, reasons in WORDS.items() for reason in reasons])
def test_an_announced_call_that_is_not_there_is_answered_and_ends_nothing(kind: str, reason: str) -> None:
    played, asked = play(kind, Answer("I will look for it.", reason=reason), Answer(calls=[Call()]), turns=2)
    assert played.outcome.error is None
    assert played.steps[0].terminated is False
    first = played.steps[0].action
    assert (first.content, first.error, first.raw) == ("", ADVICE, "I will look for it.")
    assert ADVICE in json.dumps(asked[1].body)
    assert "I will look for it." in json.dumps(asked[1].body), "the dialogue shows what the model wrote"
    assert [call.name for call in played.steps[1].action.tool_calls] == ["search_notes"]


@pytest.mark.parametrize("kind", ["openai", "litellm", "mistral", "anthropic"])
def test_an_announced_call_that_stands_in_the_text_is_run(kind: str) -> None:
    text = '<tool_call>\n{"name": "search_notes", "arguments": {"query": "Glass"}}\n</tool_call>'
    played, _ = play(kind, Answer(text, reason=WORDS[kind][0]), turns=1)
    assert [call.name for call in played.steps[0].action.tool_calls] == ["search_notes"]


def test_an_announced_call_that_is_advised_on_already_keeps_its_advice() -> None:
    call = '<tool_call>\n{"name": "search_notes", "arguments": {"query": "Glass"}}\n</tool_call>'
    text = f"As an example:\n{call}\nis what I would say."
    played, _ = play("anthropic", Answer(text, reason="tool_use"), turns=1)
    plain, _ = play("anthropic", Answer(text), turns=1)
    assert played.steps[0].action.error == plain.steps[0].action.error
    assert played.steps[0].action.error not in ("", ADVICE)


def test_litellm_keeps_the_word_of_an_api_that_announces_a_call() -> None:
    made: dict[str, Any] = choice()
    assert _with_reason(made, "TOOL_CALL")["choices"][0]["finish_reason"] == "TOOL_CALL"
    assert _with_reason(made, "MAX_TOKENS")["choices"][0]["finish_reason"] == "MAX_TOKENS"
    assert _with_reason(made, "COMPLETE") is made


@pytest.mark.parametrize("kind", ["openai", "anthropic"])
def test_an_announced_call_in_an_empty_answer_is_advised_on(kind: str) -> None:
    played, _ = play(kind, Answer(reason=WORDS[kind][0]), turns=1)
    assert played.steps[0].action.error == ADVICE


async def test_without_tools_a_text_is_the_action_whatever_the_reason() -> None:
    class Parrot:
        name = "parrot"

        async def generate(self, request: Request) -> Generation:
            return Generation(Message("assistant", "get 1 oak log"), "tool_calls")

        async def aclose(self) -> None:
            return None

    agent = LLMAgent(Parrot(), format="text")
    agent.reset({"instructions": ""})
    assert (await agent.aact("start", {})).content == "get 1 oak log"


@given(st.sampled_from(sorted(CALLING)), st.booleans())
def test_a_reason_that_announces_a_call_stays_one(word: str, has_calls: bool) -> None:
    assert ending_of(word) is Ending.WHOLE
    assert announces_call(word)
    assert announces_call(word.upper())
    assert plain_reason(word, has_calls=has_calls) == "tool_calls"
    assert plain_reason("stop", has_calls=has_calls) == ("tool_calls" if has_calls else "stop")


@pytest.mark.parametrize("reason", [{"type": "length"}, {"type": "eos", "reason": "x"}, {"reason": "length"}, {"matched": 5}])
def test_a_reason_that_is_an_object_is_named_by_its_type(reason: dict[str, Any]) -> None:
    assert reason_text(reason) == (reason.get("type") or reason.get("reason") or "unspecified")


@pytest.mark.parametrize("kind", CHATS)
def test_a_reason_that_is_an_object_is_read(kind: str) -> None:
    played, _ = play(kind, Answer(calls=[Call()], reason={"type": "length", "length": 9}), turns=1)
    assert (played.steps[0].action.finish_reason, played.steps[0].action.tool_calls) == ("length", ())


# comments in place of answers


def note(text: str, phase: str | None, number: int = 0) -> dict[str, Any]:
    return {**said(text, number), **({"phase": phase} if phase else {})}


def call(number: int = 0) -> dict[str, Any]:
    return {"type": "function_call", "id": f"fc_{number}", "call_id": f"c{number}", "name": "look", "arguments": "{}"}


def responded(*output: dict[str, Any], **fields: Any) -> Generation:
    return read_response(RESPONSES, answer(list(output), **fields), ASK)


def test_commentary_is_no_final_answer() -> None:
    both = responded(note("Let me see.", "commentary"), note("It is 4.", "final_answer", 1)).message
    assert (both.content, both.reasoning) == ("It is 4.", "Let me see.")
    alone = responded(note("Let me see.", "commentary")).message
    assert (alone.content, alone.reasoning, alone.tool_calls) == ("", "Let me see.", ())
    before = responded(note("Let me see.", "commentary"), call()).message
    assert (before.content, [one.name for one in before.tool_calls]) == ("Let me see.", ["look"])
    for phase in (None, "final_answer", "galaxy"):
        assert responded(note("It is 4.", phase)).message.content == "It is 4."


def test_commentary_alone_ends_no_task_and_goes_back_as_it_came() -> None:
    alone = answer([note("I will look.", "commentary")])
    done = answer([{**call(), "name": "search_notes", "arguments": '{"query": "Glass"}'}])
    played, asked = play("responses", alone, done, turns=2)
    assert played.outcome.error is None
    assert played.steps[0].terminated is False
    assert (played.steps[0].action.content, played.steps[0].action.finish_reason) == ("", "empty")
    assert note("I will look.", "commentary") in asked[1].body["input"]
    assert [one.name for one in played.steps[1].action.tool_calls] == ["search_notes"]


@given(
    st.lists(
        st.tuples(st.sampled_from(["commentary", "final_answer", None, "call"]), st.text("abc .", min_size=1, max_size=8)),
        max_size=5,
    )
)
def test_every_item_goes_back_with_its_phase_in_its_place(items: list[tuple[str | None, str]]) -> None:
    output = [call(n) if phase == "call" else note(f"{n}{text}", phase, n) for n, (phase, text) in enumerate(items)]
    message = responded(*output).message
    back = responses_body(RESPONSES, Request((*ASK.messages, message)))["input"][1:]
    if output:
        assert [(item["type"], item.get("phase"), item.get("id")) for item in back] == [
            (item["type"], item.get("phase"), item["id"]) for item in output
        ]
    if not any(phase == "call" for phase, _ in items):
        assert message.content == "".join(f"{n}{text}" for n, (phase, text) in enumerate(items) if phase != "commentary")


@pytest.mark.parametrize("item", [{**said("It is"), "status": "incomplete"}, {**call(), "status": "incomplete"}])
def test_an_item_that_is_incomplete_makes_the_answer_a_cut_one(item: dict[str, Any]) -> None:
    assert responded(said("Well.", 1), item).finish_reason == "length"
    assert responded({**item, "status": "completed"}).finish_reason in ("stop", "tool_calls")
    body = answer([item], status="incomplete", incomplete_details={"reason": "content_filter"})
    assert read_response(RESPONSES, body, ASK).finish_reason == "content_filter", "the response's own word comes first"


# errors next to a text


@pytest.mark.parametrize("kind", CHATS)
@pytest.mark.parametrize("place", ["message", "choice", "top", "delta"])
def test_an_error_next_to_a_text_is_an_error(kind: str, place: str) -> None:
    fault = {"code": 502, "message": "The upstream broke."}
    body: Any = choice()
    message = {**body["choices"][0]["message"], "error": fault}
    if place == "message":
        body = choice(message=message)
    elif place == "choice":
        body = choice(error=fault)
    elif place == "top":
        body = {**body, "error": fault}
    else:
        body = f"data: {json.dumps(choice(delta=message, message=None))}\n\ndata: [DONE]\n\n".encode()
        body = body if MODELS[kind][1].startswith(("{url}", "azure", "litellm:openai")) else choice(message=message)
    with pytest.raises(ModelError, match="upstream broke") as found:
        ask(
            kind,
            body if not isinstance(body, bytes) else Reply(body),
        )
    assert (found.value.status, found.value.retryable) == (502, True)


FILTERS = {
    "azure": {"content_filter_results": {"hate": {"filtered": True, "severity": "high"}, "self_harm": {"filtered": False}}},
    "azure, a list of words": {"content_filter_results": {"custom_blocklists": {"filtered": True, "details": []}}},
    "azure, older": {"content_filter_result": {"violence": {"filtered": True}}},
}
PASSED = {
    "azure": {"content_filter_results": {"hate": {"filtered": False, "severity": "safe"}, "jailbreak": {"detected": True}}},
    "none": {"content_filter_results": {}},
    "odd": {"content_filter_results": "filtered"},
}


@pytest.mark.parametrize("name", FILTERS)
def test_a_filtered_answer_is_never_played_whatever_its_reason(name: str) -> None:
    for body in (choice(**FILTERS[name]), {**choice(), **FILTERS[name]}):
        with pytest.raises(ContentFilterError) as found:
            read(body)
        assert found.value.usage is not None, "it is paid for"
    events = [
        {"choices": [{"index": 0, "delta": {"content": "It is"}, **FILTERS[name]}]},
        {"choices": [{"index": 0, "delta": {"content": " done."}, "finish_reason": "stop", **PASSED["azure"]}]},
    ]
    with pytest.raises(ContentFilterError):
        read("".join(f"data: {json.dumps(event)}\n\n" for event in events).encode())


@pytest.mark.parametrize("name", PASSED)
def test_an_answer_that_a_filter_has_seen_is_played(name: str) -> None:
    assert read(choice(**PASSED[name])).message.content == "It is done."
    results = [{"prompt_index": 0, **PASSED["azure"]}]
    assert read({**choice(), "prompt_filter_results": results}).message.content == "It is done."


def test_marks_of_a_filter_at_the_top_of_an_answer() -> None:
    for fields in ({"output_sensitive": True}, {"input_sensitive": True}, {"content_filters": [{"blocked": True}]}):
        assert is_filtered(fields)
        assert not is_filtered(json.loads(json.dumps(fields).replace("true", "false")))
    body = answer([said("It is")], content_filters=[{"blocked": True, "source_type": "completion"}])
    assert read_response(RESPONSES, body, ASK).finish_reason == "content_filter"


@given(
    st.recursive(
        st.none() | st.booleans() | st.text(max_size=3),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=9), inner),
    )
)
def test_any_results_of_filters_are_judged(results: Any) -> None:
    assert is_filtered({"content_filter_results": results}) in (True, False)


NATIVE = [
    ("stop", "content_filter", ContentFilterError),
    ("stop", "SAFETY", ContentFilterError),
    ("stop", "refusal", ContentFilterError),
    ("error", "PROHIBITED_CONTENT", ContentFilterError),
    ("stop", "error", ModelError),
    ("tool_calls", "abort", ModelError),
    ("stop", "MAX_TOKENS", "MAX_TOKENS"),
    ("stop", "max_output_tokens", "max_output_tokens"),
    ("length", "stop", "length"),
    ("stop", "STOP", "stop"),
    ("stop", "end_turn", "stop"),
    ("stop", "galaxy", "stop"),
    ("stop", None, "stop"),
    ("stop", {"type": "length"}, "length"),
]


@pytest.mark.parametrize(("finish", "native", "found"), NATIVE)
def test_the_reason_of_the_server_behind_a_gateway_counts(finish: str, native: Any, found: Any) -> None:
    body = choice(finish=finish, native_finish_reason=native)
    chunk = {
        "choices": [{"index": 0, "delta": {"content": "It is done."}, "finish_reason": finish, "native_finish_reason": native}]
    }
    for sent in (body, f"data: {json.dumps(chunk)}\n\n".encode()):
        if isinstance(found, str):
            assert read(sent).finish_reason == found
        else:
            with pytest.raises(found) as error:
                read(sent)
            assert type(error.value) is found


@pytest.mark.parametrize("finish", ["stop", "error"])
def test_a_call_that_the_server_behind_a_gateway_could_not_read_is_advised_on(finish: str) -> None:
    message = read(choice("print(x)", finish, native_finish_reason="MALFORMED_FUNCTION_CALL")).message
    assert (message.content, message.error, message.raw) == ("", ADVICE, "print(x)")


@pytest.mark.parametrize(
    ("code", "words", "status", "retryable", "kind"),
    [
        (1000, "unknown error", 500, True, ModelError),
        (1002, "rate limit", 429, True, ModelError),
        (1004, "login fail: Please carry the API secret key", 401, False, ModelError),
        (1008, "insufficient balance", 402, False, ModelError),
        (1026, "input new_sensitive", 400, False, ContentFilterError),
        (1027, "output new_sensitive", 400, False, ContentFilterError),
        (1039, "token limit", 429, True, ModelError),
        (2013, "invalid params, context window exceeds limit", 400, False, ContextWindowError),
        (2013, "invalid params, tool call id is invalid", 400, False, ModelError),
        (2049, "invalid api key", 401, False, ModelError),
        ("1008", "insufficient balance", 402, False, ModelError),
        (9999, "news", None, True, ModelError),
    ],
)
@pytest.mark.parametrize("has_text", [True, False])
def test_the_status_that_minimax_puts_next_to_an_answer(
    code: Any, words: str, status: int | None, retryable: bool, kind: type, has_text: bool
) -> None:
    base = {"base_resp": {"status_code": code, "status_msg": words}}
    with pytest.raises(ModelError, match=words[:12]) as found:
        read({**(choice() if has_text else {"choices": None}), **base})
    assert type(found.value) is kind
    assert (found.value.status, found.value.retryable) == (status, retryable)


@pytest.mark.parametrize(
    "base", [{"status_code": 0, "status_msg": ""}, {"status_code": 200}, {"status_code": None}, {}, None, "x"]
)
def test_a_good_status_next_to_an_answer_is_none_of_an_error(base: Any) -> None:
    assert read({**choice(), "base_resp": base}).message.content == "It is done."


KEPT_OPEN = [b": OPENROUTER PROCESSING\n\n", b"\n\n   \n", b": keep-alive\r\n: keep-alive\r\n\r\n", b" \t: x\n"]


@pytest.mark.parametrize("kind", CHATS)
@pytest.mark.parametrize("padding", KEPT_OPEN)
def test_what_keeps_a_connection_open_before_an_answer_is_left_out(kind: str, padding: bytes) -> None:
    body = json.dumps(Answer("hello").chat()).encode()
    generation, asked = ask(kind, Reply(padding * 3 + body))
    assert (generation.message.content, asked) == ("hello", 1)
    fault = json.dumps({"error": {"code": 429, "message": "Slow down."}}).encode()
    with pytest.raises(ModelError, match="Slow down") as found:
        ask(kind, Reply(padding + fault))
    assert found.value.status == 429


@given(
    st.lists(st.sampled_from(KEPT_OPEN), max_size=4),
    st.recursive(st.none() | st.text() | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)),
    st.sampled_from([None, 1]),
    st.sampled_from([b"", b"\n: done\n", b"\n\n"]),
)
def test_comments_around_any_json_leave_it_as_it_is(before: list[bytes], value: Any, indent: int | None, after: bytes) -> None:
    body = b"".join(before) + json.dumps(value, indent=indent).encode() + after
    assert json.loads(without_comments(body)) == value


# counts under other names

COUNTS = [
    {"prompt_tokens": 40, "completion_tokens": 12, "prompt_tokens_details": {"cached_tokens": 16}},
    {"input_tokens": 40, "output_tokens": 12, "input_tokens_details": {"cached_tokens": 16}},
    {"input_tokens": 24, "cache_read_input_tokens": 16, "output_tokens": 12},
    {"prompt_tokens": 0, "completion_tokens": 0, "input_tokens": 40, "output_tokens": 12,
     "input_tokens_details": {"cached_tokens": 16}},
    {"prompt_tokens": 40, "output_tokens": 12, "prompt_cache_hit_tokens": 16},
    {"promptTokens": 40, "completionTokens": 12, "cachedTokens": 16},
    {"inputTokens": 24, "cacheReadInputTokens": 16, "outputTokens": 12},
    {"promptTokenCount": 40, "candidatesTokenCount": 12, "cachedContentTokenCount": 16},
]  # fmt: skip


@pytest.mark.parametrize("fields", [CHAT_USAGE, RESPONSES_USAGE, ANTHROPIC_USAGE, GOOGLE_USAGE], ids=lambda one: one.prompt[0])
@pytest.mark.parametrize("block", COUNTS)
def test_counts_are_read_under_the_names_of_any_api(block: dict[str, Any], fields: Any) -> None:
    found = usage_of(block, fields)
    assert (found.prompt_tokens, found.cached_tokens, found.completion_tokens) == (40, 16, 12)


@pytest.mark.parametrize("kind", [*CHATS, "responses"])
@pytest.mark.parametrize("block", COUNTS[:4])
def test_no_answer_is_free_for_the_names_of_its_counts(kind: str, block: dict[str, Any]) -> None:
    body = Answer("hello").by(MODELS[kind][0])
    generation, _ = ask(kind, {**body, "usage": block})
    assert (generation.usage.prompt_tokens, generation.usage.completion_tokens) == (40, 12)


@given(st.integers(0, 100), st.integers(0, 200))
def test_no_more_tokens_come_from_a_cache_than_were_read(prompt: int, cached: int) -> None:
    blocks = {
        CHAT_USAGE: {"prompt_tokens": prompt, "prompt_tokens_details": {"cached_tokens": cached}},
        RESPONSES_USAGE: {"input_tokens": prompt, "input_tokens_details": {"cached_tokens": cached}},
        GOOGLE_USAGE: {"promptTokenCount": prompt, "cachedContentTokenCount": cached},
    }
    for fields, block in blocks.items():
        assert usage_of(block, fields) == Usage(calls=1, prompt_tokens=prompt, cached_tokens=min(cached, prompt))


# words and signatures

STATUSES = {
    "invalid_request_error": 400, "INVALID_ARGUMENT": 400, "FAILED_PRECONDITION": 400, "authentication_error": 401,
    "invalid_api_key": 401, "UNAUTHENTICATED": 401, "billing_error": 402, "permission_error": 403, "PERMISSION_DENIED": 403,
    "not_found_error": 404, "model_not_found": 404, "NOT_FOUND": 404, "request_too_large": 413, "rate_limit_error": 429,
    "rate_limit_exceeded": 429, "RESOURCE_EXHAUSTED": 429, "UNAVAILABLE": 503, "overloaded_error": 529,
}  # fmt: skip


@pytest.mark.parametrize("word", STATUSES)
def test_a_word_for_a_status_is_that_status(word: str) -> None:
    for key in ("code", "status", "type"):
        assert fault_status({key: word, "message": "x"}) == STATUSES[word]


@pytest.mark.parametrize(
    ("word", "retryable"), [("RESOURCE_EXHAUSTED", True), ("UNAVAILABLE", True), ("PERMISSION_DENIED", False)]
)
@pytest.mark.parametrize("kind", ["google", "openai"])
def test_an_error_of_google_inside_of_a_good_status(kind: str, word: str, retryable: bool) -> None:
    with pytest.raises(ModelError) as found:
        ask(kind, {"error": {"status": word, "message": "Sorry."}})
    assert (found.value.status, found.value.retryable) == (STATUSES[word], retryable)


def test_a_signature_on_an_empty_thought_goes_back() -> None:
    thought = {"text": "", "thought": True, "thoughtSignature": "c2ln"}
    for parts in ([thought, {"text": "hi"}], [thought, {"functionCall": {"name": "look", "args": {}}}]):
        data = {"candidates": [{"content": {"parts": parts}, "finishReason": "STOP"}]}
        message = read_content(data, ASK).message
        back = content_body(Request((*ASK.messages, message), tools=TOOLS))["contents"]
        assert back[1]["parts"][0] == thought
    unsigned = {"text": "", "thought": True}
    data = {"candidates": [{"content": {"parts": [unsigned, {"text": "hi"}]}, "finishReason": "STOP"}]}
    back = content_body(Request((*ASK.messages, read_content(data, ASK).message)))["contents"]
    assert back[1]["parts"] == [{"text": "hi"}]


def test_a_text_that_is_no_error_is_none() -> None:
    assert fault_in(choice(message={"role": "assistant", "content": "hi", "error": None})) is None
    assert read(choice(message={"role": "assistant", "content": "hi", "error": ""})).message.content == "hi"
    assert read(choice(message={"role": "assistant", "content": "", "tool_calls": [
        {"id": "a", "type": "function", "function": {"name": "look", "arguments": "{}"}}]})).message.tool_calls == (
        ToolCall("look", {}, "a"),
    )  # fmt: skip
