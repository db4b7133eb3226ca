"""Runs every check on one environment and writes the report."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any, NamedTuple

import gymnasium
from gymnasium.envs.registration import EnvSpec

from palaestra.envs.check import contract, face, figures, seats, state
from palaestra.envs.check.report import CheckFailed, CheckReport, CheckResult
from palaestra.envs.check.subject import BUDGETS, TEXT_ENV_ADVICE, Env, Subject
from palaestra.envs.core.seated import SeatedEnv
from palaestra.envs.registration import conditions, find_spec
from palaestra.errors import unknown_name


class Check(NamedTuple):
    """One promise.

    Attributes:
        name: What the report calls it.
        run: Tries it.
        fix: What usually fixes it.
        every_seat: Whether it is tried again from every further seat of an environment with several.
    """

    name: str
    run: Callable[[Subject], str]
    fix: str
    every_seat: bool = True


CHECKS = (
    Check("gymnasium", face.check_gymnasium, "Do what Gymnasium's message says; it comes from gymnasium.utils.env_checker."),
    Check("identity", face.check_identity, "Register it as namespace/Name-vN by a string entry point."),
    Check("spaces", face.check_spaces, "Pass TextEnv a picklable sampler that draws from the generator it is given."),
    Check(
        "samples",
        face.check_samples,
        "Give the action space a sampler of the environment's own grammar or tools: ActionSpace(sampler=...).",
    ),
    Check("reset info", contract.check_reset_info, TEXT_ENV_ADVICE),
    Check("step info", contract.check_step_info, "Return a Turn from _act; its docstring says what each field means."),
    Check(
        "media",
        contract.check_media,
        "Put the bytes whenever an episode names them, palaestra.media.current_media().put(data); quote untrusted text with "
        "palaestra.media.escape_tags.",
    ),
    Check("tools", contract.check_tools, "Declare tools with palaestra.envs.tools.tool; the schema comes from the signature."),
    Check(
        "tasks", contract.check_tasks, "Make keys that name the task itself, and tasks that depend on (split, index) alone."
    ),
    Check(
        "task options",
        contract.check_task_options,
        "Resolve options before anything changes, and raise UsageError for what does not exist.",
    ),
    Check("order", face.check_order, "Raise EpisodeStateError from step() unless an episode is being played."),
    Check("turn limit", face.check_turn_limit, "Pass max_turns on to TextEnv."),
    Check("bad actions", contract.check_bad_actions, "Return Turn(message, action_error=message) before anything is changed."),
    Check("wrong types", contract.check_wrong_types, "Raise UsageError for anything but a str or an assistant Message."),
    Check(
        "expert",
        contract.check_expert,
        "Let expert() plan from the current state, and let the rewards of a solved task add up to full_return (1.0).",
    ),
    Check(
        "available actions",
        contract.check_available_actions,
        "List actions that _act accepts now, computed without changing the world; return None where there is no such list.",
    ),
    Check("metrics", figures.check_metrics, figures.METRICS_ADVICE, False),
    Check(
        "results",
        figures.check_results,
        'Name a function of arms: results = "module:function". It returns palaestra.results.EnvResults with cells as text.',
        False,
    ),
    Check("faults", contract.check_faults, "Catch only the errors that a wrong action causes; let all others pass."),
    Check("render", face.check_render, "Return a readable text from render() in mode 'ansi'."),
    Check("close", face.check_close, "Let close() do nothing the second time."),
    Check(
        "seeding",
        state.check_seeding,
        "Draw all chance from self.np_random and build a new world in every reset.",
    ),
    Check(
        "other process",
        state.check_other_process,
        "Sort sets before iterating over them, use hashlib instead of hash(), and no id(), clock or global generator.",
    ),
    Check(
        "global randomness", state.check_global_randomness, "Draw from self.np_random only, never from random or np.random."
    ),
    Check("clock", state.check_clock, "Keep the time in the world's state, as part of the task."),
    Check("snapshot", state.check_snapshot, "Return the whole state of the world from _save, and set all of it in _load."),
    Check("snapshot elsewhere", state.check_snapshot_elsewhere, "Keep nothing in the state that only this process knows."),
    Check("foreign snapshot", state.check_foreign_snapshot, "Check the bytes before touching the state: EpisodeStateError."),
    Check("pickle", state.check_pickle, "Keep lambdas, locks, files and generators out of the environment's attributes."),
    Check("copy", state.check_copy, "Hold all state in the world, and share between copies only what never changes."),
    Check(
        "same either way",
        seats.check_same_either_way,
        "Let scripted players draw from self.chance(seat) only, and tell seats everything in Exchange.told.",
    ),
    Check("privacy", seats.check_privacy, "Tell seats what they may know in Exchange.told, and nothing in any other way."),
    Check("multi-agent", seats.check_multi_agent, "Do what PettingZoo's message says; it comes from pettingzoo.test.", False),
    Check("vector", face.check_vector, "Make environments of one id alike: equal spaces, and no state shared between them."),
)


def check_environment(
    env: str | EnvSpec | Env,
    *,
    seed: int = 0,
    kwargs: Mapping[str, Any] | None = None,
    only: Collection[str] | None = None,
) -> CheckReport:
    """Try everything that the contract promises on one environment.

    Args:
        env: Registered id, spec, or an environment (it is made again from its spec, or copied if it has none).
        seed: Seed of all that is drawn.
        kwargs: Arguments the environment is made with. An environment with several seats is checked from each of them,
            unless they name one (`seat`).
        only: Names of checks; all of them by default.

    Returns:
        A report with one result per check. An environment that raises fails the check; nothing is raised. How much is
        played depends on what a step costs (`cost` in the registration).

    Raises:
        UnknownNameError: If there is no check of a name in `only`.
        gymnasium.error.Error: If nothing is registered under the id.
    """
    names = [check.name for check in CHECKS]
    for name in only or ():
        if name not in names:
            raise unknown_name("check", name, names)
    subject = _subject(env, dict(kwargs or {}), seed)
    results = [
        _run(Check("make", _check_make, "See the error; the environment must be made without other arguments."), subject)
    ]
    if results[0].ok:
        wanted = [check for check in CHECKS if only is None or check.name in only]
        results += [_run(check, subject) for check in wanted]
        for seat in _other_seats(subject):
            results += [_run(check, subject.of_seat(seat), f"{check.name} ({seat})") for check in wanted if check.every_seat]
    return CheckReport(subject.name, tuple(results))


def _other_seats(subject: Subject) -> tuple[str, ...]:
    """Return the seats that are to be checked too: all others, unless one was asked for."""
    with subject.open() as env:
        inner = env.unwrapped
        if not isinstance(inner, SeatedEnv) or (env.spec is not None and "seat" in env.spec.kwargs):
            return ()
        return tuple(seat for seat in inner.seats if seat != inner.seat)


def _subject(env: str | EnvSpec | Env, kwargs: dict[str, Any], seed: int) -> Subject:
    """Return how to make the environment again."""
    if isinstance(env, str):
        env = find_spec(env)
    spec = env if isinstance(env, EnvSpec) else env.spec
    arguments = ", ".join(f"{key}={value!r}" for key, value in kwargs.items())
    if spec is None:
        assert isinstance(env, gymnasium.Env)
        return Subject(str(env), partial(_copied, env, **kwargs), seed)
    name = f"{spec.id}({arguments})" if arguments else spec.id
    make = partial(gymnasium.make, spec, disable_env_checker=True, **kwargs)
    return Subject(name, make, seed, BUDGETS[conditions(spec.id).cost])


def _copied(env: Env, **kwargs: Any) -> Env:
    """Stand in for `gymnasium.make` where there is no spec."""
    if kwargs:
        raise CheckFailed(
            f"{env} has no spec, so it cannot be made with {', '.join(sorted(kwargs))}.",
            "Register it with gymnasium.register and make it with gymnasium.make.",
        )
    return copy.deepcopy(env)


def _check_make(subject: Subject) -> str:
    """The environment can be made."""
    with subject.open() as env:
        return type(env.unwrapped).__name__


def _run(check: Check, subject: Subject, name: str = "") -> CheckResult:
    """Run one check; whatever it raises is a failure of the environment."""
    name = name or check.name
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Gymnasium's checker is asked for its warnings in a check of its own
        try:
            return CheckResult(name, True, check.run(subject))
        except CheckFailed as failure:
            return CheckResult(name, False, failure.detail, failure.fix or check.fix)
        except Exception as error:
            return CheckResult(name, False, f"{type(error).__name__}: {error}", check.fix)


__all__ = ["CHECKS", "Check", "check_environment"]
