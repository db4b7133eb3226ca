"""The simulator ScienceWorld in a JVM of its own.

The package `scienceworld` brings the simulator as a jar, `py4j` the Java side of the bridge to it. Its own launcher is left
aside: it sets no limit to the heap, its episodes are not repeatable, and each of its steps lists all valid actions, which is
nine tenths of the time. The JVM listens on loopback, to the client that knows its token, and ends with this process.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from palaestra.envs.agentgym.sciworld.gateway import Gateway, JavaFailure, Ref
from palaestra.envs.agentgym.sciworld.java import HEAP_MB, NOT_REPEATABLE, Java, find_java, tell_once
from palaestra.envs.core.child_process import ChildProcess
from palaestra.envs.core.engines import NEXT_MOVE
from palaestra.errors import EnvironmentFault, MissingExtraError

UNKNOWN = "No known action matches that input."
"""Reply to a command that the simulator cannot read; nothing changes."""

NOTHING_SAID = "Unknown action.  Type 'help' for a list of actions, and 'objects' for a list of possible object referents. "
"""Reply of the simulator where an action says nothing: above all a number that its menu does not have."""

OUT_OF_MEMORY = 3  # exit code of -XX:+ExitOnOutOfMemoryError
_MENU = "Ambiguous request"  # beginning of the reply where a name fits several things
_QUESTIONS = ("help", "objects", "task")  # answered without playing a turn
_TELEPORT = "teleport to "  # goes to places out of reach
_BLANK = "".join(map(chr, range(33)))  # what Java's trim takes off
_MAX_GREETING = 50  # lines before the port: warnings of the JVM


class Reply(NamedTuple):
    """What the simulator says after a command.

    Attributes:
        text: Observation.
        score: -100 to 100.
        is_over: The task was completed, or failed for good.
    """

    text: str
    score: int
    is_over: bool


class GoldPath(NamedTuple):
    """The simulator's own solution.

    Attributes:
        commands: From the first observation on.
        is_solved: Whether the simulator reached the full score with it.
    """

    commands: tuple[str, ...]
    is_solved: bool


@dataclass(frozen=True)
class StartScienceWorld:
    """Starts a simulator; all are equal."""

    def __call__(self) -> ScienceWorld:
        """Start one.

        Raises:
            UsageError: If there is no Java that can be used.
            MissingExtraError: If the simulator is not installed.
        """
        return ScienceWorld(find_java(), find_jar())


def find_jar() -> Path:
    """Return where the simulator is; its package is not imported.

    Raises:
        MissingExtraError: If it is not installed.
    """
    found = importlib.util.find_spec("scienceworld")
    if found is None or found.origin is None:
        raise MissingExtraError("palaestra/SciWorld-v0", "agentgym")
    return Path(found.origin).with_name("scienceworld.jar")


class ScienceWorld(ChildProcess):
    """A simulator; the first call waits until its JVM is up.

    Args:
        java: The runtime.
        jar: The simulator.
        options: Further options of the JVM.

    Attributes:
        menu_size: Entries of the menu that waits for an answer, numbered from 0; 0 where none waits.
        is_repeatable: Whether equal commands give equal texts in another simulator; known after the first call.
        address: Port and token of the gateway; known after the first call.
    """

    def __init__(self, java: Java, jar: Path, *, options: tuple[str, ...] = ()) -> None:
        """Start the JVM."""
        from py4j.java_gateway import find_jar_path

        self.java = java
        self.is_repeatable = True
        self.address = 0, ""
        self._gateway: Gateway | None = None
        self._server = self._agent = self._chance = Ref("")
        self._score, self._is_over, self.menu_size = 0, False, 0
        self._folder = tempfile.mkdtemp(prefix="palaestra-sciworld-")  # the simulator writes a table where it runs
        path = os.pathsep.join((os.path.abspath(find_jar_path()), str(jar.absolute())))
        jvm = (*java.options, "-XX:+UseSerialGC", "-XX:+ExitOnOutOfMemoryError", *options)
        gateway = ("py4j.GatewayServer", "--die-on-broken-pipe", "--enable-auth", "0")
        try:
            super().__init__([os.path.abspath(java.path), *jvm, "-cp", path, *gateway], cwd=self._folder)
        except BaseException:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise

    # -- what it is asked --------------------------------------------------------------------------------------------

    def load(self, task: str, variation: int, simplifications: str) -> str:
        """Begin an episode.

        Args:
            task: Name of the task, e.g. "boil".
            variation: Number of the variation.
            simplifications: Comma-separated; empty for none.

        Returns:
            The description of the task.

        Raises:
            EnvironmentFault: If the simulator does not know the task, or fails.
        """
        with self._calls() as java:
            self._load(java, task, variation, simplifications, False)
            return str(java.call(self._server, "getTaskDescription"))

    def gold_path(self, task: str, variation: int, simplifications: str) -> GoldPath:
        """Begin an episode and return the simulator's own solution; it takes from one second to a minute."""
        with self._calls() as java:
            self._load(java, task, variation, simplifications, True)
            commands = _lines(java, java.call(self._server, "getGoldActionSequence"))
            # the score is that of the simulator's own play until the next step
            score, is_over = java.call(self._server, "getScore"), java.call(self._server, "getCompleted")
            return GoldPath(tuple(commands), bool(is_over) and _points(score) == 100)

    def step(self, command: str) -> Reply:
        """Play a command.

        Raises:
            EnvironmentFault: If the simulator fails within the command.
        """
        with self._calls() as java:
            if command.strip(_BLANK).lower() in _QUESTIONS:
                return Reply(java.call(self._server, "step", command), self._score, self._is_over)
            # the public call would describe room and inventory first, for a history that nobody reads
            told = java.call(self._agent, "step", command)
            text, score, is_over = str(java.call(told, "toString"))[1:-1].rsplit(",", 2)
            java.free(told)
            if java.call(self._agent, "isInErrorState"):
                said = java.call(self._agent, "getErrorStateMessage")
                raise EnvironmentFault(f"The simulator failed within {command[:80]!r}: {said} {NEXT_MOVE}")
            self.menu_size = _size_of_menu(java, self._agent) if text.startswith(_MENU) else 0
        self._score, self._is_over = _points(float(score)), is_over == "true"
        return Reply(text or NOTHING_SAID, self._score, self._is_over)

    def valid_actions(self) -> list[str]:
        """Return the commands that are accepted now; the numbers of a menu where one waits for an answer.

        The simulator's own list also names what lies in closed containers, which its parser does not look into; such commands
        are left out.

        The simulator draws one of the names of each object, from the generator that its world draws from. Here the draw begins
        from a fixed seed, and the episode has to be loaded again before it goes on.
        """
        if self.menu_size:
            return [str(number) for number in range(self.menu_size)]
        with self._calls() as java:
            java.call(self._chance, "setSeed", 0)
            listed = json.loads(java.call(self._server, "getValidActionObjectCombinationsJSON"))["validActions"]
            within_reach = _within_reach(java, self._agent)
        found = {
            entry["action"]
            for entry in listed
            if entry["action"].startswith(_TELEPORT) or within_reach.issuperset(entry["obj_ids"])
        }
        return sorted(found)

    def num_moves(self) -> int:
        """Return the number of moves that took time."""
        with self._calls() as java:
            return int(java.call(self._server, "getNumMoves"))

    @property
    def server_id(self) -> str:
        """Number of the simulator among the objects of its JVM; known after the first call."""
        return self._server.id

    def task_names(self) -> dict[str, int]:
        """Return the number of variations by task."""
        with self._calls() as java:
            names = _lines(java, java.call(self._server, "getTaskNames"))
            return {name: java.call(self._server, "getTaskMaxVariations", name) for name in names}

    def variations(self, split: str) -> list[int]:
        """Return the variations of a split ("Train", "Dev" or "Test") of the task that is loaded."""
        with self._calls() as java:
            found = java.call(self._server, f"getVariations{split}")
            numbers: list[int] = json.loads(java.call(found, "toString"))
            java.free(found)
            return numbers

    def play_publicly(self, command: str) -> Reply:
        """Play a command as the simulator's own package does, less its list of valid actions: to compare with `step`."""
        with self._calls() as java:
            text = str(java.call(self._server, "step", command))
            score, is_over = java.call(self._server, "getScore"), java.call(self._server, "getCompleted")
            return Reply(text, _points(score), bool(is_over))

    # -- the engine ----------------------------------------------------------------------------------------------------

    def kill(self) -> None:
        """End the JVM at once, from any thread."""
        super().kill()
        shutil.rmtree(self._folder, ignore_errors=True)
        if self._gateway is not None and not self._is_asking:
            self._gateway.close()

    def forget(self) -> None:
        """Close this process's copies of pipes and socket, and send nothing on them."""
        if self._gateway is not None:
            self._gateway.close()
        super().forget()

    # -- private -------------------------------------------------------------------------------------------------------

    def _load(self, java: Gateway, task: str, variation: int, simplifications: str, with_gold_path: bool) -> None:
        problem = java.call(self._server, "load", task, variation, simplifications, with_gold_path)
        box = java.call(self._server, "agentInterface")
        former, self._agent = self._agent, java.call(box, "get")
        java.free(box, *([former] if former.id else []))
        self._score, self._is_over, self.menu_size = 0, False, 0
        if not problem and java.call(self._agent, "isInErrorState"):
            problem = java.call(self._agent, "getErrorStateMessage")
        if problem:
            raise EnvironmentFault(f"The simulator cannot load variation {variation} of {task!r}: {problem}")

    @contextlib.contextmanager
    def _calls(self) -> Iterator[Gateway]:
        """Lend the way to the simulator; failures of the one and the other are faults of the environment."""
        self._is_asking = True  # until then `kill` closes nothing that is being read
        try:
            yield self._gateway or self._connect()
        except JavaFailure as failure:
            raise EnvironmentFault(f"The simulator failed: {str(failure)[:500]} {NEXT_MOVE}") from failure
        except (OSError, ValueError) as error:  # a ValueError where `kill` has closed the pipe
            raise self._death("" if isinstance(error, ConnectionError) else f" ({error})") from error
        finally:
            self._is_asking = False
            if self._is_killed and self._gateway is not None:
                self._gateway.close()

    def _connect(self) -> Gateway:
        """Wait until the JVM is up, and connect to it."""
        self.address = self._greeting()
        self._output.close()  # the simulator prints a lot, which nobody reads: a full pipe would stop it
        self._gateway = java = Gateway(*self.address)
        objects = [java.new("java.lang.Object") for _ in range(3)]
        self.is_repeatable = len({java.call("java.lang.System", "identityHashCode", one) for one in objects}) == 1
        java.free(*objects)
        if not self.is_repeatable:
            tell_once(self.java.path, NOT_REPEATABLE, self.java.path)
        self._server = java.new("scienceworld.runtime.pythonapi.PythonInterface")
        field = java.call(java.call("java.lang.Class", "forName", "scala.util.Random$"), "getField", "MODULE$")
        self._chance = java.call(field, "get", None)
        return java

    def _greeting(self) -> tuple[int, str]:
        """Read port and token."""
        for _ in range(_MAX_GREETING):
            line = self._read_line().strip()
            if line.isdigit():
                return int(line), self._read_line().decode().strip()
        raise self._death(f" (it said no port; last: {line.decode(errors='replace')[:200]!r})")

    def _death(self, why: str) -> EnvironmentFault:
        """Return the error of a JVM that is of no use any more."""
        fault = super()._death(why)
        if self._process.poll() == OUT_OF_MEMORY:
            return EnvironmentFault(f"The simulator needs more memory than the {HEAP_MB} MB that its JVM has. {NEXT_MOVE}")
        return fault


