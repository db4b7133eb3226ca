"""Vector environments that are fast on text.

`gymnasium.make_vec("palaestra/...", num_envs=n)` gives a `TextVectorEnv`: n environments stepped in one loop, batched as
Gymnasium's `SyncVectorEnv` batches them (tests compare the two), for a fraction of its cost: text is never copied, and
infos are turned into arrays only when somebody looks (`InfoBatch`). Worlds that block belong into processes instead:

    gymnasium.make_vec(env_id, num_envs=8, vectorization_mode="async", vector_kwargs={"shared_memory": False})

(text has no fixed size, so it cannot lie in shared memory). A third party's environment gets the fast path by
registering with `vector_entry_point="palaestra.envs.core.vector:its/Id-v0"`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, SupportsFloat

import gymnasium
import numpy as np
from gymnasium.spaces import Tuple
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from gymnasium.wrappers import OrderEnforcing
from numpy.typing import NDArray

from palaestra.envs.core.actions import as_action
from palaestra.envs.core.text_env import TextEnv
from palaestra.errors import EpisodeStateError, UsageError, unknown_name
from palaestra.spaces import TextSpace
from palaestra.types import Message

Env = gymnasium.Env[Any, Any]
Flags = NDArray[np.bool_]
Row = dict[str, Any]
Batch = tuple[tuple[str, ...], NDArray[np.float64], Flags, Flags, "InfoBatch"]


class InfoBatch(dict[str, Any]):
    """The infos of all environments in Gymnasium's form, made when first looked at.

    Behaves as the dict that `SyncVectorEnv` returns: for each key one array over the environments (object arrays for what
    is not a number), under `_key` a mask of the environments that have it, nested dicts likewise.

    Attributes:
        rows: The infos as the environments returned them, one dict each; reading these costs nothing.
    """

    __slots__ = ("_is_filled", "rows")

    def __init__(self, rows: Sequence[Row]) -> None:
        """Keep the rows."""
        super().__init__()
        self.rows = tuple(rows)
        self._is_filled = False

    def _fill(self) -> None:
        """Make the arrays, once."""
        if not self._is_filled:
            self._is_filled = True
            dict.update(self, batch_infos(self.rows))

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle rows, and the arrays where they were made or changed."""
        return _rebuild_info_batch, (self.rows, dict(self) if self._is_filled else None)


def _fill_first(name: str) -> Callable[..., Any]:
    """Return dict's method `name`, preceded by making the arrays."""
    method = getattr(dict, name)

    def filled(self: InfoBatch, *args: Any, **kwargs: Any) -> Any:
        self._fill()
        return method(self, *args, **kwargs)

    filled.__name__ = name
    filled.__doc__ = method.__doc__
    return filled


_LOOKS = (
    "__contains__ __delitem__ __eq__ __getitem__ __ior__ __iter__ __len__ __ne__ __or__ __repr__ __reversed__ __ror__ "
    "__setitem__ clear copy get items keys pop popitem setdefault update values"
)
for _name in _LOOKS.split():
    setattr(InfoBatch, _name, _fill_first(_name))


def _rebuild_info_batch(rows: tuple[Row, ...], filled: dict[str, Any] | None) -> InfoBatch:
    """Undo `InfoBatch.__reduce__`."""
    batch = InfoBatch(rows)
    if filled is not None:
        batch._is_filled = True
        dict.update(batch, filled)
    return batch


