import json

import pytest

from palaestra.agents.backends.endpoint import Endpoint
from palaestra.errors import ContextWindowError, ModelError

ENDPOINT = Endpoint(name="m", model="m", base_url="http://127.0.0.1:9/v1")


@pytest.mark.parametrize(
    "error",
    [
        {"code": "context_length_exceeded", "message": "Too long."},
        {"message": "This model's maximum context length is 8192 tokens."},
        {"message": "the request exceeds the available context size"},
    ],
)
def test_a_prompt_beyond_the_context_is_told_apart_from_other_refusals(error):
    with pytest.raises(ContextWindowError, match="answered 400"):
        ENDPOINT.fail(400, {}, json.dumps({"error": error}).encode())


@pytest.mark.parametrize(("status", "retryable"), [(400, False), (404, False), (429, True), (500, True)])
def test_other_refusals_are_plain_model_errors(status, retryable):
    with pytest.raises(ModelError) as caught:
        ENDPOINT.fail(status, {}, b'{"error": {"message": "no such tool"}}')
    assert type(caught.value) is ModelError
    assert (caught.value.status, caught.value.retryable) == (status, retryable)


@pytest.mark.parametrize(
    ("base_url", "path", "is_missing"),
    [
        ("http://127.0.0.1:9", "/chat/completions", True),
        ("http://127.0.0.1:9", "/responses", True),
        ("http://127.0.0.1:9/proxy", "/chat/completions", True),
        ("http://127.0.0.1:9/v1", "/chat/completions", False),
        ("http://127.0.0.1:9/api/v3", "/chat/completions", False),
        ("http://127.0.0.1:9", "/openai/deployments/x/chat/completions", False),
        ("http://127.0.0.1:9", "/v1/messages", False),
    ],
)
def test_a_404_says_that_the_base_url_has_no_version(base_url, path, is_missing):
    endpoint = Endpoint(name="m", model="m", base_url=base_url, path=path)
    with pytest.raises(ModelError) as caught:
        endpoint.fail(404, {}, b"{}")
    assert str(caught.value).endswith(f"want it: {base_url}/v1.") == is_missing
    assert ("has no /v1" in str(caught.value)) == is_missing
    with pytest.raises(ModelError) as other:
        endpoint.fail(401, {}, b"{}")
    assert "/v1, with" not in str(other.value)
