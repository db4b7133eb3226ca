"""Known secrets in a text, however they are spelled there.

A `SecretFinder` looks for each secret as it is, in hex and in base64 (at each of its three alignments within a longer text),
and it looks into the text as it stands and into everything that the text stands for: its escapes of JSON and Python, of URLs
and of HTML are undone one after another, in every order, as deep as they go. Case does not matter. Secrets that are not ASCII
are also found where their UTF-8 was read as Latin-1 or Windows-1252, in the `repr` of bytes, and in any Unicode normal form.
"""

from __future__ import annotations

import base64
import html
import re
import unicodedata
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal, NamedTuple
from urllib.parse import unquote_to_bytes

MASK = "***"

LONG = 6
"""Characters from which on a secret is masked wherever it occurs; in hex and base64 too."""
SHORT = 4
"""Characters from which on a secret is masked where it stands by itself, without a letter or a digit next to it."""

_NORMAL_FORMS: tuple[Literal["NFC", "NFD", "NFKC", "NFKD"], ...] = ("NFC", "NFD", "NFKC", "NFKD")
_DEEPEST = 8  # escapes within escapes
_MOST_VIEWS = 48  # readings of one text; what a server says must not keep us busy
_URLSAFE = str.maketrans("+/", "-_")
_BASE64 = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_")

_JSON_ESCAPE = re.compile(
    r"""(?:\\\\)+|\\(?:[uU][dD][89abAB][0-9a-fA-F]{2}\\[uU][dD][c-fC-F][0-9a-fA-F]{2}|U00[01][0-9a-fA-F]{5}|[uU][0-9a-fA-F]{4}|[xX][0-9a-fA-F]{2}"""
    r"""|u\{[0-9a-fA-F]{1,6}\}|["'/bfnrtBFNRT])"""
)
_LETTERS = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_PERCENT_ESCAPE = re.compile(r"%[0-7][0-9a-fA-F]|(?:%[89a-fA-F][0-9a-fA-F])+")
_HTML_ESCAPE = re.compile(r"&(?:#[0-9]{1,8};?|#[xX][0-9a-fA-F]{1,7};?|[A-Za-z][A-Za-z0-9]{1,31};?)")


_WRAPPED_BASE64 = re.compile(  # lines of MIME and PEM
    r"\r?\n(?:(?<=[A-Za-z0-9+/]{60}\n)|(?<=[A-Za-z0-9+/]{60}\r\n))(?=[A-Za-z0-9+/])"
)

_WINDOWS_1252 = {  # what is shown for the bytes 0x80 to 0x9f; the others are as in Latin-1
    ord(bytes([byte]).decode("cp1252")): byte for byte in range(0x80, 0xA0) if byte not in (0x81, 0x8D, 0x8F, 0x90, 0x9D)
}
_MISREAD = re.compile(  # UTF-8 read as Latin-1 or Windows-1252, with the letters of its bytes in either
    f"[\u00c2-\u00f4][\u0080-\u00bf{''.join(map(chr, _WINDOWS_1252))}]{{1,3}}"
)


