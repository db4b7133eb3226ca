"""Extensions by name: ours, and those of installed packages (entry-point group `palaestra.extensions`)."""

from __future__ import annotations

from palaestra.algorithms.run.extension import Extension
from palaestra.lazy import entry_points_of, import_named

ENTRY_POINTS = "palaestra.extensions"

_OURS = "palaestra.algorithms.run.extensions"
BUILTIN = {
    "sampler": f"{_OURS}.sampler:Sampler",
    "seats": f"{_OURS}.seats:SeatsInTraining",
    "horizon": f"{_OURS}.horizon:Horizon",
    "reward": f"{_OURS}.reward:Reward",
    "noise": f"{_OURS}.noise:Noise",
    "inject": f"{_OURS}.inject:Inject",
    "asynchronous": f"{_OURS}.asynchronous:Asynchronous",
    "average": f"{_OURS}.average:Average",
}
"""Name and place of each, in the order in which their hooks are called; those of packages come after them."""


def extension_names() -> list[str]:
    """Return the names of all extensions that can be used here, in the order in which their hooks are called."""
    return [*BUILTIN, *sorted(_plugins().keys() - BUILTIN.keys())]


def get_extension(name: str) -> type[Extension]:
    """Return an extension by name.

    Raises:
        UnknownNameError: If there is none of this name.
        MissingExtraError: If torch is not installed and the extension needs it.
        ConfigError: If a package offers something else under it.
    """
    return import_named(  # type: ignore[no-any-return]
        "extension",
        name,
        BUILTIN,
        _plugins(),
        fits=lambda found: isinstance(found, type) and issubclass(found, Extension),
        expected="a subclass of palaestra.algorithms.run.extension.Extension",
    )


def _plugins() -> dict[str, str]:
    """Return the extensions that installed packages offer, by name."""
    return entry_points_of(ENTRY_POINTS)


__all__ = ["BUILTIN", "ENTRY_POINTS", "extension_names", "get_extension"]
