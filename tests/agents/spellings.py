"""How a secret may be written in what a server says, and what undoes it; for tests."""

from __future__ import annotations

import base64
import html
import json
import re
import unicodedata
from collections.abc import Callable
from urllib.parse import quote, quote_plus, unquote, unquote_plus


def unicode_escaped(text: str) -> str:
    return "".join(f"\\u{ord(one):04x}" if one.isascii() and not one.isalnum() else json.dumps(one)[1:-1] for one in text)


def numbered(text: str, form: str) -> str:
    return "".join(one if one.isalnum() else form.format(ord(one)) for one in text)


def lower_percent(text: str) -> str:
    return re.sub("%[0-9A-F]{2}", lambda match: match[0].lower(), quote(text, safe=""))


def is_latin(text: str) -> bool:
    return all(ord(one) < 256 for one in text)


def as_windows_1252(text: str) -> str:
    return "".join(bytes([byte]).decode("cp1252", "replace").replace("\ufffd", chr(byte)) for byte in text.encode())


def reread(text: str) -> str:
    """Return a text in which what was read as Latin-1 or Windows-1252 is read as UTF-8."""

    def undo(match: re.Match[str]) -> str:
        data = b"".join(one.encode("latin-1" if ord(one) < 256 else "cp1252") for one in match[0])
        return data.decode("utf-8", "ignore") or match[0]

    return re.sub("[\xc2-\xf4](?:[\x80-\xbf]|[€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ]){1,3}", undo, text)


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
    "python repr of bytes": lambda text: repr(text.encode())[2:-1],
    "html": html.escape,
    "html decimal": lambda text: numbered(text, "&#{};"),
    "html hexadecimal": lambda text: numbered(text, "&#x{:X};"),
    "html padded": lambda text: numbered(text, "&#x00{:x};"),
    "url": lambda text: quote(text, safe=""),
    "url in lower case": lower_percent,
    "url with slashes": quote,
    "url form": quote_plus,
    "url of Latin-1": lambda text: quote(text, safe="", encoding="latin-1" if is_latin(text) else "utf-8"),
    "read as Latin-1": lambda text: text.encode().decode("latin-1"),
    "read as Windows-1252": as_windows_1252,
    "read as Latin-1, twice": lambda text: text.encode().decode("latin-1").encode().decode("latin-1"),
    "decomposed": lambda text: unicodedata.normalize("NFD", text),
    "composed": lambda text: unicodedata.normalize("NFC", text),
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
    reread,
    lambda text: unicodedata.normalize("NFC", text),
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
