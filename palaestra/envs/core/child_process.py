"""An engine in a child process that answers one line with one line."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from io import FileIO
from typing import Any

from palaestra.envs.core.engines import NEXT_MOVE, Engine
from palaestra.errors import EnvironmentFault, UsageError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

MAX_LINE_BYTES = 64 * 2**20
MAX_ERROR_BYTES = 2**20
"""Of standard error that is kept; when there is more, it begins again."""

SHOWN_ERROR_CHARS = 500
GRACE_S = 2.0
"""Seconds that the process has to end by itself after its standard input was closed."""


class ChildProcess(Engine):
    """A child process that reads a line from standard input and answers with a line on standard output.

    It should end when its standard input does: then it also ends with a parent that was killed. It runs in a process group of
    its own, which is killed as a whole, so that a launcher script takes along what it has started.

    Args:
        command: Program and arguments; never a shell.
        env: Environment variables in addition to those of this process.
        cwd: Folder to run in.

    Raises:
        FileNotFoundError: If there is no such program.
    """

    def __init__(
        self, command: Sequence[str], *, env: Mapping[str, str] | None = None, cwd: str | os.PathLike[str] | None = None
    ) -> None:
        """Start it; `ask` waits for it."""
        self.command = tuple(command)
        self._buffer = bytearray()
        self._num_asked = 0
        self._is_asking = self._is_killed = False
        self._errors = _append_only_file()  # a pipe that nobody reads would fill up and block the child
        group: dict[str, Any] = {"process_group": 0} if os.name == "posix" else {}
        all_env = None if env is None else {**os.environ, **env}
        try:
            pipe = subprocess.PIPE
            self._process = subprocess.Popen(
                self.command, stdin=pipe, stdout=pipe, stderr=self._errors, bufsize=0, env=all_env, cwd=cwd, **group
            )
        except BaseException:
            self._errors.close()
            raise
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._input, self._output = self._process.stdin, self._process.stdout

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self._process.pid

    def ask(self, line: str) -> str:
        """Send a line and return the answer, both without the line's end.

        Args:
            line: Text without line breaks; send JSON where there may be some.

        Raises:
            EnvironmentFault: If the process ends instead of answering.
            UsageError: If `line` holds a line break.
        """
        if "\n" in line:
            raise UsageError(f"The line {line[:80]!r} holds a line break; send it as JSON.")
        data = line.encode() + b"\n"
        self._is_asking = True
        try:
            self._write(data)
            return self._read_line().decode(errors="replace")
        except (OSError, ValueError) as error:  # a ValueError where `kill` has closed the pipe
            raise self._death(f" ({error})") from None
        finally:
            self._is_asking = False

    def is_alive(self) -> bool:
        """Whether the process runs."""
        if not self._is_killed and self._process.poll() is not None:
            self._kill_group()  # at once: later the number might be another's
        return not self._is_killed

    def close(self) -> None:
        """Close its standard input, and give it a moment to end."""
        with contextlib.suppress(OSError):
            self._input.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(GRACE_S)

    def kill(self) -> None:
        """Kill the process and its group, and close its files, unless a call still reads them."""
        self._kill_group()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(GRACE_S)
        if not self._is_asking:
            self._close_files()

    def forget(self) -> None:
        """Close this process's copies of the pipes; the child belongs to another process."""
        self._is_killed = True
        self._process.returncode = 0
        self._close_files()

    def _write(self, data: bytes) -> None:
        """Send all of the data."""
        self._num_asked += 1
        if self._num_asked % 256 == 0 and os.fstat(self._errors.fileno()).st_size > MAX_ERROR_BYTES:
            os.ftruncate(self._errors.fileno(), 0)
        rest = memoryview(data)
        while rest:
            rest = rest[self._input.write(rest) :]

    def _read_line(self) -> bytes:
        """Wait for a whole line."""
        seen = 0
        while (end := self._buffer.find(b"\n", seen)) < 0:
            seen = len(self._buffer)
            if seen > MAX_LINE_BYTES:
                raise self._death(f" (it sent {seen} bytes without a line's end)")
            chunk = self._output.read(2**16)
            if not chunk:
                raise self._death("")
            self._buffer += chunk
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return line

    def _death(self, why: str) -> EnvironmentFault:
        """Return the error of a process that is of no use any more, with the end of what it said on standard error."""
        if not why:  # its output ended: so will it
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(GRACE_S)
        code = self._process.poll()
        state = "was killed" if self._is_killed else "does not answer" if code is None else f"ended with exit code {code}"
        said = ""
        with contextlib.suppress(OSError, ValueError):
            size = os.fstat(self._errors.fileno()).st_size
            said = os.pread(self._errors.fileno(), 4 * SHOWN_ERROR_CHARS, max(0, size - 4 * SHOWN_ERROR_CHARS)).decode(
                errors="replace"
            )
        shown = f" It said: {said.strip()[-SHOWN_ERROR_CHARS:]}" if said.strip() else ""
        return EnvironmentFault(f"The engine {self.command[0]!r} {state}{why}.{shown} {NEXT_MOVE}")

    def _kill_group(self) -> None:
        """Kill the process and whatever it has started, once."""
        if self._is_killed:
            return
        self._is_killed = True
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if os.name == "posix":
                os.killpg(self._process.pid, signal.SIGKILL)
            else:
                self._process.kill()

    def _close_files(self) -> None:
        for file in (self._input, self._output, self._errors):
            with contextlib.suppress(OSError):
                file.close()


def _append_only_file() -> FileIO:
    """Open a file without a name; whoever writes to it goes on at its end, also after it was cut."""
    file = tempfile.TemporaryFile("w+b", buffering=0)  # noqa: SIM115 (closed by `kill`)
    if fcntl is not None:
        flags = fcntl.fcntl(file, fcntl.F_GETFL)
        fcntl.fcntl(file, fcntl.F_SETFL, flags | os.O_APPEND)
    return file


__all__ = ["ChildProcess"]
