"""All environment ids, and the way in for third parties.

Gymnasium loads no entry points of its own since 1.0: importing `palaestra` calls `register_environments()` here, which
registers the ids of this package and asks installed plugins for theirs. Entry points are strings: nothing of an
environment is imported before `gymnasium.make`.

To add an environment of this package, add one `_register(...)` line below. A third party registers with Gymnasium as
usual, or names in its package metadata, under the group `palaestra.envs`, a function without arguments that does so
(or a module whose import does).

What an environment needs beyond the base install (an extra, a program, an argument such as an address) stands in its
registration. `missing` says in one line what is not there, without importing or starting anything; `gymnasium.make` raises
the same as one error.
"""

from __future__ import annotations

import contextlib
import difflib
import importlib
import os
import re
import sys
import warnings
from collections.abc import Collection, Iterator
from typing import Any, Literal, NamedTuple, get_args

import gymnasium
from gymnasium.envs.registration import EnvSpec, parse_env_id, registry

from palaestra.errors import ConfigError, MissingExtraError, UnknownNameError, UsageError, unknown_name
from palaestra.lazy import import_users

PLUGIN_GROUP = "palaestra.envs"

Cost = Literal["cheap", "engine", "browser"]
"""What a step costs: microseconds of Python, milliseconds of an engine, most of a second in a browser."""


class Need(NamedTuple):
    """Something outside of Python that an environment needs.

    Attributes:
        programs: Names of programs, any of which will do.
        remedy: How to get one.
        homes: Environment variables that may name a folder with such a program in `bin`.
    """

    programs: tuple[str, ...]
    remedy: str
    homes: tuple[str, ...] = ()


NEEDS = {
    "java": Need(("java",), "Install a Java runtime, e.g. with: apt install default-jre-headless", ("JAVA_HOME",)),
    "browser": Need(
        ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"),
        "Install Chromium, e.g. with: apt install chromium",
    ),
}
"""Needs by name; any other name is that of a program."""


class Conditions(NamedTuple):
    """What has to be there for an environment to be made, and what it costs to play it.

    Attributes:
        entry_point: `module:name` of the class.
        extra: Extra of this package that it needs.
        needs: Names of `NEEDS`, or of programs.
        arguments: Arguments that have to be given to `gymnasium.make`.
        cost: What a step costs; checks and tests play accordingly fewer examples.
        for_tests: `module:name` of a context manager that yields the arguments to test it with.
    """

    entry_point: str = ""
    extra: str = ""
    needs: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    cost: Cost = "cheap"
    for_tests: str = ""


_plugin_ids: set[str] = set()
_conditions: dict[str, Conditions] = {}


_AGENTGYM = "palaestra.envs.agentgym"
_QUESTIONS = "palaestra.envs.twenty_questions.env:TwentyQuestionsEnv"


def register_environments() -> None:
    """Register every id of this package and of its plugins; called by `import palaestra`, harmless when repeated."""
    _register("palaestra/TextCraft-v0", "palaestra.envs.agentgym.textcraft.env:TextCraftEnv", max_turns=30)
    _register("palaestra/BabyAI-v0", "palaestra.envs.agentgym.babyai.env:BabyAIEnv", extra="agentgym", cost="engine")
    _register("palaestra/Maze-v0", "palaestra.envs.agentgym.maze.env:MazeEnv")
    _register(
        "palaestra/SciWorld-v0", f"{_AGENTGYM}.sciworld.env:SciWorldEnv", extra="agentgym", needs=("java",), cost="engine"
    )
    _register("palaestra/ALFWorld-v0", "palaestra.envs.agentgym.alfworld.env:ALFWorldEnv", max_turns=30)
    _register("palaestra/CriticTool-v0", "palaestra.envs.critic.env:CriticEnv")
    _register("palaestra/Desk-v0", "palaestra.envs.desk.env:DeskEnv", max_turns=30)
    _register("palaestra/ToolForge-v0", "palaestra.envs.toolforge.env:ToolForgeEnv", extra="tools", max_turns=20)
    _register("palaestra/TwentyQuestions-v0", _QUESTIONS, max_turns=20, things=16, guesses=0)
    _register("palaestra/TwentyQuestions-v1", _QUESTIONS, max_turns=20)
    _register("palaestra/VehicleWorld-v0", "palaestra.envs.vehicle.env:VehicleWorldEnv", max_turns=60)
    _register("palaestra/Wordle-v0", "palaestra.envs.agentgym.wordle.env:WordleEnv", max_turns=8)
    if _any_plugin_installed(sys.path):
        load_plugins()


