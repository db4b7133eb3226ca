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


__all__ = ["generator_of"]
