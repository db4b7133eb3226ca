"""Constraints in typed form, and checking them.

Checking is pure: the same response gives the same verdict, every string gives one, and time is linear in its length.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from palaestra.envs.instructions.checks import content, language, length, markdown, nesting, punctuation, tables
from palaestra.envs.instructions.kinds import KINDS, REQUIRED, SCOPES, Asked, Kind, Profile, Verdict
from palaestra.errors import UsageError, unknown_name
from palaestra.types import Json

CHECKERS = (content, language, length, markdown, nesting, punctuation, tables)
"""The modules that hold the kinds."""

_ALIASES = {f"each_{scope}": scope for scope in SCOPES} | {"each_paragraph": "para", "paragraph": "para"}


class ConstraintError(UsageError):
    """A constraint cannot be built; the message names the kind and the parameter."""


def all_kinds() -> dict[str, Kind]:
    """Return every kind by its name, in a fixed order."""
    return dict(sorted(KINDS.items()))


def find_kind(name: str) -> Kind:
    """Return the kind of this name.

    Raises:
        UnknownNameError: If there is none.
    """
    found = KINDS.get(name)
    if found is None:
        raise unknown_name("kind of constraint", name, list(all_kinds()))
    return found


@dataclass(frozen=True, slots=True)
class Constraint:
    """A constraint in typed form; checking it never reads its text again.

    Attributes:
        kind: Name of a kind, e.g. "length.words".
        params: Its parameters, plain JSON; missing ones are filled with their defaults.
        text: The sentence that states it; may be empty.
        label: The published pair of labels, if it has one.
        family: Category and subcategory as published, e.g. "Length_Words"; that of the kind if empty.

    Raises:
        UnknownNameError: If there is no such kind.
        ConstraintError: If a parameter is unknown, missing or of a wrong form.
    """

    kind: str
    params: Mapping[str, Json]
    text: str = ""
    label: tuple[str, str] | None = None
    family: str = ""

    def __post_init__(self) -> None:
        """Fill in defaults and check every parameter."""
        of_kind = find_kind(self.kind)
        object.__setattr__(self, "params", _filled(of_kind, self.params))
        object.__setattr__(self, "family", self.family or of_kind.family)

    @property
    def category(self) -> str:
        """First half of the family: Content, Format, Language or Length."""
        return self.family.partition("_")[0]

    @property
    def subcategory(self) -> str:
        """Second half of the family, e.g. Words or Table."""
        return self.family.partition("_")[2]


@dataclass(frozen=True, slots=True)
class UnparsedConstraint:
    """A constraint that could not be read; its verdict is always None.

    Attributes:
        text: The sentence that states it.
        label: The published pair of labels, if it has one.
        family: Category and subcategory that the labels name; empty if they name none.
    """

    text: str
    label: tuple[str, str] | None = None
    family: str = ""

    @property
    def category(self) -> str:
        """First half of the family; empty if it is unknown."""
        return self.family.partition("_")[0]


def check(constraint: Constraint | UnparsedConstraint, response: str, profile: Profile = "strict") -> Verdict:
    """Check one constraint against a response.

    Args:
        constraint: Typed or unparsed.
        response: Any string.
        profile: `strict` or `published`.

    Returns:
        The verdict; `passed` is None for an unparsed constraint.

    Raises:
        UnknownNameError: If there is no such profile.
    """
    if profile not in ("strict", "published"):
        raise unknown_name("profile", profile, ["strict", "published"])
    if isinstance(constraint, UnparsedConstraint):
        return Verdict(None, "this constraint could not be read, so it is not checked")
    asked = Asked(response, constraint.params, profile, constraint.text)
    return find_kind(constraint.kind).check(asked)


def check_all(
    constraints: Sequence[Constraint | UnparsedConstraint], response: str, profile: Profile = "strict"
) -> list[Verdict]:
    """Check several constraints against one response, in order."""
    return [check(constraint, response, profile) for constraint in constraints]


def _filled(of_kind: Kind, given: Mapping[str, Any]) -> dict[str, Json]:
    """Return the parameters with defaults; refuse what does not fit the kind."""
    unknown = [name for name in given if name not in of_kind.defaults]
    if unknown:
        expected = ", ".join(of_kind.defaults)
        raise ConstraintError(f"{of_kind.name} has no parameter {unknown[0]!r}; it takes {expected}.")
    params: dict[str, Json] = {}
    for name, default in of_kind.defaults.items():
        if name not in given and name in of_kind.optional:
            continue
        value = given.get(name, default)
        if value is REQUIRED:
            raise ConstraintError(f"{of_kind.name} needs the parameter {name!r}; give it.")
        if name == "scope":
            value = _ALIASES.get(value, value) if isinstance(value, str) else value
        if not _FORMS[name][0](value):
            raise ConstraintError(f"{name} of {of_kind.name} is {value!r}; expected {_FORMS[name][1]}.")
        params[name] = copy.deepcopy(value)
    lo, hi = params.get("lo"), params.get("hi")
    if isinstance(lo, int) and isinstance(hi, int) and lo > hi:
        raise ConstraintError(f"{of_kind.name} asks for at least {lo} and at most {hi}; expected lo <= hi.")
    return params


def _is_whole_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_bound(value: Any) -> bool:
    return value is None or _is_whole_number(value)


def _is_range(value: Any) -> bool:
    if not isinstance(value, list) or len(value) != 2 or not all(map(_is_bound, value)):
        return False
    return None in value or value[0] <= value[1]


def _is_level(value: Any) -> bool:
    return _is_whole_number(value) and 1 <= value <= 6


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(one, str) and one.strip() for one in value)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_level_and(other: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and len(value) == 2 and _is_level(value[0]) and other(value[1])


def _is_comparison(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and value[0] in ("<=", "==", ">=") and _is_whole_number(value[1])


_BOUND = (_is_bound, "a whole number from 0, or null for no bound")
_FLAG = (lambda value: isinstance(value, bool), "true or false")
_LEVEL = (_is_level, "a heading level, 1 to 6")
_RANGE = (_is_range, "[lo, hi], each a whole number or null")
_TEXTS = (_is_texts, "a list of texts that are not blank")
_FORMS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "lo": _BOUND,
    "hi": _BOUND,
    "rows": _RANGE,
    "cols": _RANGE,
    "min_count": (lambda value: _is_whole_number(value) and value > 0, "a whole number from 1"),
    "scope": (lambda value: value in SCOPES, f"one of {', '.join(SCOPES)}"),
    "keywords": _TEXTS,
    "headers": _TEXTS,
    "chars": _TEXTS,
    "allowed": _TEXTS,
    "keyword": (_is_text, "a text that is not blank"),
    "text": (_is_text, "a text that is not blank"),
    "mode": (lambda value: value in ("contains", "entire"), "'contains' or 'entire'"),
    "required_levels": (
        lambda value: isinstance(value, list) and bool(value) and all(map(_is_level, value)),
        "levels, 1 to 6",
    ),
    "titled_heading": (_is_level_and(_is_text), "[level, title]"),
    "exact_count": (_is_level_and(_is_whole_number), "[level, number of headings]"),
    "distinct_levels": (_is_comparison, "[comparison, number], the comparison one of <=, ==, >="),
    "max_level": _LEVEL,
    "first_level": _LEVEL,
    **dict.fromkeys(
        ("any_of", "negate", "required", "any_heading", "block_quote", "block_quote_all", "bold", "bullets"), _FLAG
    ),
}
