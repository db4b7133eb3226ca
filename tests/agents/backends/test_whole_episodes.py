"""Answers as models write them, token by token: whole episodes through local weights and through a server of tokens.

The sampler is forced to write a script; the weights say how likely it was. Three chat templates: one that only appends, one
that opens the thought in the prompt and shows none of it later (DeepSeek R1), and one that drops the thoughts of earlier
turns (Qwen3).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium
import pytest
import torch

from palaestra.agents.backends import local
from palaestra.agents.backends.local import LocalBackend
from palaestra.agents.backends.vllm import VLLMBackend
from palaestra.agents.core import Backend, Sampling
from palaestra.agents.endings import TOLD
from palaestra.agents.evaluation.summary import summarize
from palaestra.agents.llm import LLMAgent
from palaestra.agents.rollout import EpisodePlan, RolloutEngine
from palaestra.algorithms.learner.policy import Policy
from palaestra.algorithms.math.batch import collate
from palaestra.models.tiny_lm import CHAT_TEMPLATE, build_tiny_lm, save
from palaestra.types import Trajectory
from tests.agents.backends.vllm_server import vllm_server

pytest.importorskip("aiohttp")

DESK = "palaestra/Desk-v0"
FIND = '<tool_call>\n{"name": "search_notes", "arguments": {"query": "Glass lunch"}}\n</tool_call>'
DELETE = FIND.replace("search_notes", "delete_note").replace("query", "note_id")
APPENDS = CHAT_TEMPLATE
OPENS = CHAT_TEMPLATE.replace("<|assistant|>{%- endif -%}", "<|assistant|><think>\n{%- endif -%}")
OPENS = OPENS.replace("{%- if add_generation_prompt -%}<|assistant|>{%- endif -%}", "{%- if add_generation_prompt -%}"
                      "{{ '<|assistant|><think>\\n' }}{%- endif -%}")  # fmt: skip
DROPS = CHAT_TEMPLATE.replace(
    "<|assistant|>{% generation %}",
    "<|assistant|>{% generation %}{% if message.reasoning_content and loop.last %}"
    "{{ '<think>\\n' + message.reasoning_content + '\\n</think>\\n\\n' }}{% endif %}",
)
TEMPLATES = {"appends": APPENDS, "opens": OPENS, "drops": DROPS}
LIMIT = 160
LONG = "and then there is the other note, of which I know nothing yet, so that I think on and on; " * 16
OPENING = {"appends": "<think>\n", "opens": "", "drops": "<think>\n"}


class Forced:
    """Writes a script in the place of what would be sampled, with the log-probs of the weights."""

    def __init__(self, tokenizer: Any, script: list[str]) -> None:
        self.answers = [[*tokenizer.encode(text, add_special_tokens=False), tokenizer.eos_token_id][:LIMIT] for text in script]
        self.turn = self.place = 0

    def __call__(self, logits: Any, rows: Any) -> tuple[list[int], list[float]]:
        assert len(rows) == 1
        token = self.answers[self.turn][self.place]
        self.place += 1
        if self.place == len(self.answers[self.turn]):
            self.turn, self.place = self.turn + 1, 0
        return [token], [float(torch.log_softmax(logits[0].float(), -1)[token])]


@pytest.fixture(scope="module")
def weights() -> tuple[Any, Any]:
    env = gymnasium.make(DESK)
    _, info = env.reset(seed=0)
    texts = [json.dumps(tool) for tool in info["tools"]] + [info["instructions"], FIND, DELETE, LONG, TOLD] * 2
    env.close()
    return build_tiny_lm(texts, hidden_size=16, num_layers=1, num_heads=1, vocab_size=1000, max_positions=16_384)


@pytest.fixture(params=TEMPLATES)
def template(request: pytest.FixtureRequest, weights: tuple[Any, Any]) -> str:
    weights[1].chat_template = TEMPLATES[request.param]
    return str(request.param)


@pytest.fixture(params=["local", "local, append only", "vllm"])
def backend(request: pytest.FixtureRequest, template: str, weights: tuple[Any, Any], tmp_path: Path) -> Iterator[Backend]:
    if request.param != "vllm":
        yield LocalBackend(*weights, append_only="append" in request.param)
        return
    with vllm_server(save(*weights, tmp_path / "served")) as server:
        yield VLLMBackend(server.base_url, weights[1], model="policy")


def play(backend: Backend, format: str, forced: Forced, monkeypatch: pytest.MonkeyPatch) -> Trajectory:
    """Play one episode of as many turns as the script has."""
    monkeypatch.setattr(local, "draw_tokens", forced)
    turns = len(forced.answers)
    agent = LLMAgent(backend, format=format, sampling=Sampling(max_tokens=LIMIT))
    (played,) = RolloutEngine(1).collect([EpisodePlan("e", DESK, {}, seed=0, max_turns=turns)], agent, close_agent=True)
    assert played.outcome.error is None, played.outcome.error
    assert len(played.steps) == turns
    return played


def check_tokens(played: Trajectory, forced: Forced, weights: tuple[Any, Any]) -> None:
    """Every forced token is an action in exactly one place, with the log-prob that the weights give it there."""
    spans = sorted(((span, segment) for segment in played.segments for span in segment.turns), key=lambda one: one[0].turn)
    assert [list(segment.ids[span.start : span.end]) for span, segment in spans] == forced.answers
    assert sum(sum(segment.action) for segment in played.segments) == sum(map(len, forced.answers))
    policy = Policy(*weights)
    batch = collate([played])
    with torch.no_grad():
        scored = policy.token_log_probs(batch.ids, batch.attention_mask, batch.action_mask).log_prob
    gap = (scored - batch.rollout_log_prob)[batch.action_mask].abs().max()
    assert float(gap) < 1e-3


@pytest.mark.parametrize("format", ["tools", "hermes"])
def test_a_whole_episode(
    backend: Backend, template: str, format: str, weights: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    opening = OPENING[template]
    script = [
        f"{opening}First I would write {DELETE} but {LONG}",  # K2: cut inside a thought
        f"{opening}Hm.\n</think>\n\n{LONG}",  # K2: a text that is cut is no last word
        f"{opening}I might write {DELETE} but first I look.\n</think>\n\n{FIND}",  # K1
        f'{opening}Hm.\n</think>\n\n{{"name": "search_notes", "arguments": {{"query": "Glass lunch"}}}}',  # K7
        f"{opening}Hm.\n</think>\n\n[TOOL_CALLS][",  # K7: an attempt that nobody can read
        f"{opening}Hm.\n</think>\n\n" + FIND.replace('"search_notes"', "null"),  # K7
        f"{opening}Hm.\n</think>",  # nothing at all
        f"{opening}Hm.\n</think>\n\n{FIND}",
    ]
    forced = Forced(weights[1], script)
    played = play(backend, format, forced, monkeypatch)
    cut, text, thought, attempt, unread, nameless, empty, last = played.steps
    for step in played.steps:
        assert not step.terminated
        assert all(call.name in ("search_notes", "") for call in step.action.tool_calls)
        assert "think>" not in step.action.content
    after = [*(step.observation for step in played.steps[1:]), played.final_observation]
    for step, shown in ((cut, after[0]), (text, after[1])):
        assert step.finish_reason == "length"
        assert TOLD in shown
    assert "delete_note" in cut.action.reasoning + cut.action.raw
    for step, shown in ((thought, after[2]), (attempt, after[3]), (last, after[7])):
        assert [call.name for call in step.action.tool_calls] == ["search_notes"]
        assert not step.info.get("action_error")
        assert "Glass lunch" in shown
    assert "delete_note" in thought.action.reasoning
    for step in (unread, nameless):
        assert step.info["action_error"]
    assert empty.finish_reason == "empty"
    assert summarize([played]).answers == "2 turns cut, 0 filtered, 1 empty"
    check_tokens(played, forced, weights)


def test_thoughts_are_in_the_history_only_where_the_template_keeps_them(
    template: str, weights: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    opening = OPENING[template]
    script = [f"{opening}a zebra\n</think>\n\n{FIND}", f"{opening}a {LONG}", f"{opening}b\n</think>\n\n{FIND}"]
    for append_only in (False, True):
        forced = Forced(weights[1], script)
        backend = LocalBackend(*weights, append_only=append_only)
        played = play(backend, "hermes", forced, monkeypatch)
        check_tokens(played, forced, weights)
        appended = append_only or template != "opens"  # contents without thoughts are appended to by both others
        assert len(played.segments) == (1 if appended else 3)
        prompt = weights[1].decode(played.segments[-1].ids[: played.segments[-1].turns[-1].start])
        assert ("a zebra" in prompt) == appended
        if template == "opens" and not append_only:
            assert LONG[:20] not in prompt, "half a thought is no content"
