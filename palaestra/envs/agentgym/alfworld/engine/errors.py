"""`GameFileError`: a game file that cannot be played."""

from __future__ import annotations

from palaestra.errors import ConfigError


class GameFileError(ConfigError):
    """A game file cannot be read or played; the message says what is wrong and where."""


__all__ = ["GameFileError"]
