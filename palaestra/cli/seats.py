"""`--seat NAME=MODEL|persona:NAME|human`: who plays the seats of an environment other than the policy's.

`persona:` chooses one of the environment's own scripted players and stays inside the world, as the environment's argument
`players`; everything else is an agent that plays the seat from outside.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

import typer

from palaestra.agents.masking import MASK, masked, masked_message
from palaestra.cli.options import parse_value
from palaestra.cli.output import say
from palaestra.errors import ConfigError, UsageError, unknown_name
from palaestra.types import Json

if TYPE_CHECKING:
    from palaestra.agents.core import Agent

PERSONA = "persona:"
SECRET_OPTIONS = ("api_key",)
_ASSIGNMENT = re.compile(r"(?P<key>[^=:]*)[=:]")

SeatChoices = Annotated[
    list[str] | None,
    typer.Option(
        "--seat",
        metavar="NAME=WHO",
        help="Who plays another seat: a model as for --model, persona:NAME (a scripted player) or human. Repeatable.",
        show_default=False,
    ),
]
SeatSettings = Annotated[
    list[str] | None,
    typer.Option(
        "--seat-option",
        metavar="NAME.KEY=VALUE",
        help="Option of the agent in a seat, e.g. user.temperature=0.2 or user.base_url=URL. Repeatable.",
        show_default=False,
    ),
]


def stored_options(options: Mapping[str, Json]) -> dict[str, Json]:
    """Return the options of an agent as a run keeps them: without keys, other secrets masked."""
    return masked({key: value for key, value in options.items() if key not in SECRET_OPTIONS})


def masked_word(word: str) -> str:
    """Return a word of a command line without secrets: `api_key=...` and the like too, whatever the value is."""
    found = _ASSIGNMENT.match(word)  # `api_key:...` is a slip, and holds a key as well
    if found is not None:
        name, value = found["key"].rpartition(".")[2].strip(), word[found.end() :]  # --seat-option user.api_key=...
        if masked({name: (given := parse_value(value.strip()))})[name] != given:
            return f"{found[0]}{MASK}"
        if word.startswith("--"):  # --option=headers={...}
            return masked_message(found[0] + masked_word(word[found.end() :]))
    return masked_message(word)


@dataclass(frozen=True)
class SeatModel:
    """An agent in a seat.

    Attributes:
        model: Agent name or model string.
        options: Arguments of `make_agent`.
    """

    model: str
    options: Mapping[str, Json] = field(default_factory=dict)

    def to_json(self) -> dict[str, Json]:
        """Return a plain dict without secrets."""
        return {"model": masked(self.model), "options": stored_options(self.options)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> SeatModel:
        """Rebuild from `to_json()`."""
        return cls(data["model"], data["options"])


@dataclass(frozen=True)
class ChosenSeats:
    """What was chosen on the command line.

    Attributes:
        players: Personas by seat.
        models: Agents by seat.
    """

    players: Mapping[str, str] = field(default_factory=dict)
    models: Mapping[str, SeatModel] = field(default_factory=dict)

    @property
    def has_person(self) -> bool:
        """Whether a person sits in one of the seats."""
        return any(one.model == "human" for one in self.models.values())

    def arguments(self, settings: Mapping[str, Json]) -> dict[str, Json]:
        """Return the arguments of an environment with the personas among them.

        Raises:
            ConfigError: If `players` was given in another way too.
        """
        if not self.players:
            return dict(settings)
        if "players" in settings:
            raise ConfigError("players is given by --set and by --seat NAME=persona:NAME; leave one of them out.")
        return {**settings, "players": dict(self.players)}


def parse_seats(choices: Iterable[str] | None, options: Iterable[str] | None = None) -> ChosenSeats:
    """Read `NAME=WHO` and `NAME.KEY=VALUE` texts.

    Raises:
        ConfigError: Without a name or a choice, for a seat that is named twice, or an option of a seat without an agent.
    """
    who: dict[str, str] = {}
    for choice in choices or ():
        name, _, value = (part.strip() for part in choice.partition("="))
        if not name or not value or value == PERSONA:
            raise ConfigError(f"--seat got {choice!r}; expected NAME=MODEL, NAME=persona:NAME or NAME=human.")
        if name in who:
            raise ConfigError(f"--seat names {name} twice; one agent sits in a seat.")
        who[name] = value
    own: dict[str, dict[str, Json]] = {}
    for option in options or ():
        key, equals, value = option.partition("=")
        name, dot, key = (part.strip() for part in key.partition("."))
        if not equals or not dot or not name or not key:
            raise ConfigError(f"--seat-option got {option!r}; expected NAME.KEY=VALUE, e.g. user.temperature=0.2.")
        if name not in who or ":" not in who[name] or who[name].startswith(PERSONA):
            raise ConfigError(f"--seat-option {name}.{key} is for a model in that seat; name one with --seat {name}=MODEL.")
        own.setdefault(name, {})[key] = parse_value(value.strip())
    return ChosenSeats(
        {name: value.removeprefix(PERSONA) for name, value in who.items() if value.startswith(PERSONA)},
        {name: SeatModel(value, own.get(name, {})) for name, value in who.items() if not value.startswith(PERSONA)},
    )


def check_seats(env: Any, env_id: str, models: Mapping[str, SeatModel]) -> None:
    """Refuse agents for seats that an environment does not have, or that is its own.

    Raises:
        UsageError: With the seats there are.
    """
    seats, own = getattr(env.unwrapped, "seats", ()), getattr(env.unwrapped, "seat", "")
    for name in models:
        if not seats:
            raise UsageError(f"{env_id} has one seat; leave out --seat {name}=... (list those with several: palaestra list).")
        if name not in seats:
            raise unknown_name("seat", name, seats)
        if name == own:
            raise UsageError(f"The seat {name!r} of {env_id} is the policy's; choose who plays it with --model, not --seat.")


def make_seat_agents(models: Mapping[str, SeatModel], service: Mapping[str, Any] | None = None) -> dict[str, Agent]:
    """Build the agents of seats; seats with the same model and options share one.

    Args:
        models: By seat.
        service: Options of every backend: retries, limits, prices.
    """
    from palaestra.agents.reference import HumanAgent
    from palaestra.agents.registry import is_model, make_agent

    built: list[tuple[SeatModel, Agent]] = []
    agents: dict[str, Agent] = {}
    for name, one in models.items():
        agent = next((agent for known, agent in built if known == one), None)
        if agent is None:
            if one.model == "human":
                agent = HumanAgent(_read, _write)
            else:
                agent = make_agent(one.model, **{**((service or {}) if is_model(one.model) else {}), **one.options})
            built.append((one, agent))
        agents[name] = agent
    return agents


def _read(prompt: str) -> str:
    """Ask a person for a line; standard output is for results."""
    say(prompt, end="", stderr=True)
    line = sys.stdin.readline()
    if not line:
        raise EOFError("The input ended before the episode did.")
    return line.rstrip("\r\n")


def _write(text: str) -> None:
    """Show a person a text."""
    say(text, stderr=True)


__all__ = [
    "ChosenSeats",
    "SeatChoices",
    "SeatModel",
    "SeatSettings",
    "check_seats",
    "make_seat_agents",
    "masked_word",
    "parse_seats",
    "stored_options",
]
