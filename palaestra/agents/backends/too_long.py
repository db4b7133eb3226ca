"""How servers say that a prompt is too long: by code, by type, in words.

There is no standard for it. A miss costs more than it seems: the episode ends as an error of the model and leaves the score,
so that the longest play counts least. `says_too_long` reads codes, types and words (`too_long_words.py`); `may_be_too_long`
compares with our own count.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Mapping
from typing import Any

from palaestra.agents.backends.too_long_words import says_otherwise, says_outright, says_so
from palaestra.agents.context import CHARS_PER_TOKEN, TokenCounter
from palaestra.agents.core import Request
from palaestra.errors import BudgetError, ContextWindowError, ModelError

STATUSES = frozenset({400, 413, 422})
"""Statuses with which servers refuse prompts; a few answer 500 to them."""

_CODES = re.compile(
    r"context_length|context_window|context_size|prompt_too_long|input_too_long|tokens_limit_reached|max_tokens_exceeded"
    r"|exceeds?_max_(?:len|model)|exceed_context|too_many_tokens|token_limit_exceeded|contextwindowexceeded"
    r"|model_max_prompt_tokens|prompt_length_exceeded|content_too_long|request_too_l(?:ong|arge)"
)
_NUMBER_CODES = frozenset({"1261"})  # Zhipu: prompt exceeds the maximum length

_ADDRESS = re.compile(r"^.{0,200}? answered \d{3}:|https?://\S+|^litellm \(\w*\):|<[^<>]*>", re.MULTILINE)
_OURS = re.compile(r"\A\S{1,2000} answered \d{3}:")  # what our own message puts before the server's words: an address
_CLASS = re.compile(r"\b[\w.]*(?:Error|Exception)\b|\b[\w.]*_error\b")  # the name of a class or a type of error
_SIZES = re.compile(
    r"\b(?:too |over)(?:long|large|big|many)|\blengths?\b|\btokens?\b|\bsizes?\b|\bexceed|\blimit|超|过长", re.IGNORECASE
)
_WORD = re.compile(r"[^\W\d]+(?:_\w+)*")
_EMPTY_WORDS = frozenset(
    re.findall(
        r"\w+",
        "a an and are be been by can cannot could did error errors failed failure failures fail fault for from has have in "
        "invalid is it its bad unknown unexpected unprocessable entity content request requests input inputs http argument "
        "arguments "
        "parameter parameters param params value body data message messages model models server servers provider providers "
        "upstream backend gateway api service returned returns received response responded rejected refused status code type "
        "detail details while with without the this that to of on or not no was were we you your please try again later "
        "something went wrong occurred happened process processing processed handle complete completed completion completions "
        "chat call could couldn client side unable validation validate more information see text none null html head title "
        "center nginx cloudflare openresty id "
        "请求 参数 错误 无效 失败 请求错误 参数错误 请求参数错误 请求失败 无效请求 非法请求",
    )
)
"""Words of which refusals are made that do not say why."""
_NUMBER = re.compile(r"(?<![\w.])(\d{1,3}(?:,\d{3})+|\d{3,8})(?![\w.]*\w)")


def says_too_long(status: int, body: bytes | str) -> bool:
    """Whether an answer with an error status says that the prompt is too long.

    Args:
        status: The HTTP status, 0 where an error came with status 200.
        body: What the server sent, JSON or text.
    """
    if status in (401, 402, 408, 429):
        return False
    codes, text = _parts(body)
    if status in (403, 404):
        return says_outright(text)
    if says_so(text) or any(code in _NUMBER_CODES for code in codes):
        return True
    return any(_CODES.search(code.lower()) or says_so(code) for code in codes) and not says_otherwise(text)


def may_be_too_long(status: int, body: bytes | str, tokens: int, answers: int, window: int | None = None) -> str:
    """Judge a refusal whose words say nothing, by our own count.

    Args:
        status: The HTTP status.
        body: What the server sent.
        tokens: Our estimate of the prompt, in tokens, the answer that was asked for included.
        answers: Answers of the model in the dialogue.
        window: The model's context in tokens, where it is known.

    Returns:
        "yes" if the count is beyond a limit that is known or that the server named, "perhaps" for an unknown refusal of a
        dialogue that has grown, else "".
    """
    if status not in STATUSES:
        return ""
    if window is not None and tokens > window:
        return "yes"
    text = _parts(body)[1]
    if says_otherwise(text):
        return ""
    if re.search(r"\btoken|\blength\b", text, re.IGNORECASE):
        limits = [int(found.replace(",", "")) for found in _NUMBER.findall(text)]
        if limits and 256 <= min(limits) <= tokens:
            return "yes"
    return "perhaps" if answers >= 1 and (status == 413 or not _names_a_cause(text)) else ""


def _names_a_cause(text: str) -> bool:
    """Whether a refusal says anything at all of why, other than sizes: only one that does not may be one for length."""
    text = _ADDRESS.sub(" ", text)
    if _SIZES.search(text):
        return False
    return any(word.lower() not in _EMPTY_WORDS for word in _WORD.findall(_CLASS.sub(" ", text)))


def too_long_or_not(error: ModelError, request: Request, count: TokenCounter, window: int | None = None) -> ModelError:
    """Return an error as what it is: of a prompt that is too long, or with the hint that it may be.

    Args:
        error: What a backend raised; its message holds what the server said.
        request: What was asked.
        count: Counts the tokens of a dialogue.
        window: The model's context in tokens, where it is known.
    """
    if isinstance(error, (BudgetError, ContextWindowError)) or error.status is None or error.status < 400:
        return error
    said = str(error)
    servers = _OURS.sub("", said)  # ".../v1/messages" and ".../chat/completions" are no words about the prompt
    if says_too_long(error.status, servers):
        return _as_too_long(error, said)
    if error.status not in STATUSES:
        return error
    offered = json.dumps([dict(tool) for tool in request.tools], default=str)
    tokens = count(request.messages) + int(len(offered) / CHARS_PER_TOKEN) + (request.sampling.max_tokens or 0)
    answers = sum(message.role == "assistant" for message in request.messages)
    judged = may_be_too_long(error.status, servers, tokens, answers, window)
    if judged == "yes":
        return _as_too_long(error, f"{said} By our count the request has about {tokens} tokens, more than the model takes.")
    if judged:
        hint = (
            f" The dialogue has grown to about {tokens} tokens and {answers} {'answer' if answers == 1 else 'answers'}: it is "
            "possibly too long for the model. If so, keep it shorter (max_context), or tell the model's context_window."
        )
        return error.told(said + hint)
    return error


def _as_too_long(error: ModelError, text: str) -> ModelError:
    """Return the error of a prompt that is too long."""
    found = ContextWindowError(text, status=error.status, usage=error.usage)
    found.__cause__ = error.__cause__
    return found


def _parts(body: bytes | str) -> tuple[list[str], str]:
    """Return codes and types of an error, and everything that it says."""
    text = body.decode("utf-8", "replace") if isinstance(body, bytes) else body
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        data = text  # which may hold the server's JSON
    codes: list[str] = []
    said: list[str] = []
    _collect(data, codes, said, 12)
    return codes, "\n".join(said)[:20_000]


def _collect(value: Any, codes: list[str], said: list[str], levels: int) -> None:
    """Gather the texts of an error body; servers put errors into errors, as JSON text too."""
    if levels <= 0:
        return
    if isinstance(value, Mapping):
        for key, item in value.items():
            if key in ("code", "type", "error_type", "reason", "status", "error_code", "errorCode", "__type"):
                codes.append(str(item)) if isinstance(item, (str, int)) else _collect(item, codes, said, levels - 1)
            else:
                _collect(item, codes, said, levels - 1)
    elif isinstance(value, list):
        for item in value[:50]:
            _collect(item, codes, said, levels - 1)
    elif isinstance(value, str):
        start, end = value.find("{"), value.rfind("}") + 1
        if 0 <= start < end and levels > 1:
            with contextlib.suppress(ValueError, RecursionError):
                inner = json.loads(value[start:end])
                said.append(f"{value[:start]}\n{value[end:]}")
                _collect(inner, codes, said, levels - 1)
                return
        said.append(value)


__all__ = ["STATUSES", "may_be_too_long", "says_too_long", "too_long_or_not"]
