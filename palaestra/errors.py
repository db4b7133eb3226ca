"""Everything Palaestra raises on purpose.

    PalaestraError
    ├── UsageError                 a mistake of the caller; one line with the next move (also a ValueError)
    │   ├── UnknownNameError       an id, key, split, format ... that does not exist (also a KeyError)
    │   ├── ConfigError            a recipe or an option with a wrong key, type or value
    │   ├── MissingExtraError      an optional dependency is not installed (also an ImportError)
    │   ├── MissingDataError       files the user has to give are not there (also a FileNotFoundError)
    │   ├── UnsupportedMediaError  a model is shown a sound or a picture that it or its server cannot take
    │   └── EpisodeStateError      step before reset, step after the end, snapshot of another environment
    ├── BoundaryError              a failure in one episode; recorded on its trajectory, never scored as 0
    │   ├── ModelError             the LLM or its server failed
    │   │   ├── ContextWindowError the dialogue no longer fits the model's context; ends an episode as truncated
    │   │   ├── ContentFilterError a filter of the provider blocked the answer; never scored as play
    │   │   └── BudgetError        the budget for tokens, calls or money is spent
    │   ├── ToolError              a tool's own service failed (a wrong call by the agent is an observation instead)
    │   ├── EnvironmentFault       the environment's code or engine failed
    │   ├── SeatFault              a seat other than the policy's (a user simulator, a judge) failed
    │   └── ScoringError           the episode was played but could not be scored
    ├── StoreError                 the run store could not be read or written
    └── TrainingStopped            an alarm stopped training; the last checkpoint is good

Every message holds the value received, what was expected, and the next move.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any, Literal, Self

Boundary = Literal["model", "user", "judge", "tool", "environment", "scoring"]


class PalaestraError(Exception):
    """Base class of all errors raised on purpose by Palaestra."""

    def __str__(self) -> str:
        """Return the bare message (KeyError would quote it)."""
        return str(self.args[0]) if self.args else ""


class UsageError(PalaestraError, ValueError):
    """The caller gave something that cannot work; the message says what would."""


class UnknownNameError(UsageError, KeyError):
    """A name that is not in the list it was looked up in."""


class ConfigError(UsageError):
    """A recipe or option has an unknown key, a wrong type or an impossible value."""


class MissingExtraError(UsageError, ImportError):
    """A feature needs an optional dependency that is not installed."""

    def __init__(self, feature: str, extra: str) -> None:
        """Name the feature asked for and the extra that brings it."""
        super().__init__(f"{feature} needs the extra '{extra}'. Install it with: pip install 'palaestra[{extra}]'")


class MissingDataError(UsageError, FileNotFoundError):
    """Files that the user has to provide are missing; the message lists them."""


class UnsupportedMediaError(UsageError):
    """A model is shown a sound or a picture that it or its server cannot take; the whole run stops."""


class EpisodeStateError(UsageError):
    """An environment was used out of order: step before reset, step after the end, a foreign snapshot."""


class BoundaryError(PalaestraError):
    """A failure inside one episode, with the boundary it crossed."""

    boundary: Boundary = "environment"


class ModelError(BoundaryError):
    """The language model or its server failed.

    Attributes:
        status: HTTP status if there was one.
        retryable: Whether the same request may succeed later.
        retry_after_s: Seconds the server asked us to wait, if it did.
        usage: What the answer cost all the same, a `palaestra.types.Usage`; None where nothing is known of it. Answers that
            are blocked or break off are paid for.
    """

    boundary = "model"

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        retryable: bool = False,
        retry_after_s: float | None = None,
        usage: Any = None,
    ) -> None:
        """Keep what the retry layer needs to know in addition to the message."""
        super().__init__(message)
        self.status = status
        self.retryable = retryable
        self.retry_after_s = retry_after_s
        self.usage = usage

    def told(self, message: str) -> Self:
        """Return this error with another message."""
        twin = type(self)(
            message,
            status=self.status,
            retryable=self.retryable,
            retry_after_s=self.retry_after_s,
            usage=self.usage,
        )
        twin.__cause__ = self.__cause__
        return twin


class ContextWindowError(ModelError):
    """The dialogue no longer fits the model's context.

    In the middle of an episode this is a limit like the number of turns: the episode ends truncated, with
    `stop_reason` "max_tokens" and the score it has. Left out as an error, the longest-winded play would count least.
    """


class ContentFilterError(ModelError):
    """A filter of the provider blocked the answer: it says nothing about how the model plays, and is not scored."""


class BudgetError(ModelError):
    """The run's budget of tokens, calls or money is spent."""


class ToolError(BoundaryError):
    """A tool's own service failed; a wrong call by the agent is an observation, not this."""

    boundary = "tool"


class EnvironmentFault(BoundaryError):
    """The environment's code or engine failed."""

    boundary = "environment"


class SeatFault(BoundaryError):
    """A seat that is not the policy's failed: a user simulator, a partner or a judge made no move that can be played.

    Attributes:
        boundary: "judge" for judges, "user" for every other seat.
    """

    def __init__(self, boundary: Boundary, message: str) -> None:
        """Keep whose failure it is."""
        super().__init__(message)
        self.boundary = boundary

    def __reduce__(self) -> tuple[type[SeatFault], tuple[Boundary, str]]:
        """Pickle with both arguments; exceptions travel between processes."""
        return type(self), (self.boundary, str(self))


class ScoringError(BoundaryError):
    """An episode was played to its end but could not be scored."""

    boundary = "scoring"


class TrainingStopped(PalaestraError):
    """An alarm stopped training; the last checkpoint is good."""


class StoreError(PalaestraError):
    """The run store could not be read or written (corrupt file, full disk, locked)."""


def unknown_name(kind: str, name: object, known: Iterable[str], *, hint: str = "") -> UnknownNameError:
    """Build the error for a name that does not exist, with the nearest one that does.

    Args:
        kind: What was looked up, e.g. "environment".
        name: The value received.
        known: The names that exist.
        hint: How to list them all; without it up to twelve are listed in the message.
    """
    names = sorted(str(k) for k in known)
    close = difflib.get_close_matches(str(name), names, n=1, cutoff=0.5)
    message = f"Unknown {kind} {name!r}."
    if close:
        message += f" Did you mean {close[0]!r}?"
    if hint:
        message += f" {hint}"
    elif names:
        shown = ", ".join(names[:12]) + (f", ... ({len(names)} in all)" if len(names) > 12 else "")
        message += f" Known: {shown}."
    else:
        message += " There are none."
    return UnknownNameError(message)
