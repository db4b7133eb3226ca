"""Constraints on punctuation."""

from __future__ import annotations

import string

from palaestra.envs.instructions.checks.bounds import each
from palaestra.envs.instructions.kinds import REQUIRED, Asked, Verdict, kind
from palaestra.envs.instructions.units import units

ANY = "ANY"
"""In `allowed`: any ASCII punctuation mark."""


@kind(
    "content.ending_punctuation",
    family="Content_Punctuation",
    defaults={"allowed": REQUIRED, "negate": False, "scope": "whole"},
    examples=[
        {"allowed": ["."]},
        {"allowed": ["!", "?"], "scope": "sentence"},
        {"allowed": [ANY], "negate": True, "scope": "line"},
        {"allowed": ["..."]},
    ],
)
def ending_punctuation(asked: Asked) -> Verdict:
    """The response, or each of its parts, ends with one of these marks, or with none of them."""
    allowed, negate, scope = asked.params["allowed"], asked.params["negate"], asked.params["scope"]
    ends = tuple(mark for one in allowed for mark in (string.punctuation if one == ANY else (one,)))
    said = f"must {'not ' if negate else ''}end with {' or '.join(map(repr, allowed))}"
    parts = [part for part in units(asked.response, scope) if part.strip()]
    if scope != "whole":
        return each(parts, scope, lambda part: part.rstrip().endswith(ends) != negate, said, negate)
    if not parts:
        return Verdict(negate, f"the response is empty and {said}", {"last": ""})
    last = parts[0].rstrip()
    return Verdict(last.endswith(ends) != negate, f"the last character is {last[-1]!r}; it {said}", {"last": last[-1]})


@kind(
    "content.exclude_punctuation",
    family="Content_Punctuation",
    defaults={"chars": REQUIRED},
    examples=[{"chars": [","]}, {"chars": ["!", "?"]}],
)
def exclude_punctuation(asked: Asked) -> Verdict:
    """None of these marks occurs anywhere."""
    counts = {mark: asked.response.count(mark) for mark in asked.params["chars"]}
    found = [f"{mark!r} ({count})" for mark, count in counts.items() if count]
    return Verdict(not found, f"found {', '.join(found)}" if found else "no forbidden mark occurs", {"counts": dict(counts)})
