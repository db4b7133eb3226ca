"""Why a model's answer ended: as it should, cut, blocked, or by a fault of its server.

Servers and providers have many words for it. A cut answer is never a finished one and nothing in it is run; a blocked answer
and a fault are errors of the model's boundary, never play.
"""

from __future__ import annotations

from dataclasses import replace

from palaestra.agents.core import Generation
from palaestra.envs.formats.hermes import format_message
from palaestra.errors import ContentFilterError, ModelError, UsageError
from palaestra.types import Message

LENGTH, EMPTY = "length", "empty"
"""What `Message.finish_reason` says of a cut answer and of one that holds nothing."""

TOLD = "Your answer was cut off; nothing in it was done. Write a shorter one."  # short: small models have small windows

CUT = frozenset({"length", "max_tokens", "max_output_tokens", "max_completion_tokens", "max_new_tokens", "model_length"})
CUT |= {"max_length", "token_limit", "incomplete", "model_context_window_exceeded"}
FILTERED = frozenset({"content_filter", "content_filtered", "safety", "recitation", "blocklist", "prohibited_content", "spii"})
FILTERED |= {"sensitive", "refusal", "guardrail_intervened", "image_safety", "language", "error_toxic", "blocked"}
FAILED = frozenset({"error", "abort", "aborted", "cancel", "cancelled", "canceled", "network_error", "timeout", "failed"})
FAILED |= {"insufficient_system_resource", "malformed_response"}
FAILED |= {"error_limit", "engine_overloaded", "internal_error", "server_error"}
UNREAD = frozenset({"malformed_function_call", "unexpected_tool_call"})
"""The server could not read the call that the model wrote: the model's slip, which is answered with advice."""

ADVICE = "Your function call could not be read. Send it again as one call of a tool that you have, with JSON arguments."


def reason_name(reason: str) -> str:
    """Return a server's reason in one spelling: lower case, words joined by underscores."""
    return reason.strip().lower().replace("-", "_").replace(" ", "_").removeprefix("finish_reason_")


def is_cut(reason: str) -> bool:
    """Whether an answer with this reason was cut off before it was complete."""
    return reason_name(reason) in CUT


def check_ending(generation: Generation, name: str) -> Generation:
    """Return a generation that ended as a model ends, or by a limit; with advice if its call could not be read.

    Args:
        generation: An answer.
        name: The model or its server, for messages.

    Raises:
        ContentFilterError: If the answer was blocked.
        ModelError: If the server broke it off; retryable.
    """
    word = reason_name(generation.finish_reason)
    if word in FILTERED or word in FAILED:
        try:
            check_reason(generation.finish_reason, name)
        except ModelError as error:
            error.usage = generation.usage  # it is paid for all the same
            raise
    message = generation.message
    if word not in UNREAD or message.tool_calls or message.error:
        return generation
    return replace(generation, message=replace(message, content="", raw=message.raw or message.content, error=ADVICE))


def check_reason(reason: str, name: str) -> None:
    """Raise what a reason means that is not an answer's own; see `check_ending`."""
    word = reason_name(reason)
    if word in FILTERED:
        raise ContentFilterError(
            f"{name} blocked its answer (finish_reason {reason!r}): a filter of the provider refused the dialogue or the "
            f"answer. Change the task's or the prompt's text, or use another model."
        )
    if word in FAILED:
        raise ModelError(f"{name} broke its answer off (finish_reason {reason!r}).", retryable=True)


def cut_answer(answer: Message) -> Message:
    """Return the message that is played for an answer that was cut off: nothing, and the reason, for the model.

    Args:
        answer: What there is of it.
    """
    text = answer.raw or answer.content
    if answer.tool_calls and not answer.raw:
        try:
            text = format_message(replace(answer, reasoning=""))
        except UsageError:  # arguments that are not JSON
            text = answer.content
    return Message("assistant", reasoning=answer.reasoning, raw=text, error=TOLD, finish_reason=LENGTH)


def is_empty(answer: Message) -> bool:
    """Whether an answer holds nothing to play: no text, no call, no medium."""
    return not (answer.tool_calls or answer.media or answer.error or answer.content.strip() or answer.raw.strip())


__all__ = ["ADVICE", "CUT", "EMPTY", "FAILED", "FILTERED", "LENGTH", "UNREAD", "check_ending", "check_reason", "cut_answer"]
__all__ += ["is_cut", "is_empty", "reason_name"]
