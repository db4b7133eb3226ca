"""`EngineEnv`: environments on an engine that cannot be copied (a JVM, a browser, a server, a simulator of others).

Their state is the task, the seed of the episode and the actions that were accepted. A snapshot holds those; an environment
that is restored, copied or unpickled plays them again, in an engine of its own.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from types import MappingProxyType
from typing import Any, ClassVar, Generic, SupportsFloat, TypeVar

from palaestra.envs.core.engines import DEFAULT_LIMIT, VARIABLE, EngineT, Lease, engine_pool
from palaestra.envs.core.snapshots import digest
from palaestra.envs.core.tasks import Task, TaskSet
from palaestra.envs.core.text_env import TextEnv, Turn
from palaestra.errors import EnvironmentFault, EpisodeStateError, UsageError
from palaestra.spaces import Sampler
from palaestra.types import Json, Message

T = TypeVar("T")


class EngineEnv(TextEnv, Generic[EngineT]):
    """Base of environments on engines; an author writes `_start` and `_send`, and `_dump` where the engine can say its state.

    Engines come from the pool of the process (`palaestra.envs.core.engines`), and the first `reset` starts one. An episode has
    its engine for itself. After its end another environment may take it. `close` ends it; so do an exception in a call, a
    call that takes longer than `call_timeout_s`, and the end of the process. A dead engine is an `EnvironmentFault`, which
    ends the episode; the next `reset` gets a fresh one.

    Args:
        tasks: The environment's tasks.
        launch: Starts an engine and returns it. Equal functions start equal engines: use a plain function or a frozen
            dataclass with `__call__`, so that environments made alike can use each other's engines.
        split: Split that `reset` draws from unless told otherwise.
        max_turns: Number of actions after which the episode is truncated; None for no limit.
        sampler: Draws well-formed actions for `action_space.sample()`.
        render_mode: None or one of `metadata["render_modes"]`.
        **face: Arguments of a face that is combined with it (see `EngineCommandEnv`).
    """

    blocks = True
    pool: ClassVar[tuple[str, int]] = (VARIABLE, DEFAULT_LIMIT)
    """Environment variable with the most engines of its pool in a process, and how many where it is not set. Environments
    whose engines need more memory than others name a variable of their own, and thereby have a pool of their own."""
    engines_outlive: ClassVar[bool] = False
    """Whether `close` leaves an engine to the next environment, for 5 minutes: where starting one costs seconds."""
    start_timeout_s: ClassVar[float] = 120.0
    """Seconds that a new engine may take in addition until its first answer."""
    call_timeout_s: ClassVar[float] = 60.0
    """Seconds until an engine that does not answer is killed."""
    replays_exactly: ClassVar[bool] = True
    """Whether the same actions give the same texts in another engine; False leaves the comparison out."""
    snapshot_fields = (*TextEnv.snapshot_fields, "_last_answer")
    snapshot_types = MappingProxyType({**TextEnv.snapshot_types, "_last_answer": str})

    def __init__(
        self,
        tasks: TaskSet,
        launch: Callable[[], EngineT],
        *,
        split: str = "train",
        max_turns: int | None = None,
        sampler: Sampler | None = None,
        render_mode: str | None = None,
        **face: Any,
    ) -> None:
        """Check the arguments; no engine is started."""
        super().__init__(tasks, split=split, max_turns=max_turns, sampler=sampler, render_mode=render_mode, **face)
        if not callable(launch) or isinstance(getattr(launch, "__self__", None), EngineEnv):
            raise UsageError(
                f"launch is {launch!r}; expected a function that does not hold the environment: at the top of a module, or a "
                "frozen dataclass with __call__."
            )
        self._launch = launch
        self._lease: Lease[EngineT] | None = None
        self._episode_seed = 0
        self._actions: list[Json] = []
        self._last_answer = ""

    # -- hooks ----------------------------------------------------------------------------------------------------

    @abstractmethod
    def _start(self, engine: EngineT, task: Task, seed: int) -> str:
        """Begin an episode in an engine of any state, and return the first observation; all chance follows from `seed`."""

    @abstractmethod
    def _send(self, engine: EngineT, action: str | Message) -> Turn:
        """Play an action in the engine; a wrong one changes nothing and says why in `Turn.action_error`."""

    def _dump(self, engine: EngineT) -> Json:
        """Return the engine's state, for `state_hash`; where it cannot say it (None), the actions stand for it."""
        return None

    # -- Gymnasium ------------------------------------------------------------------------------------------------

    def step(self, action: str | Message) -> tuple[str, SupportsFloat, bool, bool, dict[str, Any]]:
        """Play one action; the end of the episode, and the death of its engine, let go of the engine."""
        try:
            return super().step(action)
        finally:
            if self._lease is not None and not self._playing:
                self._lease.release()

    def close(self) -> None:
        """End the engine, unless it outlives its environment; the next `reset` would start or take another."""
        if self._lease is not None:
            self._lease.close()
        super().close()

    def kill(self) -> None:
        """End the engine at once, from any thread: a step that hangs fails."""
        if self._lease is not None:
            self._lease.kill()

    # -- state ----------------------------------------------------------------------------------------------------

    def restore(self, snapshot: bytes) -> None:
        """Continue from a state that `snapshot` returned: its actions are played again.

        Raises:
            EpisodeStateError: If the bytes are not a snapshot of this environment.
            EnvironmentFault: If the engine fails, or answers in other words than it did (see `replays_exactly`).
        """
        super().restore(snapshot)
        self._ask(lambda engine: None, what="restore()")

    def state_hash(self) -> str:
        """Return a digest of the task and the state; of the engine's own state, where it can say it."""
        if self.task is None or type(self)._dump is EngineEnv._dump:
            return super().state_hash()
        state = self._ask(self._dump, what="state_hash()")
        return super().state_hash() if state is None else digest([self.task.key, state])

    def _ask(self, function: Callable[..., T], *args: Any, what: str = "") -> T:
        """Return `function(engine, *args)`, which reads the engine in the present state and does not change it.

        Args:
            function: Called with the engine first.
            *args: Further arguments.
            what: Name of the call, for messages; the function's by default.
        """
        lease = self._leased()
        what = what or f"{getattr(function, '__name__', 'a call').lstrip('_')}()"
        try:
            with lease.use(what, self.call_timeout_s) as engine:
                if lease.is_behind:
                    self._replay(engine, lease)
                return function(engine, *args)
        except BaseException:
            self._playing = self._playing and lease.has_engine  # the episode ends with its engine
            raise
        finally:
            if not self._playing:
                lease.release()

    # -- TextEnv's hooks ------------------------------------------------------------------------------------------

    def _begin(self, task: Task) -> str:
        """Load the task in an engine."""
        lease = self._leased()
        lease.release()  # whatever is left of the last episode: a dead engine is replaced without a word
        seed = int(self.np_random.integers(2**31))
        with lease.use("reset()", self.call_timeout_s) as engine:
            observation = self._start(engine, task, seed)
        self._episode_seed, self._actions, self._last_answer = seed, [], digest(observation)
        return observation

    def _act(self, action: str | Message) -> Turn:
        """Play an action, and keep it if it was accepted."""
        turn = self._ask(self._send, action, what="step()")
        if not turn.action_error:
            self._actions.append(action if isinstance(action, str) else action.to_json())
            self._last_answer = digest(turn.observation)
        return turn

    def _save(self) -> Json:
        """Return the seed of the episode and the accepted actions."""
        return {"seed": self._episode_seed, "actions": list(self._actions)}

    def _load(self, task: Task, state: Json) -> None:
        """Take over seed and actions; they are played when the engine is needed."""
        del task
        try:
            seed, actions = int(state["seed"]), list(state["actions"])
        except (KeyError, TypeError, ValueError) as error:
            raise EpisodeStateError(f"This snapshot has no seed and actions ({error!r}); pass what snapshot() gave.") from None
        for action in actions:
            if not isinstance(action, str):
                _message(action)
        self._episode_seed, self._actions = seed, actions
        if self._lease is not None:
            self._lease.release()
            self._lease.is_behind = True

    # -- private --------------------------------------------------------------------------------------------------

    def _leased(self) -> Lease[EngineT]:
        """Return the right to an engine of the pool."""
        if self._lease is None:
            self._lease = engine_pool(*self.pool).lease(
                self._launch,
                thread_bound=self.thread_bound,
                start_timeout_s=self.start_timeout_s,
                outlives=self.engines_outlive,
            )
        return self._lease

    def _replay(self, engine: EngineT, lease: Lease[EngineT]) -> None:
        """Bring an engine into the present state of the episode."""
        if self.task is None:
            raise EpisodeStateError("The engine was asked before reset(); there is no state yet.")
        observation = self._start(engine, self.task, self._episode_seed)
        for number, saved in enumerate(self._actions, start=1):
            lease.restart_clock(self.call_timeout_s)
            turn = self._send(engine, saved if isinstance(saved, str) else _message(saved))
            if turn.action_error:
                raise EnvironmentFault(
                    f"Action {number} of {len(self._actions)} was accepted, and is refused when it is played again: "
                    f"{turn.action_error} The episode does not follow from task, seed and actions."
                )
            observation = turn.observation
        lease.restart_clock(self.call_timeout_s)
        if self.replays_exactly and digest(observation) != self._last_answer:
            raise EnvironmentFault(
                f"After {len(self._actions)} actions were played again, the engine answers in other words: "
                f"{observation[:200]!r}. The episode does not follow from task, seed and actions; if only its wording varies, "
                "set replays_exactly = False."
            )

    def __getstate__(self) -> dict[str, Any]:
        """Leave the engine behind: copies play the actions again in one of their own."""
        return {**vars(self), "_lease": None}


def _message(saved: Json) -> Message:
    """Return the message that a snapshot holds as an action.

    Raises:
        EpisodeStateError: If it is none.
    """
    try:
        return Message.from_json(saved)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise EpisodeStateError(
            f"An action of the snapshot is {saved!r:.200}; expected a text or a message ({error!r})."
        ) from None


__all__ = ["EngineEnv"]
