"""An agent of one's own: a function or an object with `act`, played as an `Agent`.

`as_agent` is called wherever an agent is taken (evaluations, rollouts, seats), before anything is played: what cannot play
is one `UsageError` there. `answered` reads what an agent returned; an answer that is not an action stops the run: it is
a mistake in the agent's code and not something a model wrote.
"""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol, Self

import gymnasium

from palaestra.agents.core import Agent, AgentRecord
from palaestra.agents.users_code import NotARecord, as_record, told
from palaestra.envs.formats.reasoning import without_reasoning
from palaestra.errors import PalaestraError, UsageError
from palaestra.media.store import read_known_tags
from palaestra.types import Json, Message

EXPECTED = "an Agent, a function (observation, info) -> str | Message, or an object with act(observation, info)"

_RESET_KEYWORDS = ("env", "session")


class Acts(Protocol):
    """An object that can play; `reset(info)`, `fork()`, `record()`, `aclose()`, `name` and `version` are optional."""

    def act(self, observation: str, info: Mapping[str, Any], /) -> str | Message | Awaitable[str | Message]:
        """Choose the next action."""
        ...


AgentLike = Agent | Acts | Callable[[str, Mapping[str, Any]], str | Message | Awaitable[str | Message]]
"""Whatever can play: an `Agent`, an object with `act`, or a function, synchronous or not."""


class NotAnAction(UsageError):
    """An agent answered with something that is not an action: a mistake in its code, which ends the run."""


class OwnAgent(Agent):
    """Plays with a function or with an object that has `act`.

    A function is called by all episodes alike. An object is copied for each episode (`copy.deepcopy`, or its own `fork()`), so
    that what it keeps between two turns belongs to one episode.

    Args:
        player: The function or object; what it returns may be awaitable.

    Raises:
        UsageError: If it cannot be called as it will be, or not be copied.
    """

    def __init__(self, player: Any) -> None:
        """Check the player before anything is played."""
        act = getattr(player, "aact", None) or getattr(player, "act", None)
        self._is_function = act is None
        self._player = player
        _check_call(act or player, ("", {}), {}, "(observation, info)")
        for method in ("fork", "record", "aclose", "close"):
            if not self._is_function and callable(found := getattr(player, method, None)):
                _check_call(found, (), {}, "()")
        self._reset_keywords = () if self._is_function else _reset_keywords(player)
        given = getattr(player, "name", None)
        own = getattr(player, "__name__", type(player).__name__)
        self.name = given if isinstance(given, str) and given else "function" if own == "<lambda>" else own
        self._check_copy()

    @property
    def version(self) -> str:
        """The player's own, if it has one."""
        return str(getattr(self._player, "version", "")) if not self._is_function else ""

    def shaped_by(self) -> dict[str, Json]:
        """Return the player's own `shaped_by()`, with its version."""
        told = None if self._is_function else getattr(self._player, "shaped_by", None)
        return {**super().shaped_by(), **(told() if callable(told) else {})}

    def reset(self, info: Mapping[str, Any], *, env: gymnasium.Env[Any, Any] | None = None, session: str = "") -> None:
        """Tell the player that an episode begins, as far as it wants to know."""
        if self._is_function or not callable(reset := getattr(self._player, "reset", None)):
            return
        known = {"env": env, "session": session}
        reset(info, **{name: known[name] for name in self._reset_keywords})

    async def aact(self, observation: str, info: Mapping[str, Any]) -> Message:
        """Ask the player.

        Raises:
            NotAnAction: If it returns something else than a text or an assistant message.
        """
        act = getattr(self._player, "aact", None) or getattr(self._player, "act", None) or self._player
        answer = act(observation, info)
        return answered(await answer if inspect.isawaitable(answer) else answer, self.name)

    def record(self) -> AgentRecord:
        """Return usage and tokens, if the player records them."""
        record = None if self._is_function else getattr(self._player, "record", None)
        return as_record(record() if callable(record) else AgentRecord(), self.name)

    def fork(self) -> Self:
        """Return an agent whose player is a copy."""
        twin: Self = super().fork()
        twin._player = self._copied()
        return twin

    async def aclose(self) -> None:
        """Close the player, if it can be closed."""
        close = None if self._is_function else getattr(self._player, "aclose", None) or getattr(self._player, "close", None)
        if callable(close) and inspect.isawaitable(closing := close()):
            await closing

    def _checked_fork(self, fork: Callable[[], Any]) -> Any:
        """Return a player's fork, if it can play."""
        found = fork()
        names = [name for name in ("aact", "act") if callable(getattr(self._player, name, None))]
        if found is None or not any(callable(getattr(found, name, None)) for name in names):
            shown = "None" if found is None else f"a {type(found).__name__} without act"
            raise UsageError(
                f"{self.name}.fork() returned {shown}; expected a player with act(observation, info). Return an independent "
                f"one (itself, if it keeps nothing between two turns)."
            )
        return found

    def _check_copy(self) -> None:
        """Copy the player once and ask the copy for its record: what cannot work is found now."""
        twin = copy.copy(self)
        try:
            twin._player = self._copied()
        except PalaestraError:
            raise
        except (Exception, SystemExit) as error:
            raise UsageError(
                f"{self.name}.fork() raised {told(error)}. Correct it: every episode plays with a copy."
            ) from error
        try:
            twin.record()
        except NotARecord:
            raise
        except (Exception, SystemExit):  # before a reset it may know nothing; it is asked again after the episode
            return

    def _copied(self) -> Any:
        """Return an independent player."""
        if self._is_function:
            return self._player
        if callable(fork := getattr(self._player, "fork", None)):
            return self._checked_fork(fork)
        try:
            return copy.deepcopy(self._player)
        except Exception as error:
            raise UsageError(
                f"The agent {self.name!r} cannot be copied for each episode ({type(error).__name__}: {error}). Give it "
                f"a method fork() that returns an independent one (itself, if it keeps nothing between two turns)."
            ) from error


