"""How commands hold many episodes."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def no_cycles() -> Iterator[None]:
    """Do not look for reference cycles meanwhile: summaries of episodes have none.

    Python looks through all objects again and again while many are made; of 10,000 episodes that is a quarter of the time.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


__all__ = ["no_cycles"]
