"""Why a model's answer ended: as it should, cut, blocked, or by a fault of its server.

Servers and providers have many words for it. A cut answer is never a finished one and nothing in it is run; a blocked answer,
an unfinished one and a fault are errors of the model's boundary, never play. A word that nobody knows is judged by its family
("max_reply_length", "safety_v2", "backend_error"); one that belongs to none is played as a finished answer, and is noticed:
`Message.finish_reason` keeps it, figures count it, and a warning says it once.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import replace
from enum import Enum
from functools import lru_cache

from palaestra.agents.core import Generation
from palaestra.envs.formats.hermes import format_message
from palaestra.errors import ContentFilterError, ModelError, UsageError
from palaestra.types import Json, Message
from palaestra.types.plain_json import text_of

_log = logging.getLogger(__name__)

LENGTH, EMPTY = "length", "empty"
"""What `Message.finish_reason` says of a cut answer and of one that holds nothing."""

_NAME_CHARS = 40  # of a reason that is not known, where it is kept and counted
_END_MARKS = re.compile(
    r"(?:\s|<\|(?:end|im_end|eot_id|eom_id|endoftext|end_of_text|return|call|END_OF_TURN_TOKEN|end_of_turn|user|observation)\|>"
    r"|<(?:end_of_turn|turn\||eos)>|</s>|<｜end▁of▁sentence｜>|\[EOS\]|\[e~\[)*"
)
"""Tokens that end turns, which some servers leave in the text."""

TOLD = "Your answer was cut off; nothing in it was done. Write a shorter one."  # short: small models have small windows

WHOLE = frozenset({"", "null", "none", "stop", "stopped", "eos", "eos_token", "end", "end_turn", "end_of_turn", "end_of_text"})
WHOLE |= {"endoftext", "stop_sequence", "stop_sequences", "stop_string", "stop_str", "stop_word", "stop_words", "stop_token"}
WHOLE |= {"complete", "completed", "finish"}
WHOLE |= {"finished", "done", "success", "normal"}
CALLING = frozenset({"tool_calls", "tool_call", "tool_use", "function_call", "function_calls"})
"""The answer is whole and holds a call; where none can be read, the server has lost it."""
WHOLE |= CALLING
CUT = frozenset({"length", "max_tokens", "max_output_tokens", "max_completion_tokens", "max_new_tokens", "model_length"})
CUT |= {"max_length", "token_limit", "time_limit", "incomplete", "model_context_window_exceeded", "continuation"}
CUT |= {"max_messages"}
FILTERED = frozenset({"content_filter", "content_filtered", "safety", "recitation", "blocklist", "prohibited_content", "spii"})
FILTERED |= {"sensitive", "refusal", "guardrail_intervened", "image_safety", "language", "error_toxic", "blocked"}
FILTERED |= {"model_armor", "escalation", "jailbreak", "image_prohibited_content", "image_recitation"}
FAILED = frozenset({"error", "abort", "aborted", "cancel", "cancelled", "canceled", "network_error", "timeout", "failed"})
FAILED |= {"insufficient_system_resource", "malformed_response", "malformed_model_output", "user_cancel", "not_finished"}
FAILED |= {"error_limit", "engine_overloaded", "internal_error", "server_error"}
FAILED |= {"other", "image_other", "no_image", "unspecified", "too_many_tool_calls", "steered"}
UNREAD = frozenset({"malformed_function_call", "unexpected_tool_call", "malformed_tool_use", "malformed_tool_call"})
"""The server could not read the call that the model wrote: the model's slip, which is answered with advice."""

_SERVERS_TOOL = "a tool of the provider's own has not come back; leave the provider's tools out"
_LATER = "the answer is still being made; leave the field background out of extra"
UNFINISHED = {
    "pause_turn": _SERVERS_TOOL,
    "compaction": "the provider stopped to shorten the dialogue; leave its context management out",
    "queued": _LATER,
    "in_progress": _LATER,
    "missing_thought_signature": "a thought in the dialogue came without its signature; play with another model or format",
    "pup_limited_disabled": "the account is limited or closed; ask the provider",
}
"""The answer is not there yet, or will not come: asking the same again would end alike. With what to do about it."""

_CUT_WORDS = re.compile(r"length|truncat|max_\w*tok|tok\w*_(?:limit|max)|max_output|context_window|limit_(?:reach|exceed)")
_FILTERED_WORDS = re.compile(r"filter|safety|unsafe|block|prohibit|policy|guardrail|moderat|censor|toxic|sensitive|refus")
_FAILED_WORDS = re.compile(r"error|fail|abort|cancel|time_?d?_?out|overload|unavailable|exception|interrupt|connect|malform")

ADVICE = "Your function call could not be read. Send it again as one call of a tool that you have, with JSON arguments."


class Ending(Enum):
    """What a server's reason says of an answer."""

    WHOLE = "whole"
    CUT = "cut"
    FILTERED = "filtered"
    FAILED = "failed"
    UNFINISHED = "unfinished"
    UNREAD = "unread"
    UNKNOWN = "unknown"


