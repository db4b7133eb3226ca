"""External errors: what services answer when they fail, and payloads that arrive damaged."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from pathlib import Path

import numpy as np

from palaestra.errors import unknown_name

PAYLOADS = ("truncated_payload", "empty_response", "malformed_payload", "stale_result")
"""External errors that are not a message but a result that is not right."""

_FIELD = re.compile(r"\{(tool|seconds|percent|count|code|id)\}")


@cache
def templates() -> dict[str, tuple[str, ...]]:
    """Return the messages of each label."""
    data = tomllib.loads(Path(__file__).with_name("outages.toml").read_text(encoding="utf-8"))
    return {label: tuple(texts) for label, texts in data.items()}


def outage_message(label: str, tool: str, rng: np.random.Generator) -> str:
    """Return a message of a service that fails, with codes, hints and ids of its own.

    Args:
        label: An external label whose answer is a message.
        tool: Name of the tool that was called.
        rng: Source of chance.

    Raises:
        UnknownNameError: If there is no such label.
    """
    known = templates()
    if label not in known:
        raise unknown_name("label of services that fail", label, known)
    values = {
        "tool": tool,
        "seconds": str((2, 5, 10, 15, 30, 60)[int(rng.integers(6))]),
        "percent": str(100 + int(rng.integers(5))),
        "count": str((20, 60, 100, 250, 1000)[int(rng.integers(5))]),
        "code": str(1000 + int(rng.integers(9000))),
        "id": f"{int(rng.integers(2**32)):08x}",
    }
    template = known[label][int(rng.integers(len(known[label])))]
    return _FIELD.sub(lambda found: values[found[1]], template)


def damaged(label: str, content: str, rng: np.random.Generator) -> str | None:
    """Return a result as it arrives damaged, None if this one cannot be damaged in this way.

    Args:
        label: "truncated_payload", "empty_response" or "malformed_payload".
        content: The genuine result.
        rng: Source of chance.
    """
    if label == "empty_response":
        return "" if content else None
    if label == "truncated_payload":
        return content[: int(rng.integers(len(content) // 4, len(content) // 2 + 1)) or 1] if len(content) > 8 else None
    if label == "malformed_payload":
        places = [found.start() for found in re.finditer(r"[{}\[\]\":,]", content)]
        if not places:
            return None
        gone = {places[int(i)] for i in rng.permutation(len(places))[: max(1, len(places) // 4)]}
        return "".join("\ufffd" if i in gone else character for i, character in enumerate(content))
    raise unknown_name("label of damaged results", label, PAYLOADS)


__all__ = ["PAYLOADS", "damaged", "outage_message", "templates"]
