"""How servers say that a prompt is too long: by code, by type, in words.

There is no standard for it. A miss costs more than it seems: the episode ends as an error of the model and leaves the score,
so that the longest play counts least. `says_too_long` knows codes and wordings of OpenAI, Azure, Anthropic, Google, Bedrock,
Mistral, Cohere, DeepSeek, Zhipu, DashScope, Groq, OpenRouter, GitHub Models, vLLM, SGLang, TGI, llama.cpp and others, and the
pattern behind them; `may_be_too_long` compares with our own count.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

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

_PART = (
    r"(?:prompts?|inputs?|messages?|conversations?|dialogues?|histor(?:y|ies)|quer(?:y|ies)|contexts?|sequences?|requests?"
    r"|texts?)"
)
_LIMIT = r"(?:tokens?|contexts?|lengths?|max_?(?:model_|seq_|input_|total_)?len\w*|n_ctx|windows?|characters)"
_OVER = (
    r"(?:exceed(?:s|ed|ing)?|surpass(?:es|ed)?|overflow(?:s|ed)?|(?:longer|larger|bigger|greater|more|higher) than|beyond"
    r"|over the|above)"
)
_WORDS = re.compile(
    "|".join(
        (
            r"context (?:length|window|size|limit|overflow)",
            r"(?:max(?:imum)?|model'?s?) context",
            r"max(?:imum)? (?:model|prompt|input|sequence|supported) (?:length|len|tokens)",
            r"max_(?:model|seq|input|total|position)_?(?:len|tokens|embeddings)",
            rf"{_PART}\b[^.\n]{{0,60}}\b(?:is|are|was|were)? ?(?:too (?:long|large|big)|over ?long)\b",
            rf"too (?:long|large|big|many)\b[^.\n]{{0,20}}\b(?:{_PART}|tokens)",
            rf"\b(?:{_PART}|tokens?)\b[^\n]{{0,120}}?\b{_OVER}\b[^\n]{{0,80}}?{_LIMIT}",
            rf"\b{_OVER}\b[^\n]{{0,60}}?\b(?:tokens?|context|n_ctx|prompt length|input length|sequence length)",
            r"(?:less|fewer) than \d+ tokens",
            r"at most \d+ (?:input |prompt )?tokens",
            r"max(?:imum)?(?: number of)?(?: (?:input|prompt|allowed))? tokens (?:is|of|allowed|:)",
            r"range of input length|expected maxlength: \d+, actual: \d+",
            r"\b(?:sequence|prompt|input) length\b[^\n]{0,30}(?:<=|≤|\bmust be\b)",
            rf"(?:reduce|shorten|truncate)\b[^.\n]{{0,30}}\b(?:{_PART}|length)",
            r"(?:does|do|will) not fit[^.\n]{0,40}(?:context|window|kv)",
            r"tokens? (?:limit|budget) (?:was |is |has been )?(?:reached|exceeded)",
            r"超(?:过|出|长)[^。\n]{0,30}(?:长度|上下文|token)|(?:输入|上下文|提示|prompt)[^。\n]{0,20}(?:过长|超长|太长|超过|超出|超限)",
        )
    ),
    re.IGNORECASE,
)
# what sounds like it: limits on the answer, on rates, on money, on files, on single fields
_OTHER = re.compile(
    r"per[ -](?:minute|min|day|hour|second|month)|\b[rt]p[md]\b|rate[ _-]?limit|quota|billing|credit|balance|throttl"
    r"|(?:max_tokens|max_completion_tokens|max_new_tokens|max_output_tokens|output tokens?|completion tokens?)\W[^\n]{0,40}"
    r"(?:is|must be|should be|cannot|can't|too (?:large|high|big)|exceeds?|less than|greater than|at (?:most|least))"
    r"|(?:image|file|audio|video|upload|picture|attachment|stop sequences?|tools?\b|functions?|name|key|user|seed|schema"
    r"|logprobs)\W[^\n]{0,40}(?:too (?:long|large|big|many)|exceed|longer than|at most)"
    r"|too many (?:requests|tools|functions|images|files)",
    re.IGNORECASE,
)
_SURE = re.compile(
    r"context[ _](?:length|window|size|limit)|`inputs` tokens \+|max_(?:completion_)?tokens must be at least 1, got -"
    r"|messages\[\d+\]\.content\W{1,3}string too long"
    r"|(?<![_\w])(?<!output )(?<!completion )tokens\b[^\n]{0,40}\bexceeds? (?:the )?max(?:imum)?\b",
    re.IGNORECASE,
)
_RATE = re.compile(r"rate[ _-]?limit|per[ -]min|quota", re.IGNORECASE)
_ADDRESS = re.compile(r"^.{0,200}? answered \d{3}:|https?://\S+|^litellm \(\w*\):|<[^<>]*>", re.MULTILINE)
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
    if status in (401, 402, 403, 404, 408, 429):
        return _said_in_so_many_words(body) if status in (403, 404) else False
    codes, text = _parts(body)
    if any(code in _NUMBER_CODES or _CODES.search(code.lower()) for code in codes):
        return True
    if _SURE.search(text) and not _RATE.search(text):
        return True
    return bool(_WORDS.search(text)) and not _OTHER.search(text)


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
    if _OTHER.search(text):
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
    if says_too_long(error.status, said):
        return _as_too_long(error, said)
    if error.status not in STATUSES:
        return error
    offered = json.dumps([dict(tool) for tool in request.tools], default=str)
    tokens = count(request.messages) + int(len(offered) / CHARS_PER_TOKEN) + (request.sampling.max_tokens or 0)
    answers = sum(message.role == "assistant" for message in request.messages)
    judged = may_be_too_long(error.status, said, tokens, answers, window)
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


def _said_in_so_many_words(body: bytes | str) -> bool:
    """Whether a body names the context outright."""
    return bool(_SURE.search(_parts(body)[1]))


def _parts(body: bytes | str) -> tuple[list[str], str]:
    """Return codes and types of an error, and everything that it says."""
    text = body.decode("utf-8", "replace") if isinstance(body, bytes) else body
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        data = text  # which may hold the server's JSON
    codes: list[str] = []
    said: list[str] = []
    _collect(data, codes, said, 6)
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
        said.append(value)
        if "{" in value and levels > 1:
            try:
                _collect(json.loads(value[value.index("{") : value.rindex("}") + 1]), codes, said, levels - 2)
            except (ValueError, RecursionError):
                return


__all__ = ["STATUSES", "may_be_too_long", "says_too_long", "too_long_or_not"]
