"""Secrets in what is stored, shown, logged and raised: `masked` replaces them.

Secret are values of keys that are named like a secret (`secret_names`), all values of headers, user, password and query values
of URLs and texts shaped like a key (`secret_places`), and every value that `remember_secrets` was told, in any spelling
(`secret_spellings`). Each backend is made through `make_backend` and asked through `Reliable`, which remember its secrets and
mask its name, its errors and the logs of its client; the run store masks the configurations of runs.
"""

from __future__ import annotations

import json
import logging
import os
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import lru_cache
from typing import Any, TypeVar
from urllib.parse import unquote, unquote_plus

from palaestra.agents.secret_names import is_public_name, is_secret_name, is_secret_table
from palaestra.agents.secret_places import (
    holds_masked_url,
    mask_login,
    mask_named,
    mask_shapes,
    mask_urls,
    secrets_of_text,
    secrets_of_value,
)
from palaestra.agents.secret_spellings import MASK, SecretFinder
from palaestra.errors import ConfigError, ModelError

V = TypeVar("V")

_PLACEHOLDERS = frozenset(  # given where a key has to be, by those who have none
    ("empty", "dummy", "false", "true", "null", "none", "test", "token", "local", "unused", "ollama", "lm-studio", "no-key")
) | frozenset(("not-needed", "basic", "bearer", "pass", "password"))

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
_NAMES = ("name", "key", "header", "field")
"""What the name of a value is called where a list of names and values stands for a table."""
_LONGEST_JSON = 1_000_000  # characters of an option that is read as JSON
_KEY_OF_JSON = re.compile(r'"((?:[^"\\]|\\.)*)"\s*:')

_lock = threading.Lock()
_finder = SecretFinder()


def masked(value: V) -> V:
    """Return plain data or a text with `***` in the place of secrets.

    Args:
        value: A text, or plain data (mappings, lists, tuples, numbers, None); it is not changed.
    """
    return _masked(value)  # type: ignore[no-any-return]


def masked_message(text: str) -> str:
    """Return an error text, a message or a line of a log or a command with `***` in the place of secrets.

    In addition to what `masked` does, what stands after the name of a secret is masked (`api_key=...`, `"token": "..."`,
    `user:...@host`); in settings that would change prompts that speak of passwords.
    """
    return mask_named(_masked_text(text))


def remember_secrets(*values: Any) -> None:
    """Remember the secrets in options and texts, and those of the process's environment, so that `masked` finds them anywhere.

    Args:
        *values: Options of backends (mappings), model strings, URLs; a secret by itself in a mapping under its name.
    """
    found = {secret for value in values for secret in _secrets(value)} | set(_secrets_of_environment())
    found = {text for secret in found for text in _unquoted(secret) if text.lower() not in _PLACEHOLDERS}
    global _finder
    with _lock:
        if not found <= _finder.secrets:
            _finder = SecretFinder(found | _finder.secrets)


def without_secrets(value: Any) -> Any:
    """Return JSON data of an answer with `***` in the place of remembered secrets that cannot be ordinary words.

    Args:
        value: Plain data; it is not changed. They are looked for in all its texts and names.
    """
    finder = _telling_of(_finder)
    texts = _texts(value, finder.shortest)
    if not texts or not finder.finds("\0".join(texts)):
        return value
    return _without_secrets(value, finder)


def _without_secrets(value: Any, finder: SecretFinder) -> Any:
    if isinstance(value, str):
        return finder.masked(value)
    if isinstance(value, Mapping):
        return _renamed({key: _without_secrets(item, finder) for key, item in value.items()}, finder.masked)
    if isinstance(value, (list, tuple)):
        return [_without_secrets(item, finder) for item in value]
    return value


def _texts(value: Any, shortest: int) -> list[str]:
    """Return the texts and names in plain data that are not shorter than so many characters."""
    found: list[str] = []
    left = [value]
    while left:  # every answer of a server comes by here
        item = left.pop()
        if isinstance(item, str):
            if len(item) >= shortest:
                found.append(item)
        elif isinstance(item, Mapping):
            left += map(str, item)
            left += item.values()
        elif isinstance(item, (list, tuple)):
            left += item
    return found


