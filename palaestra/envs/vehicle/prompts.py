"""What an agent is told: the instructions of a mode, and the words around requests and views (texts in `prompts.toml`)."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from string import Template
from typing import Any

from palaestra.envs.vehicle.protocol import MAX_SELECTED, Rules
from palaestra.envs.vehicle.writes import Write, format_writes

_EXAMPLE = (Write("set", "door.doors.passenger seat.is_locked", False), Write("set", "environment.volume", 60))
_LOCKS = tuple(Write("set", f"door.doors.{seat}.is_locked", True) for seat in ("driver's seat", "passenger seat"))


@cache
def instructions(rules: Rules) -> str:
    """Return the text that an agent is told once: its role, the order of work, the syntax, the limits, when to decline."""
    texts = _texts()
    form = f"{rules.mode}_tools" if rules.native else rules.mode
    words = {
        "code": "calls" if rules.native else "code",
        "messages": count_messages(rules.reflections + 1, rules),
        "most_modules": MAX_SELECTED,
        "language": texts["notes"]["language"],
        "finding": _finding(rules),
        "checking": texts["notes"]["checking_published" if rules.profile == "published" else "checking_fixed"],
        "correcting": texts["notes"]["correcting"] if rules.reflections else "",
    }
    if rules.mode == "sfc":
        wrapped = rules.state_form == "wrapped"
        for syntax in ("python", "map", "operations"):
            words[syntax] = format_writes(_EXAMPLE, syntax=syntax, wrapped=wrapped)
        words["locks"] = format_writes(_LOCKS, wrapped=wrapped)
    words = {name: value.strip("\n") if isinstance(value, str) else value for name, value in words.items()}
    parts = [texts["role"], texts["work"][form]]
    parts += [texts["notes"]["mixed"]] if rules.mixed else []
    parts += [texts["notes"]["plan"]] if rules.plan else []
    parts += [texts["couplings"]] if rules.mode == "sfc" else []
    parts += [texts["speaker"], texts["decline"]]
    parts += [texts["examples"][form]] if rules.few_shot else []
    nested = {name: _filled(value, words) if isinstance(value, str) else value for name, value in words.items()}
    return "\n\n".join(_filled(part, nested).strip() for part in parts)


def stage_text(name: str, **words: Any) -> str:
    """Return the text at a stage of a request (see `[stages]` in `prompts.toml`)."""
    return _filled(_texts()["stages"][name], words).strip()


def count_messages(count: int, rules: Rules) -> str:
    """Return "1 message" or "N messages", with what they may hold."""
    return f"{count} message{'' if count == 1 else 's'} with {'calls' if rules.native else 'code'}"


def request_text(text: str, number: int, of: int, plan: str = "") -> str:
    """Return a request as the agent reads it, with the plan that was made for it."""
    head = f"Request: {text}" if of == 1 else f"Request {number} of {of}: {text}"
    return f"{head}\n\nYour plan: {plan}" if plan else head


def block(tag: str, text: str) -> str:
    """Return a text between tags; what stands inside cannot forge the end of the block."""
    inner = text.replace(f"</{tag}", f"<\\/{tag}").strip()
    return f"<{tag}>\n{inner}\n</{tag}>"


def visible_text(modules: Sequence[str]) -> str:
    """Return the sentence that says which modules a car has, where it has not all."""
    return _filled(_texts()["notes"]["modules_visible"], {"modules": ", ".join(modules)})


def _finding(rules: Rules) -> str:
    """Return how tools are found."""
    notes = _texts()["notes"]
    if rules.mode == "hybrid" and rules.tool_scope == "selected":
        return str(notes["finding_chosen"])
    return str(notes[f"finding_{rules.tool_scope}"])


def _filled(text: str, words: dict[str, Any]) -> str:
    """Return a text with its $names filled in."""
    return Template(text).safe_substitute(words)


@cache
def _texts() -> dict[str, Any]:
    """Return the texts, read once."""
    return tomllib.loads((files("palaestra.envs.vehicle") / "prompts.toml").read_text(encoding="utf-8"))