class TextVectorEnv(VectorEnv[tuple[str, ...], "Sequence[str | Message]", NDArray[Any]]):
    """Several text environments stepped in one loop.

    Args:
        env_fns: Make one environment each, all with equal spaces.
        autoreset_mode: What follows the end of an episode: "NextStep" (the next step resets and ignores its action),
            "SameStep" (reset at once; the end is in `infos["final_obs"]` and `infos["final_info"]`) or "Disabled" (the
            caller resets with `options={"reset_mask": mask}`). As in Gymnasium >= 1.1.

    Observations are a tuple of n texts, rewards float64 of shape (n,), terminations and truncations bool of shape (n,),
    infos an `InfoBatch`. If an environment raises, the error passes through and the others may have stepped already.
    """

    def __init__(
        self, env_fns: Iterable[Callable[[], Env]], *, autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP
    ) -> None:
        """Make the environments and batch their spaces."""
        try:
            self.autoreset_mode = AutoresetMode(autoreset_mode)
        except ValueError:
            raise unknown_name("autoreset mode", autoreset_mode, [mode.value for mode in AutoresetMode]) from None
        self.envs: list[Env] = [_without_order_enforcing(make()) for make in env_fns]
        if not self.envs:
            raise UsageError("TextVectorEnv got no environments; num_envs must be at least 1.")
        first = self.envs[0]
        for env in self.envs:
            if (env.observation_space, env.action_space) != (first.observation_space, first.action_space):
                raise UsageError(f"{env} has other spaces than {first}; a vector environment needs equal ones.")
        self.num_envs = len(self.envs)
        self.metadata = {**first.metadata, "autoreset_mode": self.autoreset_mode}
        self.render_mode = first.render_mode
        self.single_observation_space = first.observation_space
        self.single_action_space = first.action_space
        self.observation_space = batch_space(first.observation_space, self.num_envs)
        self.action_space = _drawing_as(self.envs, batch_space(first.action_space, self.num_envs))
        self._observations: list[str] = [""] * self.num_envs
        self._is_over = np.zeros(self.num_envs, dtype=np.bool_)
        self._splits: list[dict[str, Any] | None] = [None] * self.num_envs  # options of an autoreset

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[tuple[str, ...], InfoBatch]:
        """Start episodes.

        Args:
            seed: None, a number (environment i gets `seed + i`) or one seed per environment.
            options: Given to every environment; `reset_mask` (bool, shape (n,)) picks those that are reset. A `split` also
                holds for the episodes that an autoreset begins, until the environment is reset again.

        Raises:
            UsageError: If the seeds or the mask do not fit the number of environments.
        """
        seeds: Sequence[int | None]
        if seed is None or isinstance(seed, (int, np.integer)):
            seeds = [None if seed is None else int(seed) + i for i in range(self.num_envs)]
        elif len(seed) == self.num_envs:
            seeds = seed
        else:
            raise UsageError(
                f"There are {len(seed)} seeds for {self.num_envs} environments; give one for each, or one number."
            )
        shared = None if options is None else dict(options)
        chosen = self._chosen(None if shared is None else shared.pop("reset_mask", None))
        rows: list[Row] = [{} for _ in self.envs]
        for i in chosen:
            self._observations[i], rows[i] = self.envs[i].reset(seed=seeds[i], options=copy.copy(shared))
            self._splits[i] = {"split": shared["split"]} if shared and "split" in shared else None
        self._is_over[chosen] = False
        return tuple(self._observations), InfoBatch(rows)

    def step(self, actions: Sequence[str | Message]) -> Batch:
        """Play one action in each environment.

        Raises:
            EpisodeStateError: In mode "Disabled", if an episode that is over was not reset.
            UsageError: If the number or the types of the actions do not fit; then no environment has stepped.
        """
        self._check_actions(actions)
        if self.autoreset_mode is AutoresetMode.SAME_STEP or self._is_over.any():
            results = [self._step_one(i, action) for i, action in enumerate(actions)]
        else:
            results = [env.step(action) for env, action in zip(self.envs, actions, strict=True)]
        observations, rewards, terminations, truncations, rows = zip(*results, strict=True)
        self._observations = list(observations)
        terminated, truncated = np.array(terminations, dtype=np.bool_), np.array(truncations, dtype=np.bool_)
        if self.autoreset_mode is not AutoresetMode.SAME_STEP:
            self._is_over = terminated | truncated
        return observations, np.array(rewards, dtype=np.float64), terminated, truncated, InfoBatch(rows)

    def render(self) -> tuple[Any, ...]:
        """Return the picture of each environment."""
        return tuple(env.render() for env in self.envs)

    def call(self, name: str, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        """Call a method of each environment, or read an attribute, and return the results."""
        values = [env.get_wrapper_attr(name) for env in self.envs]
        return tuple(value(*args, **kwargs) if callable(value) else value for value in values)

    def get_attr(self, name: str) -> tuple[Any, ...]:
        """Read an attribute of each environment."""
        return self.call(name)

    def set_attr(self, name: str, values: Any) -> None:
        """Set an attribute of each environment: a list or tuple gives one value each, anything else is set on all."""
        each = values if isinstance(values, (list, tuple)) else [values] * self.num_envs
        if len(each) != self.num_envs:
            raise UsageError(f"There are {len(each)} values of {name!r} for {self.num_envs} environments; give one for each.")
        for env, value in zip(self.envs, each, strict=True):
            env.set_wrapper_attr(name, value)

    def close_extras(self, **kwargs: Any) -> None:
        """Close every environment."""
        for env in self.envs:
            env.close()

    @property  # type: ignore[misc]
    def np_random(self) -> tuple[np.random.Generator, ...]:  # type: ignore[override]  # as SyncVectorEnv
        """The generators of the environments."""
        return tuple(env.np_random for env in self.envs)

    @property
    def np_random_seed(self) -> tuple[int | None, ...]:  # type: ignore[override]  # as SyncVectorEnv
        """The seeds of the environments."""
        return tuple(env.np_random_seed for env in self.envs)

    def _chosen(self, mask: Any) -> list[int]:
        """Return the environments that a reset mask picks."""
        if mask is None:
            return list(range(self.num_envs))
        mask = np.asarray(mask)
        if mask.shape != (self.num_envs,) or mask.dtype != np.bool_ or not mask.any():
            raise UsageError(
                f"options['reset_mask'] has shape {mask.shape} and dtype {mask.dtype}; expected {self.num_envs} booleans, "
                "at least one of them true."
            )
        return [int(i) for i in np.flatnonzero(mask)]

    def _check_actions(self, actions: Sequence[str | Message]) -> None:
        """Refuse a batch that cannot be played, before any environment has moved."""
        if isinstance(actions, str) or not hasattr(actions, "__len__") or len(actions) != self.num_envs:
            got = f"{len(actions)} actions" if isinstance(actions, (list, tuple)) else f"a {type(actions).__name__}"
            raise UsageError(f"step() got {got}; expected a sequence of {self.num_envs} actions, one for each environment.")
        if not all(issubclass(kind, (str, Message)) for kind in set(map(type, actions))):
            for action in actions:
                as_action(action)  # OpenAI messages are taken too; anything else is an error before any environment moves
        if self.autoreset_mode is AutoresetMode.DISABLED and self._is_over.any():
            over = np.flatnonzero(self._is_over).tolist()
            raise EpisodeStateError(
                f"The episodes of environments {over} are over and autoreset is off; "
                "call reset(options={'reset_mask': terminations | truncations}) first."
            )

    def _step_one(self, i: int, action: str | Message) -> tuple[str, SupportsFloat, bool, bool, Row]:
        """Step or reset one environment as the autoreset mode says."""
        env = self.envs[i]
        if self._is_over[i]:
            observation, info = env.reset(options=copy.copy(self._splits[i]))
            return observation, 0.0, False, False, info
        observation, reward, terminated, truncated, info = env.step(action)
        if self.autoreset_mode is AutoresetMode.SAME_STEP and (terminated or truncated):
            end = {"final_obs": observation, "final_info": info}
            observation, info = env.reset(options=copy.copy(self._splits[i]))
            info = {**end, **info}
        return observation, reward, terminated, truncated, info


def make_text_vector_env(
    env_id: str,
    *,
    num_envs: int = 1,
    autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
    max_episode_steps: int | None = None,
    **kwargs: Any,
) -> TextVectorEnv:
    """Make `num_envs` copies of a registered environment, without the wrappers that check their use.

    Args:
        env_id: Registered id.
        num_envs: Number of environments.
        autoreset_mode: See `TextVectorEnv`.
        max_episode_steps: As in `gymnasium.make`.
        **kwargs: Given to every environment.
    """
    make = partial(gymnasium.make, env_id, max_episode_steps, disable_env_checker=True, **kwargs)
    return TextVectorEnv([make] * num_envs, autoreset_mode=autoreset_mode)


def batch_infos(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Turn one info per environment into Gymnasium's dict of arrays with masks.

    Args:
        rows: One mapping per environment, empty for none.

    Returns:
        For each key an array over the environments (int, float, bool and array values by their dtype, others as objects,
        with 0 or None where an environment lacks the key), a dict where the values are dicts, and a mask under `_key`.
    """
    columns: dict[str, Any] = {}
    for key in dict.fromkeys(key for row in rows for key in row):
        mask = np.fromiter((key in row for row in rows), dtype=np.bool_, count=len(rows))
        columns[key] = _column(key, [row.get(key) for row in rows], mask)
        columns[f"_{key}"] = mask
    return columns


def _column(key: str, values: list[Any], mask: Flags) -> Any:
    """Batch the values of one key; None stands where an environment lacks it."""
    sample = values[int(mask.argmax())]
    if key != "final_obs":
        if isinstance(sample, dict):
            return batch_infos([value or {} for value in values])
        if type(sample) in (int, float, bool) or isinstance(sample, (np.number, np.ndarray)):
            shape, dtype = (sample.shape, sample.dtype) if isinstance(sample, np.ndarray) else ((), type(sample))
            array = np.zeros((len(values), *shape), dtype=dtype)
            array[mask] = [value for value, is_there in zip(values, mask, strict=True) if is_there]
            return array
    return np.fromiter(values, dtype=object, count=len(values))


def _drawing_as(envs: Sequence[Env], batched: Any) -> Any:
    """Let each part of a batched action space draw what its environment's own space draws now.

    The parts are copies made once; an environment with tools of its own in every task changes its space's sampler.
    """
    for env, part in zip(envs, batched.spaces if isinstance(batched, Tuple) else (), strict=False):
        if isinstance(part, TextSpace) and isinstance(env.action_space, TextSpace):
            part.sampler = partial(_draw_of, env.action_space)
    return batched


def _draw_of(space: TextSpace, rng: np.random.Generator) -> str | Message:
    """Draw with the sampler that a space has now."""
    return space.sampler(rng)


def _without_order_enforcing(env: Env) -> Env:
    """Take off a wrapper that repeats what every TextEnv checks itself."""
    return env.env if isinstance(env, OrderEnforcing) and isinstance(env.env, TextEnv) else env


def __getattr__(name: str) -> Callable[..., TextVectorEnv]:
    """Serve entry points of the form `palaestra.envs.core.vector:namespace/Name-v0`.

    Gymnasium calls a vector entry point without the id, and can only store it in a spec's JSON as a string; so the id is
    the attribute that the string asks for.
    """
    if "/" in name or "-v" in name:
        return partial(make_text_vector_env, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = ["InfoBatch", "TextVectorEnv", "batch_infos", "make_text_vector_env"]