def list_envs() -> list[str]:
    """Return the ids of all environments registered by this package and its plugins, sorted.

    Versions that a later one supersedes are left out; they can be made, with Gymnasium's warning that they are out of date.
    """
    ours = [env_id for env_id in registry if env_id.startswith("palaestra/") or env_id in _plugin_ids]
    newest: dict[tuple[str | None, str], int] = {}
    for namespace, name, version in map(parse_env_id, ours):
        newest[namespace, name] = max(version or 0, newest.get((namespace, name), 0))
    return sorted(env_id for env_id in ours if _version(env_id) == newest[parse_env_id(env_id)[:2]])


def _version(env_id: str) -> int:
    """Return the version of an id, 0 without one."""
    return parse_env_id(env_id)[2] or 0


def load_plugins() -> None:
    """Let every installed package with an entry point in the group `palaestra.envs` register its environments.

    A plugin that fails is reported by a warning with its name; the others, and `import palaestra`, go on.
    """
    from importlib.metadata import entry_points

    for entry_point in sorted(entry_points(group=PLUGIN_GROUP), key=lambda found: (found.name, found.value)):
        before = set(registry)
        try:
            plugin = entry_point.load()
            if callable(plugin):
                plugin()
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # SystemExit too: a script that was not meant to be imported
            package = "an unknown package" if entry_point.dist is None else f"package {entry_point.dist.name!r}"
            warnings.warn(
                f"The environment plugin {entry_point.name!r} of {package} ({entry_point.value}) failed with "
                f"{type(error).__name__}: {error}. Its environments may be missing; fix, update or uninstall it.",
                stacklevel=2,
            )
        finally:
            _plugin_ids.update(set(registry) - before)


def register_env(
    env_id: str,
    entry_point: str,
    *,
    extra: str = "",
    needs: tuple[str, ...] = (),
    arguments: tuple[str, ...] = (),
    cost: Cost = "cheap",
    for_tests: str = "",
    **kwargs: Any,
) -> None:
    """Register a `TextEnv` with the fast vector environment for text, unless its id is registered already.

    Args:
        env_id: Id of the form namespace/Name-vN.
        entry_point: `module:Class`; it is imported when the environment is made.
        extra: Extra of `palaestra` that it needs.
        needs: What it needs outside of Python: names of `NEEDS`, or of programs.
        arguments: Arguments that have to be given to `gymnasium.make`, e.g. the address of a server.
        cost: What a step costs.
        for_tests: `module:function` of a context manager without arguments that yields the arguments to test it with, and
            starts what answers them on loopback; wanted wherever there are `arguments`.
        **kwargs: Arguments that the environment is made with unless others are given.

    Raises:
        ConfigError: If a condition cannot be meant so.
    """
    given: dict[str, object] = {"needs": needs, "arguments": arguments}
    for name, value in given.items():
        if not isinstance(value, tuple) or not all(isinstance(word, str) and word for word in value):
            raise ConfigError(f"{name} of {env_id} is {value!r}; expected a tuple of names, e.g. ('java',).")
    if cost not in get_args(Cost):
        raise unknown_name(f"cost of {env_id}", cost, get_args(Cost))
    if arguments and not for_tests:
        raise ConfigError(f"{env_id} needs the arguments {arguments}; name a context manager that gives them in for_tests.")
    if env_id in registry:
        return
    found = Conditions(entry_point, extra, tuple(needs), tuple(arguments), cost, for_tests)
    _conditions[env_id] = found
    gymnasium.register(
        env_id,
        entry_point=_guarded(env_id, entry_point) if extra or needs or arguments else entry_point,
        vector_entry_point=f"palaestra.envs.core.vector:{env_id}",
        order_enforce=False,  # TextEnv checks the order itself, with better messages and one call less per step
        disable_env_checker=True,  # TextEnv checks what comes and goes; a restored environment may step without a reset
        kwargs=kwargs,
    )


_register = register_env  # as in the table above


def conditions(env_id: str) -> Conditions:
    """Return the conditions an id was registered under; none but the entry point for one that told none."""
    found = _conditions.get(env_id)
    if found is not None:
        return found
    spec = registry.get(env_id)
    return Conditions(spec.entry_point if spec is not None and isinstance(spec.entry_point, str) else "")


