from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from palaestra.agents.backends.vllm import VLLMBackend, _filled, _json, _read
from palaestra.agents.core import Generation, Request, Sampling
from palaestra.agents.llm import LLMAgent
from palaestra.agents.rollout.engine import RolloutEngine
from palaestra.agents.rollout.plans import EpisodePlan
from palaestra.algorithms.grpo import GRPOConfig, GRPOLearner
from palaestra.algorithms.learner.policy import Policy
from palaestra.algorithms.math.batch import collate
from palaestra.errors import ContextWindowError, ModelError, UsageError
from palaestra.types import Message
from tests.agents.backends.vllm_server import VLLMServer, vllm_server
from tests.algorithms import toy_env
from tests.algorithms.toy_recipe import toy_policy

pytest.importorskip("aiohttp")


@pytest.fixture
def policy() -> Policy:
    return toy_policy()


@pytest.fixture
def server(policy: Policy, tmp_path: Path) -> Iterator[VLLMServer]:
    with vllm_server(policy.save(tmp_path / "served")) as running:
        yield running


def backend_of(server: VLLMServer, policy: Policy, **options: object) -> VLLMBackend:
    return VLLMBackend(server.base_url, policy.tokenizer, model="policy", max_tokens=4, **options)  # type: ignore[arg-type]


def plans(n: int = 6) -> list[EpisodePlan]:
    toy_env.register()
    return [EpisodePlan(f"e{i}", toy_env.ENV_ID, task_key=f"train/{i}", seed=i, group_id=f"g{i // 3}") for i in range(n)]


def player(backend: object, temperature: float = 1.0) -> LLMAgent:
    return LLMAgent(
        backend,  # type: ignore[arg-type]
        format="text",
        sampling=Sampling(temperature=temperature, max_tokens=4),
        instructions_as="none",
        cut="play",
    )


def test_greedy_episodes_are_those_of_the_policy_itself_token_by_token(server: VLLMServer, policy: Policy) -> None:
    far = RolloutEngine(6).collect(plans(), player(backend_of(server, policy), 0.0), close_agent=True)
    near = RolloutEngine(6).collect(plans(), player(policy.sampler(max_tokens=4), 0.0))
    for one, other in zip(far, near, strict=True):
        assert one.outcome.error is None
        assert [s.ids for s in one.segments] == [s.ids for s in other.segments]
        assert [s.turns for s in one.segments] == [s.turns for s in other.segments]
        for mine, theirs in zip(one.segments, other.segments, strict=True):
            assert mine.log_prob == pytest.approx(theirs.log_prob, abs=1e-5)


def test_sampled_episodes_train_as_if_they_had_been_sampled_here(server: VLLMServer, policy: Policy) -> None:
    played = RolloutEngine(6).collect(plans(), player(backend_of(server, policy)), close_agent=True)
    sent = {(tuple(prompt), tuple(ids)) for prompt, ids in server.served}
    for trajectory in played:
        (segment,) = trajectory.segments  # every prompt extended the ids before it
        for span in segment.turns:
            assert (segment.ids[: span.start], segment.ids[span.start : span.end]) in sent
    batch = collate(played)
    batch.return_[:] = torch.tensor([0.0, 1.0, 0.0, 1.0, 0.0, 0.0])
    metrics = GRPOLearner(policy, GRPOConfig()).learn(batch, 1)
    assert metrics["no_signal"] == 0
    assert metrics["drift_max"] < 1e-4


def test_requests_carry_seeds_of_their_own_and_the_name_of_their_episode(server: VLLMServer, policy: Policy) -> None:
    backend = backend_of(server, policy)
    RolloutEngine(6).collect(plans(), player(backend), close_agent=True)
    assert len({body["seed"] for body in server.bodies}) == len(server.bodies) == 24
    assert sorted(set(server.sessions)) == [f"e{i}" for i in range(6)]
    body = server.bodies[0]
    assert (body["logprobs"], body["return_token_ids"], body["top_p"], body["max_tokens"]) == (0, True, 1.0, 4)


