"""Tags that carry the name of a family become those of another, and nothing else of a text changes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.envs.formats.marks import MARK, plain_tags

TAGS = ("tool_call", "arg_key", "arg_value")


@pytest.mark.parametrize("tag", TAGS)
@pytest.mark.parametrize("family", ["glm", "seed2", "X", "a" * 20])
@pytest.mark.parametrize("slash", ["", "/"])
def test_a_name_before_a_tag_is_taken_away(tag: str, family: str, slash: str) -> None:
    assert plain_tags(f"a_b <{slash}{family}_{tag}> c") == f"a_b <{slash}{tag}> c"
    assert plain_tags(f"]<]minimax[>[<{slash}{tag}>") == f"<{slash}{tag}>"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "a_b",
        "<tool_call>",
        "</arg_key>",
        "<x_tool>",
        "<_tool_call>",
        f"<{'a' * 21}_tool_call>",
        "<a b_tool_call>",
        "x_tool_call>",
    ],
)
def test_other_texts_stay_as_they_are(text: str) -> None:
    assert plain_tags(text) == text


@given(
    st.lists(st.sampled_from(["<", ">", "/", "_", "tool_call", "arg_key", "x", " ", "]<]minimax[>["]), max_size=12).map(
        "".join
    )
)
def test_a_text_without_a_prefix_before_a_tag_is_only_freed_of_marks(text: str) -> None:
    plain = plain_tags(text)
    assert len(plain) <= len(text)
    if "_tool_call>" not in text and "_arg_key>" not in text:
        assert plain == text.replace("]<]minimax[>[", "")


@pytest.mark.parametrize("text", ["]<]minimax[>[", "**Tool Call:**", "```tool_code", "<|PYTHON_TAG|>", "[unused11]"])
def test_what_says_that_a_call_is_made_is_found_in_any_case(text: str) -> None:
    assert MARK.search(f"words {text} words") is not None
