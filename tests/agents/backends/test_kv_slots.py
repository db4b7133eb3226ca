from random import Random
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    LlamaConfig,
    MambaConfig,
    MistralConfig,
    PreTrainedConfig,
    Qwen2Config,
    Qwen3Config,
)

from palaestra.agents.backends.kv_slots import CachedSequence, PlainDecoder, SlotDecoder, make_decoder

VOCABULARY = 96
SIZES = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "bos_token_id": None,
    "eos_token_id": None,
}
CONFIGS: dict[str, PreTrainedConfig] = {
    "llama": LlamaConfig(**SIZES),
    "qwen2": Qwen2Config(**SIZES),
    "qwen3": Qwen3Config(**SIZES, head_dim=8),
    "gpt2": GPT2Config(
        vocab_size=VOCABULARY, n_embd=32, n_layer=2, n_head=4, n_positions=256, bos_token_id=None, eos_token_id=None
    ),
    "sliding window": MistralConfig(**SIZES, sliding_window=5),
    "state space": MambaConfig(
        vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=2, state_size=4, bos_token_id=None, eos_token_id=None
    ),
}


def model(kind: str = "llama", **options: Any) -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return AutoModelForCausalLM.from_config(CONFIGS[kind], **options).eval()


def expected(model: Any, sequence: CachedSequence) -> torch.Tensor:
    with torch.no_grad():
        return model(input_ids=torch.tensor([sequence.ids]), use_cache=False).logits[0, -1]


def check(model: Any, decoder: Any, sequences: list[CachedSequence]) -> None:
    """Advance and compare with plain forwards."""
    logits = decoder.advance(sequences)
    for row, sequence in zip(logits, sequences, strict=True):
        torch.testing.assert_close(row, expected(model, sequence), atol=2e-5, rtol=1e-4)


def random_ids(rng: Random, length: int) -> list[int]:
    return [rng.randrange(VOCABULARY) for _ in range(length)]


@pytest.mark.parametrize(
    ("kind", "decoder"),
    [
        ("llama", SlotDecoder),
        ("qwen2", SlotDecoder),
        ("qwen3", SlotDecoder),
        ("gpt2", SlotDecoder),
        ("sliding window", PlainDecoder),
        ("state space", PlainDecoder),
    ],
)
def test_ragged_turns_equal_plain_forwards_on_every_kind_of_model(kind: str, decoder: type) -> None:
    lm, rng = model(kind), Random(1)
    made = make_decoder(lm, num_rows=8, max_length=128, cache_bytes=10**8)
    assert type(made) is decoder
    sequences = [CachedSequence(random_ids(rng, length)) for length in (3, 17, 9)]
    check(lm, made, sequences)
    for _ in range(3):
        for sequence in sequences:
            sequence.ids.append(rng.randrange(VOCABULARY))
        check(lm, made, sequences)
    sequences[1].ids += random_ids(rng, 11)
    check(lm, made, sequences[1:2])


def test_a_turn_that_goes_on_reads_its_new_tokens_only_and_asks_for_the_last_logits_only() -> None:
    lm, rng = model(), Random(7)
    decoder = SlotDecoder(lm, num_rows=8, max_length=128, cache_bytes=10**8)
    sequences = [CachedSequence(random_ids(rng, length)) for length in (3, 17, 9)]
    read: list[tuple[int, ...]] = []
    computed: list[tuple[int, ...]] = []

    def watch(module: Any, args: Any, kwargs: dict[str, Any], output: Any) -> None:
        read.append(tuple(kwargs["input_ids"].shape))
        computed.append(tuple(output.logits.shape))

    hook = lm.register_forward_hook(watch, with_kwargs=True)
    for _ in range(4):
        decoder.advance(sequences)
        rows = [sequence.row for sequence in sequences]
        for sequence in sequences:
            sequence.ids.append(rng.randrange(VOCABULARY))
    hook.remove()
    assert read == [(3, 17), (3, 1), (3, 1), (3, 1)]
    assert computed == [(3, 1, VOCABULARY)] * 4
    assert sorted(rows) == [0, 1, 2]
    assert decoder.num_kept == 3
    check(lm, decoder, sequences)


def test_eager_attention_is_served_too() -> None:
    lm = model(attn_implementation="eager")
    decoder = make_decoder(lm, num_rows=4, max_length=64, cache_bytes=10**8)
    assert isinstance(decoder, SlotDecoder)
    check(lm, decoder, [CachedSequence([1, 2, 3]), CachedSequence([4])])


def test_half_precision_is_served_by_slots() -> None:
    lm = model().to(torch.bfloat16)
    assert isinstance(make_decoder(lm, num_rows=4, max_length=64, cache_bytes=10**8), SlotDecoder)


