"""One call of a function of the car, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from palaestra.types import Json


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a function of the car.

    Attributes:
        module: Module.
        function: Function of the module.
        args: Positional arguments.
        kwargs: Named arguments.
    """

    module: str
    function: str
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)

    def code(self) -> str:
        """Return the call as code, e.g. `vw.door.carcontrol_carDoor_switch(action='open')`."""
        arguments = [repr(value) for value in self.args] + [f"{name}={value!r}" for name, value in self.kwargs.items()]
        return f"vw.{self.module}.{self.function}({', '.join(arguments)})"

    def to_json(self) -> dict[str, Json]:
        """Return the call as plain data."""
        return {"module": self.module, "function": self.function, "args": list(self.args), "kwargs": dict(self.kwargs)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Call:
        """Return the call that `to_json` described."""
        return cls(data["module"], data["function"], tuple(data.get("args", ())), dict(data.get("kwargs", {})))
