"""The command that starts a keeper: inside bubblewrap, or bare for those who ask for it by name."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

INSTALL = "Install bubblewrap (apt-get install bubblewrap, dnf install bubblewrap) or put `bwrap` on PATH"
NOBODY = "65534"


def find_bubblewrap() -> str:
    """Return the path of `bwrap`, "" if it is not on PATH."""
    return shutil.which("bwrap") or ""


def interpreter() -> str:
    """Return the real path of this interpreter, outside of a virtual environment."""
    return os.path.realpath(getattr(sys, "_base_executable", "") or sys.executable)


def python_command(text: str, config: str) -> list[str]:
    """Return the command of an interpreter that reads no variable and no site folder, with sets in the same order always."""
    return [interpreter(), "-s", "-P", "-S", "-B", "-c", text, config]


def confined_command(bwrap: str, filter_fd: int, packages: list[Path], command: list[str]) -> list[str]:
    """Return a command inside bubblewrap.

    Everything is unshared (network, processes, mounts, IPC, users, host name), all capabilities are dropped, the user is
    nobody, and of the file system only `/usr` and the interpreter are there, read-only: no /proc, /dev, /etc, /home or /tmp.

    Args:
        bwrap: Path of bubblewrap.
        filter_fd: Descriptor with the outer filter.
        packages: Third-party packages that programs may import; each is bound read-only below `/site`.
        command: What runs inside.
    """
    words = [bwrap, "--unshare-all", "--as-pid-1", "--die-with-parent", "--new-session", "--clearenv"]
    words += ["--setenv", "PYTHONHASHSEED", "0", "--setenv", "PYTHONUTF8", "1", "--setenv", "TZ", "UTC"]
    words += ["--uid", NOBODY, "--gid", NOBODY, "--hostname", "sandbox", "--cap-drop", "ALL", "--ro-bind", "/usr", "/usr"]
    for name in ("lib", "lib64", "bin"):
        path = Path("/") / name
        if path.is_symlink():
            words += ["--symlink", os.readlink(path), str(path)]
        elif path.exists():
            words += ["--ro-bind", str(path), str(path)]
    base = Path(sys.base_prefix).resolve()
    if not base.is_relative_to("/usr"):
        words += ["--ro-bind", str(base), str(base)]
    for package in packages:
        words += ["--ro-bind", str(package), f"/site/{package.name}"]
    return [*words, "--seccomp", str(filter_fd), "--chdir", "/", *command]


__all__ = ["INSTALL", "confined_command", "find_bubblewrap", "interpreter", "python_command"]