def test_random_play_with_growth_eviction_and_rewriting_stays_exact() -> None:
    lm, rng = model(), Random(2)
    per_token = 2 * 2 * 2 * 8 * 4  # keys and values, layers, heads, width, bytes
    decoder = SlotDecoder(lm, num_rows=6, max_length=256, cache_bytes=per_token * 700)
    sequences = [CachedSequence(random_ids(rng, rng.randint(1, 40))) for _ in range(9)]
    for _ in range(50):
        batch = rng.sample(sequences, rng.randint(1, 4))
        for sequence in batch:
            sequence.busy = True
            if sequence.cached and rng.random() < 0.1:
                sequence.rewrite(sequence.ids[: rng.randint(1, len(sequence.ids))] + random_ids(rng, rng.randint(0, 5)))
            else:
                sequence.ids += random_ids(rng, rng.choice([1, 1, 30]))
            if not sequence.cached:
                decoder.share(sequence)
        check(lm, decoder, batch)
        for sequence in batch:
            sequence.busy = False
        assert decoder.num_kept <= 6
    assert max(len(sequence.ids) for sequence in sequences) > 128  # the capacity had to grow


def test_memory_bound_evicts_idle_sequences_and_they_come_back_exactly() -> None:
    lm, rng = model(), Random(3)
    per_token = 2 * 2 * 2 * 8 * 4
    decoder = SlotDecoder(lm, num_rows=16, max_length=256, cache_bytes=per_token * 4 * 130)
    sequences = [CachedSequence(random_ids(rng, 10)) for _ in range(8)]
    for sequence in sequences:
        check(lm, decoder, [sequence])
    assert decoder.num_kept == 4
    assert decoder.nbytes <= per_token * 4 * 130
    assert [sequence.cached for sequence in sequences] == [0] * 4 + [10] * 4  # the least recently used ones went
    for sequence in sequences:
        sequence.ids.append(5)
        check(lm, decoder, [sequence])
    long = CachedSequence(random_ids(rng, 200))
    check(lm, decoder, [long])
    assert decoder.nbytes <= per_token * 4 * 130


def test_busy_sequences_are_never_evicted() -> None:
    lm, rng = model(), Random(4)
    decoder = SlotDecoder(lm, num_rows=2, max_length=64, cache_bytes=10**8)
    sequences = [CachedSequence(random_ids(rng, 5), busy=True) for _ in range(5)]
    check(lm, decoder, sequences)
    assert [sequence.cached for sequence in sequences] == [5] * 5


def test_long_prompts_are_read_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("palaestra.agents.backends.kv_slots._LONGEST_READ", 16)
    lm, rng = model(), Random(5)
    decoder = SlotDecoder(lm, num_rows=4, max_length=128, cache_bytes=10**8)
    check(lm, decoder, [CachedSequence(random_ids(rng, length)) for length in (60, 16, 3, 33)])


def test_common_beginning_is_copied_not_read_again() -> None:
    lm, rng = model(), Random(6)
    decoder = SlotDecoder(lm, num_rows=8, max_length=128, cache_bytes=10**8)
    opening = random_ids(rng, 30)
    check(lm, decoder, [CachedSequence([*opening, 1, 2, 3])])
    same, longer, other = (
        CachedSequence([*opening, 1, 2, 3]),
        CachedSequence([*opening, 1, 2, 9, 9]),
        CachedSequence(opening[:10] + [7] * 20),
    )
    for sequence in (same, longer, other):
        decoder.share(sequence)
    assert (same.cached, longer.cached, other.cached) == (32, 32, 0)
    check(lm, decoder, [same, longer, other])


def test_new_weights_void_everything_cached() -> None:
    lm = model()
    decoder = SlotDecoder(lm, num_rows=4, max_length=64, cache_bytes=10**8)
    sequence = CachedSequence([1, 2, 3])
    check(lm, decoder, [sequence])
    with torch.no_grad():
        for parameter in lm.parameters():
            parameter.mul_(1.3)
    decoder.invalidate()
    assert sequence.cached == 0
    sequence.ids.append(4)
    check(lm, decoder, [sequence])


def test_nan_left_in_the_cache_does_not_reach_the_next_owner_of_a_row() -> None:
    lm = model()
    decoder = SlotDecoder(lm, num_rows=2, max_length=64, cache_bytes=10**8)
    good = {name: value.clone() for name, value in lm.state_dict().items()}
    with torch.no_grad():
        lm.model.layers[0].self_attn.v_proj.weight.fill_(float("nan"))
    assert torch.isnan(decoder.advance([CachedSequence(list(range(20)))])).all()
    lm.load_state_dict(good)
    decoder.invalidate()
    check(lm, decoder, [CachedSequence([1, 2]), CachedSequence([3])])


@pytest.mark.parametrize("kind", ["sliding window", "state space"])
def test_plain_decoder_survives_rewriting_and_release(kind: str) -> None:
    lm = model(kind)
    decoder = PlainDecoder(lm)
    sequence = CachedSequence([1, 2, 3, 4, 5, 6, 7])
    check(lm, decoder, [sequence])
    sequence.rewrite([1, 2, 3, 4])
    check(lm, decoder, [sequence])
    sequence.rewrite([1, 2, 3, 4, 9])
    check(lm, decoder, [sequence])
    decoder.invalidate()
    assert sequence.native is None
    sequence.ids.append(3)
    check(lm, decoder, [sequence])
