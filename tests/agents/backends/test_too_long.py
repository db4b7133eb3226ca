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
from palaestra.agents.backends.too_long import may_be_too_long, says_too_long
from palaestra.agents.core import Generation, Request, Sampling
from palaestra.errors import ContextWindowError, ModelError
from palaestra.types import Message

ROWS = [json.loads(line) for line in Path(__file__).with_name("too_long.jsonl").read_text(encoding="utf-8").splitlines()]
TOO_LONG, OTHER = ([(row["status"], row["body"]) for row in ROWS if row["kind"] == kind] for kind in ("too_long", "other"))


@pytest.mark.parametrize(("status", "body"), TOO_LONG)
def test_what_servers_say_is_understood(status: int, body: Any) -> None:
    assert says_too_long(status, json.dumps(body).encode())
    assert says_too_long(status, json.dumps({"detail": json.dumps(body)}).encode()), "an error inside another one"


@pytest.mark.parametrize(("status", "body"), OTHER)
def test_other_refusals_are_not_taken_for_it(status: int, body: Any) -> None:
    assert not says_too_long(status, json.dumps(body).encode())


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
