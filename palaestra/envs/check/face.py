"""Checks of the Gymnasium face: spaces, order of calls, rendering, closing, vector environments."""

from __future__ import annotations

import pickle
import warnings
from typing import Any

import gymnasium
import numpy as np
from gymnasium.utils.env_checker import check_env

from palaestra.envs.check.report import CheckFailed, expect
from palaestra.envs.check.subject import Subject, difference, shown, told
from palaestra.envs.core.text_env import TextEnv
from palaestra.errors import EpisodeStateError, MissingExtraError
from palaestra.spaces import TextSpace

MIN_ACCEPTED = 1 / 40  # a well-formed action need not fit the state, but some must


def check_gymnasium(subject: Subject) -> str:
    """Gymnasium's own checker passes without a warning."""
    with subject.open() as env, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        check_env(env.unwrapped)
    found = sorted({str(warning.message).removeprefix("\033[33mWARN: ").removesuffix("\033[0m") for warning in caught})
    expect(not found, f"{len(found)} warnings: {'; '.join(found)}")
    return ""


def check_identity(subject: Subject) -> str:
    """The environment is registered as namespace/Name-vN and can be made again from its spec."""
    with subject.open() as env:
        spec = env.spec
        if spec is None:
            raise CheckFailed(
                "The environment has no spec.", "Register it with gymnasium.register and make it with gymnasium.make."
            )
        expect(
            spec.namespace and spec.version is not None,
            f"The id is {spec.id!r}; expected namespace/Name-vN.",
            "Register it under a namespace with a version, and raise the version whenever a result could change.",
        )
        again = gymnasium.make(spec)
        try:
            expect(again.unwrapped.__class__ is env.unwrapped.__class__, f"The spec makes {again} instead of {env}.")
        finally:
            again.close()
    return ""


def check_spaces(subject: Subject) -> str:
    """The spaces contain what is sent and drawn, compare, pickle and seed."""
    with subject.open() as env, subject.open() as other:
        observation, _ = env.reset(seed=subject.seed)
        for name in ("observation_space", "action_space"):
            space = getattr(env, name)
            expect(
                isinstance(space, TextSpace),
                f"{name} is {space}.",
                "Use palaestra.spaces.TextSpace and ActionSpace: Gymnasium's Text refuses ordinary prose.",
            )
            expect(space == getattr(other, name), f"{name} differs between two environments made alike.")
            expect(pickle.loads(pickle.dumps(space)) == space, f"{name} is not the same after pickling.")
        draws = []
        for _ in range(2):
            env.action_space.seed(subject.seed)
            draws.append(env.action_space.to_jsonable([env.action_space.sample() for _ in range(10)]))
        expect(
            draws[0] == draws[1],
            "action_space.sample() draws other actions after the same seed.",
            "Draw only from the generator that the sampler is given.",
        )
        expect(len({str(draw) for draw in draws[0]}) > 1, "Ten drawn actions are all the same.", "Let the sampler vary them.")
        expect(observation in env.observation_space, f"reset() returned {shown(observation)}, outside the observation space.")
        for _ in range(subject.budget.samples):
            action = env.action_space.sample()
            expect(action in env.action_space, f"The drawn action {shown(action)} is outside the action space.")
            observation, _, terminated, truncated, _ = env.step(action)
            expect(
                observation in env.observation_space, f"step() returned {shown(observation)}, outside the observation space."
            )
            if terminated or truncated:
                env.reset()
    return ""


def check_samples(subject: Subject) -> str:
    """`action_space.sample()` draws well-formed actions of this environment."""
    num_accepted = num_actions = 0
    rejected = ""
    with subject.open() as env:
        env.action_space.seed(subject.seed)
        env.reset(seed=subject.seed)
        while num_actions < subject.budget.samples:
            action = env.action_space.sample()
            _, _, terminated, truncated, info = env.step(action)
            num_actions += 1
            if info.get("action_error"):
                rejected = f" For example {shown(action)}: {shown(info['action_error'])}"
            else:
                num_accepted += 1
            if terminated or truncated:
                env.reset()
    detail = f"{num_accepted} of {num_actions} drawn actions were accepted"
    expect(num_accepted >= MIN_ACCEPTED * num_actions, f"{detail}.{rejected}")
    return detail


def check_order(subject: Subject) -> str:
    """Calls out of order are refused with an error that says so."""
    action = "look"
    with subject.open() as env:
        for call in ("before reset()", "after the end of the episode"):
            if call != "before reset()" and not _play_to_the_end(subject, env):
                return f"no episode ended in {subject.budget.drawn_turns} actions; only the step before reset() was tried"
            try:
                env.step(action)
            except (EpisodeStateError, gymnasium.error.ResetNeeded):
                continue
            except Exception as error:
                raise CheckFailed(f"step() {call} raised {type(error).__name__}: {error}") from None
            raise CheckFailed(f"step() {call} went through.")
    return ""


