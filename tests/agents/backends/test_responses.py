from __future__ import annotations

import gzip
import tracemalloc
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.agents.backends.registry import make_bare_backend
from palaestra.agents.backends.responses import BoundedBody, redirect_within_origin
from palaestra.agents.core import Backend, Request
from palaestra.errors import ModelError
from palaestra.types import Message
from tests.agents.backends.fault_server import PROVIDERS, FaultServer, fault_server

ASK = Request((Message("user", "a private prompt"),))
SECRETS = {"api_key": "sk-marked-key", "headers": {"X-Team": "marked-header"}}
CLIENTS = ("aiohttp", "openai", *PROVIDERS)


def backend_of(server: FaultServer, client: str, **options: Any) -> Backend:
    """Make the backend that asks the server, by one of our clients or by the model of a provider."""
    if client not in PROVIDERS:
        return make_bare_backend(server.model_string, client=client, **options)
    server.answer = PROVIDERS[client]
    options = {"api_key": "sk-marked-key", **options}
    return make_bare_backend(client, base_url=server.base_url, **options)


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_no_redirect_leads_to_another_origin(server: FaultServer, client: str, status: int) -> None:
    with fault_server() as other:
        server.default = f"{status} redirect"
        server.location = f"{other.base_url}/chat/completions?sig=marked-query"
        backend = backend_of(server, client, timeout_s=5, **SECRETS)
        with pytest.raises(
            ModelError, match=f"answered {status}: a redirect to .* give its address as the base URL"
        ) as caught:
            await backend.generate(ASK)
        await backend.aclose()
    assert other.received == []
    assert len(server.received) == 1
    assert caught.value.status == status
    assert not caught.value.retryable
    assert "marked" not in str(caught.value)


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("status", [307, 308])
async def test_a_redirect_within_the_origin_repeats_the_request(server: FaultServer, client: str, status: int) -> None:
    server.plan.append(f"{status} redirect")
    backend = backend_of(server, client, timeout_s=5, **SECRETS)
    assert (await backend.generate(ASK)).message.content == "look around"
    await backend.aclose()
    first, second = server.received
    assert first.body == second.body
    assert first.headers == second.headers
    assert "sk-marked-key" in str(second.headers)
    assert second.headers["x-team"] == "marked-header"


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("status", [301, 302, 303])
async def test_redirects_that_would_get_instead_of_post_are_not_followed(
    server: FaultServer, client: str, status: int
) -> None:
    server.plan.append(f"{status} redirect")
    backend = backend_of(server, client, timeout_s=5)
    with pytest.raises(ModelError, match=f"Redirects of status {status} are not followed"):
        await backend.generate(ASK)
    await backend.aclose()
    assert len(server.received) == 1


@pytest.mark.parametrize("client", CLIENTS)
async def test_redirects_in_a_circle_end(server: FaultServer, client: str) -> None:
    server.default = "307 redirect"
    backend = backend_of(server, client, timeout_s=5)
    with pytest.raises(ModelError):
        await backend.generate(ASK)
    await backend.aclose()
    assert len(server.received) <= 5


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("fault", ["500 endless", "500 bomb", "bomb", "huge"])
async def test_bodies_are_read_to_a_limit(server: FaultServer, client: str, fault: str) -> None:
    server.plan.extend([fault, "ok"])
    backend = backend_of(server, client, timeout_s=20, max_response_bytes=200_000)
    tracemalloc.start()
    with pytest.raises(ModelError) as caught:
        await backend.generate(ASK)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 24 * 2**20, f"{peak / 2**20:.0f} MiB"
    assert server.sent < 16 * 2**20
    assert len(str(caught.value)) < 700
    assert (await backend.generate(ASK)).message.content == "look around"
    await backend.aclose()


def compressed(data: bytes, encoding: str) -> bytes:
    if encoding in ("", "identity"):
        return data
    packer = zlib.compressobj(wbits={"gzip": 31, "deflate": 15, "raw": -15}[encoding])
    return packer.compress(data) + packer.flush()


@given(
    data=st.binary(max_size=2000),
    encoding=st.sampled_from(["", "identity", "gzip", "deflate", "raw"]),
    limit=st.integers(1, 2500),
    step=st.integers(1, 64),
    twice=st.booleans(),
)
def test_a_bounded_body_is_the_body_up_to_the_limit(data: bytes, encoding: str, limit: int, step: int, twice: bool) -> None:
    sent, expected = compressed(data, encoding), data
    if twice and encoding == "gzip":  # members may follow one another
        sent, expected = sent * 2, data * 2
    body = BoundedBody("deflate" if encoding == "raw" else encoding, limit)
    for at in range(0, len(sent), step):
        if not body.add(sent[at : at + step]):
            break
    assert body.content == expected[:limit]
    assert body.is_cut == (len(expected) > limit)


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_no_more_is_decompressed_than_is_kept(encoding: str) -> None:
    packed = (gzip.compress if encoding == "gzip" else zlib.compress)(bytes(32 * 2**20))
    body = BoundedBody(encoding, 1000)
    tracemalloc.start()
    assert not body.add(packed)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert body.is_cut
    assert peak < 2**20


def test_other_encodings_are_not_read() -> None:
    body = BoundedBody("br", 10)
    assert not body.add(b"x")
    assert not body.is_readable
    assert body.content == b""


@pytest.mark.parametrize(
    ("url", "location", "target"),
    [
        ("http://a/v1/x", "/v2/x", "http://a/v2/x"),
        ("http://a/v1/x", "http://a:80/y", "http://a:80/y"),
        ("http://a/v1/x", "http://A/y", "http://A/y"),
        ("http://a/v1/x", "https://a/y", None),
        ("http://a/v1/x", "http://a:81/y", None),
        ("http://a/v1/x", "//b/y", None),
        ("http://a/v1/x", "http://a@b/y", None),
        ("http://a/v1/x", "http://a:port/y", None),
        ("http://a/v1/x", "file:///etc/passwd", None),
        ("http://a/v1/x", "", None),
        ("http://a/v1/x", None, None),
    ],
)
def test_origins(url: str, location: str | None, target: str | None) -> None:
    assert redirect_within_origin(url, 307, location) == target
    assert redirect_within_origin(url, 308, location) == target
    for status in (200, 300, 301, 302, 303, 304, 500):
        assert redirect_within_origin(url, status, location) is None


@pytest.mark.parametrize("client", ["aiohttp", "openai"])
async def test_user_password_and_query_of_a_url_are_sent_and_not_shown(server: FaultServer, client: str) -> None:
    url = server.base_url.replace("http://", "http://marked-user:marked%40word@") + "?version=marked-value#stub"
    backend = make_bare_backend(url, client=client, timeout_s=5)
    await backend.generate(ASK)
    server.default = "500"
    with pytest.raises(ModelError) as caught:
        await backend.generate(ASK)
    await backend.aclose()
    sent = server.received[0]
    assert sent.headers["authorization"] == "Basic bWFya2VkLXVzZXI6bWFya2VkQHdvcmQ="
    assert sent.target == "/v1/chat/completions?version=marked-value"
    shown = f"{backend.name} {backend!r} {vars(backend)['endpoint']!r} {caught.value}"
    assert "marked" not in shown
    assert backend.name == f"{server.base_url.replace('http://', 'http://***@')}?version=***#stub"
