"""Reads commands that are wrapped in other words, where `tolerant=True` asks for it, and says by which rules.

Without it every such line is answered with "Nothing happens.", as published.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from typing import NamedTuple

RULES = ("prompt", "label", "think", "quotes", "case", "prose")
"""Names of the rules: a leading `>`, a label such as `Action:`, thoughts, quotation marks and stops, capitals, prose."""

_PROMPT = re.compile(r"^\s*>+\s*")
_LABEL = re.compile(r"^\s*(?:next\s+)?(?:action|act|command)\s*\d*\s*:\s*", re.IGNORECASE)
_THINK = re.compile(r"^\s*(?:think|thought)\s*\d*\s*:", re.IGNORECASE)
_NOT_MEANT = re.compile(
    r"(?<!why )\bnot\b|\b(?:never|no|without|avoid|instead of|rather than|refuse|cannot|dont|cant|wont|"
    r"if|unless|whether|wonder|imagine|suppose|failed|unable)\b|n['\u2019]t\b"
)
"""Words before a command that deny it or only imagine it: better that nothing happens than what was not meant."""
_AROUND = " \t\"'`*.!,;()[]"


class Read(NamedTuple):
    """What a text was read as.

    Attributes:
        command: The command; empty for a text that only thinks.
        rules: Names of the rules that were needed.
    """

    command: str
    rules: tuple[str, ...]


def read_command(text: str, commands: Collection[str], translated: Callable[[str], str]) -> Read | None:
    """Return the command that a text wraps, None if there is none that can be done now.

    Args:
        text: What the agent wrote.
        commands: The commands that can be done now.
        translated: Puts a command into the dialect of the game.
    """
    rules: list[str] = []
    lines = list(_spoken(text, rules))
    if not lines:
        return Read("", tuple(dict.fromkeys(rules))) if "think" in rules else None
    line = lines[-1]
    for candidate, needed in _wordings(line):
        if (command := translated(candidate)) in commands:
            return Read(command, tuple(dict.fromkeys((*rules, *needed))))
    lowered = line.lower().strip(_AROUND)
    ends = [command for command in commands if _ends_with(lowered, command)]
    command = max(ends, key=len, default="")
    lead = lowered.removesuffix(command)
    if not ends:  # a command of the other dialect
        at = max(lowered.rfind(" put "), lowered.rfind(" move "))
        lead, command = lowered[: at + 1], translated(lowered[at + 1 :])
        if at < 0 or command not in commands:
            return None
    return None if _NOT_MEANT.search(lead) else Read(command, tuple(dict.fromkeys((*rules, "prose"))))


def _spoken(text: str, rules: list[str]) -> Iterator[str]:
    """Yield the lines that are not thoughts, without prompts and labels."""
    for line in text.splitlines():
        rest = line
        for pattern, rule in ((_PROMPT, "prompt"), (_LABEL, "label"), (_PROMPT, "prompt")):
            stripped = pattern.sub("", rest)
            if stripped != rest:
                rules.append(rule)
                rest = stripped
        if _THINK.match(rest):
            rules.append("think")
        elif rest.strip():
            yield rest.strip()


def _wordings(line: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield a line as it stands, and with ever more left out; each with the rules that it took."""
    yield line, ()
    bare = line.strip(_AROUND)
    quotes = ("quotes",) if bare != line else ()
    yield bare, quotes
    yield bare.lower(), (*quotes, "case")


def _ends_with(text: str, command: str) -> bool:
    """Whether a text ends with a command, as words of its own."""
    return text.endswith(command) and not text[: len(text) - len(command)][-1:].isalnum()


__all__ = ["RULES", "Read", "read_command"]
