"""Secrets in what is stored, shown, logged and raised: `masked` replaces them.

Secret are values of keys that are named like a secret (`api_key`, `token`, `password`, ...), all values of headers, user,
password and query values of URLs, texts shaped like a key or a bearer token, and every value that `remember_secrets` was
told. Each backend is made through `make_backend` and asked through `Reliable`, which remember its secrets and mask its name,
its errors and the logs of its client; the run store masks the configurations of runs.
"""

from __future__ import annotations

import base64
import json
import logging
import os
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar
from urllib.parse import parse_qsl, quote, quote_plus, unquote, unquote_plus

from palaestra.agents.secret_names import is_secret_name, is_secret_table
from palaestra.errors import ConfigError, ModelError

MASK = "***"

V = TypeVar("V")

_SHORTEST = 5  # shorter values are masked where they are given, not wherever they occur: they may be ordinary words
_PLACEHOLDERS = frozenset(
    {"empty", "dummy", "false", "local", "ollama", "token", "lm-studio", "unused", "no-key", "not-needed"}
)

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://)([^\s\"'<>]+)")
_WHOLE_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://)(\S+)")
_SHAPES = re.compile(
    r"\b(?:sk|pk|rk)-[A-Za-z0-9_-]{16,}|\b(?:hf|ghp|gho|xai|gsk)_[A-Za-z0-9]{16,}|\bAIza[A-Za-z0-9_-]{30,}|\bAKIA[A-Z0-9]{12,}"
    r"|(?<=\bBearer )[^\s\"',;)\]}]{5,}|(?<=\bBasic )[A-Za-z0-9+/=]{8,}"
)
_SCHEME = re.compile(r"(bearer|basic|token|apikey|key)\s+", re.IGNORECASE)  # of a header of authorization
_CLIENTS = (
    "openai",
    "httpx",
    "httpx2",
    "httpcore",
    "httpcore2",
    "aiohttp",
    "anthropic",
    "google",
    "google_genai",
    "litellm",
    "LiteLLM",
)
_KEY_OF_JSON = re.compile(r'"((?:[^"\\]|\\.)*)"\s*:')

_lock = threading.Lock()
_known: set[str] = set()
_pattern: re.Pattern[str] | None = None


def masked(value: V) -> V:
    """Return plain data or a text with `***` in the place of secrets.

    Args:
        value: A text, or plain data (mappings, lists, tuples, numbers, None); it is not changed.
    """
    return _masked(value)  # type: ignore[no-any-return]


def remember_secrets(*values: Any) -> None:
    """Remember the secrets in options and texts, and those of the process's environment, so that `masked` finds them anywhere.

    Args:
        *values: Options of backends (mappings), model strings, URLs; a secret by itself in a mapping under its name.
    """
    found: set[str] = set()
    for value in values:
        for secret in _secrets(value):
            found.update(_spellings(secret))
    for secret in _secrets_of_environment():
        found.update(_spellings(secret))
    found = {text for text in found if len(text) >= _SHORTEST and text.lower() not in _PLACEHOLDERS}
    global _pattern
    with _lock:
        if not found <= _known:
            _known.update(found)
            _pattern = re.compile("|".join(re.escape(text) for text in sorted(_known, key=len, reverse=True)))


def telling_secrets(*values: Any) -> tuple[str, ...]:
    """Return the secrets in options that cannot be ordinary words, as they may stand in JSON: none belongs into an answer.

    Args:
        *values: As for `remember_secrets`.
    """
    secrets = {secret for value in values for secret in _secrets(value)}
    found = {text for secret in secrets for text in (secret, json.dumps(secret)[1:-1])}
    return tuple(sorted((text for text in found if _is_telling(text)), key=len, reverse=True))


def without_secrets(value: Any, secrets: Sequence[str]) -> Any:
    """Return JSON data with `***` in the place of some secrets, wherever they stand in its texts.

    Args:
        value: Plain data; it is not changed.
        secrets: What to look for, longest first.
    """
    if isinstance(value, str):
        for secret in secrets:
            value = value.replace(secret, MASK)
        return value
    if isinstance(value, Mapping):
        return {key: without_secrets(item, secrets) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_secrets(item, secrets) for item in value]
    return value


