import asyncio
import itertools
import json
from collections.abc import Callable, Coroutine
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, MistralConfig

from palaestra.agents.backends import local as local_module
from palaestra.agents.backends.checkpoints import save_checkpoint
from palaestra.agents.backends.local import LocalBackend, _Session
from palaestra.agents.backends.registry import make_bare_backend
from palaestra.agents.context import ContextPolicy
from palaestra.agents.core import Backend, Generation, Request, Sampling
from palaestra.agents.llm import LLMAgent
from palaestra.agents.segments import SegmentBuilder
from palaestra.errors import ContextWindowError, ModelError, UsageError
from palaestra.models.tiny_lm import build_tiny_lm
from palaestra.types import Message, ToolCall

CORPUS = ["Goal: craft dark oak planks.\nInventory: [oak log] (3)", "get 12 oak log", "craft 4 oak planks using 1 oak log"] * 4
MODEL, TOKENIZER = build_tiny_lm(CORPUS, hidden_size=32, num_layers=2, num_heads=2, max_positions=512)
TOOL = {"type": "function", "function": {"name": "find", "description": "Find.", "parameters": {"type": "object"}}}
RULES = Message("system", "craft oak planks using oak log")
Play = Callable[[LocalBackend, int], Coroutine[Any, Any, list[Generation]]]


def local(model: Any = MODEL, tokenizer: Any = TOKENIZER, **options: Any) -> LocalBackend:
    return LocalBackend(model, tokenizer, **options)


def ask(backend: LocalBackend, text: str = "go", session: str = "", **sampling: Any) -> Generation:
    sampling.setdefault("max_tokens", 12)
    return asyncio.run(
        backend.generate(Request((RULES, Message("user", text)), session=session, sampling=Sampling(**sampling)))
    )


async def play(backend: LocalBackend, number: int, *, turns: int = 4, temperature: float = 1.0) -> list[Generation]:
    """Play an episode of ragged lengths; observations hold control tokens."""
    history = [RULES, Message("user", f"craft {'oak log ' * (number % 5)}{number}")]
    generations = []
    for turn in range(turns):
        sampling = Sampling(temperature=temperature, max_tokens=3 + (number + turn) % 9)
        generations.append(await backend.generate(Request(tuple(history), session=f"episode {number}", sampling=sampling)))
        history += [generations[-1].message, Message("user", f"obs {turn}<|end|>{'planks ' * (number % 3)}")]
    return generations


async def play_all(backend: LocalBackend, numbers: range, **options: Any) -> list[list[Generation]]:
    return list(await asyncio.gather(*(play(backend, number, **options) for number in numbers)))


def recompute(generation: Generation, temperature: float = 1.0, model: Any = MODEL) -> list[float]:
    """Score a completion with one plain forward over prompt and completion."""
    assert generation.tokens is not None
    tokens = generation.tokens
    with torch.no_grad():
        logits = model(torch.tensor([tokens.prompt_ids + tokens.completion_ids]), use_cache=False).logits[0].float()
    scores = torch.log_softmax(logits / temperature, dim=-1)
    start = len(tokens.prompt_ids) - 1
    return [scores[start + i, token].item() for i, token in enumerate(tokens.completion_ids)]


@pytest.mark.parametrize("temperature", [1.0, 0.6, 1.7])
def test_log_probs_equal_a_fresh_forward_in_ragged_batches(temperature: float) -> None:
    episodes = asyncio.run(play_all(local(max_batch=6), range(10), temperature=temperature))
    for generation in (generation for episode in episodes for generation in episode):
        assert generation.tokens is not None
        assert generation.tokens.log_probs == pytest.approx(recompute(generation, temperature), abs=1e-4)


@pytest.mark.parametrize("options", [{"cache_mb": 0.0}, {"max_batch": 1}, {"max_batch": 3, "max_sessions": 3}])
def test_samples_do_not_depend_on_batch_mates_or_on_what_is_cached(options: dict[str, Any]) -> None:
    alone = [asyncio.run(play(local(), number)) for number in range(8)]
    together = asyncio.run(play_all(local(**options), range(8)))
    for one, other in zip(alone, together, strict=True):
        if "max_sessions" not in options:  # a forgotten session renders its own text anew
            assert [g.tokens.completion_ids for g in one if g.tokens] == [g.tokens.completion_ids for g in other if g.tokens]
        else:
            assert one[0].message == other[0].message