async def test_the_limit_of_an_answer_is_what_the_context_leaves(server: VLLMServer, policy: Policy) -> None:
    backend = backend_of(server, policy)
    long = Message("user", "zq" * 20)
    room = policy.max_context - backend.count_tokens((long,))
    assert room > 4
    await backend.generate(Request((long,), sampling=Sampling(max_tokens=10**6)))
    assert server.bodies[-1]["max_tokens"] == room
    with pytest.raises(ContextWindowError, match="context of 'vllm' holds"):
        await backend.generate(Request((Message("user", "zq" * 500),)))
    await backend.aclose()


async def test_a_good_server_passes_the_probe(server: VLLMServer, policy: Policy) -> None:
    backend = backend_of(server, policy)
    found = await backend.probe(policy.model, temperature=0.7)
    assert found.max_context == policy.max_context
    assert found.tokens > 6
    assert max(found.greedy_gap, found.sampled_gap) < 1e-4
    await backend.aclose()


@pytest.mark.parametrize(
    ("fault", "match"),
    [
        ({"text_only": True}, "no token ids and log-probs.*not for policy gradients"),
        ({"shift": -0.2}, "greedy tokens: log-probs differ by 0.2"),
        ({"raw": True}, "log-probs differ"),
        ({"other_tokenizer": True}, "tokenizer .* is not the trainer's"),
    ],
)
async def test_a_server_that_cannot_be_trained_with_is_refused(
    server: VLLMServer, policy: Policy, fault: dict[str, object], match: str
) -> None:
    for name, value in fault.items():
        setattr(server, name, value)
    backend = backend_of(server, policy)
    with pytest.raises(UsageError, match=match):
        await backend.probe(policy.model)
    await backend.aclose()


async def test_other_weights_and_other_names_are_refused(server: VLLMServer, policy: Policy) -> None:
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.mul_(1.5)
    backend = backend_of(server, policy)
    with pytest.raises(UsageError, match="Serve the trainer's present weights"):
        await backend.probe(policy.model)
    await backend.aclose()
    stranger = VLLMBackend(server.base_url, policy.tokenizer, model="other")
    with pytest.raises(UsageError, match="serves policy, not 'other'"):
        await stranger.generate(Request((Message("user", "x"),)))
    await stranger.aclose()


CHOICE = {"token_ids": [7, 8], "logprobs": {"token_logprobs": [-0.5, -1]}, "finish_reason": "stop", "prompt_token_ids": [1, 2]}


@pytest.mark.parametrize(
    ("more", "stop"),
    [
        ({}, "eos"),
        ({"stop_reason": 2}, "eos"),
        ({"stop_reason": "END"}, "stop_string"),
        ({"finish_reason": "length"}, "length"),
        ({"finish_reason": "length", "stop_reason": "END"}, "length"),
        ({"finish_reason": None, "prompt_token_ids": None}, "eos"),
    ],
)
def test_a_completion_is_read_with_what_ended_it(more: dict[str, object], stop: str) -> None:
    assert _read({"choices": [{**CHOICE, **more}]}, (1, 2)) == ((7, 8), (-0.5, -1.0), stop)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"error": {"message": "Busy."}}, r'answered with an error: \{"message": "Busy."\}'),
        ({"choices": [], "id": "c1"}, r'holds no choices: \{"choices": \[\], "id": "c1"\}'),
        ({"choices": [3]}, "holds no choices"),
        ({"choices": [{**CHOICE, "token_ids": None}]}, "no token ids"),
        ({"choices": [{**CHOICE, "logprobs": None}]}, "no token ids"),
        ({"choices": [{**CHOICE, "token_ids": [7, -1]}]}, r"sent \[7, -1\] with 2 log-probs; expected token ids and one each"),
        ({"choices": [{**CHOICE, "token_ids": [7]}]}, r"sent \[7\] with 2 log-probs"),
        ({"choices": [{**CHOICE, "logprobs": {"token_logprobs": [-0.5, 0.5]}}]}, r"log-probs that are none: \[-0.5, 0.5\]"),
        ({"choices": [{**CHOICE, "logprobs": {"token_logprobs": [-0.5, -1e9]}}]}, "log-probs that are none"),
        ({"choices": [CHOICE], "prompt_token_ids": None}, "a prompt of 3 ids and answered one of 2: it changes prompts"),
        (
            {"choices": [{**CHOICE, "prompt_token_ids": None}], "prompt_token_ids": [9]},
            "prompt of 3 ids and answered one of 1",
        ),
    ],
)
def test_a_completion_that_cannot_be_trained_on_is_refused(data: dict[str, object], said: str) -> None:
    with pytest.raises(ModelError, match=said):
        _read(data, (1, 2, 3))