def _is_telling(text: str) -> bool:
    """Tell whether a text is not an ordinary word: long, or of several kinds of characters."""
    kinds = sum(bool(re.search(kind, text)) for kind in ("[a-z]", "[A-Z]", "[0-9]", "[^A-Za-z0-9]"))
    return text.lower() not in _PLACEHOLDERS and (len(text) >= 16 or (len(text) >= 6 and kinds > 1))


def check_unmasked(name: str, value: Any) -> None:
    """Refuse a value that was stored without its secrets where the real one is needed.

    Raises:
        ConfigError: If `***` stands in it for a secret.
    """
    if _holds_mask(value):
        raise ConfigError(f"{name} is {value!r}, as it was stored, without its secrets; give the whole value again.")


def masked_error(error: Exception) -> Exception:
    """Mask the texts of an exception, and of those it was raised from, in place.

    Returns:
        The same exception; a `ModelError` with the masked text in its place if that one's text cannot be changed.
    """
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        _mask_fields(current)
        following = current.__cause__ or current.__context__
        if following is not None:
            _mask_fields(following)
            if _is_open(following):  # its text is made of parts that cannot be changed
                current.__cause__ = current.__context__ = following = None
        current = following
    if not _is_open(error):
        return error
    return ModelError(f"{type(error).__name__}: {masked(str(error))}")


@contextmanager
def masked_errors() -> Iterator[None]:
    """Mask what is raised inside of the block."""
    try:
        yield
    except Exception as error:
        if (safe := masked_error(error)) is error:
            raise
        raise safe from None


def mask_logs() -> None:
    """Mask what the client libraries of backends log from now on; the records of other loggers are left alone."""
    inner = logging.getLogRecordFactory()
    if getattr(inner, "masks_secrets", False):
        return

    def make_record(name: str, *args: Any, **kwargs: Any) -> logging.LogRecord:
        record = inner(name, *args, **kwargs)
        if name.partition(".")[0] in _CLIENTS:
            _mask_record(record)
        return record

    make_record.masks_secrets = True  # type: ignore[attr-defined]
    logging.setLogRecordFactory(make_record)


def _mask_record(record: logging.LogRecord) -> None:
    """Mask the text of a log record."""
    try:
        text = record.getMessage()
    except Exception:  # wrong arguments; logging reports them itself
        return
    if (safe := masked(text)) != text:
        record.msg, record.args = safe, ()
    if record.exc_info and isinstance(record.exc_info[1], Exception):
        masked_error(record.exc_info[1])


