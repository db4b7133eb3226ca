"""Chance of a wrapper's own, which no stream of the environment is touched for."""

from __future__ import annotations

import hashlib
import json

import numpy as np

from palaestra.types import Json


def generator_of(key: list[Json]) -> np.random.Generator:
    """Return a generator that depends on `key` alone, the same on every machine."""
    digest = hashlib.blake2b(json.dumps(key, sort_keys=True).encode(), digest_size=16).digest()
    return np.random.default_rng(int.from_bytes(digest, "big"))


def numbers_of(key: list[Json]) -> tuple[float, float, float, float]:
    """Return four numbers of [0, 1) that depend on `key` alone, at less cost than a generator."""
    digest = hashlib.blake2b(json.dumps(key, sort_keys=True).encode(), digest_size=32).digest()
    first, second, third, fourth = (int.from_bytes(digest[i : i + 8], "big") >> 11 for i in (0, 8, 16, 24))
    return first / 2**53, second / 2**53, third / 2**53, fourth / 2**53


__all__ = ["generator_of", "numbers_of"]