def _renamed(items: dict[Any, Any], mask: Callable[[str], str]) -> dict[Any, Any]:
    """Return a mapping with its names masked; those that become equal are numbered."""
    names = [mask(name) if isinstance(name, str) else name for name in items]
    if names == [*items]:
        return items
    found: dict[Any, Any] = {}
    for name, item in zip(names, items.values(), strict=True):
        number = 2
        while (own := name if name not in found else f"{name} {number}") in found:
            number += 1
        found[own] = item
    return found


@lru_cache(maxsize=2)
def _telling_of(finder: SecretFinder) -> SecretFinder:
    """Return a finder of those secrets that are not ordinary words: none of them belongs into an answer."""
    return SecretFinder(filter(_is_telling, finder.secrets))


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
    _mask_chain(error, set())
    if not _is_open(error):
        return error
    texts = [str(error), *(map(str, error.exceptions) if isinstance(error, ExceptionGroup) else ())]
    return ModelError(f"{type(error).__name__}: {masked_message('; '.join(texts))}")


def _mask_chain(error: BaseException, seen: set[int]) -> None:
    """Mask the fields of an exception, of what it was raised from, and of the members of groups."""
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        _mask_fields(current, seen)
        for following in (current.__cause__, current.__context__):
            if following is not None:
                _mask_fields(following, seen)
                if _is_open(following):  # its text is made of parts that cannot be changed
                    current.__cause__ = current.__context__ = None
                    break
        if current.__context__ is not current.__cause__ and current.__context__ is not None and current.__cause__ is not None:
            _mask_chain(current.__context__, seen)
        current = current.__cause__ or current.__context__


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
    if (safe := masked_message(text)) != text:
        record.msg, record.args = safe, ()
    if record.exc_info and isinstance(record.exc_info[1], Exception):
        masked_error(record.exc_info[1])


def _masked(value: Any, mask: Callable[[str], str] | None = None) -> Any:
    """Return plain data with its texts masked by a function, by default that of settings."""
    mask = mask or _masked_text
    if isinstance(value, str):
        return mask(value)
    if isinstance(value, bytes):
        text = value.decode("utf-8", "surrogateescape")
        return value if (safe := mask(text)) == text else safe.encode("utf-8", "surrogateescape")
    if isinstance(value, Mapping):
        name = _name_beside_value(value)
        return _renamed(
            {key: _masked_item(name if key == "value" else str(key), item, mask) for key, item in value.items()}, mask
        )
    if isinstance(value, (list, tuple)):
        items = [_masked(item, mask) for item in value]
        if isinstance(value, list):
            return items
        return type(value)._make(items) if hasattr(value, "_make") else tuple(items)
    return value


def _name_beside_value(items: Mapping[Any, Any]) -> str:
    """Return the name of what stands under `value`: the name next to it if it is one of a secret (`{name=..., value=...}`)."""
    if "value" in items:
        for key in _NAMES:
            if isinstance(name := items.get(key), str) and is_secret_name(name):
                return name
    return "value"


def _masked_item(key: str, value: Any, mask: Callable[[str], str]) -> Any:
    """Return the value of a key, masked if the key is named like a secret."""
    if is_secret_table(key) and isinstance(value, Mapping):
        return _renamed({name: MASK for name in value}, _masked_header_name)
    if value and not isinstance(value, bool) and (is_secret_name(key) or is_secret_table(key)):
        return MASK
    return _masked(value, mask)


def _masked_header_name(name: str) -> str:
    """Return the name of a header; a key that was given in its place, and what follows a colon, is masked."""
    plain, colon, _ = name.partition(":")
    return f"{MASK if _is_key_like(plain) else _masked_text(plain)}{colon and colon + MASK}"


def _is_key_like(name: str) -> bool:
    """Tell whether the name of a header looks like a key that was given in its place."""
    return len(name) >= 16 and sum(map(str.isdigit, name)) >= 3


def _masked_text(text: str) -> str:
    """Mask known secrets, texts shaped like one, and what stands in URLs."""
    return mask_shapes(mask_login(mask_urls(_finder.masked(text))))