def _lines(java: Gateway, texts: Ref) -> list[str]:
    """Return a list of texts of the JVM, in one call instead of one for each of them."""
    text = str(java.call("java.lang.String", "join", "\n", texts))
    java.free(texts)
    return text.split("\n") if text else []


def _size_of_menu(java: Gateway, agent: Ref) -> int:
    """Return the number of entries of the menu that waits for an answer."""
    parser = java.call(agent, "inputParser")
    size = int(java.call(parser, "getNumAmbiguousMatches"))
    java.free(parser)
    return size


def _within_reach(java: Gateway, interface: Ref) -> set[int]:
    """Return the numbers of the objects that the parser matches names with: of the room, and of what the agent carries."""
    parser, agent = java.call(interface, "inputParser"), java.call(interface, "agent")
    holder = java.call(agent, "getContainer")
    room = java.call(holder, "get")
    found: set[int] = set()
    for root in (room, agent):
        names = java.call(parser, "getAllUniqueReferentsLUT", root, True, False)  # hidden things too, closed containers not
        numbers = java.call(names, "keySet")
        text = str(java.call(numbers, "mkString", ","))
        found.update(int(number) for number in text.split(",") if number)
        java.free(names, numbers)
    java.free(parser, agent, holder, room)
    return found


def _points(score: float) -> int:
    """Return a score of -1 to 1 as points, rounded as the simulator's own package does."""
    return round(100 * score)


__all__ = ["NOTHING_SAID", "UNKNOWN", "GoldPath", "Reply", "ScienceWorld", "StartScienceWorld", "find_jar"]
