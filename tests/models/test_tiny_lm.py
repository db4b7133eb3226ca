import warnings
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, AutoTokenizer

from palaestra.models.tiny_lm import MAX_PARAMETERS, build_tiny_lm, save, train_tokenizer

CORPUS = ["Goal: craft dark oak planks.\nInventory: [oak log] (3)", "get 12 oak log", "craft 4 oak planks using 1 oak log"] * 4
DIALOGUE = [
    {"role": "system", "content": "rules"},
    {"role": "user", "content": "craft planks"},
    {"role": "assistant", "content": "get 1 oak log"},
    {"role": "user", "content": "Got 1 oak log"},
]
TOOL = {"type": "function", "function": {"name": "find", "description": "Find.", "parameters": {"type": "object"}}}

tokenizer = train_tokenizer(CORPUS)


@given(st.text())
@settings(max_examples=150, deadline=None)
def test_every_text_decodes_to_itself(text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True)) == text


def test_words_of_the_corpus_are_one_token_and_digits_stand_apart() -> None:
    pieces = tokenizer.convert_ids_to_tokens(tokenizer.encode("get 12 oak planks", add_special_tokens=False))
    assert pieces == ["get", "Ġ", "1", "2", "Ġoak", "Ġplanks"]


@pytest.mark.parametrize("tools", [None, [TOOL]])
def test_template_only_appends(tools: list[object] | None) -> None:
    def render(length: int, generate: bool) -> list[int]:
        return tokenizer.apply_chat_template(
            DIALOGUE[:length], tools=tools, add_generation_prompt=generate, tokenize=True, return_dict=False
        )

    before, answered, after = render(2, True), render(3, False), render(4, True)
    assert answered[: len(before)] == before
    assert after[: len(answered)] == answered
    assert after[-1] == tokenizer.convert_tokens_to_ids("<|assistant|>")


def test_template_marks_what_the_assistant_writes_with_its_end_token() -> None:
    call = {"type": "function", "id": "1", "function": {"name": "find", "arguments": {"query": "oak"}}}
    dialogue = [
        *DIALOGUE,
        {"role": "assistant", "content": "Look.", "tool_calls": [call]},
        {"role": "tool", "content": "none"},
    ]
    encoded = tokenizer.apply_chat_template(dialogue, tools=[TOOL], return_dict=True, return_assistant_tokens_mask=True)
    marked = [i for i, is_marked in zip(encoded["input_ids"], encoded["assistant_masks"], strict=True) if is_marked]
    assert tokenizer.decode(marked) == (
        'get 1 oak log<|end|>Look.\n<tool_call>\n{"name": "find", "arguments": {"query": "oak"}}\n</tool_call><|end|>'
    )


def test_tools_are_shown_with_and_without_a_system_message() -> None:
    for dialogue in (DIALOGUE[:2], DIALOGUE[1:2]):
        text = tokenizer.apply_chat_template(dialogue, tools=[TOOL], tokenize=False)
        assert text.startswith("<|system|>")
        assert '"name": "find"' in text.split("<|end|>")[0]


def test_default_size_is_below_a_million_parameters_and_only_the_seed_decides_the_weights() -> None:
    state = torch.random.get_rng_state()
    model, _ = build_tiny_lm(CORPUS, seed=1)
    twin, _ = build_tiny_lm(CORPUS, seed=1)
    other, _ = build_tiny_lm(CORPUS, seed=2)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert 500_000 < sum(p.numel() for p in model.parameters()) < 1_000_000
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), twin.parameters(), strict=True))
    assert not torch.equal(model.get_input_embeddings().weight, other.get_input_embeddings().weight)


def test_saved_directory_loads_with_the_auto_classes(tmp_path: Path) -> None:
    model, tokenizer = build_tiny_lm(CORPUS, hidden_size=32, num_layers=1)
    save(model, tokenizer, tmp_path / "tiny")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "tiny")
        loaded_tokenizer = AutoTokenizer.from_pretrained(tmp_path / "tiny")
    text = "craft 4 oak planks  <|end|>\n<tool_call>"
    assert loaded_tokenizer.encode(text) == tokenizer.encode(text)
    assert loaded_tokenizer.chat_template == tokenizer.chat_template
    assert loaded_tokenizer.eos_token_id == loaded.config.eos_token_id == tokenizer.eos_token_id
    ids = torch.tensor([tokenizer.encode(text)])
    assert torch.equal(loaded(ids).logits, model(ids).logits)


def test_sizes_that_cannot_work_are_refused() -> None:
    with pytest.raises(ValueError, match="multiple of 8"):
        build_tiny_lm(CORPUS, hidden_size=100, num_heads=4)
    with pytest.raises(ValueError, match=f"at most {MAX_PARAMETERS:,}"):
        build_tiny_lm(CORPUS, hidden_size=512)
    with pytest.raises(ValueError, match="vocab_size=100 leaves no room"):
        train_tokenizer(CORPUS, vocab_size=100)
    with pytest.raises(ValueError, match="holds no text"):
        train_tokenizer(["", ""])
