"""What a call in the sandbox gives back, and the check of everything that comes out of a worker.

Whatever a worker sends was written by foreign code: its kind, its text and its figures are looked at before they are believed.
Contents of failures are fixed sentences and names of Python's own exceptions; they never repeat the value of an argument.
"""

from __future__ import annotations

import builtins
import json
import math
from dataclasses import asdict, dataclass
from typing import Any, Literal, NoReturn

SandboxStatus = Literal["ok", "error", "timeout", "crash", "blocked", "invalid_arguments"]
ContentKind = Literal["json", "text"]

NOT_JSON = "The result is neither text nor JSON."
TOO_LONG = "The result is longer than the output limit."
OUT_OF_MEMORY = "The memory limit was reached."
WORKER_ENDED = "The worker ended before it answered."
UNREADABLE = "The worker's answer could not be read."
NOT_SUPPORTED = "The executor cannot do what the code does; CPython can."
TIMED_OUT = "The time limit was reached."
NOT_ALLOWED = "The code tried something that is not allowed here."
NO_MORE_CALLS = "The program has used up its calls."

MAX_DIGITS = 4000
"""Most digits of an integer in a result."""
MAX_ARGUMENT_CHARS = 1_000_000
"""Most characters of the arguments of a call, as JSON."""
MAX_DETAIL_CHARS = 300


@dataclass(frozen=True, slots=True)
class SandboxResult:
    """The outcome of one call.

    Attributes:
        status: "ok"; "error" (the code raised), "timeout", "crash" (memory, an unusable result, a dead worker), "blocked"
            (a forbidden system call), "invalid_arguments" (no JSON object, or names that the function does not take).
        content: JSON or text of the result; for every other status one fixed sentence or the name of the exception.
        kind: Whether `content` is JSON or plain text; results that are texts come as they are.
        executor: What ran the code: "monty", "process" or "process-unconfined".
        cpu_ms: CPU time of the call in milliseconds, as the worker counts it; not part of an episode, since it varies.
        prints: How often the code printed; what it printed is dropped.
        detail: Words of the exception, cut to 300 characters. They may repeat arguments: for logs, not for agents.
    """

    status: SandboxStatus
    content: str
    kind: ContentKind = "text"
    executor: str = ""
    cpu_ms: float = 0.0
    prints: int = 0
    detail: str = ""

    @property
    def ok(self) -> bool:
        """Whether the function returned something usable."""
        return self.status == "ok"

    def value(self) -> Any:
        """Return the result as Python data: a text as it is, JSON as it reads."""
        return json.loads(self.content) if self.kind == "json" else self.content

    def to_json(self) -> dict[str, Any]:
        """Return a plain dict."""
        return asdict(self)


def checked(
    kind: object, text: object, limit: int, *, executor: str, cpu_ms: float = 0.0, prints: object = 0
) -> SandboxResult:
    """Return the result of a call that succeeded, or a crash if what the worker sent cannot be used.

    Args:
        kind: "json" or "text", as the worker says.
        text: The result, as the worker says.
        limit: Most characters, and most bytes of UTF-8, of the text.
        executor: What ran the code.
        cpu_ms: CPU time of the call.
        prints: Count of prints, as the worker says.
    """
    count = min(prints, 10**9) if type(prints) is int and prints > 0 else 0
    status: SandboxStatus
    content: str
    if kind not in ("json", "text") or not isinstance(text, str):
        status, content = "crash", UNREADABLE
    elif len(text) > limit or (not text.isascii() and len(text.encode("utf-8", "replace")) > limit):
        status, content = "crash", TOO_LONG
    elif not _is_usable(str(kind), text):
        status, content = "crash", NOT_JSON
    else:
        status, content = "ok", text
    is_json = status == "ok" and kind == "json"
    return SandboxResult(status, content, "json" if is_json else "text", executor, cpu_ms, count)


def text_of(written: str) -> str | None:
    """Return the text that a worker wrote as JSON; None if that is something else."""
    try:
        text = _DECODER.decode(written)
    except (ValueError, RecursionError):
        return None
    return text if isinstance(text, str) else None


def exception_name(name: object) -> str:
    """Return the name of one of Python's own exceptions; every other name, which the code chose, is "Exception"."""
    if isinstance(name, str) and (name in _BUILTIN_EXCEPTIONS or name in _LIBRARY_EXCEPTIONS):
        return name
    return "Exception"


def shown_detail(detail: object) -> str:
    """Return the words of an exception, cut."""
    return detail[:MAX_DETAIL_CHARS].encode("utf-8", "replace").decode() if isinstance(detail, str) else ""


def _is_usable(kind: str, text: str) -> bool:
    """Whether a text can be encoded and, if it says so, is strict JSON with numbers that can be used.

    What honest code cannot send is looked for only where its characters are: exponents, long numbers, escapes.
    """
    try:
        if not text.isascii():
            text.encode()
        if kind == "json":
            exact = len(text) > _MAX_FLOAT_DIGITS or "e" in text or "E" in text
            value = (_EXACT_DECODER if exact else _DECODER).decode(text)
            if "\\u" in text:
                json.dumps(value, ensure_ascii=False).encode()  # half of a pair of surrogates is no text
    except (ValueError, RecursionError):
        return False
    return True


_MAX_FLOAT_DIGITS = 300


def _refuse(word: str) -> NoReturn:
    """Refuse NaN and the infinities."""
    raise ValueError(f"{word} is not JSON")


def _short_integer(digits: str) -> int:
    """Refuse integers of too many digits."""
    if len(digits.lstrip("-")) > MAX_DIGITS:
        raise ValueError("too many digits")
    return 0  # the value is not used


def _finite(digits: str) -> float:
    """Refuse numbers that are infinite as floats."""
    value = float(digits)
    if math.isinf(value):
        raise ValueError("a number that no float holds")
    return value


_DECODER = json.JSONDecoder(parse_constant=_refuse)
_EXACT_DECODER = json.JSONDecoder(parse_constant=_refuse, parse_float=_finite, parse_int=_short_integer)
"""Made once: making one takes longer than reading a short result."""

_BUILTIN_EXCEPTIONS = frozenset(
    name for name, value in vars(builtins).items() if isinstance(value, type) and issubclass(value, BaseException)
)
_LIBRARY_EXCEPTIONS = frozenset(
    (
        "JSONDecodeError",
        "PatternError",
        "error",
        "InvalidOperation",
        "DivisionByZero",
        "StatisticsError",
        "FrozenInstanceError",
    )
)
