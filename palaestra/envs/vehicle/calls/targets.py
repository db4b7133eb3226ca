"""Which places a call means: seats, rows, sides, front and rear."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from palaestra.envs.vehicle.car.call_result import Refusal
from palaestra.envs.vehicle.car.tables import SEATS, Function

if TYPE_CHECKING:
    from palaestra.envs.vehicle.car.car import Car

FRONT_SEATS = SEATS[:2]


@dataclass(frozen=True, slots=True)
class Targets:
    """How a function reads the places it is given (the row's key "targets").

    In the `fixed` profile every unknown name is refused and one text is a list of one. In `published` a parameter for a list
    goes through a text letter by letter, as the published functions do (quirk Q23): only the word "all" is found in it.

    Attributes:
        param: Parameter that names the places.
        places: Places that there are.
        omitted: Without the argument: "speaker", "all", or a place. A speaker who sits at none of the places means the first.
        empty: For an empty list: "speaker", "none" (no place, which is a success) or "error".
        unknown: For an unknown name, in the `published` profile: "drop", "error", or "stop" (refused when its turn comes:
            `each` yields the places named before it).
        none_left: If no known place is left, in the `published` profile: "error" or "success".
        several: Whether the parameter takes a list.
    """

    param: str
    places: tuple[str, ...] = SEATS
    omitted: str = "speaker"
    empty: str = "speaker"
    unknown: str = "drop"
    none_left: str = "error"
    several: bool = False

    @classmethod
    def of(cls, function: Function, module: Mapping[str, Any]) -> Targets | None:
        """Return how this function reads places, or None if it names none.

        The row's "targets" overrides the module's "targets".
        """
        param = next((p for p in function.params if p.type == "targets" or p.name == "position"), None)
        if param is None:
            return None
        settings = {**module.get("targets", {}), **function.arguments.get("targets", {})}
        if "places" in settings:
            settings["places"] = tuple(settings["places"])
        return cls(param.name, several=param.type == "targets", **settings)

    def resolve(self, car: Car, given: Any) -> list[str]:
        """Return the places meant, in the car's order.

        Raises:
            Refusal: unknown_target.
        """
        if given is None:
            return self._by_word(car, self.omitted)
        if type(given) is list and len(given) == 1 and given[0] in self.places:
            return [given[0]]
        names = given
        if isinstance(given, str):
            names = [given]
            if self.several and car.as_published:
                names = ["all"] if "all" in given else list(given)
        if not names:
            return [] if self.empty == "none" else self._by_word(car, self.empty)
        if "all" in names:
            return list(self.places)
        unknown = [name for name in names if name not in self.places]
        if unknown and (not car.as_published or self.unknown != "drop"):
            raise self._unknown(unknown[0])
        found = [place for place in self.places if place in names]
        if not found and self.none_left == "error":
            raise self._unknown(unknown[0])
        return found

    def each(self, car: Car, given: Any) -> Iterable[str]:
        """Return the places meant, to be acted on one by one; the same as `resolve`, except for unknown names that "stop".

        Raises:
            Refusal: unknown_target, also while going through the places.
        """
        if self.unknown == "stop" and car.as_published and given and "all" not in given:
            return self._until_unknown(given)
        return self.resolve(car, given)

    def _until_unknown(self, names: Iterable[Any]) -> Iterator[str]:
        """Yield the places named, up to the first unknown name, which is refused."""
        for name in names:
            if name not in self.places:
                raise self._unknown(name)
            yield str(name)

    def _by_word(self, car: Car, word: str) -> list[str]:
        """Return the places that a policy word stands for."""
        if word == "all":
            return list(self.places)
        if word == "error":
            raise Refusal("missing_argument", f"{self.param} is empty; name at least one place.", self.param)
        place = car.state.values["environment.speaker"] if word == "speaker" else word
        return [str(place)] if place in self.places else [self.places[0]]

    def _unknown(self, name: Any) -> Refusal:
        """Return the refusal of an unknown place."""
        return Refusal("unknown_target", f"{name!r} is no place; expected {', '.join(self.places)} or all.", self.param)
