"""Counts of tokens under the names of each API, added up by hand."""

from __future__ import annotations

from typing import Any

import pytest

from palaestra.agents.backends.token_usage import (
    ANTHROPIC_USAGE,
    CHAT_USAGE,
    GOOGLE_USAGE,
    MOST_TOKENS,
    RESPONSES_USAGE,
    UsageFields,
    token_count,
    usage_in,
    usage_of,
)
from palaestra.types import Usage


@pytest.mark.parametrize(
    ("value", "count"),
    [
        (0, 0), (1, 1), (-1, 0), (MOST_TOKENS, MOST_TOKENS), (MOST_TOKENS + 1, 0), (True, 0),
        (1.0, 1), (2.6, 3), (0.4, 0), (-2.0, 0), (float("inf"), 0), (float("nan"), 0), (1e9, 10**9), (1.5e9, 0),
        ("7", 7), (" 7 ", 7), ("7.0", 7), ("-7", 0), ("", 0), ("7 tokens", 0), ("1_0", 0), (None, 0), ([7], 0), ({}, 0),
    ],
)  # fmt: skip
def test_a_count_is_what_is_plainly_a_number(value: Any, count: int) -> None:
    assert token_count(value) == count


@pytest.mark.parametrize(
    ("fields", "block", "prompt", "cached", "completion"),
    [
        (CHAT_USAGE, {"prompt_tokens": 9, "completion_tokens": 4}, 9, 0, 4),
        (CHAT_USAGE, {"prompt_tokens": 9, "prompt_tokens_details": {"cached_tokens": 5}}, 9, 5, 0),
        (CHAT_USAGE, {"prompt_tokens": 9, "prompt_cache_hit_tokens": 6}, 9, 6, 0),
        (
            CHAT_USAGE,
            {"prompt_tokens": 9, "prompt_tokens_details": {"cached_tokens": 0}, "prompt_cache_hit_tokens": 6},
            9,
            6,
            0,
        ),
        (
            CHAT_USAGE,
            {"prompt_tokens": 9, "prompt_tokens_details": {"cached_tokens": 5}, "prompt_cache_hit_tokens": 6},
            9,
            5,
            0,
        ),
        (CHAT_USAGE, {"prompt_tokens": 9, "prompt_tokens_details": [5]}, 9, 0, 0),
        (CHAT_USAGE, {"prompt_tokens": 9, "prompt_tokens_details": {"cached_tokens": 50}}, 9, 9, 0),
        (CHAT_USAGE, {"input_tokens": 8, "output_tokens": 3, "input_tokens_details": {"cached_tokens": 2}}, 8, 2, 3),
        (CHAT_USAGE, {"promptTokens": 8, "completionTokens": 3, "cachedTokens": 2}, 8, 2, 3),
        (CHAT_USAGE, {"inputTokens": 8, "outputTokens": 3, "cacheReadInputTokens": 2}, 10, 2, 3),
        (CHAT_USAGE, {"promptTokenCount": 8, "candidatesTokenCount": 3, "cachedContentTokenCount": 2}, 8, 2, 3),
        (ANTHROPIC_USAGE, {"input_tokens": 2, "cache_read_input_tokens": 30, "cache_creation_input_tokens": 400}, 432, 30, 0),
        (ANTHROPIC_USAGE, {"input_tokens": 2, "output_tokens": 7}, 2, 0, 7),
        (ANTHROPIC_USAGE, {"prompt_tokens": 2, "completion_tokens": 7}, 2, 0, 7),
        (RESPONSES_USAGE, {"input_tokens": 9, "output_tokens": 2, "input_tokens_details": {"cached_tokens": 3}}, 9, 3, 2),
        (RESPONSES_USAGE, {"input_tokens": 1, "cache_read_input_tokens": 3}, 4, 3, 0),
        (
            GOOGLE_USAGE,
            {
                "promptTokenCount": 5,
                "toolUsePromptTokenCount": 10,
                "cachedContentTokenCount": 4,
                "candidatesTokenCount": 20,
                "thoughtsTokenCount": 100,
            },
            15,
            4,
            120,
        ),
        (UsageFields("u", ("a", "b"), ("c.d",), ("e",)), {"a": "1", "b": 2.0, "c": {"d": 1}, "e": -4}, 3, 1, 0),
        (CHAT_USAGE, {}, 0, 0, 0),
        (CHAT_USAGE, None, 0, 0, 0),
        (CHAT_USAGE, [1], 0, 0, 0),
    ],
)
def test_counts_are_read_under_the_names_of_the_api_and_then_of_others(
    fields: UsageFields, block: Any, prompt: int, cached: int, completion: int
) -> None:
    assert usage_of(block, fields) == Usage(1, 0, prompt, cached, completion)
    if isinstance(block, dict):
        assert usage_in({fields.block: block}, fields) == usage_of(block, fields)


def test_an_answer_without_a_block_of_counts_reports_none() -> None:
    for data in (None, [], {}, {"usage": None}, {"usage": 3}, {"usageMetadata": {"promptTokenCount": 1}}):
        assert usage_in(data) is None
    assert usage_in({"usage": {}}) == Usage(1)
    assert usage_of({"prompt_tokens": 3}) == Usage(1, 0, 3), "chat completions where nothing is said"
