"""Public names that are imported when they are first used, so that importing a package stays light.

A package writes `__getattr__, __dir__ = lazy_names(__name__, {"module": ("Name", ...)})`, next to the same imports under
`TYPE_CHECKING` for type checkers and editors (PEP 562).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from types import ModuleType
from typing import Any

from palaestra.errors import MissingExtraError

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


__all__ = ["import_or_name_extra", "lazy_names"]