_KNOWN: dict[str, Ending] = {
    **dict.fromkeys(WHOLE, Ending.WHOLE),
    **dict.fromkeys(CUT, Ending.CUT),
    **dict.fromkeys(FILTERED, Ending.FILTERED),
    **dict.fromkeys(FAILED, Ending.FAILED),
    **dict.fromkeys(UNFINISHED, Ending.UNFINISHED),
    **dict.fromkeys(UNREAD, Ending.UNREAD),
}
_FAMILIES = ((_FILTERED_WORDS, Ending.FILTERED), (_FAILED_WORDS, Ending.FAILED), (_CUT_WORDS, Ending.CUT))


def reason_text(reason: Json) -> str:
    """Return the reason in an answer as a text; some servers send an object with a type."""
    if isinstance(reason, str) or not reason:
        return reason if isinstance(reason, str) else ""
    if isinstance(reason, Mapping):
        named = reason.get("type") or reason.get("reason")
        return named if isinstance(named, str) else "unspecified"
    return text_of(reason)


def reason_name(reason: str) -> str:
    """Return a server's reason in one spelling: lower case, words joined by underscores."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", reason.strip()).lower().replace("-", "_").replace(" ", "_")
    return words.removeprefix("finish_reason_")


@lru_cache(maxsize=512)
def ending_of(reason: str) -> Ending:
    """Return the family of a server's reason, whatever its spelling."""
    word = reason_name(reason)
    known = _KNOWN.get(word)
    return known or next((family for words, family in _FAMILIES if words.search(word)), Ending.UNKNOWN)


def is_cut(reason: str) -> bool:
    """Whether an answer with this reason was cut off before it was complete."""
    return ending_of(reason) is Ending.CUT


def announces_call(reason: str) -> bool:
    """Whether a reason says that the answer holds a call."""
    return reason_name(reason) in CALLING


def plain_reason(reason: str, *, has_calls: bool) -> str:
    """Return a provider's reason in the words of chat completions, or its own word in small letters.

    Args:
        reason: The provider's word.
        has_calls: Whether the answer holds calls.
    """
    ending = ending_of(reason)
    if ending is Ending.WHOLE:
        return "tool_calls" if has_calls or announces_call(reason) else "stop"
    return {Ending.CUT: LENGTH, Ending.FILTERED: "content_filter"}.get(ending) or reason_name(reason)


def unknown_reason(reason: str) -> str:
    """Return the name under which a reason that nobody knows is counted; empty for all others."""
    if ending_of(reason) is not Ending.UNKNOWN:
        return ""
    return re.sub(r"[^a-z0-9_.:]", "_", reason_name(reason))[:_NAME_CHARS]


def check_ending(generation: Generation, name: str) -> Generation:
    """Return a generation that ended as a model ends, or by a limit; with advice if its call could not be read.

    A reason that is not known is told once.

    Args:
        generation: An answer.
        name: The model or its server, for messages.

    Raises:
        ContentFilterError: If the answer was blocked.
        ModelError: If the server broke it off (retryable), or did not finish it.
    """
    ending = ending_of(generation.finish_reason)
    if ending is Ending.WHOLE or ending is Ending.CUT:
        return generation
    try:
        check_reason(generation.finish_reason, name)
    except ModelError as error:
        error.usage = generation.usage  # it is paid for all the same
        raise
    if ending is Ending.UNKNOWN:
        _notice(unknown_reason(generation.finish_reason), name)
    message = generation.message
    if ending is not Ending.UNREAD or message.tool_calls or message.error:
        return generation
    return replace(generation, message=replace(message, content="", raw=message.raw or message.content, error=ADVICE))


def check_reason(reason: str, name: str) -> None:
    """Raise what a reason means that is not an answer's own; see `check_ending`."""
    ending = ending_of(reason)
    if ending is Ending.FILTERED:
        raise ContentFilterError(
            f"{name} blocked its answer (finish_reason {reason!r}): a filter of the provider refused the dialogue or the "
            f"answer. Change the task's or the prompt's text, or use another model."
        )
    if ending is Ending.FAILED:
        raise ModelError(f"{name} broke its answer off (finish_reason {reason!r}).", retryable=True)
    if ending is Ending.UNFINISHED:
        raise ModelError(f"{name} did not finish its answer (finish_reason {reason!r}): {UNFINISHED[reason_name(reason)]}.")


@lru_cache(maxsize=512)
def _notice(reason: str, name: str) -> None:
    """Warn once of a reason that is not known."""
    _log.warning(
        "%s ends answers with finish_reason %r, which is not known: they are played as finished ones and counted under that "
        "word. If such answers are not whole, report it.",
        name,
        reason,
    )


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
    """Whether an answer holds nothing to play: no text, no call, no medium; a token that ends turns is not a text."""
    if answer.tool_calls or answer.media or answer.error:
        return False
    return _END_MARKS.fullmatch(answer.content) is not None and _END_MARKS.fullmatch(answer.raw) is not None


__all__ = ["ADVICE", "CALLING", "CUT", "EMPTY", "FAILED", "FILTERED", "LENGTH", "UNFINISHED", "UNREAD", "WHOLE", "Ending"]
__all__ += ["check_ending", "check_reason", "cut_answer", "ending_of", "is_cut", "is_empty", "reason_name", "reason_text"]
__all__ += ["announces_call", "plain_reason", "unknown_reason"]
