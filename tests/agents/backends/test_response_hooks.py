"""What the hooks of httpx let a client read, at every bound, with answers that are made here."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest

from palaestra.agents.backends.responses import ERROR_BYTES, body_hook, response_hook
from palaestra.errors import ModelError

httpx: Any = pytest.importorskip("httpx", reason="the client of the SDKs")
LIMIT = 10
WHERE = "http://server/v1"


class Failed(Exception):
    """The error that an answer means."""


def fail(status: int, headers: Any, body: bytes) -> NoReturn:
    raise Failed(status, headers.get("x-name"), body)


class Stream:
    """A body in pieces that says how many of them were read, and whether it was closed."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces, self.num_read, self.is_closed = pieces, 0, False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            self.num_read += 1
            yield piece

    async def aclose(self) -> None:
        self.is_closed = True


def answer(status: int, *pieces: bytes, **headers: str) -> Any:
    """An answer as httpx gives it to a hook."""
    stream = Stream(*pieces)
    return SimpleNamespace(
        status_code=status,
        headers=httpx.Headers({"x-name": "marked", **{name.replace("_", "-"): value for name, value in headers.items()}}),
        request=SimpleNamespace(url=httpx.URL(WHERE)),
        stream=stream,
        aiter_raw=stream.__aiter__,
        aclose=stream.aclose,
    )


@pytest.mark.parametrize("status", [200, 204, 299])
async def test_a_success_is_left_to_the_client(status: int) -> None:
    response = answer(status, b"body")
    await response_hook(fail, LIMIT)(response)
    assert (response.stream.num_read, response.stream.is_closed) == (0, False)


@pytest.mark.parametrize("status", [300, 301, 304, 399, 400, 404, 500, 599])
@pytest.mark.parametrize(
    ("pieces", "body", "num_read"),
    [
        ((), b"", 0),
        ((b"no",), b"no", 1),
        ((b"12345", b"67890"), b"1234567890", 2),
        ((b"12345", b"67890", b"1", b"2"), b"1234567890", 3),
        ((b"12345678901", b"2"), b"1234567890", 1),
    ],
)
async def test_everything_else_is_an_error_with_its_body_to_the_limit(
    status: int, pieces: tuple[bytes, ...], body: bytes, num_read: int
) -> None:
    response = answer(status, *pieces, location="/other", content_length="3")
    with pytest.raises(Failed) as caught:
        await response_hook(fail, LIMIT)(response)
    assert caught.value.args == (status, "marked", body)
    assert (response.stream.num_read, response.stream.is_closed) == (num_read, True)


@pytest.mark.parametrize("status", [307, 308])
@pytest.mark.parametrize(
    ("length", "is_followed"),
    [("0", True), ("9", True), ("10", True), ("11", False), ("9" * 30, False), ("", False), (None, False), ("-1", False),
     ("1.5", False), ("0x1", False), (" 3", False)],
)  # fmt: skip
async def test_a_redirect_is_followed_only_with_a_short_body(status: int, length: str | None, is_followed: bool) -> None:
    response = answer(status, b"moved", location="/other", **({} if length is None else {"content_length": length}))
    hook = response_hook(fail, LIMIT)
    if is_followed:
        await hook(response)
        assert (response.stream.num_read, response.stream.is_closed) == (0, False), "the client goes on"
    else:
        with pytest.raises(Failed) as caught:
            await hook(response)
        assert caught.value.args[::2] == (status, b"moved")
        assert response.stream.is_closed


@pytest.mark.parametrize(
    "location", [{}, {"location": ""}, {"location": "http://other/v1"}, {"location": "https://server/v1"}]
)
async def test_a_redirect_to_nowhere_or_another_origin_is_an_error(location: dict[str, str]) -> None:
    with pytest.raises(Failed, match="307"):
        await response_hook(fail, LIMIT)(answer(307, b"moved", content_length="1", **location))


@pytest.mark.parametrize(
    ("encoding", "data", "body"),
    [
        ("gzip", gzip.compress(b"words", mtime=0), b"words"),
        ("gzip", gzip.compress(bytes(1000), mtime=0), bytes(LIMIT)),
        ("deflate", zlib.compress(b"words"), b"words"),
        ("gzip", b"not gzip", b""),
        ("br", b"anything", b""),
    ],
)
async def test_a_compressed_error_is_read_as_far_as_it_can_be(encoding: str, data: bytes, body: bytes) -> None:
    response = answer(500, data, content_encoding=encoding)
    with pytest.raises(Failed) as caught:
        await response_hook(fail, LIMIT)(response)
    assert caught.value.args[2] == body
    assert response.stream.is_closed


async def test_by_default_64_kib_of_an_error_are_read() -> None:
    with pytest.raises(Failed) as caught:
        await response_hook(fail)(answer(500, b"x" * 100_000))
    assert len(caught.value.args[2]) == ERROR_BYTES == 65_536


def too_large(limit: int) -> ModelError:
    return ModelError(f"more than {limit} bytes")


@pytest.mark.parametrize(
    ("encoding", "pieces"),
    [
        ("", (b"12345", b"67890")),
        ("identity", (b"1234567890",)),
        ("gzip", (gzip.compress(b"1234567890", mtime=0),)),
        ("deflate", (zlib.compress(b"12345")[:4], zlib.compress(b"12345")[4:])),
        ("", ()),
    ],
)
async def test_a_good_answer_up_to_the_limit_is_read_whole_and_kept(encoding: str, pieces: tuple[bytes, ...]) -> None:
    response = answer(299, *pieces, content_encoding=encoding)
    stream, kept = response.stream, list[bytes]()
    await body_hook(httpx, LIMIT, too_large, kept.append)(response)
    wanted = b"12345" if encoding == "deflate" else b"1234567890" if pieces else b""
    assert kept == [wanted]
    assert b"".join([piece async for piece in response.stream]) == wanted
    assert stream.is_closed
    assert "content-encoding" not in response.headers, "it is no longer compressed"
    again = answer(200, *pieces, content_encoding=encoding)
    await body_hook(httpx, LIMIT, too_large)(again)
    assert b"".join([piece async for piece in again.stream]) == wanted, "nobody has to keep it"


@pytest.mark.parametrize(
    ("encoding", "pieces", "says", "retryable"),
    [
        ("", (b"1234567890", b"1"), "more than 10 bytes", False),
        ("gzip", (gzip.compress(bytes(11), mtime=0),), "more than 10 bytes", False),
        ("gzip", (b"not gzip",), r"cannot be decompressed \(.*header", True),
        ("br", (b"anything",), "in a compression that was not asked for", True),
    ],
)
async def test_a_good_answer_that_cannot_be_read_is_an_error(
    encoding: str, pieces: tuple[bytes, ...], says: str, retryable: bool
) -> None:
    response = answer(200, *pieces, content_encoding=encoding)
    stream, kept = response.stream, list[bytes]()
    with pytest.raises(ModelError, match=says) as caught:
        await body_hook(httpx, LIMIT, too_large, kept.append)(response)
    assert caught.value.retryable == retryable
    assert kept == []
    assert stream.is_closed


async def test_an_answer_that_is_no_success_is_left_to_the_other_hook() -> None:
    response = answer(300, b"1" * 99)
    await body_hook(httpx, LIMIT, too_large)(response)
    assert (response.stream.num_read, response.stream.is_closed) == (0, False)
