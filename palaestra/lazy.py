"""Names that are imported when they are first used, so that importing a package stays light: public ones, and registered ones.

A package writes `__getattr__, __dir__ = lazy_names(__name__, {"module": ("Name", ...)})`, next to the same imports under
`TYPE_CHECKING` for type checkers and editors (PEP 562).
"""

from __future__ import annotations

import importlib
import os
import sys
import sysconfig
import traceback
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from types import ModuleType
from typing import Any

from palaestra.errors import ConfigError, MissingExtraError, UsageError, unknown_name

TORCH_PACKAGES = ("torch", "transformers", "tokenizers")


def lazy_names(
    package: str, homes: Mapping[str, Sequence[str]], *, eager: Sequence[str] = (), feature: str = "", extra: str = ""
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return the `__getattr__` and `__dir__` of a package whose public names come from its modules.

    Args:
        package: `__name__` of the package.
        homes: Public names by the module that holds them, relative to the package; "NAME as ALIAS" gives one another name.
        eager: Public names that the package has imported itself.
        feature: What the package does, for the error about a missing extra.
        extra: Extra that brings torch and what goes with it; "" if no name needs it.
    """
    origins: dict[str, tuple[str, str]] = {}
    for home, names in homes.items():
        for entry in names:
            name, _, alias = entry.partition(" as ")
            origins[alias or name] = (home, name)

    def get(name: str) -> Any:
        if name not in origins:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        home, original = origins[name]
        return getattr(import_or_name_extra(f"{package}.{home}", feature, extra), original)

    return get, lambda: sorted([*origins, *eager])


def import_or_name_extra(module: str, feature: str, extra: str) -> ModuleType:
    """Import a module; if torch or what goes with it is missing, the error names the extra that brings it.

    Args:
        module: Dotted name.
        feature: What needs the module, for the error.
        extra: The extra; "" raises the import's own error.

    Raises:
        MissingExtraError: If a package of the extra is not installed.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if extra and error.name is not None and error.name.partition(".")[0] in TORCH_PACKAGES:
            raise MissingExtraError(feature, extra) from error
        raise


def look_in_working_directory() -> None:
    """Let modules of the working directory be found from now on, after those that are installed.

    For names that a user types; one that was read out of a file of somebody else is not to choose what is imported from here.
    """
    here = os.getcwd()
    if "" not in sys.path and here not in sys.path:
        sys.path.append(here)
    importlib.invalidate_caches()


def import_users(module: str, named_by: str) -> ModuleType:
    """Import a module that a user names; whatever its code does on the way, a failure is one clear error.

    Args:
        module: Dotted name.
        named_by: What names it, for the error, e.g. "The scorer 'mine:score'".

    Raises:
        UsageError: With the module, the error and its line.
        KeyboardInterrupt: If it was interrupted from outside.
    """
    if not all(part.isidentifier() for part in module.split(".")):
        raise UsageError(
            f"{named_by} names the module {module!r}; expected the dotted name of a module, e.g. my_package.my_module."
        )
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if f"{module}.".startswith(f"{error.name}."):
            raise UsageError(
                f"{named_by} names the module {error.name!r}, which is not installed, and in no folder that Python looks in. "
                "Install it, or name its folder: PYTHONPATH=FOLDER. In the current folder it is found where the name is typed "
                "on a command line, or stands in a recipe given there."
            ) from error
        raise _import_failed(module, named_by, error) from error
    except BaseException as error:  # SystemExit too: somebody's own code may fail in any way while it is imported
        if isinstance(error, KeyboardInterrupt) and not _is_raised_by_code(error):
            raise
        raise _import_failed(module, named_by, error) from error


def _import_failed(module: str, named_by: str, error: BaseException) -> UsageError:
    """Return the error for a module whose code failed, with the line to look at."""
    if isinstance(error, SyntaxError) and error.filename:
        file, line, text = error.filename, error.lineno, error.msg
    else:
        shipped = (sysconfig.get_path("stdlib"), "<")  # site-packages lies in it; "<frozen importlib._bootstrap>"
        frames = [one for one in traceback.extract_tb(error.__traceback__)[1:] if not one.filename.startswith("<frozen")]
        own = [one for one in frames if not one.filename.startswith(shipped)] or frames
        file, line, text = (own[-1].filename, own[-1].lineno, str(error)) if own else ("", None, str(error))
    where = f" ({os.path.basename(file)}, line {line})" if file else ""
    said = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return UsageError(f"{named_by} names the module {module!r}, and importing it failed with {said}{where}. Correct it.")


def _is_raised_by_code(error: BaseException) -> bool:
    """Whether a line of code raised an error, and not a signal that arrived there."""
    frames = traceback.extract_tb(error.__traceback__)
    return bool(frames) and (frames[-1].line or "").lstrip().startswith("raise")


def entry_points_of(group: str) -> dict[str, str]:
    """Return the entry points of a group of installed packages: `module:attribute` by name."""
    from importlib.metadata import entry_points

    return {point.name: point.value for point in entry_points(group=group)}


def import_named(
    what: str,
    name: str,
    ours: Mapping[str, str],
    others: Mapping[str, str],
    *,
    fits: Callable[[Any], bool],
    expected: str,
    attribute: str = "",
) -> Any:
    """Import what a registry has under a name: ours, else what an installed package offers.

    Args:
        what: What is registered, e.g. "model kind", for messages.
        name: Its name.
        ours: `module:attribute` by name of this package.
        others: The same of installed packages, e.g. from `entry_points_of`.
        fits: Whether an object is one of those that are registered.
        expected: What it should be, for the error.
        attribute: Taken where a target names a module alone.

    Raises:
        UnknownNameError: If there is nothing of this name.
        MissingExtraError: If torch is not installed and the module needs it.
        ConfigError: If there is something else under it, or something that calls itself otherwise.
    """
    target = ours.get(name) or others.get(name)
    if target is None:
        raise unknown_name(what, name, sorted({*ours, *others}))
    module, _, own = target.partition(":")
    found = getattr(import_or_name_extra(module, f"The {what} {name!r}", "train"), own or attribute, None)
    if not fits(found):
        raise ConfigError(f"{target} is a {type(found).__name__}; expected {expected}.")
    if (own_name := getattr(found, "name", name)) != name:
        raise ConfigError(f"{target} is registered as {name!r} and calls itself {own_name!r}; expected one name.")
    return found


__all__ = ["entry_points_of", "import_named", "import_or_name_extra", "import_users", "lazy_names"]
