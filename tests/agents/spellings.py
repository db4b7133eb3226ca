"""How a secret may be written in what a server says, and what undoes it; for tests."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Callable
from urllib.parse import quote, quote_plus, unquote, unquote_plus


def unicode_escaped(text: str) -> str:
    return "".join(f"\\u{ord(one):04x}" if one.isascii() and not one.isalnum() else json.dumps(one)[1:-1] for one in text)


def numbered(text: str, form: str) -> str:
    return "".join(one if one.isalnum() else form.format(ord(one)) for one in text)


def lower_percent(text: str) -> str:
    return re.sub("%[0-9A-F]{2}", lambda match: match[0].lower(), quote(text, safe=""))


SPELLINGS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "upper": lambda text: "".join(one.upper() if one.isascii() else one for one in text),
    "lower": lambda text: "".join(one.lower() if one.isascii() else one for one in text),
    "json": lambda text: json.dumps(text)[1:-1],
    "json with slashes": lambda text: json.dumps(text)[1:-1].replace("/", "\\/"),
    "json of all signs": unicode_escaped,
    "json of all characters": lambda text: "".join(
        f"\\u{ord(one):04X}" if ord(one) < 0x10000 else json.dumps(one)[1:-1] for one in text
    ),
    "python": lambda text: repr(text)[1:-1],
    "python bytes": lambda text: "".join(f"\\x{ord(one):02x}" if one.isascii() else one for one in text),
    "html": html.escape,
    "html decimal": lambda text: numbered(text, "&#{};"),
    "html hexadecimal": lambda text: numbered(text, "&#x{:X};"),
    "html padded": lambda text: numbered(text, "&#x00{:x};"),
    "url": lambda text: quote(text, safe=""),
    "url in lower case": lower_percent,
    "url with slashes": quote,
    "url form": quote_plus,
    "url of all characters": lambda text: "".join(f"%{byte:02X}" for byte in text.encode()),
}
IN_BASE64: dict[str, Callable[[str], str]] = {
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64 for URLs": lambda text: base64.urlsafe_b64encode(text.encode()).decode().rstrip("="),
    "base64, second place": lambda text: base64.b64encode(b"x" + text.encode() + b"yz").decode(),
    "base64, third place": lambda text: base64.b64encode(b"xy" + text.encode() + b"z").decode(),
    "base64 in JSON": lambda text: json.dumps(base64.b64encode(f"?{text}>>".encode()).decode())[1:-1].replace("/", "\\/"),
    "hex": lambda text: text.encode().hex(),
}
UNDO: tuple[Callable[[str], str], ...] = (
    lambda text: re.sub(r"\\+u([0-9a-fA-F]{4})", lambda match: chr(int(match[1], 16)), text),
    lambda text: re.sub(r"\\x([0-9a-fA-F]{2})", lambda match: chr(int(match[1], 16)), text),
    lambda text: re.sub(r"\\(.)", r"\1", text),
    lambda text: text.replace("\\", ""),
    html.unescape,
    unquote,
    unquote_plus,
)


def readings(text: str, deep: int = 3) -> set[str]:
    """Return a text and what it stands for after undoing any escapes in any order."""
    found = new = {text}
    for _ in range(deep):
        new = {undo(one) for one in new for undo in UNDO} - found
        found = found | new
    return found


def decodings(text: str) -> list[bytes]:
    """Return what any part of a text is in base64 and in hex, at every alignment."""
    found: list[bytes] = []
    for run in re.findall(r"[A-Za-z0-9+/_-]{4,}", text):
        plain = run.replace("-", "+").replace("_", "/")
        for start in range(4):
            part = plain[start : len(plain) - ((len(plain) - start) % 4 == 1)]
            found.append(base64.b64decode(part + "=" * (-len(part) % 4)))
        for start in range(2):
            if digits := re.findall(r"(?:[0-9a-fA-F]{2})+", run[start:]):
                found += [bytes.fromhex(one) for one in digits]
    return found
