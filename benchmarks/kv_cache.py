"""Local sampling: what continuous batching and caches kept between turns are worth.

Both sides play the same dialogues with the same weights on the same thread: long episodes, in which each turn reads an
observation and writes an answer. The peer is `model.generate` of transformers on the whole batch, padded on the left,
which reads the dialogue from the start at every turn. CPU seconds of the process are counted, tokenising included.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import time
from typing import Any

from benchmarks.rows import Row

NUM_TURNS, ANSWER_TOKENS, OBSERVATION_WORDS = 20, 12, 24
KEPT_BATCH, WIDE_BATCH = 8, 64
ROUNDS = 3
WORDS = [a + b for a in ("oak", "dark ", "birch", "iron ", "gold ", "red ") for b in ("log", "planks", "stick", "ore", "dye")]


def run() -> list[Row]:
    import torch

    from palaestra.models.tiny_lm import build_tiny_lm

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        model, tokenizer = build_tiny_lm((_observation(random.Random(i)) for i in range(200)), max_positions=2048)
        kept, fresh = [], []
        for seed in range(ROUNDS):  # in turns, so that a busy machine slows both
            kept.append(_kept(model, tokenizer, KEPT_BATCH, NUM_TURNS, seed))
            fresh.append(_from_scratch(model, tokenizer, KEPT_BATCH, NUM_TURNS, seed))
        wide = [_kept(model, tokenizer, WIDE_BATCH, 5, seed) for seed in range(ROUNDS)]
    finally:
        torch.set_num_threads(threads)
    ours, peer, sampled = map(statistics.median, (kept, fresh, wide))
    size = sum(parameter.numel() for parameter in model.parameters()) / 1e6
    return [
        Row(
            f"tokens sampled per CPU second, {NUM_TURNS}-turn episodes, {KEPT_BATCH} at a time, {size:.1f} M parameters",
            round(ours),
            "tokens/s",
            "model.generate from scratch every turn",
            round(peer),
            ">= 3x",
            ours >= 3 * peer,
        ),
        Row(
            f"tokens sampled per CPU second, 5-turn episodes, {WIDE_BATCH} at a time, {size:.1f} M parameters",
            round(sampled),
            "tokens/s",
            "floor",
            2400.0,
            ">= 2400",
            sampled >= 2400,
        ),
    ]


def _observation(rng: random.Random) -> str:
    """Write one observation."""
    return "Inventory: " + " ".join(f"[{rng.choice(WORDS)}] ({rng.randint(1, 9)})" for _ in range(OBSERVATION_WORDS // 4))


def _kept(model: Any, tokenizer: Any, batch: int, turns: int, seed: int) -> float:
    """Play with a backend that keeps caches; return tokens per CPU second."""
    from palaestra.agents.backends.local import LocalBackend
    from palaestra.agents.core import Request, Sampling
    from palaestra.types import Message

    backend = LocalBackend(model, tokenizer, max_batch=batch, seed=seed)
    sampling = Sampling(max_tokens=ANSWER_TOKENS)

    async def episode(number: int) -> int:
        rng = random.Random(1000 * seed + number)
        history, sampled = [Message("user", _observation(rng))], 0
        for _ in range(turns):
            generation = await backend.generate(Request(tuple(history), session=str(number), sampling=sampling))
            sampled += generation.usage.completion_tokens
            history += [generation.message, Message("user", _observation(rng))]
        return sampled

    async def everybody() -> int:
        return sum(await asyncio.gather(*map(episode, range(batch))))

    begin = time.process_time()
    return asyncio.run(everybody()) / (time.process_time() - begin)


def _from_scratch(model: Any, tokenizer: Any, batch: int, turns: int, seed: int) -> float:
    """Play with `model.generate`, all episodes in step; return tokens per CPU second."""
    import torch

    sources = [random.Random(1000 * seed + number) for number in range(batch)]
    histories = [[{"role": "user", "content": _observation(rng)}] for rng in sources]
    pad, end = tokenizer.pad_token_id, tokenizer.eos_token_id
    sampled = 0
    begin = time.process_time()
    with torch.random.fork_rng(), torch.inference_mode():
        torch.manual_seed(seed)
        for _ in range(turns):
            prompts = tokenizer.apply_chat_template(
                histories,
                add_generation_prompt=True,
                padding=True,
                return_tensors="pt",
                return_dict=True,
                tokenizer_kwargs={"padding_side": "left"},
            )
            output = model.generate(
                **prompts, do_sample=True, max_new_tokens=ANSWER_TOKENS, pad_token_id=pad, eos_token_id=end
            )
            for history, rng, ids in zip(histories, sources, output[:, prompts["input_ids"].shape[1] :].tolist(), strict=True):
                kept = ids[: ids.index(end) + 1] if end in ids else ids
                sampled += len(kept)
                history += [
                    {"role": "assistant", "content": tokenizer.decode(kept, skip_special_tokens=True)},
                    {"role": "user", "content": _observation(rng)},
                ]
    return sampled / (time.process_time() - begin)
