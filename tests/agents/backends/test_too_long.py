"""What servers say when a prompt is too long, in their own words, and what sounds like it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.agents.backends.reliable import Reliable, RetryPolicy
from palaestra.agents.backends.too_long import may_be_too_long, says_too_long, too_long_or_not
from palaestra.agents.core import Generation, Request, Sampling
from palaestra.errors import ContextWindowError, ModelError
from palaestra.types import Message

ROWS = [json.loads(line) for line in Path(__file__).with_name("too_long.jsonl").read_text(encoding="utf-8").splitlines()]
TOO_LONG, OTHER = ([(row["status"], row["body"]) for row in ROWS if row["kind"] == kind] for kind in ("too_long", "other"))


@pytest.mark.parametrize(("status", "body"), TOO_LONG)
def test_what_servers_say_is_understood(status: int, body: Any) -> None:
    assert says_too_long(status, json.dumps(body).encode())
    for dump in (json.dumps, lambda value: json.dumps(value, ensure_ascii=False)):
        assert says_too_long(status, json.dumps({"detail": dump(body)}).encode()), "an error inside another one"
        assert says_too_long(status, f"litellm.BadRequestError: AcmeException - Error code: 400 - {dump(body)}")


def test_the_lists_are_long_and_of_many_servers() -> None:
    assert len(TOO_LONG) >= 120
    assert len(OTHER) >= 120
    assert len({row["who"] for row in ROWS if "who" in row}) >= 25
    bodies = [json.dumps(row["body"], sort_keys=True) for row in ROWS]
    assert len(set(bodies)) == len(bodies)


QUANTITIES = ["prompt", "input", "input length", "prompt length", "conversation", "request", "message history", "context"]
COUNTED = ["number of input tokens", "prompt token count", "total number of tokens in the prompt", "input_tokens"]
EXCESSES = [
    "exceeds the limit of {} tokens",
    "is longer than the maximum of {} tokens",
    "is too long: {} tokens",
    "is larger than {} tokens",
    "must be less than {} tokens",
    "is over the model's maximum ({})",
    "exceeds {}",
]


@given(
    st.sampled_from(
        ["The {} {}", "Error: your {} {}.", "Invalid request. The {} {}. Please try again.", "400 bad_request: {} {}"]
    ),
    st.sampled_from([*QUANTITIES, *COUNTED]),
    st.sampled_from(EXCESSES),
    st.integers(512, 10**6),
)
def test_a_quantity_of_what_goes_in_next_to_an_excess_is_it(frame: str, what: str, excess: str, number: int) -> None:
    text = frame.format(what, excess.format(number))
    assert says_too_long(400, text), text
    assert says_too_long(400, json.dumps({"error": {"message": text}})), text
    for rate in ("per minute", "in this tier (TPM)", "of your quota"):
        assert not says_too_long(400, f"{text} {rate}"), rate


@given(
    st.sampled_from(["image", "file", "audio", "tool description", "function name", "schema", "stop array", "video"]),
    st.sampled_from(
        ["The {} is too large", "The {} exceeds the maximum size of 20 MB", "Too many {}s: at most 4 are allowed"]
    ),
)
def test_an_excess_of_another_thing_is_not(what: str, text: str) -> None:
    assert not says_too_long(400, text.format(what))


@given(
    st.sampled_from(["max_tokens", "max_completion_tokens", "max_new_tokens", "max_output_tokens", "maxOutputTokens"]),
    st.sampled_from(
        ["{} is too large: {}", "{} must be at most {}", "{} exceeds the limit of {}", "Range of {} should be [1, {}]"]
    ),
    st.integers(512, 10**6),
)
def test_a_limit_on_the_answer_alone_is_not(name: str, text: str, number: int) -> None:
    assert not says_too_long(400, text.format(name, number))
    held = (
        f"{name} is too large: {number}. This model's maximum context length is {{}} tokens; the request has 12 input tokens"
    )
    assert not says_too_long(400, held.format(number)), "no prompt at all would leave room for it"
    assert says_too_long(400, held.format(number + 100))


@pytest.mark.parametrize(("status", "body"), OTHER)
def test_other_refusals_are_not_taken_for_it(status: int, body: Any) -> None:
    assert not says_too_long(status, json.dumps(body).encode())
    assert not says_too_long(status, json.dumps({"detail": json.dumps(body)}).encode())


@given(st.binary(max_size=300), st.sampled_from([0, 400, 413, 422, 429, 500]))
def test_any_body_is_judged(body: bytes, status: int) -> None:
    assert says_too_long(status, body) in (True, False)
    assert may_be_too_long(status, body, 10, 1) in ("", "perhaps", "yes")


class Refusing:
    name = "refusing"

    def __init__(self, status: int | None, text: str) -> None:
        self.error = ModelError(text, status=status)

    async def generate(self, request: Request) -> Generation:
        raise self.error

    async def aclose(self) -> None:
        return None


def refused(status: int | None, text: str, *, answers: int = 3, **options: Any) -> ModelError:
    dialogue = [Message("user", "x" * 700)] + [Message("assistant", "a"), Message("user", "x" * 700)] * answers
    backend = Reliable(Refusing(status, text), policy=RetryPolicy(retries=0), **options)
    with pytest.raises(ModelError) as found:
        asyncio.run(backend.generate(Request(tuple(dialogue), sampling=Sampling(max_tokens=100))))
    return found.value


@pytest.mark.parametrize("status", [400, 413, 422])
def test_an_unknown_refusal_of_a_dialogue_that_has_grown_is_reported_as_possibly_too_long(status: int) -> None:
    error = refused(status, "Bad request")
    assert not isinstance(error, ContextWindowError)
    assert "about 9" in str(error)
    assert "3 answers: it is possibly too long" in str(error)
    assert error.status == status
    assert str(refused(status, "Bad request", answers=0)) == "Bad request", "an opening that is refused has another cause"


CAUSES = [
    "Missing `reasoning_content` field in the assistant message at message index 2.",
    "thinking is enabled but reasoning_content is missing in assistant tool call message at index 32",
    "Invalid schema for function 'look': None is not of type 'object' (invalid_function_parameters)",
    "Conversation roles must alternate user/assistant/user/assistant/...",
    "Unsupported parameter: 'temperature' is not supported with this model.",
    "tool_choice: Input should be 'auto' or 'none'",
    "messages with role 'tool' must be a response to a preceding message with 'tool_calls'",
    "Model does not support function calling",
    "Unrecognized request argument supplied: seed",
    "当前模型不支持工具调用",
]
SILENT = [
    "Bad request",
    "",
    "(no text)",
    "Invalid request",
    "Unprocessable Entity",
    "Request failed with status code 400",
    "Provider returned error (400)",
    "An unexpected error occurred while processing your request. Please try again later. (invalid_request_error)",
    "upstream_error: Upstream rejected the request",
    "litellm.BadRequestError: OpenAIException - Error code: 400",
    "<html> <head><title>400 Bad Request</title></head> <body> <center><h1>400 Bad Request</h1></center> </body> </html>",
    "请求参数错误",
    "Payload size",
]


@pytest.mark.parametrize("place", ["{}", "http://127.0.0.1:8000/v1/chat/completions answered 400: {}", "litellm (x): {}"])
@pytest.mark.parametrize(("text", "says_why"), [*((text, True) for text in CAUSES), *((text, False) for text in SILENT)])
def test_a_refusal_that_names_its_cause_is_not_said_to_be_for_length(text: str, says_why: bool, place: str) -> None:
    error = refused(400, place.format(text))
    assert not isinstance(error, ContextWindowError)
    assert ("possibly too long" in str(error)) is not says_why


@given(st.from_regex(r"[a-z]{3,9}_[a-z]{3,9}", fullmatch=True), st.sampled_from([400, 422]))
def test_a_refusal_that_names_a_field_is_not_said_to_be_for_length(field: str, status: int) -> None:
    for text in (f"Invalid value for {field}.", f"`{field}` is required"):
        assert may_be_too_long(status, text, 10, 3) == "", text


@pytest.mark.parametrize("code", ["request_too_large", "context_length_exceeded", "1261", "prompt_too_long"])
def test_a_code_counts_where_the_words_say_nothing_else(code: str) -> None:
    assert says_too_long(400, json.dumps({"error": {"code": code, "message": "Sorry."}}))
    if code != "1261":
        for words in ("Request too large on tokens per minute (TPM): Limit 12000", "The image is too large"):
            assert not says_too_long(400, json.dumps({"error": {"code": code, "message": words}}))


def test_a_status_that_says_otherwise_needs_words_that_name_the_context() -> None:
    outright = "This model's maximum context length is 4096 tokens, and the input exceeds it."
    for status in (403, 404):
        assert says_too_long(status, outright)
        assert not says_too_long(status, "The prompt is too long")
        assert not says_too_long(status, f"{outright} Your quota per minute is spent.")
    for status in (401, 402, 408, 429):
        assert not says_too_long(status, outright)


def test_a_body_that_is_refused_for_its_size_may_be_too_long_whatever_else_is_said() -> None:
    text = "Entity rejected by rule 7 of the proxy"
    assert "possibly too long" in str(refused(413, text))
    assert "possibly too long" not in str(refused(400, text))
    assert "possibly too long" not in str(refused(413, "The image is too large"))


def test_a_refusal_beyond_a_known_or_named_limit_is_one_for_length() -> None:
    assert isinstance(refused(400, "Bad request", context_window=500), ContextWindowError)
    assert not isinstance(refused(400, "Bad request", context_window=5000), ContextWindowError)
    assert isinstance(refused(422, "tokens: 512 allowed"), ContextWindowError)
    assert not isinstance(refused(422, "tokens: 4096 allowed"), ContextWindowError)


@pytest.mark.parametrize(("status", "body"), TOO_LONG)
def test_errors_of_any_backend_are_read(status: int, body: Any) -> None:
    assert isinstance(refused(status, f"The provider answered {status}: {json.dumps(body)}"), ContextWindowError)


@pytest.mark.parametrize("status", [None, 401, 404, 429, 500, 503])
def test_other_errors_stay_as_they_are(status: int | None) -> None:
    assert str(refused(status, "Bad request")) == "Bad request"


OTHER_CAUSES = [
    (502, "Upstream idle timeout exceeded (502)"),
    (500, "Maximum number of retries exceeded (500)"),
    (504, "rpc error: code = DeadlineExceeded desc = context deadline exceeded"),
    (504, 'Post "http://upstream/api/chat": context deadline exceeded (Client.Timeout exceeded while awaiting headers)'),
    (502, "Prompt processing took too long"),
    (503, "The request queue is too long, please retry"),
    (400, "max_tokens: 100000 > 64000, which is the maximum allowed number of output tokens for claude-sonnet-4-0"),
    (400, "`max_tokens` must be greater than `thinking.budget_tokens`."),
    (400, "thinking.enabled.budget_tokens: Input should be greater than or equal to 1024"),
    (422, "body -> top_logprobs: Input should be less than or equal to 200"),
]
PATHS = ("v1/messages", "v1/chat/completions", "context")
ADDRESSES = ["", *(f"http://127.0.0.1:8000/{path} answered {{}}: " for path in PATHS)]


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize(("status", "text"), OTHER_CAUSES)
def test_the_address_and_time_outs_are_no_words_about_the_prompt(status: int, text: str, address: str) -> None:
    assert not isinstance(refused(status, address.format(status) + text), ContextWindowError)


def test_tools_with_values_that_are_no_json_are_counted_by_their_text() -> None:
    error, counted = ModelError("bad request", status=400), []
    tool = {"type": "function", "function": {"name": "look", "parameters": {"default": Path("a/b")}}}
    request = Request((Message("user", "go"),), tools=(tool,))
    assert too_long_or_not(error, request, lambda messages: counted.append(messages) or 1) is error
    assert counted == [request.messages]
