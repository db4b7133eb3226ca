"""Calls over py4j's protocol, against a gateway of a few lines: any text comes through as it is."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st
from py4j.protocol import escape_new_line, get_command_part, unescape_new_line

from palaestra.envs.agentgym.sciworld import gateway
from palaestra.envs.agentgym.sciworld.gateway import Gateway, JavaFailure, Ref


@contextmanager
def answering(*answers: str, token: str = "secret") -> Iterator[tuple[int, list[str]]]:
    """Listen on loopback, take one connection, and give one answer a command."""
    heard: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with server.accept()[0] as one, one.makefile("rwb") as file:
                file.readline()
                file.write(b"!yv\n" if file.readline() == f"{token}\n".encode() else b"!xsno\n")
                file.flush()
                for answer in answers:
                    command = ""
                    while not command.endswith("\ne\n"):
                        command += file.readline().decode()
                    heard.append(command)
                    file.write(answer.encode())
                    file.flush()

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1], heard
        thread.join()


@given(st.text())
def test_texts_are_written_and_read_as_py4j_does(text: str) -> None:
    assert gateway._written(text) + "\n" == get_command_part(text)
    assert gateway._read(escape_new_line(text)) == text == unescape_new_line(escape_new_line(text))


@pytest.mark.parametrize("value", [0, -7, 2**31 - 1, True, False, None])
def test_numbers_are_written_as_py4j_does(value: int | None) -> None:
    assert gateway._written(value) + "\n" == get_command_part(value)


@pytest.mark.parametrize(
    ("answer", "value"),
    [
        ("!yv", None),
        ("!yn", None),
        (r"!ysa\nb\\n", "a\nb\\n"),
        ("!yi-3", -3),
        ("!yd0.07", 0.07),
        ("!ybtrue", True),
        ("!ybfalse", False),
        ("!yro12", Ref("o12")),
        ("!ylo13", Ref("o13")),
    ],
)
def test_values_are_read(answer: str, value: object) -> None:
    with answering(f"{answer}\n") as (port, heard):
        java = Gateway(port, "secret")
        assert java.call(Ref("o1"), "step", "look\naround", 3, True) == value
        java.close()
    assert heard == ["c\no1\nstep\nslook\\naround\ni3\nbTrue\ne\n"]


def test_an_exception_is_its_message_and_is_let_go() -> None:
    with answering("!xro5\n", "!ysjava.lang.Error: no\n", "!yv\n", "!xsno such method\n") as (port, heard):
        java = Gateway(port, "secret")
        with pytest.raises(JavaFailure, match=r"java\.lang\.Error: no"):
            java.call("java.lang.String", "join")
        with pytest.raises(JavaFailure, match="no such method"):
            java.call(Ref("o1"), "jump")
        java.close()
    assert heard[0].startswith("c\nz:java.lang.String\njoin\n")
    assert heard[2] == "m\nd\no5\ne\n"


def test_a_wrong_token_and_a_closed_connection_are_errors_of_the_way() -> None:
    with answering() as (port, _), pytest.raises(OSError, match="refuses the token"):
        Gateway(port, "wrong")
    with answering("!ysha") as (port, _):
        java = Gateway(port, "secret")
        with pytest.raises(OSError, match="closed the connection"):
            java.call(Ref("o1"), "step")
        java.close()
