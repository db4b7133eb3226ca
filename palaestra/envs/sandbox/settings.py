"""The limits of a sandbox, and what an executor is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from palaestra.envs.sandbox.results import SandboxResult
from palaestra.envs.sandbox.routing import SourceFacts
from palaestra.errors import UsageError

EXECUTORS = ("auto", "monty", "process", "process-unconfined")
DEFAULT_NOW = 1_735_689_600.0
"""Where the clock stands inside: 2025-01-01T00:00:00Z."""
CLOSED = "The sandbox is closed; make another one."


@dataclass(frozen=True, slots=True)
class Limits:
    """What a call may use; the arguments of `Sandbox` of the same names."""

    timeout_s: float = 2.0
    memory_mb: int = 256
    output_chars: int = 16384
    recursion: int = 1000
    max_calls: int | None = None
    now: float = DEFAULT_NOW
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the ranges."""
        for name, least, most in (("timeout_s", 0.01, 3600), ("now", 0, 2**33)):
            checked_number(name, getattr(self, name), least, most)
        for name, least, most in (
            ("memory_mb", 64, 65536),
            ("output_chars", 1, 10_000_000),
            ("recursion", 50, 10_000),
            ("seed", 0, 2**63),
        ):
            checked_number(name, getattr(self, name), least, most, whole=True)
        if self.max_calls is not None:
            checked_number("max_calls", self.max_calls, 1, 2**63, whole=True)


def checked_number(name: str, value: object, least: float, most: float, *, whole: bool = False) -> None:
    """Refuse a setting that is not a number of a range.

    Raises:
        UsageError: If it is a bool, not a number, not an int where a whole number is needed, or out of range.
    """
    kinds = int if whole else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds) or not least <= value <= most:
        raise UsageError(f"{name} is {value!r}; expected {'an int' if whole else 'a number'} from {least} to {most}.")


@dataclass(frozen=True, slots=True, eq=False)
class Loaded:
    """A source that an executor may be asked to run; compared by identity.

    Attributes:
        source: The text.
        facts: What its tree says; None if it is not Python.
        stateful: Whether what one call leaves behind is there in the next.
    """

    source: str
    facts: SourceFacts | None
    stateful: bool


class Executor(Protocol):
    """Runs functions of sources; `monty.MontyExecutor` and `process.ProcessExecutor`. Every method is safe in threads."""

    name: str

    def call(self, program: Loaded, name: str, arguments: Mapping[str, Any]) -> SandboxResult:
        """Call a function of a source with plain data."""

    def drop(self, program: Loaded) -> None:
        """End what is kept for a source."""

    def close(self) -> None:
        """End every worker."""

    def abandon(self) -> None:
        """After a fork: let go of workers, which belong to the parent process."""