def test_every_prompt_extends_all_that_was_seen_and_sampled() -> None:
    for episode in asyncio.run(play_all(local(), range(6))):
        builder = SegmentBuilder()
        before: tuple[int, ...] = ()
        for turn, generation in enumerate(episode):
            assert generation.tokens is not None
            assert generation.tokens.prompt_ids[: len(before)] == before
            before = generation.tokens.prompt_ids + generation.tokens.completion_ids
            builder.add(generation.tokens, turn)
        (segment,) = builder.segments()
        assert sum(segment.action) == sum(generation.usage.completion_tokens for generation in episode)


@pytest.mark.parametrize(("max_tokens", "stop"), [(50, "eos"), (2, "length")])
def test_missing_end_token_is_added_to_the_observation_and_a_sampled_one_is_not_doubled(
    monkeypatch: pytest.MonkeyPatch, max_tokens: int, stop: str
) -> None:
    dictate(monkeypatch, "get 1 oak log")
    backend, end = local(), TOKENIZER.eos_token_id
    history = (RULES, Message("user", "go"))

    async def turns() -> list[Generation]:
        first = await backend.generate(Request(history, session="s", sampling=Sampling(max_tokens=max_tokens)))
        more = (*history, first.message, Message("user", "obs <|end|>"))
        return [first, await backend.generate(Request(more, session="s", sampling=Sampling(max_tokens=max_tokens)))]

    first, second = (generation.tokens for generation in asyncio.run(turns()))
    assert first is not None
    assert second is not None
    written = first.prompt_ids + first.completion_ids
    added = second.prompt_ids[len(written) :]
    assert second.prompt_ids[: len(written)] == written
    assert first.stop == stop
    assert (first.completion_ids[-1] == end) is (stop == "eos")
    assert (added[0] == end) is (stop == "length")
    assert second.prompt_ids.count(end) == 4  # system, user, assistant, user: the one in the observation is text


def test_only_the_new_tokens_of_a_turn_are_read() -> None:
    episode = asyncio.run(play(local(), 3))
    for before, after in itertools.pairwise(episode):
        assert before.tokens is not None
        written = len(before.tokens.prompt_ids) + len(before.tokens.completion_ids)
        assert after.usage.cached_tokens == written - 1  # the last token was sampled but never fed


def test_samples_of_one_prompt_share_what_is_read_of_it() -> None:
    backend = local()

    async def group() -> list[Generation]:
        request = Request(
            (RULES, Message("user", "craft 4 oak planks using 1 oak log and 3 more oak logs, please")),
            sampling=Sampling(max_tokens=8),
        )
        return list(await asyncio.gather(*(backend.generate(Request(request.messages, session=s)) for s in "abcd")))

    generations = asyncio.run(group())
    prompt = generations[0].usage.prompt_tokens
    assert [g.usage.cached_tokens for g in generations] == [0, prompt - 1, prompt - 1, prompt - 1]
    assert len({g.tokens.completion_ids for g in generations if g.tokens}) == 4
    for generation in generations:
        assert generation.tokens is not None
        assert generation.tokens.log_probs == pytest.approx(recompute(generation), abs=1e-4)


def test_rewritten_history_is_rendered_anew_and_opens_a_segment() -> None:
    backend, builder = local(), SegmentBuilder()

    async def turns() -> list[Generation]:
        history = [RULES, Message("user", "craft oak planks"), Message("user", "go")]
        made = []
        for turn in range(5):
            if turn == 3:
                history = [RULES, Message("user", "[turns left out]"), *history[-2:]]
            request = Request(tuple(history), session="s", sampling=Sampling(max_tokens=5))
            made.append(await backend.generate(request))
            history += [made[-1].message, Message("user", f"obs {turn}")]
        return made

    generations = asyncio.run(turns())
    for turn, generation in enumerate(generations):
        assert generation.tokens is not None
        builder.add(generation.tokens, turn)
        assert generation.tokens.log_probs == pytest.approx(recompute(generation), abs=1e-4)
    first, second = builder.segments()
    assert [span.turn for span in first.turns] == [0, 1, 2]
    assert [span.turn for span in second.turns] == [3, 4]
    sampled = [t for g in generations if g.tokens for t in g.tokens.completion_ids]
    kept = [i for s in (first, second) for i, is_action in zip(s.ids, s.action, strict=True) if is_action]
    assert kept == sampled


