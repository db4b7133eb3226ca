"""A cockpit task as data: how the car stands, what is asked of it, and what a right answer does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from palaestra.envs.vehicle.calls.call import Call
from palaestra.types import Json


@dataclass(frozen=True, slots=True)
class CarRequest:
    """One request of a speaker, with its gold plan.

    Attributes:
        text: What is said.
        calls: Gold calls in order; empty if nothing should be done.
        kinds: What is special about it: "act", "query", "refuse" (the car does not allow it), "already" (it holds already),
            "inform" (the plan depends on the state), "speaker" (it depends on who speaks), ...
    """

    text: str
    calls: tuple[Call, ...] = ()
    kinds: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Json]:
        """Return the request as plain data."""
        return {"text": self.text, "calls": [call.to_json() for call in self.calls], "kinds": list(self.kinds)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> CarRequest:
        """Return the request that `to_json` described."""
        return cls(data["text"], tuple(Call.from_json(call) for call in data["calls"]), tuple(data.get("kinds", ())))


@dataclass(frozen=True, slots=True)
class CarTask:
    """A dialogue of one or more requests.

    Attributes:
        modules: Modules that it is about; the published scoring looks at these and the environment only.
        setup: Ordered steps that the car starts with (see `calls.setup`).
        requests: The requests in order.
    """

    modules: tuple[str, ...]
    setup: tuple[Mapping[str, Any], ...]
    requests: tuple[CarRequest, ...]

    @property
    def interaction(self) -> str:
        """Class as the paper has it: single or multi turn, then single or multi module ("S-S", "S-M", "M-S", "M-M")."""
        return f"{'S' if len(self.requests) == 1 else 'M'}-{'S' if len(self.modules) == 1 else 'M'}"

    def to_json(self) -> dict[str, Json]:
        """Return the task as plain data."""
        return {
            "modules": list(self.modules),
            "setup": [dict(step) for step in self.setup],
            "requests": [request.to_json() for request in self.requests],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> CarTask:
        """Return the task that `to_json` described."""
        requests: Sequence[Mapping[str, Any]] = data["requests"]
        return cls(
            tuple(data["modules"]),
            tuple(dict(step) for step in data["setup"]),
            tuple(CarRequest.from_json(request) for request in requests),
        )
