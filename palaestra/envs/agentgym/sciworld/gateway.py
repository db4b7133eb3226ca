"""Calls into a JVM over py4j's text protocol, on one socket.

The Java side is py4j's. Its Python side is left aside: it sends a command again when an answer is missing, gives the root
logger a handler, loses an interrupt in an error of its own, fetches lists item by item, and lets the garbage collector of a
forked child talk to the parent's JVM. Objects are freed here by the code that got them.

Source: py4j 0.10.9, py4j.protocol.
"""

from __future__ import annotations

import contextlib
import socket
from typing import Any, NamedTuple

from palaestra.errors import PalaestraError


class Ref(NamedTuple):
    """An object of the JVM.

    Attributes:
        id: Its number there.
    """

    id: str


class JavaFailure(PalaestraError):
    """A call ended with an exception in the JVM, which is as it was; the message is the exception's."""


class Gateway:
    """A connection to a gateway of py4j.

    Args:
        port: Where it listens, on loopback.
        token: What it wants to be told first.

    Raises:
        OSError: If nobody listens there, or the token is refused.
    """

    def __init__(self, port: int, token: str) -> None:
        """Connect."""
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._answers = self._socket.makefile("rb")
        answer = self._send("A", token)
        if not answer.startswith("y"):
            self.close()
            raise ConnectionRefusedError(f"The gateway on port {port} refuses the token: {answer[:80]!r}")

    def new(self, name: str) -> Ref:
        """Return a new object of a class, made without arguments."""
        made = self._value(self._send("i", name, "e"))
        assert isinstance(made, Ref)
        return made

    def call(self, target: Ref | str, method: str, *arguments: str | int | bool | Ref | None) -> Any:
        """Call a method and wait for its result.

        Args:
            target: An object, or the name of a class for its static methods.
            method: Name of the method.
            *arguments: Texts, integers of 32 bits, truth values, objects, None.

        Returns:
            None, a text, a number, a truth value, or an object.

        Raises:
            JavaFailure: If the call ends with an exception.
            OSError: If the JVM is gone.
        """
        place = target.id if isinstance(target, Ref) else f"z:{target}"
        return self._value(self._send("c", place, method, *map(_written, arguments), "e"))

    def free(self, *objects: Ref) -> None:
        """Let go of objects."""
        for one in objects:
            self._send("m", "d", one.id, "e")

    def close(self) -> None:
        """Close this process's side, without a word to the other."""
        for part in (self._answers, self._socket):
            with contextlib.suppress(OSError):
                part.close()

    def _send(self, *lines: str) -> str:
        """Send the lines of a command and return the answer."""
        self._socket.sendall("".join(f"{line}\n" for line in lines).encode())
        answer = self._answers.readline()
        if not answer.endswith(b"\n"):
            raise ConnectionResetError("the JVM closed the connection")
        return answer[:-1].decode().removeprefix("!")

    def _value(self, answer: str) -> Any:
        """Return the value of an answer."""
        status, kind, text = answer[:1], answer[1:2], answer[2:]
        if status != "y":
            raise JavaFailure(self._problem(kind, text))
        if kind in ("v", "n"):
            return None
        if kind == "s":
            return _read(text)
        if kind in ("i", "L"):
            return int(text)
        if kind == "d":
            return float(text)
        if kind == "b":
            return text == "true"
        return Ref(text)

    def _problem(self, kind: str, text: str) -> str:
        """Return what an exception says."""
        if kind != "r":
            return _read(text) or "an error without a message"
        exception = Ref(text)
        said = self.call(exception, "toString")
        self.free(exception)
        return str(said)


def _written(value: str | int | bool | Ref | None) -> str:
    """Return an argument as the protocol writes it."""
    if value is None:
        return "n"
    if isinstance(value, Ref):
        return f"r{value.id}"
    if isinstance(value, bool):
        return f"b{value}"
    if isinstance(value, int):
        return f"i{value}"
    return "s" + value.replace("\\", "\\\\").replace("\r", "\\r").replace("\n", "\\n")


def _read(text: str) -> str:
    """Return a text that the protocol has escaped."""
    if "\\" not in text:
        return text
    parts = text.split("\\\\")
    return "\\".join(part.replace("\\n", "\n").replace("\\r", "\r") for part in parts)


__all__ = ["Gateway", "JavaFailure", "Ref"]
