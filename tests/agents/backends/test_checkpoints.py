"""What is read from a model and its tokenizer, without a model."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from palaestra.agents.backends.checkpoints import (
    context_length,
    model_end_ids,
    num_ids,
    stop_ids,
    vocabulary_size,
    weights_digest,
)
from palaestra.errors import UsageError


def model_of(limit: int | None = None, ends: Any = None, **tables: int | None) -> Any:
    """Return what looks like a model: its positions, its end tokens, the rows of its tables."""
    text = SimpleNamespace(max_position_embeddings=limit) if limit is not None else SimpleNamespace()
    asked: list[bool] = []
    config = SimpleNamespace(get_text_config=lambda *, decoder: asked.append(decoder) or text, asked=asked)
    weights = {
        name: SimpleNamespace(weight=torch.zeros(rows, 2)) if rows is not None else None for name, rows in tables.items()
    }
    return SimpleNamespace(
        config=config,
        generation_config=SimpleNamespace(eos_token_id=ends),
        get_input_embeddings=lambda: weights.get("inner"),
        get_output_embeddings=lambda: weights.get("outer"),
    )


@pytest.mark.parametrize(
    ("limit", "wanted", "length"),
    [(100, None, 100), (None, None, 8192), (0, None, 8192), (100, 2, 2), (100, 100, 100), (None, 10**6, 10**6), (None, 2, 2)],
)
def test_the_longest_sequence_is_what_is_wanted_or_what_the_model_can_do(
    limit: int | None, wanted: int | None, length: int
) -> None:
    model = model_of(limit)
    assert context_length(model, wanted) == length
    assert model.config.asked == [True], "the positions of the part that writes"


@pytest.mark.parametrize(
    ("limit", "wanted", "most"),
    [(100, 101, "100"), (100, 1, "100"), (None, 1, "any number"), (100, 0, "100"), (None, -3, "any")],
)
def test_a_sequence_that_the_model_cannot_hold_is_refused(limit: int | None, wanted: int, most: str) -> None:
    with pytest.raises(UsageError, match=f"max_context={wanted}; expected 2 to {most}"):
        context_length(model_of(limit), wanted)


@pytest.mark.parametrize(("ends", "found"), [(None, set()), (0, {0}), (7, {7}), ([7, 8], {7, 8}), ([], set())])
def test_end_tokens_are_one_several_or_none(ends: Any, found: set[int]) -> None:
    assert model_end_ids(model_of(ends=ends)) == found
    template: Any = SimpleNamespace(end_ids=frozenset({1}))
    assert stop_ids(model_of(ends=ends), template) == {1, *found}
    assert model_end_ids(SimpleNamespace()) == frozenset()
    assert model_end_ids(SimpleNamespace(generation_config=SimpleNamespace())) == frozenset()


TOKENIZER = SimpleNamespace(get_vocab=lambda: {"a": 0, "c": 5, "b": 2})


@pytest.mark.parametrize(
    ("tables", "is_refused"),
    [
        ({"inner": 6, "outer": 6}, False),
        ({"inner": 9, "outer": 6}, False),
        ({"inner": 5, "outer": 6}, True),
        ({"inner": 6, "outer": 5}, True),
        ({"inner": None, "outer": 5}, True),
        ({"inner": 6}, False),
        ({}, False),
    ],
)
def test_ids_without_an_embedding_are_refused(tables: dict[str, int | None], is_refused: bool) -> None:
    assert num_ids(TOKENIZER) == 6
    if is_refused:
        said = r"has 6 ids and the model an embedding for 5; .*resize_token_embeddings\(6\)"
        with pytest.raises(UsageError, match=said):
            vocabulary_size(model_of(**tables), TOKENIZER)
    else:
        assert vocabulary_size(model_of(**tables), TOKENIZER) == 6


def test_a_digest_is_of_names_shapes_kinds_and_values_spread_over_each_parameter() -> None:
    def digest(**changes: Any) -> str:
        torch.manual_seed(0)
        parameters = {"a": torch.arange(1000.0).reshape(10, 100), "b": torch.ones(3), **changes}
        return weights_digest(SimpleNamespace(named_parameters=lambda: parameters.items()))

    plain, wide = digest(), torch.arange(1000.0)
    assert digest() == plain
    assert len(plain) == 16
    first, last = wide.clone(), wide.clone()
    first[0], last[15 * 63] = -1, -1  # every 15th of the first 64 such values is read
    others = [
        digest(c=torch.ones(1)), digest(a=wide), digest(b=torch.ones(3, dtype=torch.float64)), digest(b=torch.zeros(3)),
        digest(a=first.reshape(10, 100)), digest(a=last.reshape(10, 100)), digest(b=torch.ones(3, 1)), digest(b=torch.ones(0)),
    ]  # fmt: skip
    assert len({plain, *others}) == 1 + len(others)
    unread = wide.clone()
    unread[1] = -1
    assert digest(a=unread.reshape(10, 100)) == plain
    assert digest(b=torch.nn.Parameter(torch.ones(3))) == plain
