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