class Drifting:
    """A tokenizer whose own text it never reads back the way it wrote it."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def encode(self, text: str, **options: Any) -> list[int]:
        ids: list[int] = self.inner.encode(text, **options)
        if "oak" in text or any(i in self.inner.all_special_ids for i in ids):
            return ids
        return [piece for c in text for piece in self.inner.encode(c, **options)][::-1]


def test_sampled_ids_are_trained_as_sampled_even_if_the_tokenizer_would_read_them_otherwise() -> None:
    drifting = Drifting(TOKENIZER)
    backend = local(tokenizer=drifting)
    episodes = asyncio.run(play_all(backend, range(4)))
    num_drifted = 0
    for episode in episodes:
        builder = SegmentBuilder()
        for turn, generation in enumerate(episode):
            assert generation.tokens is not None
            builder.add(generation.tokens, turn)
            text = [i for i in generation.tokens.completion_ids if i not in TOKENIZER.all_special_ids]
            num_drifted += drifting.encode(TOKENIZER.decode(text), add_special_tokens=False) != text
        (segment,) = builder.segments()
        sampled = [t for g in episode if g.tokens for t in g.tokens.completion_ids]
        assert [i for i, is_action in zip(segment.ids, segment.action, strict=True) if is_action] == sampled
    assert num_drifted > 0


def test_rewriting_template_opens_a_segment_per_turn_unless_appending_is_asked_for() -> None:
    _, tokenizer = build_tiny_lm(CORPUS, hidden_size=32, num_layers=2, num_heads=2)
    tokenizer.chat_template = (
        "{% for m in messages %}<|{{ m.role }}|>{% if m.role == 'assistant' and loop.last %}<think></think>{% endif %}"
        "{{ m.content }}<|end|>{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
    )
    num_segments = []
    for append_only in (False, True):
        builder = SegmentBuilder()
        for turn, generation in enumerate(asyncio.run(play(local(tokenizer=tokenizer, append_only=append_only), 4))):
            assert generation.tokens is not None
            builder.add(generation.tokens, turn)
            assert generation.tokens.log_probs == pytest.approx(recompute(generation), abs=1e-4)
        num_segments.append(len(builder.segments()))
    assert num_segments == [4, 1]


def test_seed_fixes_a_sample_and_session_and_turn_fix_it_without_one() -> None:
    assert ask(local(), seed=5).message == ask(local(seed=9), session="x", seed=5).message
    assert ask(local(), session="a").message == ask(local(), session="a").message
    assert ask(local(), session="a").message != ask(local(), session="b").message
    assert ask(local(), session="a").message != ask(local(seed=1), session="a").message
    assert ask(local(), session="a").message == ask(local(seed=0), session="a").message
    backend = local()
    assert ask(backend).message != ask(backend).message
    assert ask(backend, session="a").message != ask(backend, session="a").message  # the same question once more


def test_streams_of_samples_never_change() -> None:
    backend = local()
    of_seed = backend._stream(Request((RULES, RULES), sampling=Sampling(seed=5)), _Session())
    of_session = backend._stream(Request((RULES,), session="s", turn=1), _Session())
    of_nobody = backend._stream(Request((RULES,)), _Session())
    found = [round(stream.random(), 6) for stream in (of_seed, of_session, of_nobody)]
    assert found == [0.860707, 0.815732, 0.778065]


def test_the_oldest_session_is_forgotten_unless_it_is_being_answered() -> None:
    backend = local(max_sessions=2)
    first = {name: ask(backend, session=name).message for name in "abc"}
    assert ask(backend, session="b").message != first["b"]  # asked once more
    assert ask(backend, session="a").message == first["a"]  # forgotten, so asked for the first time
    assert ask(backend, session="b").message != first["b"]
    assert ask(backend, session="c").message == first["c"]

    async def at_once(backend: LocalBackend) -> list[Generation]:
        requests = [Request((RULES, Message("user", "go")), session=name, sampling=Sampling(max_tokens=12)) for name in "ab"]
        return list(await asyncio.gather(*map(backend.generate, requests)))

    backend = local(max_sessions=1)
    both = [one.message for one in asyncio.run(at_once(backend))]
    assert both == [first["a"], first["b"]]
    assert ask(backend, session="a").message != first["a"]


def test_temperature_zero_takes_the_most_likely_token() -> None:
    generation = ask(local(), temperature=0.0)
    tokens = generation.tokens
    assert tokens is not None
    with torch.no_grad():
        best = MODEL(torch.tensor([tokens.prompt_ids + tokens.completion_ids])).logits[0].argmax(-1)
    assert tuple(best[len(tokens.prompt_ids) - 1 : -1].tolist()) == tokens.completion_ids


def dictate(monkeypatch: pytest.MonkeyPatch, text: str, *, end: bool = True) -> None:
    ids = TOKENIZER.encode(text, add_special_tokens=False) + ([TOKENIZER.eos_token_id] if end else [])
    places: dict[int, tuple[int, Any]] = {}  # rows are held, so that no two have the same id

    def draw(logits: Any, rows: Any) -> tuple[list[int], list[float]]:
        chosen = []
        for row in rows:
            place, _ = places.get(id(row), (0, row))
            places[id(row)] = (place + 1, row)
            chosen.append(ids[place])
        return chosen, [-1.0] * len(chosen)

    monkeypatch.setattr("palaestra.agents.backends.local.draw_tokens", draw)


def test_stop_strings_end_the_message_before_them_and_keep_all_sampled_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    dictate(monkeypatch, "get 12 oak log\nObservation: none", end=True)
    generation = ask(local(), max_tokens=100, stop=("\nObs", "never"))
    assert generation.message.content == "get 12 oak log"
    assert generation.finish_reason == "stop"
    assert generation.tokens is not None
    assert generation.tokens.stop == "stop_string"
    written = TOKENIZER.decode(generation.tokens.completion_ids)
    assert written.startswith("get 12 oak log\nObs")
    assert len(written) < len("get 12 oak log\nObservation")


def test_tool_calls_are_read_and_continued_with_tool_results(monkeypatch: pytest.MonkeyPatch) -> None:
    text = 'Look.\n<tool_call>\n{"name": "find", "arguments": {"query": "oak"}}\n</tool_call>'
    dictate(monkeypatch, text)
    backend = local()
    history = [RULES, Message("user", "find oak")]
    sampling = Sampling(max_tokens=200)

    async def turns() -> tuple[Generation, Generation]:
        first = await backend.generate(Request(tuple(history), (TOOL,), sampling, "s"))
        # an agent fills in ids of calls before it shows the message again
        calls = tuple(ToolCall(call.name, call.arguments, "call_0") for call in first.message.tool_calls)
        played = Message("assistant", first.message.content, calls)
        result = Message("tool", "3 logs", tool_call_id="call_0", name="find")
        return first, await backend.generate(Request((*history, played, result), (TOOL,), sampling, "s"))

    first, second = asyncio.run(turns())
    assert first.finish_reason == "tool_calls"
    assert first.message == Message("assistant", "Look.", (ToolCall("find", {"query": "oak"}),))
    assert first.tokens is not None
    assert second.tokens is not None
    before = first.tokens.prompt_ids + first.tokens.completion_ids
    assert second.tokens.prompt_ids[: len(before)] == before
    assert TOKENIZER.decode(second.tokens.prompt_ids[len(before) :]) == "<|tool|>3 logs<|end|><|assistant|>"


def test_answer_is_plain_text_where_no_tools_are_given(monkeypatch: pytest.MonkeyPatch) -> None:
    dictate(monkeypatch, "<tool_call>\n{}\n</tool_call>")
    assert ask(local(), max_tokens=50).message == Message("assistant", "<tool_call>\n{}\n</tool_call>")


def test_agent_plays_with_it_and_reports_one_segment() -> None:
    agent = LLMAgent(local(), format="text", sampling=Sampling(max_tokens=6))

    async def episode() -> None:
        agent.reset({"instructions": "craft"}, session="e")
        for turn in range(3):
            await agent.aact(f"obs {turn}", {})

    asyncio.run(episode())
    (segment,) = agent.record().segments
    assert [span.turn for span in segment.turns] == [0, 1, 2]


@given(
    st.lists(st.text(alphabet="oak <|end>user\n\u00e9", max_size=12) | st.sampled_from(["<|end|>", "<|user|>x"]), max_size=6),
    st.integers(75, 110),
    st.sampled_from(["drop_oldest", "elide_observations"]),
)
@settings(max_examples=15)
def test_generated_episodes_in_a_small_window_hold_every_sampled_token_once(
    observations: list[str], max_tokens: int, strategy: Any
) -> None:
    inner = local()
    sampled: list[tuple[int, ...]] = []

    class Recording:
        name = "recording"
        count_tokens = inner.count_tokens

        async def generate(self, request: Request) -> Generation:
            generation = await inner.generate(request)
            assert generation.tokens is not None
            assert generation.tokens.log_probs == pytest.approx(recompute(generation), abs=1e-4)
            sampled.append(generation.tokens.completion_ids)
            return generation

        async def aclose(self) -> None: ...

    context = ContextPolicy(max_tokens=max_tokens, strategy=strategy, keep_chars=3, keep_turns=1)
    agent = LLMAgent(Recording(), format="text", sampling=Sampling(max_tokens=6), context=context)
    agent.reset({"instructions": "craft"}, session="e")

    async def episode() -> None:
        for observation in ["oak log", *observations]:
            await agent.aact(observation, {})

    asyncio.run(episode())
    segments = agent.record().segments
    turns = [(span.turn, segment.ids[span.start : span.end]) for segment in segments for span in segment.turns]
    assert turns == list(enumerate(sampled))
    for segment in segments:
        inside = {i for span in segment.turns for i in range(span.start, span.end)}
        assert inside == {i for i, is_action in enumerate(segment.action) if is_action}
        assert len(segment.ids) == len(segment.log_prob) == len(segment.version)
        # control tokens outside the sampled ones are the template's own: one end per message, one role per message
        control = [t for i, t in enumerate(segment.ids) if i not in inside and t in TOKENIZER.all_special_ids]
        ends = sum(t == TOKENIZER.eos_token_id for t in control) + sum(span.stop == "eos" for span in segment.turns)
        roles = sum(t != TOKENIZER.eos_token_id for t in control)
        assert roles == ends + (segment.turns[-1].stop != "eos")


def test_who_is_ready_is_answered_at_once_and_the_next_takes_the_place() -> None:
    backend, order = local(max_batch=2), list[str]()

    async def one(name: str, tokens: int) -> None:
        request = Request((RULES, Message("user", name)), sampling=Sampling(temperature=1.0, max_tokens=tokens, seed=1))
        await backend.generate(request)
        order.append(name)

    async def everybody() -> None:
        await asyncio.gather(one("long", 60), one("a", 2), one("b", 2), one("c", 2))

    backend._end_ids = frozenset()  # only lengths decide
    asyncio.run(everybody())
    assert order == ["a", "b", "c", "long"]


def test_event_loop_stays_responsive_between_steps() -> None:
    backend, beats = local(), 0
    backend._end_ids = frozenset()

    async def beat() -> None:
        nonlocal beats
        while True:
            beats += 1
            await asyncio.sleep(0)

    async def both() -> None:
        heart = asyncio.create_task(beat())
        await backend.generate(Request((RULES, Message("user", "go")), sampling=Sampling(max_tokens=40)))
        heart.cancel()

    asyncio.run(both())
    assert beats >= 40


def test_cancelled_request_gives_its_place_free_and_its_session_goes_on() -> None:
    backend = local(max_batch=1)
    request = Request((RULES, Message("user", "go")), session="s", sampling=Sampling(max_tokens=200))

    async def scenario() -> Generation:
        backend._end_ids = frozenset()
        task = asyncio.create_task(backend.generate(request))
        for _ in range(10):
            await asyncio.sleep(0)
        task.cancel()
        backend._end_ids = frozenset({TOKENIZER.eos_token_id})
        return await backend.generate(Request(request.messages, session="s", sampling=Sampling(max_tokens=8)))

    generation = asyncio.run(scenario())
    assert backend.num_in_flight == 0
    assert generation.tokens is not None
    assert generation.tokens.log_probs == pytest.approx(recompute(generation), abs=1e-4)


def test_new_weights_are_used_at_once_with_their_version_and_no_stale_cache() -> None:
    model, tokenizer = build_tiny_lm(CORPUS, hidden_size=32, num_layers=2, num_heads=2, max_positions=512)
    other, _ = build_tiny_lm(CORPUS, hidden_size=32, num_layers=2, num_heads=2, max_positions=512, seed=9)
    backend = local(model, tokenizer, version=3)

    async def scenario() -> list[Generation]:
        history = [RULES, Message("user", "go")]
        first = await backend.generate(Request(tuple(history), session="s", sampling=Sampling(max_tokens=6)))
        backend.update_weights(other)
        history += [first.message, Message("user", "obs")]
        second = await backend.generate(Request(tuple(history), session="s", sampling=Sampling(max_tokens=6)))
        backend._end_ids = frozenset()
        history += [second.message, Message("user", "obs")]
        third = asyncio.create_task(
            backend.generate(Request(tuple(history), session="s", sampling=Sampling(max_tokens=30, seed=1)))
        )
        for _ in range(12):
            await asyncio.sleep(0)
        assert backend.num_in_flight == 1
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(0.9)
        backend.update_weights(version=10)
        return [first, second, await third]

    first, second, third = asyncio.run(scenario())
    assert [g.tokens.version for g in (first, second, third) if g.tokens] == [3, 4, 10]
    assert second.tokens is not None
    assert third.tokens is not None
    assert second.tokens.log_probs == pytest.approx(recompute(second, model=other), abs=1e-4)
    assert len(third.tokens.log_probs) == 30
    assert third.tokens.log_probs == pytest.approx(recompute(third, model=model), abs=1e-4)


def test_prompt_that_leaves_no_room_is_a_model_error_and_the_answer_stops_at_the_end_of_the_context() -> None:
    backend = local(max_context=40)
    backend._end_ids = frozenset()
    generation = ask(backend, max_tokens=400)
    assert generation.tokens is not None
    assert len(generation.tokens.prompt_ids) + len(generation.tokens.completion_ids) == 40
    assert generation.finish_reason == "length"
    with pytest.raises(ContextWindowError, match=r"The prompt has \d+ tokens.*'local' holds 40.*context policy"):
        ask(backend, "oak log " * 40)


def test_nan_is_a_model_error_and_mended_weights_work_again() -> None:
    model, tokenizer = build_tiny_lm(CORPUS, hidden_size=32, num_layers=2, num_heads=2)
    good = {name: value.clone() for name, value in model.state_dict().items()}
    backend = local(model, tokenizer)
    with torch.no_grad():
        model.model.layers[1].mlp.up_proj.weight[0, 0] = float("nan")
    with pytest.raises(ModelError, match=r"'local' \(version 0\) gave NaN; its weights diverged"):
        ask(backend, session="s")
    backend.update_weights(good)
    generation = ask(backend, session="s")
    assert generation.tokens is not None
    assert generation.tokens.log_probs == pytest.approx(recompute(generation, model=model), abs=1e-4)


def test_failure_of_the_model_reaches_everybody_and_the_backend_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = local()

    async def both() -> list[Any]:
        requests = [Request((RULES, Message("user", text)), session=text) for text in "ab"]
        return list(await asyncio.gather(*map(backend.generate, requests), return_exceptions=True))

    with monkeypatch.context() as patch:
        patch.setattr(backend._decoder, "advance", lambda sequences: [][1])
        errors = asyncio.run(both())
    assert [str(error) for error in errors] == ["The model 'local' failed: IndexError: list index out of range"] * 2
    assert all(isinstance(error, ModelError) for error in errors)
    assert backend.num_in_flight == 0
    assert ask(backend, session="a").tokens is not None


def test_models_with_other_caches_are_served_too() -> None:
    config = MistralConfig(
        vocab_size=len(TOKENIZER),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        sliding_window=8,
        bos_token_id=None,
        eos_token_id=None,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(config).eval()
    for episode in asyncio.run(play_all(local(model), range(3), turns=2)):
        for generation in episode:
            assert generation.tokens is not None
            assert generation.tokens.log_probs == pytest.approx(recompute(generation, model=model), abs=1e-4)


def test_model_in_training_mode_is_sampled_without_dropout() -> None:
    model, tokenizer = build_tiny_lm(CORPUS, hidden_size=32, num_layers=2, num_heads=2)
    backend = local(model, tokenizer)
    model.config.attention_dropout = 0.5
    for layer in model.model.layers:
        layer.self_attn.attention_dropout = 0.5
    model.train()
    generation = ask(backend)
    assert generation.tokens is not None
    assert generation.tokens.log_probs == pytest.approx(recompute(generation, model=model.eval()), abs=1e-4)


def test_saved_checkpoint_is_a_model_string(tmp_path: Path) -> None:
    save_checkpoint(MODEL, TOKENIZER, tmp_path / "tiny")
    backend = make_bare_backend(f"hf:{tmp_path / 'tiny'}", max_batch=4)
    assert isinstance(backend, Backend)
    assert isinstance(backend, LocalBackend)
    assert ask(backend, session="s").message == ask(local(), session="s").message
    with pytest.raises(UsageError, match=r"No model could be loaded from '.*nowhere'"):
        LocalBackend.from_path(tmp_path / "nowhere")


def test_a_model_that_brings_code_is_one_error_and_its_code_does_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_checkpoint(MODEL, TOKENIZER, tmp_path / "odd")
    config = json.loads((tmp_path / "odd" / "config.json").read_text())
    config |= {"model_type": "odd", "auto_map": {"AutoConfig": "odd.Config", "AutoModelForCausalLM": "odd.Model"}}
    (tmp_path / "odd" / "config.json").write_text(json.dumps(config))
    (tmp_path / "odd" / "odd.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\n")
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("nobody is asked"))
    with pytest.raises(UsageError, match=r"needs code of its own, which is not run here.* http://HOST:PORT/v1#NAME"):
        make_bare_backend(f"hf:{tmp_path / 'odd'}")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("download", [False, True])
def test_the_disk_is_looked_at_unless_a_download_is_asked_for(monkeypatch: pytest.MonkeyPatch, download: bool) -> None:
    import transformers

    asked: list[dict[str, Any]] = []

    def from_pretrained(path: str, **options: Any) -> Any:
        asked.append(options)
        raise OSError("not there")

    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", from_pretrained)
    told = "not there Give a directory" if download else r"no such directory, .* Give a directory.* --option download=true"
    with pytest.raises(UsageError, match=told):
        make_bare_backend("hf:some/model", **({"download": True} if download else {}))
    assert asked == [{"local_files_only": not download, "trust_remote_code": False}]


def test_closing_fails_what_is_in_flight_and_can_be_repeated() -> None:
    backend = local()

    async def scenario() -> Any:
        task = asyncio.create_task(backend.generate(Request((RULES, Message("user", "go")), session="s")))
        await asyncio.sleep(0)
        await backend.aclose()
        await backend.aclose()
        return (await asyncio.gather(task, return_exceptions=True))[0]

    assert "was closed while it was answering" in str(asyncio.run(scenario()))
    with pytest.raises(ModelError, match="is closed; make a new one"):
        ask(backend)


@pytest.mark.parametrize(
    ("sampling", "message"),
    [
        ({"temperature": -1.0}, "temperature >= 0"),
        ({"top_p": 0.0}, "0 < top_p <= 1"),
        ({"max_tokens": 0}, "max_tokens=0; expected at least 1"),
        ({"extra": {"top_k": 5}}, r"no extra sampling fields \['top_k'\]"),
    ],
)
def test_sampling_that_means_nothing_is_refused(sampling: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        ask(local(), **sampling)


def test_number_of_torch_threads_is_an_option() -> None:
    before = torch.get_num_threads()
    try:
        local(threads=before + 1)
        assert torch.get_num_threads() == before + 1
    finally:
        torch.set_num_threads(before)


def test_options_that_cannot_work_are_refused() -> None:
    with pytest.raises(UsageError, match="max_batch is 0"):
        local(max_batch=0)
    with pytest.raises(UsageError, match="max_context=1000; expected 2 to 512"):
        local(max_context=1000)
    with pytest.raises(UsageError, match="dtype is 'float99'"):
        local(dtype="float99")


def queue(max_batch: int, active: int, waiting: int, waited: int = 0) -> tuple[Any, list[list[int]]]:
    """Return a backend that has so many at work and waiting, and the batches that it will sample."""
    backend = local(max_batch=max_batch)
    sampled: list[list[int]] = []
    numbers: Any = list(range(active + waiting))
    backend._active, backend._waiting, backend._steps_waited = numbers[:active], numbers[active:], waited
    backend._drop_cancelled = lambda: None  # type: ignore[method-assign]
    backend._admit = lambda wave: [[number] for number in wave]  # type: ignore[method-assign,misc,assignment]
    backend._sample = lambda jobs: sampled.append(list(jobs))  # type: ignore[method-assign,assignment,arg-type]
    return backend, sampled


@pytest.mark.parametrize(
    ("max_batch", "active", "waiting", "waited", "joining"),
    [
        (8, 0, 1, 0, 1),  # nobody is at work: whoever comes is read at once
        (8, 0, 20, 0, 8),
        (8, 7, 3, 0, 1),
        (8, 8, 3, 9, 0),  # no room
        (64, 15, 1, 0, 1),
        (64, 16, 1, 0, 0),  # an eighth of those at work gather
        (64, 16, 2, 0, 2),
        (64, 31, 3, 0, 3),
        (64, 32, 3, 0, 0),
        (64, 32, 3, 2, 0),
        (64, 32, 3, 3, 3),  # or have waited for three steps
        (64, 63, 1, 0, 1),  # or fill the room there is
        (64, 40, 0, 9, 0),
    ],
)
def test_newcomers_join_when_enough_have_gathered_or_waited(
    max_batch: int, active: int, waiting: int, waited: int, joining: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("palaestra.agents.backends.local._waves", lambda jobs: [jobs] if jobs else [])
    backend, sampled = queue(max_batch, active, waiting, waited)
    backend._step()
    if joining:
        assert sampled == [[number] for number in range(active, active + joining)]
        assert backend._steps_waited == 0
    else:
        assert sampled == [list(range(active))]
        assert backend._steps_waited == waited + 1
    assert backend._active == list(range(active + joining))
    assert backend._waiting == list(range(active + joining, active + waiting))


def job(prompt: int, cached: int = 0, opening: int = 0) -> Any:
    """Return a job that has so many tokens of prompt, and so many of them read."""
    sequence = SimpleNamespace(cached=cached, busy=False, rewrite=lambda ids: None)
    return SimpleNamespace(prompt=(opening,) * prompt, sequence=sequence, version=None, cached=None)


@pytest.mark.parametrize(
    ("lengths", "batches"),
    [
        ([10, 10, 10], [[10, 10, 10]]),
        ([10, 30, 20], [[30, 20], [10]]),
        ([10, 20, 5, 40], [[40, 20], [10, 5]]),
        ([4096, 4096, 4096], [[4096, 4096], [4096]]),
        ([9000, 100], [[9000], [100]]),
        ([1], [[1]]),
    ],
)
def test_prompts_of_like_length_are_read_together(lengths: list[int], batches: list[list[int]]) -> None:
    backend = local()
    backend.version = 7
    shared: list[Any] = []
    backend._decoder = SimpleNamespace(share=shared.append)
    jobs = [job(length + 3, cached=3) for length in lengths]
    found = backend._admit(jobs)
    assert [[len(one.prompt) - one.cached for one in batch] for batch in found] == batches
    assert shared == [one.sequence for one in jobs]
    assert all(one.sequence.busy and one.version == 7 and one.cached == 3 for one in jobs)


def test_one_of_each_opening_is_read_first() -> None:
    size = local_module._OPENING_TOKENS
    jobs = [
        job(size + 1),
        job(size, opening=1),
        job(size),
        job(size + 5, cached=2),
        job(size - 1),
        job(size - 1),
        job(size + 2, opening=1),
    ]
    waves = local_module._waves(jobs)
    assert [[jobs.index(one) for one in wave] for wave in waves] == [[0, 1, 3, 4, 5], [2, 6]]
    assert local_module._waves([]) == []
