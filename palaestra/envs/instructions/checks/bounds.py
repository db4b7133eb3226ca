"""Ranges: whether a number lies in one, and the words for that."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from palaestra.envs.instructions.kinds import Verdict
from palaestra.types import Json


def within(count: int, lo: int | None, hi: int | None) -> bool:
    """Whether a number lies in a range; None leaves a side open."""
    return (lo is None or count >= lo) and (hi is None or count <= hi)


def range_words(lo: int | None, hi: int | None) -> str:
    """Return "at least 3", "at most 5", "exactly 2", "3 to 5" or "any number"."""
    if lo is None and hi is None:
        return "any number"
    if lo == hi:
        return f"exactly {lo}"
    if lo is None:
        return f"at most {hi}"
    return f"at least {lo}" if hi is None else f"{lo} to {hi}"


def counted(count: int, params: Mapping[str, Any], noun: str) -> Verdict:
    """Return the verdict on one number against `lo` and `hi`."""
    lo, hi = params["lo"], params["hi"]
    passed = within(count, lo, hi)
    return Verdict(passed, f"found {count} {noun}, need {range_words(lo, hi)}", {"count": count})


def each(parts: Sequence[str], scope: str, meets: Callable[[str], bool], wanted: str, negate: bool = False) -> Verdict:
    """Return the verdict on every part of a scope.

    Args:
        parts: The parts found.
        scope: Their name, for the reason.
        meets: Whether one part is as wanted.
        wanted: Completes "each ... ", e.g. "must be in uppercase".
        negate: Whether a response without such parts passes.
    """
    if not parts:
        return Verdict(negate, f"there is no part of the kind {scope!r}, and each {wanted}", {"parts": 0})
    failing = [at for at, part in enumerate(parts) if not meets(part)]
    measured: dict[str, Json] = {"parts": len(parts), "failing": len(failing)}
    if failing:
        shown = parts[failing[0]].strip()[:60]
        return Verdict(False, f"{len(failing)} of {len(parts)} parts fail, first {shown!r}: each {wanted}", measured)
    return Verdict(True, f"all of {len(parts)} parts are as asked: each {wanted}", measured)