def as_agent(given: Any, taker: str = "evaluate()") -> Agent:
    """Return the agent that something stands for.

    Args:
        given: An `Agent`, a function `(observation, info) -> str | Message` (also `async`), or an object with `act`.
        taker: Who asks, for the message.

    Raises:
        UsageError: If it cannot play; the message says what is missing.
    """
    if isinstance(given, Agent):
        for method, args, keywords in (("aact", ("", {}), ()), ("reset", ({},), _RESET_KEYWORDS), ("fork", (), ())):
            _check_call(getattr(given, method), args, dict.fromkeys(keywords), _shown(args, keywords))
        return given
    if isinstance(given, type):
        raise UsageError(
            f"{taker} got the class {given.__name__}; expected {EXPECTED}. Give an instance: {given.__name__}(...)."
        )
    if isinstance(given, str):
        raise UsageError(f"{taker} got the text {given!r}; expected {EXPECTED}. An agent by name: make_agent({given!r}).")
    act = getattr(given, "aact", None) or getattr(given, "act", None)
    if not callable(given) and not callable(act):
        hint = "act is not a method." if act is not None else "It has no method act."
        raise UsageError(f"{taker} got a {type(given).__name__}; expected {EXPECTED}. {hint}")
    return OwnAgent(given)


def answered(answer: object, name: str = "") -> Message:
    """Return an agent's answer as the assistant message it stands for.

    Args:
        answer: What the agent returned.
        name: Of the agent, for the message.

    Raises:
        NotAnAction: If it is neither a text nor an assistant message.
    """
    if isinstance(answer, str):
        content, media = read_known_tags(answer)
        return without_reasoning(Message("assistant", content, media=media))
    if isinstance(answer, Message) and answer.role == "assistant":
        return answer
    given = f"a message with role {answer.role!r}" if isinstance(answer, Message) else f"a {type(answer).__name__}"
    who = f"The agent {name!r}" if name else "The agent"
    raise NotAnAction(
        f"{who} returned {given}; expected an assistant Message or a str. Return the text of the action, or "
        f"Message('assistant', text)."
    )


def tells_settings(agent: Agent) -> bool:
    """Tell whether a record names what an agent's answers follow from: it says so, has a version, or has no settings.

    Its code is not asked for: that an agent is the same one is what its name says.
    """
    player = agent._player if isinstance(agent, OwnAgent) else agent
    if isinstance(agent, OwnAgent):
        says = not agent._is_function and callable(getattr(player, "shaped_by", None))
    else:
        says = getattr(agent.shaped_by, "__func__", None) is not Agent.shaped_by
    return says or bool(agent.version) or not _has_settings(player)


def _has_settings(player: Any) -> bool:
    """Tell whether a player was made with something that its answers may follow from, beyond its class or function.

    Values are not read: attributes may be counters, clients or keys, of which a digest would tell equal agents apart.
    """
    if isinstance(player, functools.partial):
        return bool(player.args or player.keywords) or _has_settings(player.func)
    if inspect.ismethod(player):
        return _has_settings(player.__self__)
    if inspect.isfunction(player):
        return bool(player.__closure__ or player.__defaults__ or player.__kwdefaults__)
    if inspect.isclass(player) or inspect.ismodule(player) or inspect.isbuiltin(player):
        return False
    try:
        state: Any = object.__getstate__(player)
    except TypeError:  # a type of an extension module that hides what it has
        return True
    own, slots = state if isinstance(state, tuple) else (state, None)
    return any(name != "name" for attributes in (own, slots) for name in attributes or ())


def _check_call(function: Any, args: tuple[Any, ...], keywords: Mapping[str, Any], expected: str) -> None:
    """Refuse a function that cannot be called like this."""
    name = getattr(function, "__qualname__", type(function).__name__)
    if not callable(function):
        raise UsageError(f"{name} is not a function; expected one that takes {expected}.")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise UsageError(f"{name} yields; expected a function that returns one action, a str or a Message.")
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # built-in functions may not say
        return
    try:
        signature.bind(*args, **keywords)
    except TypeError as error:
        raise UsageError(f"{name}{signature} cannot be called with {expected}: {error}. Change its parameters.") from None


def _reset_keywords(player: Any) -> tuple[str, ...]:
    """Return the keywords of `Agent.reset` that a player's `reset` takes."""
    reset = getattr(player, "reset", None)
    if not callable(reset):
        return ()
    try:
        parameters = inspect.signature(reset).parameters.values()
    except (TypeError, ValueError):
        return ()
    takes_all = any(one.kind is one.VAR_KEYWORD for one in parameters)
    positional = inspect.Parameter.POSITIONAL_ONLY
    taken = {one.name for one in parameters if one.kind is not positional}
    keywords = tuple(name for name in _RESET_KEYWORDS if takes_all or name in taken)
    _check_call(reset, ({},), dict.fromkeys(keywords), "(info), and optionally env=, session=")
    return keywords


def _shown(args: tuple[Any, ...], keywords: tuple[str, ...]) -> str:
    """Return the parameters of a method of `Agent`."""
    names = {0: "", 1: "info", 2: "observation, info"}[len(args)]
    return f"({', '.join([*filter(None, [names]), *(f'{name}=' for name in keywords)])})"


__all__ = ["Acts", "AgentLike", "NotAnAction", "OwnAgent", "answered", "as_agent", "tells_settings"]
