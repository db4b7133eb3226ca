"""The critique channel: how an agent says that its last step, or the service, was wrong.

Three forms mean the same: a JSON object with the key `error`, the same between `<critique>` tags, both in the text next
to the calls, and a call of a tool that is there for nothing else.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from palaestra.envs.wrappers.injection.taxonomy import INTERNAL
from palaestra.types import Json, Message, ToolCall
from palaestra.types.plain_json import strict_json

Channel = Literal["text", "tool"]
REPORT = "report_error"
OTHER = "other"
"""The category of a claim that names none of the four."""

DEFINITIONS = {
    "tool_select_error": "the tool exists, and another one is needed for this step",
    "tool_hallucination_error": "no tool of this name is in the list",
    "parameters_key_error": "a required parameter is missing, or a parameter is given that the tool does not have",
    "parameters_value_error": "the parameters are the right ones, and a value has a wrong format or wrong content",
}
"""The internal errors, each in a line, as agents are told of them."""

_TAG = re.compile(r"<critique>\s*(.*?)\s*</critique>", re.DOTALL)
_NOTHING = ("", "none", "null", "no", "noerror", "false", "ok", "correct")  # without the plural


@dataclass(frozen=True, slots=True)
class Claim:
    """What an agent says about the step before.

    Attributes:
        category: One of the four internal labels, `OTHER` for another text, empty for "no error".
        text: What it wrote.
    """

    category: str
    text: str = ""


def claim_of(value: Json) -> Claim:
    """Return the claim that the value of `error` makes: case, spaces and plurals do not count, and what is empty is none."""
    if not value:
        return Claim("")
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    plain = re.sub(r"[\s\-_]+", "_", text.strip().lower()).strip("_.")
    if _stem(plain).replace("_", "") in _NOTHING:
        return Claim("", text)
    stems = {_stem(label): label for label in INTERNAL}
    return Claim(stems.get(_stem(plain), OTHER), text)


def read_critique(message: Message, report: str) -> tuple[Claim | None, Message, tuple[int, ...]]:
    """Split a message into its claim, the rest of it, and the calls that only report.

    Args:
        message: What the agent wrote.
        report: Name of the tool that reports; empty if there is none.

    Returns:
        The claim, None if there is none; the message with the critique cut out of its content and the reports out of its
        calls; the positions of these.
    """
    claim: Claim | None = None
    content = message.content
    if (found := _TAG.search(content)) is not None:
        claim = _claimed(found[1]) or Claim(*_of_text(found[1]))
        content = (content[: found.start()] + content[found.end() :]).strip()
    elif content.lstrip().startswith("{") and (claim := _claimed(content)) is not None:
        content = ""
    reports = tuple(i for i, call in enumerate(message.tool_calls) if report and call.name == report)
    for at in reports:
        arguments = message.tool_calls[at].arguments
        if claim is None and isinstance(arguments, Mapping):
            claim = claim_of(arguments.get("category"))
    if content != message.content or reports:
        calls = tuple(call for i, call in enumerate(message.tool_calls) if i not in reports)
        message = replace(message.with_content(content), tool_calls=calls)
    return claim, message, reports


def critique_text(label: str) -> str:
    """Return a critique as text, for an internal label or the empty one."""
    return f"<critique>{json.dumps({'error': label or None})}</critique>"


def critique_call(report: str, label: str) -> ToolCall:
    """Return a critique as a call of the tool that reports."""
    return ToolCall(report, {"category": label or "none", "explanation": DEFINITIONS.get(label, "nothing was wrong")})


def report_name(taken: Collection[str]) -> str:
    """Return the name of the tool that reports, another one if it is taken."""
    name, number = REPORT, 1
    while name in taken:
        number += 1
        name = f"{REPORT}_{number}"
    return name


def report_schema(name: str) -> dict[str, Any]:
    """Return the OpenAI function schema of the tool that reports."""
    lines = "; ".join(f"{label}: {text}" for label, text in DEFINITIONS.items())
    properties = {
        "category": {"type": "string", "enum": [*INTERNAL, "none"], "description": lines},
        "explanation": {"type": "string", "description": "What was wrong, in a sentence."},
    }
    parameters = {"type": "object", "properties": properties, "required": ["category"], "additionalProperties": False}
    about = "Report that your last call was wrong. It is free and changes nothing; send the right call in the same message."
    return {"type": "function", "function": {"name": name, "description": about, "parameters": parameters}}


def describe(channel: Channel, report: str) -> str:
    """Return the instructions of a critique channel."""
    lines = "\n".join(f"- {label}: {text}" for label, text in DEFINITIONS.items())
    how = (
        f"say so by a call of {report} in the same message as the right call"
        if channel == "tool"
        else 'begin your message with <critique>{"error": "CATEGORY"}</critique>, followed by the right call'
    )
    return (
        f"Your calls may go wrong. If the last call in the history was wrong, {how}. The categories:\n{lines}\n"
        "If nothing was wrong, report nothing. If a service fails, repeat the same call at most three times, then go on "
        "without it or say in your answer what could not be done."
    )


def _claimed(text: str) -> Claim | None:
    """Return the claim of a JSON object, None if it is none."""
    try:
        value = strict_json(text.strip())
    except (ValueError, RecursionError):
        return None
    return claim_of(value["error"]) if isinstance(value, dict) and "error" in value else None


def _of_text(text: str) -> tuple[str, str]:
    """Return category and text of a critique that is not JSON."""
    claim = claim_of(text)
    return claim.category, text


def _stem(label: str) -> str:
    """Return a label without what may differ in writing."""
    return "_".join(part.removesuffix("s") for part in label.split("_"))


__all__ = [
    "DEFINITIONS",
    "OTHER",
    "REPORT",
    "Channel",
    "Claim",
    "claim_of",
    "critique_call",
    "critique_text",
    "describe",
    "read_critique",
    "report_name",
    "report_schema",
]
