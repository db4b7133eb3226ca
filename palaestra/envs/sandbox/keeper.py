"""A keeper, seen from this process: a prepared interpreter in bubblewrap that forks children.

`keeper_main` is its text. Descriptors of children travel over the control socket; nothing else is inherited.
"""

from __future__ import annotations

import base64
import contextlib
import importlib.util
import itertools
import json
import socket
import subprocess
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from palaestra.envs.sandbox.bubblewrap import INSTALL, confined_command, find_bubblewrap, python_command
from palaestra.envs.sandbox.seccomp import inner_program, outer_program
from palaestra.envs.sandbox.spawner import on_spawner
from palaestra.errors import UsageError

MODULES = (
    "__future__", "abc", "base64", "bisect", "calendar", "cmath", "collections", "copy", "dataclasses", "datetime", "decimal",
    "difflib", "enum", "fractions", "functools", "hashlib", "heapq", "itertools", "json", "math", "numbers", "operator",
    "random", "re", "statistics", "string", "textwrap", "time", "types", "typing", "unicodedata", "uuid",
)  # fmt: skip
"""What programs may import of the standard library: modules that only compute."""

PACKAGES = ("dateutil", "pytz", "six")
"""What they may import in addition where it is installed; dateutil needs six."""
PACKAGE_MODULES = ("dateutil", "dateutil.parser", "dateutil.relativedelta", "dateutil.rrule", "dateutil.tz", "pytz")

START_TIMEOUT_S = 20.0
ANSWER_TIMEOUT_S = 20.0


_names = itertools.count(1)
"""Names of children, never the same in two keepers."""


class KeeperGone(Exception):
    """The keeper does not answer; every child of it is lost."""


class Keeper:
    """One sandbox with a prepared interpreter in it.

    Args:
        confined: Whether it runs in bubblewrap; otherwise only the filter and the limits of the children hold.
        now: Seconds since the epoch at which every clock inside stands still.
        seed: Seed of all chance inside.

    Raises:
        UsageError: If bubblewrap is not installed, or the kernel refuses what it asks for.
    """

    def __init__(self, *, confined: bool = True, now: float, seed: int) -> None:
        """Start it and wait until it is ready."""
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._host, inside = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        packages = _installed_packages()
        config = {
            "control": inside.fileno(),
            "filter": base64.b64encode(inner_program()).decode(),
            "modules": [*MODULES, *PACKAGE_MODULES],
            "path": ["/site"] if confined else sorted({str(path.parent) for path in packages}),
            "now": now,
            "seed": seed,
        }
        try:
            with inside, tempfile.TemporaryFile() as filter_file, tempfile.TemporaryFile() as errors:
                filter_file.write(outer_program())
                filter_file.seek(0)
                text = Path(__file__).with_name("keeper_main.py").read_text(encoding="utf-8")
                command = python_command(text, json.dumps(config))
                if confined:
                    command = confined_command(_bubblewrap(), filter_file.fileno(), packages, command)
                self._process = on_spawner(
                    lambda: subprocess.Popen(
                        command,
                        stdin=subprocess.DEVNULL,
                        stdout=subprocess.DEVNULL,
                        stderr=errors,
                        pass_fds=(inside.fileno(), filter_file.fileno()),
                        start_new_session=True,
                        cwd="/",
                        env={"PYTHONHASHSEED": "0", "PYTHONUTF8": "1", "TZ": "UTC"},
                    )
                )
                inside.close()
                self._await_start(errors)
        except BaseException:
            self._host.close()
            raise

    @property
    def pid(self) -> int:
        """Id of the outermost process of the keeper."""
        return self._process.pid

    def fork(self, wire: socket.socket, options: Mapping[str, Any]) -> int:
        """Fork a child that answers on a socket; return the name by which the keeper knows it.

        Nothing is waited for: the child writes a line when it is ready.

        Raises:
            KeeperGone: If the keeper does not listen.
        """
        child = next(_names)
        self._tell({"op": "fork", "child": child, **options}, [wire.fileno()])
        return child

    def stop(self, child: int) -> None:
        """Keep a child from running until it is to continue."""
        self._tell({"op": "stop", "child": child})

    def resume(self, child: int) -> None:
        """Let a child run, and wait until it may."""
        self._ask({"op": "continue", "child": child})

    def end(self, child: int) -> None:
        """Kill a child."""
        self._tell({"op": "end", "child": child})

    def reap(self, child: int) -> int:
        """Kill a child, if it still runs, and return its wait status; -1 if there is none of this name.

        Raises:
            KeeperGone: If the keeper does not answer.
        """
        return self._ask({"op": "end", "child": child})

    def close(self) -> None:
        """End it with all its children; threads that wait for an answer get `KeeperGone`."""
        with contextlib.suppress(OSError):
            self._host.shutdown(socket.SHUT_RDWR)
        with self._lock:  # nobody is about to use the number of the descriptor
            self._host.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(0.2)
        if self._process.returncode is None:
            self._process.kill()
            self._process.wait()

    def abandon(self) -> None:
        """Let go of it after a fork: it belongs to the parent process."""
        self._host.close()
        self._process.returncode = 0  # or Popen warns of a process that still runs

    def _await_start(self, errors: Any) -> None:
        """Wait for the first message; raise with the words of bubblewrap if there is none."""
        self._host.settimeout(START_TIMEOUT_S)
        try:
            ready = self._host.recv(100)
        except OSError:
            ready = b""
        self._host.settimeout(ANSWER_TIMEOUT_S)
        if not ready:
            self._process.kill()
            self._process.wait()
            errors.seek(0)
            said = errors.read(2000).decode("utf-8", "replace").strip().splitlines()
            raise UsageError(
                f"The sandbox could not be started: {said[-1] if said else 'no words'}. The executor 'process' needs "
                "bubblewrap and user namespaces; see what works here with: palaestra sandbox doctor"
            )

    def _tell(self, request: Mapping[str, Any], descriptors: Sequence[int] = ()) -> None:
        """Send a request."""
        with self._lock:
            try:
                socket.send_fds(self._host, [json.dumps(request).encode()], descriptors)
            except (OSError, ValueError) as error:
                raise KeeperGone from error

    def _ask(self, request: Mapping[str, Any]) -> int:
        """Send a request and return the answer to it; answers that nobody waited for, after an interrupt, are dropped."""
        number = next(self._numbers)
        with self._lock:
            try:
                self._host.send(json.dumps({**request, "number": number}).encode())
                while True:
                    data = self._host.recv(1 << 16)
                    if not data:
                        raise KeeperGone
                    reply = json.loads(data)
                    if reply["number"] == number:
                        return int(reply["answer"])
            except OSError as error:
                raise KeeperGone from error


def _bubblewrap() -> str:
    """Return the path of bubblewrap, or say what to install."""
    found = find_bubblewrap()
    if not found:
        raise UsageError(f"The executor 'process' needs bubblewrap, and `bwrap` is not on PATH. {INSTALL}.")
    return found


def _installed_packages() -> list[Path]:
    """Return where the allowed third-party packages are; an empty list if none is installed."""
    found = []
    for name in PACKAGES:
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.origin:
            origin = Path(spec.origin)
            found.append(origin.parent if origin.name == "__init__.py" else origin)
    return found
