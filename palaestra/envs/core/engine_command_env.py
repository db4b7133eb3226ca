"""`EngineCommandEnv`: engines that take one text command a turn, which may also come in any other form of an action."""

from __future__ import annotations

from abc import abstractmethod

from palaestra.envs.core.command_env import CommandEnv
from palaestra.envs.core.engine_env import EngineEnv
from palaestra.envs.core.engines import EngineT
from palaestra.envs.core.text_env import Turn
from palaestra.errors import UsageError
from palaestra.types import Message


class EngineCommandEnv(EngineEnv[EngineT], CommandEnv):
    """Base of environments with both faces: `EngineEnv` has the engine, `CommandEnv` reads the action.

    An author writes `_start` as in an `EngineEnv`, and instead of `_send` one hook: `_execute(engine, command) -> Turn`.
    Actions are kept and replayed as they came, in whatever form.

    Args:
        tasks: The environment's tasks.
        launch: Starts an engine (see `EngineEnv`).
        **arguments: `action_format` of `CommandEnv`, and what both have: `split`, `max_turns`, `sampler`, `render_mode`.
    """

    _engine: EngineT | None = None
    """The engine during a call, None between calls."""

    @abstractmethod
    def _execute(self, engine: EngineT, command: str) -> Turn:
        """Execute one command; one that cannot be executed changes nothing and sets `action_error`."""

    def _send(self, engine: EngineT, action: str | Message) -> Turn:
        """Read an action and execute its commands."""
        self._engine = engine
        try:
            return CommandEnv._act(self, action)
        finally:
            self._engine = None

    def _command(self, text: str) -> Turn:
        """Execute one command in the engine of the call."""
        if self._engine is None:
            raise UsageError("A command needs an engine; call step(), which has one.")
        return self._execute(self._engine, text)


__all__ = ["EngineCommandEnv"]
