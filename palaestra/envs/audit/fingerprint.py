"""Digests of what an environment is made of: a card is of this code and these data."""

from __future__ import annotations

import hashlib
import inspect
import platform
from collections.abc import Iterable
from functools import cache
from importlib import metadata
from pathlib import Path

from palaestra.envs.registration import env_class

_LEFT_OUT = {"__pycache__"}
_ENVS = Path(__file__).parents[1]
_SHARED = ("audit", "check", "core", "formats", "tools")


def hashes_of(env_id: str) -> dict[str, str]:
    """Return digests by what they are of.

    `code` (Python) and `data` (all other files) are of the environment's folder: that of the module that holds its class; of a
    module that is in no package, the module alone. `shared` is the code of this package that every audit runs through.
    Empty where there is no file.
    """
    try:
        source = inspect.getsourcefile(inspect.unwrap(env_class(env_id)))
    except (TypeError, ImportError):
        source = None
    if source is None:
        return {}
    path = Path(source)
    is_package = (path.parent / "__init__.py").is_file()
    files = sorted(found for found in path.parent.rglob("*") if found.is_file()) if is_package else [path]
    files = [found for found in files if not _LEFT_OUT & set(found.relative_to(path.parent).parts)]
    return {
        "code": _digest(path.parent, (found for found in files if found.suffix == ".py")),
        "data": _digest(path.parent, (found for found in files if found.suffix not in (".py", ".pyc", ".md"))),
        "shared": _shared(),
    }


@cache
def _shared() -> str:
    """Return the digest of the code that all audits run through."""
    return _digest(_ENVS.parent, (found for name in _SHARED for found in sorted((_ENVS / name).rglob("*.py"))))


def _digest(root: Path, files: Iterable[Path]) -> str:
    """Return the digest of files, their names below `root` and their contents."""
    found = hashlib.blake2b(digest_size=8)
    for path in files:
        content = path.read_bytes().replace(b"\r\n", b"\n")
        found.update(f"{path.relative_to(root).as_posix()}\0{len(content)}\0".encode())
        found.update(content)
    return found.hexdigest()


def versions() -> dict[str, str]:
    """Return the versions of what an audit runs on."""
    found = {"python": platform.python_version()}
    for name in ("palaestra", "gymnasium", "numpy"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:  # run from a folder
            found[name] = ""
    return found


__all__ = ["hashes_of", "versions"]
