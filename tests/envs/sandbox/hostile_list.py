"""The hostile sources in `hostile/`: what each expects stands in its head, in comments.

`# monty:` and `# process:` list the statuses that are right; `# content:` is what a result that is "ok" must be; `#
timeout_s:` is a time limit of its own. Each defines `attack(port, marker)`, with the port of a listener on the loopback and
the path of a file that must not come to be, and `fine(number)`, which must answer right afterwards.
"""

import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent / "hostile"


@dataclass(frozen=True)
class Hostile:
    """One hostile source with what is expected of it."""

    name: str
    source: str
    expected: dict[str, frozenset[str]]
    timeout_s: float
    content: str | None


def hostile_sources(default_timeout_s: float = 20.0) -> list[Hostile]:
    """Return all of them, by name."""
    found = []
    for path in sorted(FOLDER.glob("*.py")):
        source = path.read_text(encoding="utf-8")
        head = dict(re.findall(r"^# (monty|process|timeout_s|content): (.*)$", source, re.M))
        expected = {executor: frozenset(head[executor].split()) for executor in ("monty", "process")}
        found.append(
            Hostile(path.stem, source, expected, float(head.get("timeout_s", default_timeout_s)), head.get("content"))
        )
    return found


class Listener:
    """Listens on the loopback for connections and datagrams, which must not come."""

    def __init__(self) -> None:
        self.tcp = socket.create_server(("127.0.0.1", 0))
        self.port = self.tcp.getsockname()[1]
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", self.port))
        self.tcp.setblocking(False)
        self.udp.setblocking(False)

    def heard(self) -> int:
        """Return how many connections and datagrams came."""
        count = 0
        for receive in (self.tcp.accept, lambda: self.udp.recv(100)):
            try:
                while receive():
                    count += 1
            except BlockingIOError:
                pass
        return count

    def close(self) -> None:
        self.tcp.close()
        self.udp.close()


@contextmanager
def listener() -> Iterator[Listener]:
    """Open a listener and close it."""
    open_one = Listener()
    try:
        yield open_one
    finally:
        open_one.close()


def descendants(pid: int = 0) -> set[int]:
    """Return the living processes below one, by default this; zombies do not count."""
    parents: dict[int, int] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                state, parent = Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()[:2]
            except OSError:
                continue
            if state not in "ZX":
                parents[int(entry)] = int(parent)
    found: set[int] = set()
    level = {pid or os.getpid()}
    while level:
        level = {child for child, parent in parents.items() if parent in level} - found
        found |= level
    return found