def check_turn_limit(subject: Subject) -> str:
    """`max_turns` truncates with stop_reason "max_rounds"."""
    with subject.open() as probe:
        expect(
            hasattr(probe.unwrapped, "max_turns"),
            "The environment takes no max_turns.",
            "Take max_turns and pass it to TextEnv, or let players wrap it in palaestra.envs.wrappers.TurnLimit.",
        )
    with subject.open(max_turns=2) as env:
        env.reset(seed=subject.seed)
        for turn in (1, 2):
            _, _, terminated, truncated, info = env.step("\ud800")  # is refused, so that the limit is what must end this
            expect(not terminated, "A refused action ended the episode.")
            expect(truncated == (turn == 2), f"With max_turns=2, turn {turn} gave truncated={truncated}.")
        expect(info.get("stop_reason") == "max_rounds", f"The stop_reason was {info.get('stop_reason')!r}.")
    return ""


def check_render(subject: Subject) -> str:
    """Every declared render mode works, "ansi" is one of them, and others are refused."""
    with subject.open() as env:
        metadata = env.metadata
    expect(
        "ansi" in metadata.get("render_modes", ()), f"render_modes is {metadata.get('render_modes')}; expected 'ansi' in it."
    )
    expect(
        "render_fps" in metadata, "metadata has no render_fps.", 'Declare metadata = {"render_modes": [...], "render_fps": 1}.'
    )
    untried = [found for mode in metadata["render_modes"] if (found := _check_mode(subject, mode))]
    try:
        with subject.open(render_mode="no such mode"):
            pass
    except Exception:
        return "; ".join(untried)
    raise CheckFailed("render_mode='no such mode' was accepted.")


def _check_mode(subject: Subject, mode: str) -> str:
    """Check one render mode; return why it was not tried, where an extra is missing."""
    with subject.open(render_mode=mode) as env:
        env.reset(seed=subject.seed)
        env.action_space.seed(subject.seed)
        for moment in ("after reset", "after step"):
            if moment == "after step":
                env.step(env.action_space.sample())
            try:
                frame = env.render()
            except MissingExtraError as missing:
                if mode == "ansi":
                    raise
                return f"mode {mode!r} was not tried: {missing}"
            wanted = str if mode == "ansi" else np.ndarray if mode == "rgb_array" else object
            expect(isinstance(frame, wanted), f"render() in mode {mode!r} returned a {type(frame).__name__} {moment}.")
            expect(not isinstance(frame, str) or frame.strip(), f"render() in mode {mode!r} is empty {moment}.")
    return ""


def check_close(subject: Subject) -> str:
    """Closing twice is harmless, before and after play."""
    for resets in (False, True):
        env = subject.make()
        if resets:
            env.reset(seed=subject.seed)
        env.close()
        env.close()
    return ""


def check_vector(subject: Subject) -> str:
    """`make_vec` works in mode "sync" and through the vector entry point, with equal results."""
    with subject.open() as env:
        spec = env.spec
        # of worlds that wait for something, one loop plays one after the other; those belong into workers
        is_wanted = isinstance(env.unwrapped, TextEnv) and not env.unwrapped.blocks
        env.action_space.seed(subject.seed)
        actions = [tuple(env.action_space.sample() for _ in range(2)) for _ in range(subject.budget.vector_steps)]
    if spec is None:
        raise CheckFailed("The environment has no spec, so make_vec cannot make it.", "Register it with gymnasium.register.")
    has_entry_point = spec.vector_entry_point is not None and not spec.additional_wrappers  # Gymnasium takes no wrappers there
    expect(
        spec.vector_entry_point is not None or not is_wanted,
        "There is no vector_entry_point.",
        f"Register with vector_entry_point='palaestra.envs.core.vector:{spec.id}'; SyncVectorEnv is slow for text.",
    )
    modes = ["sync", "vector_entry_point"] if has_entry_point else ["sync"]
    transcripts = []
    for mode in modes:
        vector = gymnasium.make_vec(spec, num_envs=2, vectorization_mode=mode)
        try:
            observations, infos = vector.reset(seed=subject.seed)
            transcript: list[Any] = [[told(observations), told(infos)]]
            for batch in actions:
                observations, rewards, terminations, truncations, infos = vector.step(batch)
                flags = [rewards.tolist(), terminations.tolist(), truncations.tolist()]
                transcript.append([told(observations), *flags, told(infos)])
            transcripts.append(transcript)
        finally:
            vector.close()
    parted = difference(transcripts[0], transcripts[-1])
    expect(not parted, f"The vector entry point differs from SyncVectorEnv {parted}")
    return "" if len(modes) == 2 else "only mode 'sync' was tried: no vector_entry_point, or wrappers"


def _play_to_the_end(subject: Subject, env: gymnasium.Env[Any, Any]) -> bool:
    """Play drawn actions until the episode ends; False if it does not in time."""
    env.reset(seed=subject.seed)
    env.action_space.seed(subject.seed)
    for _ in range(subject.budget.drawn_turns):
        _, _, terminated, truncated, _ = env.step(env.action_space.sample())
        if terminated or truncated:
            return True
    return False