def test_texts_of_a_reload_are_filled_in_at_every_depth() -> None:
    body = {"a": ["{path}/{version}", ("{path}", 3)], "b": {"c": "{other}", "{path}": None}, "d": True}
    assert _filled(body, path="/p", version="7") == {
        "a": ["/p/7", ["/p", 3]],
        "b": {"c": "{other}", "{path}": None},
        "d": True,
    }


@pytest.mark.parametrize(
    ("body", "said"),
    [(b"<p>", "not JSON .*: <p>"), (b"[1]", r"not an object: \[1\]"), (b"[" * 100_000, "not JSON"), (b"", "not JSON")],
)
def test_what_is_no_json_object_is_the_servers_fault(body: bytes, said: str) -> None:
    with pytest.raises(ModelError, match=said) as caught:
        _json(body)
    assert caught.value.retryable
    assert _json(b'{"a": 1}') == {"a": 1}


def test_limits_are_those_of_the_endpoint(policy: Policy) -> None:
    backend = VLLMBackend(
        "http://127.0.0.1:9/v1/", policy.tokenizer, model="policy", name="mine", timeout_s=3.5, max_connections=7
    )
    endpoint = backend._endpoint
    assert (endpoint.name, endpoint.model, endpoint.base_url) == ("mine", "policy", "http://127.0.0.1:9/v1")
    assert (endpoint.timeout_s, endpoint.max_connections) == (3.5, 7)


def test_settings_that_shape_answers_are_named(policy: Policy) -> None:
    backend = VLLMBackend("http://127.0.0.1:9/v1", policy.tokenizer, model="policy", max_tokens=4, seed=5)
    assert backend.shaped_by() == {"max_tokens": 4, "append_only": backend.template.append_only, "seed": 5}


async def test_text_alone_never_becomes_an_episode(server: VLLMServer, policy: Policy) -> None:
    server.text_only = True
    backend = backend_of(server, policy)
    with pytest.raises(ModelError, match="guessed from the text"):
        await backend.generate(Request((Message("user", "start red"),)))
    await backend.aclose()


async def test_an_id_that_the_tokenizer_does_not_have_is_an_error(server: VLLMServer, policy: Policy) -> None:
    backend = backend_of(server, policy)
    backend._vocabulary = 1
    with pytest.raises(ModelError, match=r"sampled id \d+, and the tokenizer has 1 ids: it stands for no text"):
        await backend.generate(Request((Message("user", "x"),)))
    await backend.aclose()


async def test_a_refresh_lets_turns_end_and_gives_each_one_version(server: VLLMServer, policy: Policy, tmp_path: Path) -> None:
    backend = backend_of(server, policy, version=3)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.mul_(1.5)
    policy.save(server.path)
    server.delay_s = 0.2
    under_way = [asyncio.create_task(backend.generate(Request((Message("user", f"start {i}"),)))) for i in range(3)]
    while server.under_way < 3:
        await asyncio.sleep(0.01)
    refreshing = asyncio.create_task(backend.refresh(server.path, version=4))
    await asyncio.sleep(0)
    late = asyncio.create_task(backend.generate(Request((Message("user", "start"),))))
    before: list[Generation] = await asyncio.gather(*under_way)
    await refreshing
    after = await late
    assert {g.tokens.version for g in before if g.tokens} == {3}
    assert after.tokens is not None
    assert after.tokens.version == 4
    assert server.calls == ["/collective_rpc", "/reset_prefix_cache"]
    assert server.under_way_at_calls == [0, 0]  # nothing is loaded while a turn is being sampled
    assert (await backend.probe(policy.model)).greedy_gap < 1e-4  # and they are the new weights
    await backend.aclose()