class SecretFinder:
    """Finds secrets in texts.

    Args:
        secrets: The secrets. Those shorter than `SHORT` are left out: they would be found in the middle of other words.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        """Prepare what to look for."""
        self.secrets = frozenset(secret for secret in secrets if len(secret) >= SHORT)
        self._forms = tuple({form for secret in self.secrets for form in _forms_of(secret)})
        self.shortest = min((len(form.text) for form in self._forms), default=0)
        self._reads_wrongly = not all(map(str.isascii, self.secrets))

    def finds(self, text: str) -> bool:
        """Tell whether a secret stands in a text."""
        return next(self._spans(text), None) is not None

    def masked(self, text: str) -> str:
        """Return a text with `***` in the place of secrets."""
        while spans := sorted(set(self._spans(text))):
            parts: list[str] = []
            done = 0
            for start, end in _joined(spans):
                parts += (text[done:start], MASK)
                done = end
            text = "".join((*parts, text[done:]))
        return text

    def _spans(self, text: str) -> Iterator[tuple[int, int]]:
        """Yield where secrets stand in a text, from its readings."""
        if len(text) < self.shortest or not self._forms:
            return
        for view in _views(text, self._reads_wrongly):
            lowered = _lowered(view.text)
            for form in self._forms:
                at = lowered.find(form.text)
                while at >= 0:
                    end = at + len(form.text)
                    if not form.is_short or _stands_alone(view.text, at, end):
                        yield view.source(*form.grown(view.text, at, end))
                    at = lowered.find(form.text, end)


class _Form(NamedTuple):
    """How a secret is written, in lower case."""

    text: str
    is_short: bool = False
    before: bool = False  # in base64: the character before holds bits of it too
    after: bool = False

    def grown(self, text: str, start: int, end: int) -> tuple[int, int]:
        """Return the place of a hit with the neighbouring characters that hold bits of the secret."""
        if self.before and start and text[start - 1] in _BASE64:
            start -= 1
        if self.after and end < len(text) and text[end] in _BASE64:
            end += 1
        if self.before or self.after:
            while end < len(text) and text[end] == "=":
                end += 1
        return start, end


def _forms_of(secret: str) -> Iterator[_Form]:
    """Yield how a secret is written where nothing is escaped."""
    for text in {secret, secret.replace(" ", "+"), *(unicodedata.normalize(form, secret) for form in _NORMAL_FORMS)}:
        yield _Form(_lowered(text), is_short=len(secret) < LONG)
    coded = {secret.encode("utf-8", "surrogatepass")}
    for encoding in ("latin-1", "cp1252"):
        with suppress(UnicodeEncodeError):
            coded.add(secret.encode(encoding))
    for data in coded:
        yield from _coded_forms(data, is_short=len(secret) < LONG)


def _coded_forms(data: bytes, *, is_short: bool) -> Iterator[_Form]:
    """Yield how the bytes of a secret are written in base64 and in hex."""
    if is_short:
        whole = base64.b64encode(data).decode().rstrip("=")
        yield from (_Form(_lowered(text), is_short=True, after=True) for text in {whole, whole.translate(_URLSAFE)})
        return
    yield _Form(data.hex())
    for shift in range(3):
        coded = base64.b64encode(b"\0" * shift + data).decode()
        first, last = -(-shift * 8 // 6), (shift + len(data)) * 8 // 6
        for text in {coded[first:last], coded[first:last].translate(_URLSAFE)}:
            yield _Form(_lowered(text), before=shift > 0, after=True)


@dataclass(frozen=True)
class _View:
    """A reading of a text: with some of its escapes undone."""

    text: str
    depth: int = 0
    under: _View | None = None
    escape: re.Pattern[str] | None = None
    undo: Callable[[re.Match[str]], str] | None = None

    def source(self, start: int, end: int) -> tuple[int, int]:
        """Return where a part of this reading stands in the text that is read."""
        if self.under is None or self.escape is None or self.undo is None:
            return start, end
        here, there, sizes = [0], [0], [(0, 0)]  # where each undone escape begins, in this reading and in the one below
        grown = 0
        for match in self.escape.finditer(self.under.text):
            size = len(self.undo(match))
            here.append(match.start() + grown)
            there.append(match.start())
            sizes.append((size, match.end() - match.start()))
            grown += size - (match.end() - match.start())

        def below(at: int, *, is_end: bool) -> int:
            index = bisect_right(here, at - is_end) - 1
            inside, (size, length) = at - here[index], sizes[index]
            if inside <= 0:
                return there[index]
            if inside >= size:
                return there[index] + length + inside - size
            return there[index] + (length if is_end else 0)

        return self.under.source(below(start, is_end=False), below(end, is_end=True))


def _views(text: str, reads_wrongly: bool) -> Iterator[_View]:
    """Yield the readings of a text, itself first; if asked for, those too in which UTF-8 was read as something else."""
    views = [_View(text)]
    seen = {text}
    for view in views:  # grows
        yield view
        if view.depth == _DEEPEST:
            continue
        for mark, escape, undo in _ESCAPES:
            if mark not in view.text or len(views) >= _MOST_VIEWS:
                continue
            if not mark and (not reads_wrongly or view.text.isascii()):
                continue
            undone = escape.sub(undo, view.text)
            if undone not in seen:
                seen.add(undone)
                views.append(_View(undone, view.depth + 1, view, escape, undo))


def _undo_json(match: re.Match[str]) -> str:
    r"""Return what `\"`, `\u002d`, `\x2d` and the like stand for."""
    text = match[0]
    kind = text[1]
    if kind == "\\":
        return text[: len(text) // 2]
    if kind not in "uUxX":  # in capitals where all of an answer is
        return _LETTERS.get(kind.lower(), kind)
    if text.count("\\") == 2:  # both halves of a pair
        return chr(0x10000 + ((int(text[2:6], 16) - 0xD800) << 10) + int(text[8:12], 16) - 0xDC00)
    code = int(text[2:].strip("{}"), 16)
    return chr(code) if code < 0x110000 else text


def _undo_percent(match: re.Match[str]) -> str:
    """Return what `%2F` and the like stand for; what is not UTF-8 is read as Latin-1."""
    data = unquote_to_bytes(match[0])
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _undo_html(match: re.Match[str]) -> str:
    """Return what `&amp;`, `&#47;` and the like stand for."""
    return html.unescape(match[0])


def _undo_wrapping(match: re.Match[str]) -> str:
    """Return what the end of a line in base64 stands for: nothing."""
    return ""


def _undo_misreading(match: re.Match[str]) -> str:
    """Return the characters whose UTF-8 was read as another encoding; the text as it is where they were not."""
    data = bytes(_WINDOWS_1252.get(code, code) for code in map(ord, match[0]))
    for end in range(len(data), 1, -1):  # what follows the character may be a sign of its own
        with suppress(UnicodeDecodeError):
            return data[:end].decode() + match[0][end:]
    return match[0]


_ESCAPES = (
    ("\\", _JSON_ESCAPE, _undo_json),
    ("%", _PERCENT_ESCAPE, _undo_percent),
    ("&", _HTML_ESCAPE, _undo_html),
    ("\n", _WRAPPED_BASE64, _undo_wrapping),
    ("", _MISREAD, _undo_misreading),
)


def _lowered(text: str) -> str:
    """Return a text of the same length in lower case."""
    lowered = text.lower()
    if text.isascii():
        return lowered
    if len(lowered) != len(text):
        lowered = text.replace("\u0130", "i").lower()
    return lowered.replace("ς", "σ")  # which of them depends on what follows


def _stands_alone(text: str, start: int, end: int) -> bool:
    """Tell whether no letter and no digit stands next to a part of a text."""
    return not (text[max(start - 1, 0) : start].isalnum() or text[end : end + 1].isalnum())


def _joined(spans: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Yield sorted places with those that overlap as one."""
    start, end = spans[0]
    for following in spans[1:]:
        if following[0] < end:
            end = max(end, following[1])
        else:
            yield start, end
            start, end = following
    yield start, end


__all__ = ["LONG", "MASK", "SHORT", "SecretFinder"]
