"""`palaestra play ENV_ID`: a person plays in the terminal."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import typer

from palaestra.agents.rollout.plans import MAX_SEED
from palaestra.cli.options import EnvId, Settings, parse_settings, parse_value
from palaestra.cli.output import say
from palaestra.cli.seats import SeatChoices, SeatSettings, check_seats, make_seat_agents, parse_seats
from palaestra.envs.core.outermost import outermost
from palaestra.errors import PalaestraError
from palaestra.types import Message, ToolCall

HELP = """\
What you type is your action. Commands begin with a slash (two slashes send a text that begins with one):
  /help            this list
  /instructions    what an agent is told once
  /tools           the tools and their arguments
  /call NAME ...   call a tool: /call find_events query=review limit=3, or /call NAME {"query": "review"}
  /actions         what can be done now, where the environment has a list
  /expert          show what the expert would do; /expert! plays it
  /undo            take the last action back
  /again           start the episode again
  /quit            stop"""


def play(
    env_id: EnvId,
    settings: Settings = None,
    seat: SeatChoices = None,
    seat_option: SeatSettings = None,
    split: Annotated[str | None, typer.Option(help="Split to draw the task from.")] = None,
    task: Annotated[str | None, typer.Option(metavar="KEY", help="Task to play: its key, or a published MAPPING#N.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the episode; another seed draws another task.", min=0, max=MAX_SEED)] = 0,
) -> None:
    """Play an environment yourself: type actions, ask the expert, take actions back."""
    from palaestra.cli.environments import open_env

    seats = parse_seats(seat, seat_option)
    env = open_env(env_id, seats.arguments(parse_settings(settings)))
    options = {key: value for key, value in (("split", split), ("task", task)) if value is not None}
    try:
        check_seats(env, env_id, seats.models)
        if seats.models:
            from palaestra.agents.seats import OtherSeats

            env = OtherSeats(env, make_seat_agents(seats.models))
        _Game(env, seed, options, can_undo=not seats.models).run()
    finally:
        env.close()


class _Game:
    """One person at one environment."""

    def __init__(self, env: Any, seed: int, options: dict[str, Any], *, can_undo: bool = True) -> None:
        self.env, self.seed, self.options, self.can_undo = env, seed, options, can_undo
        self.info: dict[str, Any] = {}
        self.observation = ""
        self.score = 0.0
        self.past: list[tuple[bytes, str, float]] = []
        self.commands: dict[str, Callable[[str], object]] = {
            "help": lambda _: say(HELP),
            "instructions": lambda _: say(self.info.get("instructions") or "There are none."),
            "tools": lambda _: self.show_tools(),
            "call": self.call,
            "actions": lambda _: self.show_actions(),
            "expert": lambda _: self.hint(),
            "hint": lambda _: self.hint(),
            "expert!": lambda _: self.play_hint(),
            "undo": lambda _: self.undo(),
            "again": lambda _: self.begin(),
        }
        self.over = False

    def run(self) -> None:
        """Read lines until the episode or the input ends."""
        self.begin()
        if self.info.get("instructions"):
            say(self.info["instructions"] + "\n")
        say("(/help lists the commands)\n")
        say(self.observation)
        for line in _lines():
            if line in ("/quit", "/exit"):
                break
            if line.startswith("/") and not line.startswith("//"):
                self.command(line[1:])
            elif self.over:
                say("The episode is over: /again, /undo or /quit.")
            elif line.strip():
                self.act(line[1:] if line.startswith("//") else line)
        say(f"Score {self.score:g}.")

    def begin(self) -> None:
        """Start the episode, or start it again."""
        again = bool(self.info)
        self.observation, self.info = self.env.reset(seed=self.seed, options=dict(self.options))
        self.score, self.over, self.past = 0.0, False, []
        if again:
            say(self.observation)

    def command(self, text: str) -> None:
        """Run a slash command."""
        name, _, rest = text.strip().partition(" ")
        if name not in self.commands:
            say(f"There is no command /{name}. /help lists them.")
            return
        self.commands[name](rest.strip())

    def act(self, action: str | Message) -> None:
        """Play one action and show what comes of it."""
        world = self.env.unwrapped
        before = world.snapshot() if self.can_undo and hasattr(world, "snapshot") else b""
        past = (before, self.observation, self.score)
        self.observation, reward, terminated, truncated, info = self.env.step(action)
        self.past.append(past)
        self.score = float(info.get("score", self.score + float(reward)))
        say(self.observation)
        if reward:
            say(f"[reward {float(reward):+g}]")
        if terminated or truncated:
            self.over = True
            ending = "Solved." if info.get("success") else f"Over: {info.get('stop_reason') or 'not solved'}."
            say(f"{ending} Score {self.score:g} in {len(self.past)} actions. (/again, /undo, /quit)")

    def undo(self) -> None:
        """Go back to the state before the last action."""
        if not self.past:
            say("There is nothing to take back.")
            return
        snapshot, observation, score = self.past[-1]
        if not snapshot:
            why = (
                "This environment keeps no snapshots" if self.can_undo else "The other agents cannot take back what they heard"
            )
            say(f"{why}; /again starts over.")
            return
        self.past.pop()
        outermost(self.env, "restore")(snapshot)
        self.observation, self.score, self.over = observation, score, False
        say(f"Taken back.\n{observation}")

    def call(self, text: str) -> None:
        """Call a tool by name."""
        name, _, rest = text.partition(" ")
        if not name:
            say("Name a tool: /call NAME key=value ... (/tools lists them)")
            return
        if self.over:
            say("The episode is over: /again, /undo or /quit.")
            return
        try:
            arguments = _arguments(rest.strip())
        except ValueError as error:
            say(f"Arguments are key=value pairs or one JSON object: {error}")
            return
        self.act(Message("assistant", tool_calls=(ToolCall(name, arguments, f"call_{len(self.past) + 1}"),)))

    def hint(self) -> str | Message | None:
        """Show what the expert would do now."""
        action = self.expert_action()
        say("The expert has no advice here." if action is None else f"The expert would play:\n{_shown(action)}")
        return action

    def play_hint(self) -> None:
        """Play what the expert would do now."""
        action = self.hint()
        if action is not None:
            self.act(action)

    def expert_action(self) -> str | Message | None:
        """Ask the expert."""
        expert = outermost(self.env, "expert")
        if expert is None or self.over:
            return None
        try:
            action: str | Message | None = next(iter(expert()), None)
        except PalaestraError as error:
            say(error)
            return None
        return action

    def show_actions(self) -> None:
        """List what can be done now."""
        ask = getattr(self.env.unwrapped, "available_actions", None)
        listed = ask() if callable(ask) else None
        if listed is None:
            say("This environment has no list of actions.")
        for action in listed or ():
            say(f"  {_shown(action)}")

    def show_tools(self) -> None:
        """List the tools with their arguments."""
        tools = self.info.get("tools") or ()
        if not tools:
            say("This environment has no tools; type an action.")
        for tool in tools:
            function = tool["function"]
            parameters = function.get("parameters", {})
            required = parameters.get("required", ())
            shown = [name if name in required else f"{name}?" for name in parameters.get("properties", {})]
            described = (function.get("description") or "").partition("\n")[0]
            say(f"  {function['name']}({', '.join(shown)})  {described}".rstrip())


def _lines() -> Iterator[str]:
    """Yield what the person types, to the end of the input."""
    is_terminal = sys.stdin.isatty()
    while True:
        try:
            line = input("> ") if is_terminal else sys.stdin.readline()
        except EOFError:
            say()
            return
        if not is_terminal:
            if not line:
                return
            line = line.rstrip("\r\n")
            say(f"> {line}")
        yield line


def _arguments(text: str) -> dict[str, Any]:
    """Read `key=value key2="two words"` or a JSON object."""
    import shlex

    if text.startswith("{"):
        value: dict[str, Any] = json.loads(text)
        return value
    arguments = {}
    for word in shlex.split(text):
        key, equals, value_text = word.partition("=")
        if not equals:
            raise ValueError(f"{word!r} has no equals sign")
        arguments[key] = parse_value(value_text)
    return arguments


def _shown(action: str | Message) -> str:
    """Return an action as text."""
    from palaestra.envs.formats.hermes import format_message

    return format_message(action) if isinstance(action, Message) else action
