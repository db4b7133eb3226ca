"""Files that a user points to: regular ones are read, to a limit; everything else is one clear error.

A path may lead to anything: a pipe would block, a device never ends, links may lead in a circle, and a folder may be
named like a file. All data from a user's path is read here.
"""

from __future__ import annotations

import errno
import os
import stat
import tomllib
from pathlib import Path
from typing import Any, Literal

from palaestra.errors import ConfigError

MAX_FILES = 20_000
"""Entries of a folder that are looked at; the game has some 1,300 recipes."""

_KINDS = (
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISDIR, "a folder"),
)
_REASONS = {
    errno.ELOOP: "its links lead in a circle",
    errno.ENAMETOOLONG: "it is too long",
    errno.EACCES: "there is no right to read it",
    errno.EPERM: "there is no right to read it",
}
_SHOWN = 200


def parse_toml(text: str) -> dict[str, Any]:
    """Return the table that a TOML text stands for.

    Args:
        text: The text.

    Raises:
        ValueError: If it is not TOML, is nested too deeply to be read, or has a number with too many digits to be written.
    """
    try:
        found = tomllib.loads(text)
        repr(found)  # hexadecimal numbers are read at any length, and no message could show them
    except RecursionError:
        raise ValueError("its values are nested too deeply to be read") from None
    return found


def place_of(path: str | Path) -> Path:
    """Return a path with `~` replaced.

    Raises:
        ConfigError: If it is empty, or names the home of an unknown user.
    """
    if not str(path):
        raise ConfigError("The path is empty; give that of a file or a folder.")
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise ConfigError(f"The path {shown(path)} cannot be used ({error}); write it out.") from None


def kind_of(path: Path) -> Literal["file", "folder", "nothing"]:
    """Return the kind of thing at a path.

    Raises:
        ConfigError: If that is neither a file nor a folder, or nobody can tell.
    """
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return "nothing"
    except (OSError, ValueError) as error:
        raise _refused(path, error) from None
    if stat.S_ISREG(mode):
        return "file"
    if stat.S_ISDIR(mode):
        return "folder"
    raise _other(path, mode)


def files_in(folder: Path, suffix: str, *, is_strict: bool = True) -> list[Path]:
    """Return the files of a folder by the end of their names, sorted; empty if there is no such folder.

    Args:
        folder: The folder.
        suffix: End of the names.
        is_strict: Whether something so named that is not a file is an error; otherwise it is left out.

    Raises:
        ConfigError: If the folder cannot be read or holds too much, or if something so named is not a file.
    """
    found = []
    try:
        with os.scandir(folder) as entries:
            for number, entry in enumerate(entries):
                if number >= MAX_FILES:
                    raise ConfigError(f"{shown(folder)} has more than {MAX_FILES:,} entries; is it the right folder?")
                if entry.name.endswith(suffix) and not entry.name.startswith("."):
                    found.append(Path(entry.path))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except (OSError, ValueError) as error:
        raise _refused(folder, error) from None
    if not is_strict:
        return sorted((path for path in found if path.is_file()), key=lambda path: path.name)
    for path in found:
        if kind_of(path) != "file":
            what = "a folder" if path.is_dir() else "a link to nothing"
            raise ConfigError(f"{shown(path)} is {what}; expected a file, as its name says. Move or remove it.")
    return sorted(found, key=lambda path: path.name)


def read_data(path: Path, *, max_bytes: int) -> bytes:
    """Read a file to its end.

    Args:
        path: A regular file, or a link to one.
        max_bytes: Most bytes that are read.

    Raises:
        ConfigError: If it is something else, larger, or cannot be read.
    """
    try:
        # without waiting: a pipe may have taken the place of the file that was looked at
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        with open(descriptor, "rb") as file:
            mode = os.fstat(descriptor).st_mode
            if not stat.S_ISREG(mode):
                raise _other(path, mode)
            data = file.read(max_bytes + 1)
    except (OSError, ValueError) as error:
        raise _refused(path, error) from None
    if len(data) > max_bytes:
        raise ConfigError(f"{shown(path)} is larger than {max_bytes:,} bytes; is it the right file?")
    return data


def read_text(path: Path, *, max_bytes: int) -> str:
    """Read a file of UTF-8 text, as `read_data` does; a byte order mark is skipped, line ends become one character."""
    data = read_data(path, max_bytes=max_bytes)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{shown(path)} is not UTF-8 text ({error.reason} at byte {error.start}); save it as UTF-8."
        ) from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def shown(path: str | Path) -> str:
    """Return a path as messages show it, in quotation marks, shortened if it is long."""
    text = str(path)
    return repr(text if len(text) <= _SHOWN else f"{text[: _SHOWN // 2]}...{text[-_SHOWN // 4 :]}")


def _other(path: Path, mode: int) -> ConfigError:
    """Return the error for what is not a regular file."""
    what = next((name for check, name in _KINDS if check(mode)), "not a file")
    return ConfigError(f"{shown(path)} is {what}; expected a regular file.")


def _refused(path: Path, error: Exception) -> ConfigError:
    """Return the error for a path that the system refuses."""
    reason = error.strerror or type(error).__name__ if isinstance(error, OSError) else str(error)
    reason = _REASONS.get(error.errno or 0, reason) if isinstance(error, OSError) else reason
    return ConfigError(f"{shown(path)} cannot be read: {reason}. Give the path of a file or folder that can be.")


__all__ = ["MAX_FILES", "files_in", "kind_of", "parse_toml", "place_of", "read_data", "read_text", "shown"]
