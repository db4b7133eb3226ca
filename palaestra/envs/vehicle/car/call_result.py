"""What a call or a write came to: one form of result for everything that acts on the car."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from palaestra.types import Json

Scalar = bool | int | float | str | None

ERROR_CODES = (
    "missing_argument",
    "conflicting_arguments",
    "invalid_type",
    "invalid_value",
    "out_of_range",
    "unknown_target",
    "precondition_failed",
    "not_found",
    "no_effect_needed",
    "unknown_function",
    "unknown_module",
    "unknown_path",
    "constant",
    "forbidden_syntax",
    "limit",
)


class Change(NamedTuple):
    """One leaf of the state that differs between two moments.

    Attributes:
        op: "set", "add" (the leaf was not there before) or "del" (it is gone).
        path: Path of the leaf, e.g. "seat.driver's seat.heater.is_on"; `.#len` is the length of a list.
        old: Value before; None for "add".
        new: Value after; None for "del".
    """

    op: str
    path: str
    old: Scalar
    new: Scalar

    def to_json(self) -> dict[str, Json]:
        """Return the change as plain data; "add" has no old value and "del" no new one."""
        row: dict[str, Json] = {"op": self.op, "path": self.path}
        if self.op != "add":
            row["old"] = self.old
        if self.op != "del":
            row["new"] = self.new
        return row


class Refusal(Exception):
    """The car does not do what it was asked; becomes `CallResult.error` and never leaves the world.

    Args:
        code: One of `ERROR_CODES`.
        message: What was received, what was expected, what to do.
        param: Name of the argument at fault; empty if none is.
    """

    def __init__(self, code: str, message: str, param: str = "") -> None:
        """Keep the three parts."""
        super().__init__(message)
        self.code = code
        self.message = message
        self.param = param


@dataclass(slots=True)
class CallResult:
    """What a call came to.

    Attributes:
        ok: Whether the car did what it was asked (or already was as asked).
        data: What a query returns, and details of an action; None after a refusal.
        error: None, or code, message and param. Code "no_effect_needed" goes with `ok` true.
    """

    ok: bool
    data: dict[str, Any] | None = None
    error: Refusal | None = None
    _differences: Callable[[], list[Change]] | None = field(default=None, repr=False)
    _changes: list[Change] | None = field(default=None, repr=False)

    @property
    def changes(self) -> list[Change]:
        """Leaves of the state that the call changed."""
        if self._changes is None:
            self._changes = [] if self._differences is None else self._differences()
            self._differences = None
        return self._changes

    def to_json(self) -> dict[str, Json]:
        """Return `{ok, data, changed, error}` as plain data."""
        error = self.error
        return {
            "ok": self.ok,
            "data": self.data,
            "changed": [change.to_json() for change in self.changes],
            "error": None if error is None else {"code": error.code, "message": error.message, "param": error.param},
        }
