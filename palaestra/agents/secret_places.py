"""Where secrets stand in texts known or not: in URLs, after their names, in shapes that only keys have.

`mask_urls` and `mask_shapes` are for every text. `mask_named` is for what is shown and logged (error texts, messages, command
lines), not for settings: a prompt that speaks of a `password=...` has to stay as it is.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from urllib.parse import parse_qsl, unquote

from palaestra.agents.secret_names import is_public_name, is_secret_name
from palaestra.agents.secret_spellings import MASK

WHOLE_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://)(\S+)")
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://)([^\s\"'<>]+)")
_LOGIN = re.compile(  # user:password@host without a scheme before it; the host has a dot, a port or is this machine
    r"(?<![\w.+/:@-])([\w.+%-]{1,64}+):([^\s\"'<>/@]{1,256})@(?=(?:[A-Za-z0-9-]+\.)+[A-Za-z]{2,}\b|localhost\b|[\w.-]+:\d{2,5}\b"
    r"|\d+\.\d+\.\d+\.\d+\b|\[[0-9a-fA-F:]+\])"
)
_ANY_LOGIN = re.compile(
    r"(?<![\w.+/:@-])([\w.+%-]{1,64}+):([^\s\"'<>/@][^\s\"'<>@]{0,255})@(?=[A-Za-z]|\d+\.\d+\.\d+\.\d+\b|\[[0-9a-fA-F:]+\])"
)
_NO_USERS = frozenset(  # before the colon of addresses without a password, and of names of models
    ("mailto", "sip", "sips", "xmpp", "acct", "urn", "image", "docker", "hf", "scripted", "vllm", "openai", "openai-responses")
) | frozenset(("azure", "azure-responses", "anthropic", "google", "litellm", "vertex_ai", "bedrock"))

_SHAPES = tuple(
    (marks, re.compile(shape))
    for marks, shape in (
        (("sk-", "pk-", "rk-"), r"\b(?:sk|pk|rk)-[A-Za-z0-9_-]{16,}"),
        (("sk_", "pk_", "rk_"), r"\b(?:sk|pk|rk)_(?:live|test)_[A-Za-z0-9]{16,}"),
        (("hf_", "ghp_", "gho_", "ghs_", "xai_", "gsk_"), r"\b(?:hf|ghp|gho|ghs|xai|gsk)_[A-Za-z0-9]{16,}"),
        (("github_pat_", "glpat-"), r"\b(?:github_pat_|glpat-)[A-Za-z0-9_-]{16,}"),
        (("AIza",), r"\bAIza[A-Za-z0-9_-]{30,}"),
        (("AKIA", "ASIA"), r"\b(?:AKIA|ASIA)[A-Z0-9]{12,}"),
        (("xox",), r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}"),
        (("eyJ",), r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*"),
        (("PRIVATE KEY-----",), r"(?<=PRIVATE KEY-----)[^-]{8,}"),
        (("Bearer ",), r"(?<=\bBearer )[^\s\"',;)\]}]{5,}"),
        (("bearer ", "BEARER "), r"(?<=\bbearer |\bBEARER )(?=[^\s\"',;)\]}0-9]*[0-9])[^\s\"',;)\]}]{5,}"),
        (("asic ", "ASIC "), r"(?<=\b[Bb]asic |\bBASIC )(?=[A-Za-z+/][a-z]*[A-Z0-9+/=])[A-Za-z0-9+/]{6,}={0,2}"),
    )
)

_NAME = re.compile(r"""(?<![A-Za-z0-9_.-])[A-Za-z0-9_.-]{2,200}+(?=(?:\\*["'])?[ \t]{0,3}+[:=])""")
_TO_SEPARATOR = re.compile(r"""(?:\\*["'])?[ \t]{0,3}([:=])""")
_VALUE = re.compile(
    r"""[=>]?[ \t]{0,3}(?:(?P<quote>\\*["'])(?P<quoted>(?:(?!(?P=quote))[^\r\n]){1,4096})|(?P<bare>[^\s"'<>,;&)\]}\\|]+))"""
)
_COOKIES = re.compile(r"[=>]?[ \t]{0,3}(?:\\*[\"'])?(?P<bare>[^\s\"',;]+(?:;[ \t]*[^\s\"',;]+)*)")
_SCHEME_NAME = re.compile(r"bearer|basic|token|apikey|api-key|key|digest|negotiate", re.IGNORECASE)  # of authorization
_SCHEME = re.compile(rf"(?:{_SCHEME_NAME.pattern})\s+", re.IGNORECASE)
_AFTER_SCHEME = re.compile(r"\s([^\s\"'<>,;&)\]}|]+)")
_NOTHING = frozenset({"none", "null", "true", "false", "nil", "undefined", "str", "missing", "required", MASK})
_PARAMETER = re.compile(r";([^=;/?#]*)=([^;/?#]*)")
_FRAGMENT_NAMES = frozenset({"key", "code", "state", "assertion"})


def mask_urls(text: str) -> str:
    """Return a text with `***` for user, password, query values and parameters of the URLs in it."""
    if "://" not in text:
        return text
    whole = WHOLE_URL.fullmatch(text)
    return _masked_url(whole) if whole else _URL.sub(_masked_url, text)


def mask_login(text: str) -> str:
    """Return a text that is an address without a scheme (`user:password@host/v1`) with `***` for user and password."""
    login = _LOGIN.match(text) if "@" in text and " " not in text else None
    return text if login is None or login[1].lower() in _NO_USERS else f"{MASK}{text[login.end() - 1 :]}"


def mask_shapes(text: str) -> str:
    """Return a text with `***` for what has the shape of a key, known or not."""
    for marks, shape in _SHAPES:
        if any(mark in text for mark in marks):
            text = shape.sub(MASK, text)
    return text


def mask_named(text: str) -> str:
    """Return a text of prose or a line of a command with `***` for values that stand after the names of secrets.

    `api_key=VALUE`, `api_key:VALUE`, `"token": "VALUE"`, `Authorization: Scheme VALUE`, `PASSWORD='VALUE'` and, without a
    scheme, `USER:VALUE@HOST`. After a colon that may as well be one of prose, a value without quotes has to look like a key.
    """
    parts: list[str] = []
    done = 0
    for name in _NAME.finditer(text):
        if name.start() < done or not is_secret_name(name[0]):
            continue
        separator = _TO_SEPARATOR.match(text, name.end())
        if separator is not None and (place := _value_after(text, separator.end() - 1, name[0])):
            parts += (text[done : place[0]], MASK)
            done = place[1]
    text = "".join((*parts, text[done:])) if parts else text
    if "@" in text:
        text = _ANY_LOGIN.sub(_masked_login, text)
    return text


def secrets_of_text(text: str) -> Iterator[str]:
    """Yield the secrets in the URLs and logins of an option."""
    for url in (WHOLE_URL if WHOLE_URL.fullmatch(text) else _URL).finditer(text):
        yield from _secrets_of_url(url[2])
    if "@" in text and "://" not in text:
        for login in _LOGIN.finditer(text):
            if login[1].lower() not in _NO_USERS:
                yield from _secrets_of_user(f"{login[1]}:{login[2]}")


def secrets_of_value(value: str) -> Iterator[str]:
    """Yield the value of a secret as it is, without blanks, and what is secret in a header of authorization."""
    yield value
    yield (bare := value.strip())
    if scheme := _SCHEME.match(bare):
        yield (rest := bare[scheme.end() :])
        if scheme[0].lower().startswith("basic"):
            yield from _secrets_of_basic(rest)


def holds_masked_url(text: str) -> bool:
    """Tell whether a text is a URL in which `***` stands for a secret."""
    return MASK in text and WHOLE_URL.fullmatch(text) is not None


def _value_after(text: str, at: int, name: str) -> tuple[int, int] | None:
    """Return where the value after a separator stands, None if there is none that has to be masked."""
    if "cookie" in name.lower() and (found := _COOKIES.match(text, at + 1)):
        return found.span("bare")
    found = _VALUE.match(text, at + 1)
    if found is None:
        return None
    if found["quoted"] is not None:
        start, end = found.span("quoted")
        if scheme := _SCHEME.match(found["quoted"]):
            start += scheme.end()
        return None if found["quoted"].lower() in _NOTHING else (start, end)
    start, end = found.span("bare")
    value = found["bare"]
    if _SCHEME_NAME.fullmatch(value) and (more := _AFTER_SCHEME.match(text, end)):
        return more.span(1)
    value = value.rstrip(".:!?")
    end = start + len(value)
    if not value or value.lower() in _NOTHING or value.startswith("//"):
        return None
    is_prose = text[at] == ":" and not (len(value) >= 20 or (len(value) >= 6 and any(map(str.isdigit, value))))
    return None if is_prose else (start, end)


def _masked_login(login: re.Match[str]) -> str:
    """Mask user and password before a host."""
    return login[0] if login[1].lower() in _NO_USERS or login[2].startswith("***") else f"{MASK}@"


def _masked_url(url: re.Match[str]) -> str:
    """Mask user, password, query values and parameters of a URL."""
    scheme, rest = url[1], url[2]
    if at := _end_of_user(rest):
        rest = MASK + rest[at:]
    before, mark, fragment = rest.partition("#")
    address, question, query = before.partition("?")
    if question:
        query = "&".join(f"{pair.partition('=')[0]}={MASK}" if "=" in pair else MASK for pair in query.split("&") if pair)
    address = _PARAMETER.sub(rf";\1={MASK}", address)
    return f"{scheme}{address}{question}{query}{mark}{_masked_fragment(fragment)}"


def _masked_fragment(fragment: str) -> str:
    """Mask the values of secrets in a fragment of pairs; where it is the name of a model it stays."""
    if "=" not in fragment:
        return fragment
    pairs = re.split(r"([&?;])", fragment)
    return "".join(
        f"{name}={MASK}" if equals and value and _is_fragment_name(name) else pair
        for pair in pairs
        for name, equals, value in (pair.partition("="),)
    )


def _is_fragment_name(name: str) -> bool:
    name = unquote(name)
    return name.lower() in _FRAGMENT_NAMES or is_secret_name(name)


def _end_of_user(rest: str) -> int:
    """Return where the `@` after user and password stands, 0 if there is none; passwords may hold what should be escaped."""
    host = re.split(r"[/?#]", rest, maxsplit=1)[0]
    if "@" in host:
        return host.rindex("@")
    _, colon, port = host.rpartition(":")
    is_address = not colon or port.isdecimal() or not port or host.endswith("]")
    return 0 if is_address or "@" not in rest else rest.rindex("@")


def _secrets_of_url(rest: str) -> Iterator[str]:
    """Yield the secrets of a URL without its scheme."""
    if at := _end_of_user(rest):
        yield from _secrets_of_user(rest[:at])
        rest = rest[at:]
    before, _, fragment = rest.partition("#")
    address, _, query = before.partition("?")
    for pair in query.split("&"):
        name, _, value = pair.partition("=")
        if not (value and is_public_name(unquote(name))):
            yield value or pair
    yield from (value for name, value in parse_qsl(query) if not is_public_name(name))
    yield from (parameter[2] for parameter in _PARAMETER.finditer(address))
    for pair in re.split(r"[&?;]", fragment):
        name, equals, value = pair.partition("=")
        if equals and _is_fragment_name(name):
            yield value


def _secrets_of_user(user: str) -> Iterator[str]:
    """Yield user and password together, and the password; of a user without a password the user."""
    _, colon, password = user.partition(":")
    yield from (user, password) if colon else (user, f"{user}:")


def _secrets_of_basic(coded: str) -> Iterator[str]:
    """Yield what the base64 of basic authorization holds."""
    try:
        plain = base64.b64decode(coded + "=" * (-len(coded) % 4), altchars=b"-_" if {"-", "_"} & {*coded} else None).decode()
    except ValueError:  # no base64, or no UTF-8
        return
    yield from _secrets_of_user(plain)


__all__ = [
    "WHOLE_URL",
    "holds_masked_url",
    "mask_login",
    "mask_named",
    "mask_shapes",
    "mask_urls",
    "secrets_of_text",
    "secrets_of_value",
]
