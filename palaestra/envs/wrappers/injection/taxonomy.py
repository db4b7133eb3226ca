"""Labels of errors in calls of tools, their families, and the kinds of each.

Papers:
    CriticTool (arXiv:2506.13977): the four internal and the five external labels. The extended external labels are ours.
"""

from __future__ import annotations

from typing import Literal

from palaestra.errors import unknown_name

Family = Literal["internal", "external", "none"]

SELECT, HALLUCINATION, KEY, VALUE = (
    "tool_select_error",
    "tool_hallucination_error",
    "parameters_key_error",
    "parameters_value_error",
)
INTERNAL = (SELECT, HALLUCINATION, KEY, VALUE)
"""Errors of the agent: a call that it should not have made."""

EXTERNAL = ("rate_limit", "permission_denied", "quota_exceeded", "timeout", "connection_error")
"""Failures of a service on a right call, as the paper lists them."""

EXTENDED = ("service_unavailable", "truncated_payload", "empty_response", "malformed_payload", "stale_result")
"""Further failures of a service; all but the first give something that looks like a result."""

LABELS = (*INTERNAL, *EXTERNAL, *EXTENDED)

EXPLICIT_VALUES = ("type", "enum", "format", "range")
"""Kinds of wrong values that break the schema."""

SILENT_VALUES = ("entity", "scale", "swap", "typo")
"""Kinds of wrong values that the schema allows."""

KINDS: dict[str, tuple[str, ...]] = {
    SELECT: ("nearest", "random"),
    HALLUCINATION: ("synonym", "affix", "merged", "case"),
    KEY: ("drop", "rename", "add"),
    VALUE: (*EXPLICIT_VALUES, *SILENT_VALUES),
}


def family_of(label: str) -> Family:
    """Return the family of a label; the empty label is the error-free control.

    Raises:
        UnknownNameError: If there is no such label.
    """
    if label in INTERNAL:
        return "internal"
    if label in EXTERNAL or label in EXTENDED:
        return "external"
    if label:
        raise unknown_name("error label", label, LABELS)
    return "none"


def is_explicit(label: str, kind: str) -> bool:
    """Whether an internal error breaks a schema, so that a validator tells of it."""
    return label in (HALLUCINATION, KEY) or (label == VALUE and kind in EXPLICIT_VALUES)


__all__ = [
    "EXPLICIT_VALUES",
    "EXTENDED",
    "EXTERNAL",
    "HALLUCINATION",
    "INTERNAL",
    "KEY",
    "KINDS",
    "LABELS",
    "SELECT",
    "SILENT_VALUES",
    "VALUE",
    "Family",
    "family_of",
    "is_explicit",
]