def missing(env_id: str, given: Collection[str] = ()) -> str:
    """Return in one line what an environment lacks here, and how to get it; empty if it can be made.

    Args:
        env_id: Registered id.
        given: Names of the arguments that it is to be made with.
    """
    return " ".join(str(problem).removeprefix(f"{env_id} ") for problem in _problems(env_id, given))


def require(env_id: str, given: Collection[str] = ()) -> None:
    """Refuse an environment that lacks something.

    Raises:
        MissingExtraError: If its extra is not installed.
        UsageError: If something else is not there, or an argument is not given.
    """
    for problem in _problems(env_id, given):
        raise problem


@contextlib.contextmanager
def for_tests(env_id: str) -> Iterator[dict[str, Any]]:
    """Yield the arguments to make an environment with in a test, so that no id is exempt from the tests over the registry.

    Where there are some, what answers them (a server on loopback) runs until the end of the block.

    Args:
        env_id: Registered id.

    Raises:
        ConfigError: If the context manager of its registration leaves out an argument that it needs.
    """
    known = conditions(env_id)
    if not known.for_tests:
        yield {}
        return
    with _load(known.for_tests)() as arguments:
        if left_out := sorted(set(known.arguments) - set(arguments)):
            raise ConfigError(f"{known.for_tests} yields no {', '.join(left_out)}, which {env_id} needs.")
        yield dict(arguments)


def find_spec(env_id: str) -> EnvSpec:
    """Return Gymnasium's record of an id, ours or a third party's (`module:Name-v0` imports the module first).

    Raises:
        UnknownNameError: With the nearest id that exists.
        UsageError: If the module cannot be imported, whatever its code fails with.
    """
    module, _, name = env_id.rpartition(":")
    if module:
        import_users(module, repr(env_id))
    try:
        return gymnasium.spec(name)
    except gymnasium.error.Error:
        known = list_envs()
        hint = "List them with: palaestra list"
        if (meant := _meant(name, known)) is not None:
            raise UnknownNameError(f"Unknown environment {env_id!r}. Did you mean {meant!r}? {hint}") from None
        raise unknown_name("environment", env_id, known, hint=hint) from None


def _meant(name: str, env_ids: Collection[str]) -> str | None:
    """Return the id whose name comes near, whatever namespace, version and capitals are; None if none does."""
    by_name = {_bare(env_id): env_id for env_id in env_ids}
    close = difflib.get_close_matches(_bare(name), by_name, n=1, cutoff=0.6)
    return by_name[close[0]] if close else None


def _bare(env_id: str) -> str:
    """Return the name in an id, or in what somebody took for one."""
    return re.sub(r"-?v?[0-9]*\Z", "", env_id.rpartition("/")[2].lower())


def env_class(env_id: str) -> Any:
    """Return the class (or function) that an id is registered with, whether or not its other conditions are met.

    Raises:
        ImportError: If its module, or something that it imports, is not installed.
        gymnasium.error.Error: If there is no such id.
    """
    known = _conditions.get(env_id)
    entry_point = gymnasium.spec(env_id).entry_point if known is None else known.entry_point
    found = _load(entry_point) if isinstance(entry_point, str) else entry_point
    return getattr(found, "__wrapped__", found)


class _Maker:
    """Makes an environment if everything is there that its registration names."""

    def __init__(self, env_id: str, entry_point: str) -> None:
        self._env_id = env_id
        self._entry_point = entry_point

    def __call__(self, **kwargs: Any) -> Any:
        require(self._env_id, kwargs)
        return self.__wrapped__(**kwargs)

    @property
    def __wrapped__(self) -> Any:
        """The class: what `inspect.signature` and `inspect.unwrap` look at."""
        return _load(self._entry_point)

    @property
    def metadata(self) -> Any:
        """Gymnasium reads the render modes here, before it makes the environment."""
        require(self._env_id, conditions(self._env_id).arguments)
        return self.__wrapped__.metadata


def __getattr__(name: str) -> _Maker:
    """Serve the entry points of ids with conditions: see `_guarded`."""
    env_id, *target = name.split(" ")
    if len(target) == 2:
        return _Maker(env_id, ":".join(target))
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _guarded(env_id: str, entry_point: str) -> str:
    """Return an entry point that looks at the conditions of an id first; it works where the id is not registered, too.

    Gymnasium stores entry points as `module:attribute`. The attribute is one that `__getattr__` of this module makes.
    """
    return f"{__name__}:{env_id} {entry_point.replace(':', ' ')}"


