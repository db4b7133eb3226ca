"""Words and templates of evolution, and texts made of them."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np

from palaestra.envs.critic.made_tools import one_of


@cache
def texts(part: str) -> Mapping[str, Any]:
    """Return a part of the templates: "noise", "tools", "reading" or "earlier"."""
    data = tomllib.loads((files("palaestra.envs.critic.evolution") / "words.toml").read_text(encoding="utf-8"))
    found: dict[str, Any] = data[part]
    return found


def article(num_chars: int, rng: np.random.Generator) -> tuple[str, str, str]:
    """Return a text of about so many characters, a question that it answers, and the answer; there is no digit in it.

    Args:
        num_chars: Length to come near to.
        rng: Source of chance.
    """
    data = texts("reading")
    sentences: list[str] = []
    length = 0
    while length < num_chars:
        sentence = _filled(one_of(data["sentences"], rng), data, rng)
        if sentence not in sentences[-12:]:
            sentences.append(sentence)
            length += len(sentence) + 1
    fact = one_of(data["facts"], rng)
    drawn = {slot: one_of(data[slot], rng) for slot in ("name", "place", "thing")}
    sentences.insert(int(rng.integers(len(sentences) + 1)), fact["text"].format(**drawn))
    size = 6
    paragraphs = [" ".join(sentences[at : at + size]) for at in range(0, len(sentences), size)]
    return "\n\n".join(paragraphs), fact["question"].format(**drawn), fact["answer"].format(**drawn)


def _filled(template: str, data: Mapping[str, Any], rng: np.random.Generator) -> str:
    """Return a template with words in its slots."""
    return template.format(**{slot: one_of(data[slot], rng) for slot in ("name", "place", "thing", "trait", "season")})


__all__ = ["article", "one_of", "texts"]
