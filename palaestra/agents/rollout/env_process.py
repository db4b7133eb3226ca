"""An environment in a child process: it may block, hang or crash without harm to anything but its episode.

The parent holds a `RemoteEnv`, whose calls travel through a pipe; the child answers them until the pipe closes. A
`ProcessSlot` drives it from a thread, so that the event loop never waits, and kills the child where a call takes too long.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import pickle
import signal
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

import gymnasium
import numpy as np

from palaestra.agents.rollout.env_slots import Env, MakeEnv, RemoteFailure, ThreadSlot
from palaestra.agents.rollout.plans import EpisodePlan
from palaestra.agents.rollout.seating import seats_of
from palaestra.envs.core.engines import kill_engines
from palaestra.envs.core.horizon import horizon_of
from palaestra.envs.core.outermost import outermost
from palaestra.errors import BoundaryError, EnvironmentFault, UsageError, unknown_name
from palaestra.media.items import MARK, Media
from palaestra.media.store import MediaOutbox, bytes_named, current_media
from palaestra.results.metrics import Metric, declared_by
from palaestra.spaces import ActionSpace, TextSpace
from palaestra.types import Message, StopReason

# starting afresh is slower than forking, but a fork would copy threads' locks and the event loop's open connections
_PROCESSES = multiprocessing.get_context("spawn")
_CLOSE_S = 5.0
_TERMINATE_S = 2.0


class RemoteEnv(gymnasium.Env[Any, Any]):
    """An environment that lives in a child process. Calls block; use it from one thread at a time.

    Args:
        make_env: Picklable function that makes the environment of a plan.
        plan: What to make.

    Raises:
        RemoteFailure: If the environment's code raised.
        EnvironmentFault: If the child died.
        UsageError: If the caller made a mistake (unknown id, wrong argument).
    """

    def __init__(self, make_env: MakeEnv, plan: EpisodePlan) -> None:
        """Start the child and make the environment there."""
        try:
            payload = pickle.dumps((make_env, plan))
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise UsageError(
                f"make_env cannot be sent to a worker process ({error}); define it at the top of a module, or use worker_kind"
                "='thread'."
            ) from None
        self._pipe, child_end = _PROCESSES.Pipe()
        self._process = _PROCESSES.Process(target=_serve, args=(child_end, payload), daemon=True, name=f"env {plan.env_id}")
        self._process.start()
        child_end.close()
        about = self._answer()
        self.observation_space = TextSpace()
        self.action_space = ActionSpace(sampler=self._sample) if about["takes_messages"] else TextSpace(sampler=self._sample)
        self.max_turns: int | None = about["max_turns"]
        self.metrics: tuple[Metric, ...] = about["metrics"]
        self.seats: tuple[str, ...] = about["seats"]
        self.seat: str = about["seat"]
        self._has = about["has"]

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Start an episode."""
        return self._ask("reset", seed, options)  # type: ignore[no-any-return]

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Play one action; the bytes of sounds and pictures that it names go ahead of it."""
        if _may_name_media(action) and (items := bytes_named(action)):
            self._ask("take_media", items)
        return self._ask("step", action)  # type: ignore[no-any-return]

    def render(self) -> Any:
        """Render in the child."""
        return self._ask("render")

    def state_hash(self) -> str | None:
        """Return the digest of the world, where the environment gives one."""
        return self._ask("state_hash") if "state_hash" in self._has else None

    def expert(self, seat: str = "") -> Iterator[str | Message]:
        """Yield the actions of the environment's expert, each asked for when it is needed."""
        if "expert" not in self._has:
            raise UsageError("The environment in the worker process has no expert(); choose another agent.")
        self._ask("begin_expert", seat)
        while (action := self._ask("next_expert", seat)) is not None:
            yield action

    def action_space_of(self, seat: str) -> ActionSpace:
        """Return the space of a seat's actions; it draws in the child."""
        if seat not in self.seats:
            raise unknown_name("seat", seat, self.seats)
        return ActionSpace(sampler=partial(self._sample, seat=seat))

    def cut(self, reason: StopReason) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Stop an episode of an environment with seats between two actions."""
        return self._ask("cut", reason)  # type: ignore[no-any-return]

    def close(self) -> None:
        """Close the environment and end the child."""
        if self._pipe.closed:
            return
        with contextlib.suppress(OSError, EOFError):
            self._pipe.send(("close", ()))
            if self._pipe.poll(_CLOSE_S):
                self._pipe.recv()
        self._pipe.close()
        self._process.join(_CLOSE_S)
        self.kill()

    def kill(self) -> None:
        """End the child at once, and its engines with it; a call that waits for it fails."""
        if self._process.is_alive():
            self._process.terminate()  # lets it kill its engines, which would survive it
            self._process.join(_TERMINATE_S)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def _sample(self, rng: np.random.Generator, *, seat: str = "") -> str | Message:
        """Draw an action in the child; `rng` moves on as if it had drawn itself."""
        action, state = self._ask("sample", rng, seat)
        rng.bit_generator.state = state
        return action  # type: ignore[no-any-return]

    def _ask(self, name: str, *args: Any) -> Any:
        """Make one call."""
        try:
            self._pipe.send((name, args))
        except OSError:
            raise self._death() from None
        return self._answer()

    def _answer(self) -> Any:
        """Wait for the answer to a call; the bytes of sounds and pictures that it may name come ahead of it."""
        try:
            kind, value = self._pipe.recv()
            if kind == "media":
                current_media().add(value)
                kind, value = self._pipe.recv()
        except (EOFError, OSError):
            raise self._death() from None
        if kind == "usage":
            raise UsageError(value)
        if kind == "failure":
            raise RemoteFailure(*value)
        return value

    def _death(self) -> EnvironmentFault:
        """Build the error for a child that is gone."""
        self._process.join(_CLOSE_S)
        return EnvironmentFault(
            f"The environment's worker process died (exit code {self._process.exitcode}); it is replaced for the next episode."
        )


class ProcessSlot(ThreadSlot):
    """An environment in a child process, driven from a thread.

    Args:
        key: Pool key.
        make_env: Picklable function that makes the environment of a plan.
        plan: What to make.
        timeout_s: Limit of a single call in seconds; the child of a call that takes longer is killed.
    """

    def __init__(self, key: str, make_env: MakeEnv, plan: EpisodePlan, timeout_s: float | None = None) -> None:
        """Start the thread; the child follows with `open`."""
        self._remote: RemoteEnv | None = None

        def make() -> Env:
            self._remote = RemoteEnv(make_env, plan)
            return self._remote

        super().__init__(key, make, timeout_s)

    async def close(self) -> None:
        """Close the environment and end the child, at once if it is in the middle of a call."""
        if self._is_busy and self._remote is not None:
            await asyncio.to_thread(self._remote.kill)
        await super().close()


def _serve(pipe: Connection, payload: bytes) -> None:
    """Make an environment and answer calls until the parent closes the pipe or dies."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides what ends when
    signal.signal(signal.SIGTERM, _end_with_engines)
    outbox = MediaOutbox.of_this_process()
    with contextlib.suppress(EOFError, OSError):
        served = _reply(pipe, outbox, lambda: _Served(payload), lambda made: made.about())
        while served is not None:
            name, args = pipe.recv()
            _reply(pipe, outbox, lambda: getattr(served, name)(*args), lambda result: result)  # noqa: B023 (called at once)
            if name == "close":
                break


