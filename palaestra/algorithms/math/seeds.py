"""Seeds that depend on a number and a name, the same in every process."""

from __future__ import annotations

import hashlib


def stable_seed(seed: int, name: str) -> int:
    """Return a 31-bit seed for a named purpose.

    Args:
        seed: Seed of the run.
        name: What it is for, e.g. "grpo/00012/003".
    """
    digest = hashlib.blake2b(f"{seed}|{name}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big") & 0x7FFFFFFF
