"""`LighthouseEnv`: a lamp behind an address; what an environment on a server looks like, and its partner for tests."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from palaestra.envs import Engine, EngineEnv, GeneratedTasks, Task, Turn
from palaestra.errors import EnvironmentFault, UsageError
from palaestra.types import Json, Message

COLOURS = ("red", "white", "green")


class Line(Engine):
    """A connection to a lighthouse: one line, one answer."""

    def __init__(self, host: str, port: int) -> None:
        """Connect."""
        self._socket = socket.create_connection((host, port), timeout=5.0)
        self._file = self._socket.makefile("rw", encoding="utf-8", newline="\n")
        self._is_open = True

    def ask(self, *words: object) -> str:
        """Send words and return the answer.

        Raises:
            EnvironmentFault: If the server hangs up.
        """
        print(*words, file=self._file, flush=True)
        answer = self._file.readline()
        if not answer:
            raise EnvironmentFault("The lighthouse hung up.")
        return answer.rstrip("\n")

    def is_alive(self) -> bool:
        """Whether the connection was not closed here."""
        return self._is_open

    def close(self) -> None:
        """Hang up."""
        self.kill()

    def kill(self) -> None:
        """Hang up, also under a call that waits."""
        self._is_open = False
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        for end in (self._file, self._socket):
            with contextlib.suppress(OSError, ValueError):
                end.close()


@dataclass(frozen=True)
class Connect:
    """Connects to an address; connections to the same one can stand in for each other."""

    address: str

    def __call__(self) -> Line:
        host, _, port = self.address.rpartition(":")
        return Line(host, int(port))


def make_task(split: str, index: int) -> Task:
    """Return a signal of three colours for training, of four for tests."""
    rng = np.random.default_rng([index, split == "test"])
    signal = [COLOURS[i] for i in rng.integers(len(COLOURS), size=3 + (split == "test"))]
    return Task(f"{split}/{index}", split, data={"signal": signal})


def draw_colour(rng: np.random.Generator) -> str:
    """Draw a colour."""
    return COLOURS[rng.integers(len(COLOURS))]


class LighthouseEnv(EngineEnv[Line]):
    """Show a signal with the lamp of a lighthouse, colour by colour.

    **Action.** A colour. **Observation.** What the lamp has shown since it was last wrong.
    **Reward.** 1 for the whole signal, which ends the episode; `max_turns` truncates it.

    Args:
        address: `HOST:PORT` of the lighthouse.
        max_turns: Colours after which the episode is truncated.
        split: Split that `reset` draws from unless told otherwise.
        render_mode: None or "ansi".
    """

    def __init__(
        self, *, address: str, max_turns: int | None = 12, split: str = "train", render_mode: str | None = None
    ) -> None:
        """Check the address; nobody is called."""
        if not isinstance(address, str) or not address.rpartition(":")[2].isdecimal():
            raise UsageError(f"address is {address!r}; expected HOST:PORT.")
        tasks = GeneratedTasks(make_task, {"train": 20, "test": 20})
        super().__init__(
            tasks, Connect(address), split=split, max_turns=max_turns, sampler=draw_colour, render_mode=render_mode
        )

    def instructions(self) -> str:
        """Return the rules."""
        return f"Name one colour at a time: {', '.join(COLOURS)}. A wrong one starts the signal from its beginning."

    def expert(self) -> Iterator[str | Message]:
        """Yield the colours that are left."""
        while self._playing:
            assert self.task is not None
            yield self.task.data["signal"][int(self._ask(self._dump)[1])]

    def _start(self, engine: Line, task: Task, seed: int) -> str:
        del seed
        return engine.ask("signal", *task.data["signal"])

    def _send(self, engine: Line, action: str | Message) -> Turn:
        word = (action if isinstance(action, str) else action.content).strip().lower()
        if word not in COLOURS:
            problem = f"The lamp has no such colour; name one of {', '.join(COLOURS)}."
            return Turn(problem, action_error=problem)
        shown = engine.ask("show", word)
        is_done = shown.endswith("understood")
        return Turn(shown, float(is_done), is_done, is_done)

    def _dump(self, engine: Line) -> Json:
        signal, place = engine.ask("state").split("|")
        return [signal, int(place)]


class Keeper(socketserver.StreamRequestHandler):
    """The other end: keeps the lamp of one connection."""

    def handle(self) -> None:
        """Answer lines until the other end hangs up."""
        signal: list[str] = []
        place = 0
        for line in self.rfile:
            name, *words = line.decode().split()
            if name == "signal":
                signal, place = words, 0
                answer = f"Show {' '.join(signal)}."
            elif name == "show":
                place = place + 1 if words[0] == signal[place] else int(words[0] == signal[0])
                answer = f"shown: {' '.join(signal[:place])}" + (", understood" if place == len(signal) else "")
            else:
                answer = f"{' '.join(signal)}|{place}"
            with contextlib.suppress(OSError):
                self.wfile.write(f"{answer}\n".encode())


@contextlib.contextmanager
def partner() -> Iterator[dict[str, str]]:
    """Run a lighthouse on loopback, and yield the argument that finds it."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Keeper) as server:
        server.daemon_threads = True
        server.block_on_close = False
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield {"address": f"127.0.0.1:{server.server_address[1]}"}
        finally:
            server.shutdown()
            thread.join()