def _secrets(value: Any, name: str = "") -> Iterator[str]:
    """Yield the secrets in options and texts: all that stands under the name of a secret, however deep."""
    if isinstance(value, Mapping):
        beside = _name_beside_value(value)
        for key, item in value.items():
            key = beside if key == "value" else key
            inner = name if is_secret_name(name) or is_secret_table(name) else str(key)
            if inner != str(key) and (slip := key if _is_key_like(str(key)) else str(key).partition(":")[2]):
                yield from secrets_of_value(str(slip))  # a header whose name is a key, or the whole of it
            if str(key).lower() == "cookie":  # one header of several values
                yield from (one for pair in str(item).split(";") if _is_telling(one := pair.partition("=")[2].strip()))
            yield from _secrets(item, "" if is_secret_table(name) and is_public_name(str(key)) else inner)
    elif isinstance(value, (list, tuple, set, frozenset)):
        for item in value:
            yield from _secrets(item, name)
    elif isinstance(value, (bytes, bytearray)):
        yield from _secrets(value.decode("utf-8", "surrogateescape"), name)
    elif isinstance(value, (str, int, float)) and not isinstance(value, bool):
        value = str(value)  # a key may be all digits
        if is_secret_name(name) or is_secret_table(name):
            yield from secrets_of_value(value)
        yield from secrets_of_text(value)
        yield from _secrets_of_json(value)


def _secrets_of_json(text: str) -> Iterator[str]:
    """Yield the secrets in a text that as a whole is a table, a list or, within JSON, a text of JSON."""
    bare = text.strip()
    if bare[:1] + bare[-1:] in ("{}", "[]", '""') and len(bare) <= _LONGEST_JSON:
        with suppress(ValueError, RecursionError):
            yield from list(_secrets(json.loads(bare)))


def _secrets_of_environment() -> Iterator[str]:
    """Yield the secrets of the process's environment.

    Nobody said that they have to do with a run: what may be an ordinary word, and what names a file or a folder, is none.
    """
    for name, value in os.environ.items():
        if name.lower().endswith("_proxy"):
            yield from _secrets(value)
        elif is_secret_name(name):
            yield from (secret for secret in _secrets(value, name) if _is_telling(secret) and not os.path.exists(secret))


def _unquoted(secret: str) -> set[str]:
    """Return a secret as it is, and as it is without the escapes of a URL."""
    return {secret, unquote(secret), unquote_plus(secret)}


def _holds_mask(value: Any) -> bool:
    """Tell whether `***` stands for a secret in plain data; in prose it may be a rule between paragraphs."""
    if isinstance(value, Mapping):
        return any(_holds_mask(item) for item in value.values())
    if isinstance(value, (list, tuple)):
        return any(_holds_mask(item) for item in value)
    return isinstance(value, str) and (value == MASK or holds_masked_url(value))


def _mask_fields(error: BaseException, seen: set[int]) -> None:
    """Mask the arguments, attributes and notes of an exception, and the members of a group."""
    for member in error.exceptions if isinstance(error, BaseExceptionGroup) else ():
        _mask_chain(member, seen)
    error.args = tuple(_masked(arg, masked_message) for arg in error.args)
    for name, value in list(vars(error).items()):
        if isinstance(value, (str, bytes, list, tuple, dict)) and (safe := _masked(value, masked_message)) != value:
            setattr(error, name, safe)


def _is_open(error: BaseException) -> bool:
    """Tell whether an exception, or a member of a group, still shows a secret."""
    if isinstance(error, BaseExceptionGroup) and any(map(_is_open, error.exceptions)):
        return True
    return any(masked_message(text) != text for text in (str(error), repr(error)))


def may_hold_secrets(text: str) -> bool:
    """Tell whether a text of JSON may hold something to mask; a quick look that errs on the safe side."""
    keys = set(_KEY_OF_JSON.findall(text))
    return (
        any("\\" in key or key == "value" or is_secret_name(key) or is_secret_table(key) for key in keys)
        or _masked_text(text) != text
    )


__all__ = [
    "MASK",
    "check_unmasked",
    "is_secret_name",
    "mask_logs",
    "masked",
    "masked_error",
    "masked_errors",
    "masked_message",
    "may_hold_secrets",
    "remember_secrets",
    "without_secrets",
]
