"""Kinds of constraints: what a checker is given, what it returns, and the registry.

A kind is one checking function. To add one, write a function with the decorator `kind` in the module of its family in `checks`
(or in a new module there, which `constraints` imports): its parameters, their defaults, its checker and example parameters are
all in that place, and tests take them from there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from palaestra.types import Json

Profile = Literal["strict", "published"]
"""`strict` checks what a constraint says; `published` gives the verdicts of the published checkers, with their oddities."""

SCOPES = (
    "whole",
    "sentence",
    "line",
    "para",
    "cell",
    "bullet",
    "word",
    "headings",
    "table_header",
    "json_keys",
    "json_values",
)
"""Parts of a response that a constraint may be about; each one is checked."""

REQUIRED = ...
"""Default of a parameter that must be given."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a checker found.

    Attributes:
        passed: Whether the constraint is met; None if nobody can say, which never counts as met.
        reason: Short sentence for people and agents.
        measured: What was measured, plain JSON.
    """

    passed: bool | None
    reason: str
    measured: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a checker gets: the response, the parameters, the profile, and the sentence of the constraint."""

    response: str
    params: Mapping[str, Any]
    profile: Profile
    text: str

    @property
    def published(self) -> bool:
        """Whether the published checkers are followed."""
        return self.profile == "published"


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of constraint.

    Attributes:
        name: For example "length.words".
        family: Category and subcategory as published, e.g. "Length_Words".
        defaults: Every parameter with its default; `REQUIRED` if it must be given.
        optional: Parameters that stay out of `params` unless they are given.
        examples: Parameters that are valid, for tests and documentation.
        check: The checker.
        summary: First line of the checker's docstring.
    """

    name: str
    family: str
    defaults: Mapping[str, Any]
    optional: tuple[str, ...]
    examples: tuple[Mapping[str, Any], ...]
    check: Callable[[Asked], Verdict]
    summary: str


KINDS: dict[str, Kind] = {}
"""Every kind by name; use `all_kinds` of `constraints`, which has imported the checkers."""


def kind(
    name: str,
    *,
    family: str,
    defaults: Mapping[str, Any],
    optional: Sequence[str] = (),
    examples: Sequence[Mapping[str, Any]],
) -> Callable[[Callable[[Asked], Verdict]], Callable[[Asked], Verdict]]:
    """Register the decorated function as the checker of a kind.

    Args:
        name: For example "length.words".
        family: Category and subcategory as published.
        defaults: Every parameter with its default; `REQUIRED` if it must be given.
        optional: Parameters that stay out of `params` unless they are given.
        examples: Parameters that are valid, at least one.
    """

    def register(check: Callable[[Asked], Verdict]) -> Callable[[Asked], Verdict]:
        summary = (check.__doc__ or "").partition("\n")[0]
        KINDS[name] = Kind(name, family, dict(defaults), tuple(optional), tuple(examples), check, summary)
        return check

    return register