def _masked(value: Any) -> Any:
    if isinstance(value, str):
        return _masked_text(value)
    if isinstance(value, Mapping):
        return {key: _masked_item(str(key), item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        items = [_masked(item) for item in value]
        return items if isinstance(value, list) else tuple(items)
    return value


def _masked_item(key: str, value: Any) -> Any:
    """Return the value of a key, masked if the key is named like a secret."""
    if is_secret_table(key) and isinstance(value, Mapping):
        return {name: MASK for name in value}
    if value and not isinstance(value, bool) and (is_secret_name(key) or is_secret_table(key)):
        return MASK
    return _masked(value)


def _masked_text(text: str) -> str:
    """Mask known secrets, texts shaped like one, and what stands in URLs."""
    if _pattern is not None:
        text = _pattern.sub(MASK, text)
    if "://" in text:
        whole = _WHOLE_URL.fullmatch(text)
        text = _masked_url(whole) if whole else _URL.sub(_masked_url, text)
    return _SHAPES.sub(MASK, text)


def _masked_url(url: re.Match[str]) -> str:
    """Mask user, password and query values of a URL."""
    scheme, rest = url[1], url[2]
    if at := _end_of_user(rest):
        rest = MASK + rest[at:]
    before, mark, fragment = rest.partition("#")
    address, question, query = before.partition("?")
    if question:
        query = "&".join(f"{pair.partition('=')[0]}={MASK}" if "=" in pair else MASK for pair in query.split("&") if pair)
    return f"{scheme}{address}{question}{query}{mark}{fragment}"


def _end_of_user(rest: str) -> int:
    """Return where the `@` after user and password stands, 0 if there is none; passwords may hold what should be escaped."""
    host = re.split(r"[/?#]", rest, maxsplit=1)[0]
    if "@" in host:
        return host.rindex("@")
    _, colon, port = host.rpartition(":")
    is_address = not colon or port.isdecimal() or not port or host.endswith("]")
    return 0 if is_address or "@" not in rest else rest.rindex("@")


def _secrets(value: Any, name: str = "") -> Iterator[str]:
    """Yield the secrets in options and texts."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            inner = name if is_secret_name(name) or is_secret_table(name) else str(key)
            yield from _secrets(item, inner)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _secrets(item, name)
    elif isinstance(value, (str, int)) and not isinstance(value, bool):
        value = str(value)  # a key may be all digits
        if is_secret_name(name) or is_secret_table(name):
            yield value
            if scheme := _SCHEME.match(value):
                yield value[scheme.end() :]
        for url in (_WHOLE_URL if _WHOLE_URL.fullmatch(value) else _URL).finditer(value):
            yield from _secrets_of_url(url[2])


def _secrets_of_environment() -> Iterator[str]:
    """Yield the secrets of the process's environment.

    Nobody said that they have to do with a run: what may be an ordinary word, and what names a file or a folder, is none.
    """
    for name, value in os.environ.items():
        if name.lower().endswith("_proxy"):
            yield from _secrets(value)
        elif is_secret_name(name):
            yield from (secret for secret in _secrets(value, name) if _is_telling(secret) and not os.path.exists(secret))


def _secrets_of_url(rest: str) -> Iterator[str]:
    """Yield password, basic credentials and query values of a URL without its scheme."""
    if at := _end_of_user(rest):
        user = rest[:at]
        name, colon, password = user.partition(":")
        yield from (user, password) if colon else (user,)
        for plain in {user, f"{unquote(name)}{colon}{unquote(password)}"}:
            yield base64.b64encode((plain if colon else f"{plain}:").encode("utf-8", "replace")).decode()
    query = rest.partition("#")[0].partition("?")[2]
    for pair in query.split("&"):
        yield pair.partition("=")[2] or pair
    yield from (value for _, value in parse_qsl(query))


def _spellings(secret: str) -> set[str]:
    """Return a secret as it may be written in messages: escaped for URLs, for JSON and by Python."""
    plain = {secret, unquote(secret), unquote_plus(secret)}
    coded = {quoted for text in plain for quoted in (quote(text), quote(text, safe=""), quote_plus(text))}
    written = {form for text in plain for form in (json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1])}
    return {*plain, *coded, *written, *(repr(text)[1:-1] for text in plain)}


def _holds_mask(value: Any) -> bool:
    """Tell whether `***` stands for a secret in plain data; in prose it may be a rule between paragraphs."""
    if isinstance(value, Mapping):
        return any(_holds_mask(item) for item in value.values())
    if isinstance(value, (list, tuple)):
        return any(_holds_mask(item) for item in value)
    return isinstance(value, str) and (value == MASK or (MASK in value and _WHOLE_URL.fullmatch(value) is not None))


def _mask_fields(error: BaseException) -> None:
    """Mask the arguments, attributes and notes of an exception."""
    error.args = tuple(masked(arg) for arg in error.args)
    for name, value in list(vars(error).items()):
        if isinstance(value, (str, list, dict)):
            setattr(error, name, masked(value))


def _is_open(error: BaseException) -> bool:
    """Tell whether an exception still shows a secret."""
    text = f"{error} {error!r}"
    return masked(text) != text


def may_hold_secrets(text: str) -> bool:
    """Tell whether a text of JSON may hold something to mask; a quick look that errs on the safe side."""
    keys = set(_KEY_OF_JSON.findall(text))
    return any("\\" in key or is_secret_name(key) or is_secret_table(key) for key in keys) or _masked_text(text) != text


__all__ = [
    "MASK",
    "check_unmasked",
    "is_secret_name",
    "mask_logs",
    "masked",
    "masked_error",
    "masked_errors",
    "may_hold_secrets",
    "remember_secrets",
    "telling_secrets",
    "without_secrets",
]