def _end_with_engines(*_: object) -> None:
    """End this process from within a signal, and the engines that it has started."""
    kill_engines()
    os._exit(128 + signal.SIGTERM)


class _Served:
    """The child's side of a `RemoteEnv`: one method per call."""

    def __init__(self, payload: bytes) -> None:
        make_env, plan = pickle.loads(payload)
        self.env: Env = make_env(plan)
        self._experts: dict[str, Iterator[Any]] = {}  # by seat, "" for the only one

    def about(self) -> dict[str, Any]:
        world = self.env.unwrapped
        return {
            "takes_messages": isinstance(self.env.action_space, ActionSpace),
            "max_turns": horizon_of(self.env),
            "metrics": declared_by(self.env),
            "seats": seats_of(world),
            "seat": world.seat if seats_of(world) else "",  # type: ignore[attr-defined]
            "has": [name for name in ("expert", "state_hash") if self.env.has_wrapper_attr(name)],
        }

    def reset(self, seed: int | None, options: dict[str, Any] | None) -> Any:
        return self.env.reset(seed=seed, options=options)

    def step(self, action: Any) -> Any:
        return self.env.step(action)

    def take_media(self, items: list[tuple[Media, bytes]]) -> None:
        store = current_media()
        if isinstance(store, MediaOutbox):
            store.receive(items)
        else:
            store.add(items)

    def render(self) -> Any:
        return self.env.render()

    def state_hash(self) -> Any:
        return outermost(self.env, "state_hash")()

    def begin_expert(self, seat: str) -> None:
        self._experts[seat] = outermost(self.env, "expert")(*([seat] if seat else []))

    def next_expert(self, seat: str) -> Any:
        return next(self._experts[seat], None)

    def cut(self, reason: StopReason) -> Any:
        return self.env.unwrapped.cut(reason)  # type: ignore[attr-defined]

    def sample(self, rng: np.random.Generator, seat: str) -> Any:
        space = self.env.unwrapped.action_space_of(seat) if seat else self.env.action_space  # type: ignore[attr-defined]
        if not isinstance(space, TextSpace):
            space.seed(int(rng.integers(2**31)))
            return space.sample(), rng.bit_generator.state
        return space.sampler(rng), rng.bit_generator.state

    def close(self) -> None:
        self.env.close()


def _may_name_media(action: Any) -> bool:
    """Whether an action may name sounds or pictures: a quick look at it."""
    if isinstance(action, Message):
        return MARK in action.content or (bool(action.tool_calls) and MARK in repr(action.tool_calls))
    return isinstance(action, str) and MARK in action


def _reply(pipe: Connection, outbox: MediaOutbox, function: Callable[[], Any], answer: Callable[[Any], Any]) -> Any:
    """Call something and send what came of it; return the result, None after a failure."""
    try:
        result = function()
        told = answer(result)
        if fresh := outbox.take_fresh():
            pipe.send(("media", fresh))
        pipe.send(("ok", told))
        return result
    except UsageError as error:
        pipe.send(("usage", str(error)))
    except Exception as error:
        boundary = error.boundary if isinstance(error, BoundaryError) else "environment"
        pipe.send(("failure", (boundary, type(error).__name__, str(error), traceback.format_exc())))
    return None


__all__ = ["ProcessSlot", "RemoteEnv"]