def _problems(env_id: str, given: Collection[str]) -> Iterator[UsageError]:
    """Yield an error for each condition that is not met."""
    known = conditions(env_id)
    if known.extra and _is_known_to_be_installed(known.extra):
        pass
    elif known.extra and (extras := _extras()) and known.extra not in extras:
        yield UsageError(
            f"{env_id} is registered with the extra {known.extra!r}, which palaestra does not have; expected one of "
            f"{', '.join(sorted(extras))}. Packages of your own belong into the requirements of your package."
        )
    elif known.extra and not _is_installed(known.extra):
        yield MissingExtraError(env_id, known.extra)
    for name in known.needs:
        need = NEEDS.get(name) or Need((name,), f"Install {name} and put it on the PATH.")
        if not _any_program(need):
            places = "".join(f" or in the folder {home}" for home in need.homes)
            yield UsageError(
                f"{env_id} needs {name}: there is no program {' or '.join(need.programs)} on the PATH{places}. {need.remedy}"
            )
    for name in known.arguments:
        if name not in given:
            yield UsageError(
                f"{env_id} needs the argument {name!r}: gymnasium.make({env_id!r}, {name}=...), or --set {name}=... on the "
                f"command line."
            )


def _any_program(need: Need) -> bool:
    """Whether one of the programs is on the PATH, or in a folder that a variable names."""
    from shutil import which

    folders = [os.path.join(home, "bin") for variable in need.homes if (home := os.environ.get(variable))]
    return any(which(name) or any(which(os.path.join(folder, name)) for folder in folders) for name in need.programs)


def _extras() -> set[str]:
    """Return the extras of this package as far as its metadata is here; empty if it is not."""
    from importlib import metadata

    try:
        lines = metadata.requires("palaestra") or []
    except metadata.PackageNotFoundError:
        return set()
    return {found for line in lines for found in re.findall(r"extra\s*==\s*['\"]([^'\"]+)['\"]", line)}


def _is_installed(extra: str) -> bool:
    """Whether the packages of an extra are there, as far as the metadata of this package can tell."""
    from importlib import metadata

    try:
        lines = metadata.requires("palaestra") or []
    except metadata.PackageNotFoundError:  # run from a folder; what is missing shows when it is imported
        return True
    for line in lines:
        requirement, _, marker = line.partition(";")
        if re.fullmatch(rf"\s*extra\s*==\s*['\"]{re.escape(extra)}['\"]\s*", marker) is None:
            continue
        name, _, inner = requirement.replace(" ", "").partition("[")
        name = re.split(r"[<>=!~(]", name)[0]
        if name == "palaestra":
            if not all(_is_installed(one) for one in inner.partition("]")[0].split(",")):
                return False
            continue
        try:
            metadata.version(name)
        except metadata.PackageNotFoundError:
            return False
    return True


_found_extras: set[tuple[object, ...]] = set()


def _is_known_to_be_installed(extra: str) -> bool:
    """Whether an extra is there; asked once if it is, because reading metadata takes longer than making an environment."""
    from importlib import metadata

    asked = (extra, metadata.requires, metadata.version)  # other functions, as in a test, are asked again
    if asked not in _found_extras:
        if extra not in (_extras() or {extra}) or not _is_installed(extra):
            return False
        _found_extras.add(asked)
    return True


def _load(target: str) -> Any:
    """Import what `module:name` names."""
    module, _, name = target.partition(":")
    return getattr(importlib.import_module(module), name)


def _any_plugin_installed(paths: list[str]) -> bool:
    """Whether any package on `paths` mentions the plugin group in its metadata.

    `importlib.metadata` costs 30 ms to import and ask, a tenth of the whole `import palaestra`; looking for the word in the
    metadata files costs 2 ms. Anything on the path that is no folder (a zip file) is left to the exact way.
    """
    group = PLUGIN_GROUP.encode()
    for path in dict.fromkeys(paths):
        try:
            with os.scandir(path or ".") as folder:
                names = [entry.path for entry in folder if entry.name.endswith((".dist-info", ".egg-info"))]
        except FileNotFoundError:
            continue
        except OSError:
            return True
        for name in names:
            try:
                with open(os.path.join(name, "entry_points.txt"), "rb") as file:
                    if group in file.read():
                        return True
            except OSError:
                continue
    return False


__all__ = [
    "NEEDS",
    "PLUGIN_GROUP",
    "Conditions",
    "Cost",
    "Need",
    "conditions",
    "env_class",
    "find_spec",
    "for_tests",
    "list_envs",
    "load_plugins",
    "missing",
    "register_env",
    "register_environments",
    "require",
]
