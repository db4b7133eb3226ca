import json
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.spaces import ActionSpace, TextSpace, Words, is_unicode
from palaestra.types import Message, ToolCall


def draw_message(rng: np.random.Generator) -> Message:
    return Message("assistant", tool_calls=(ToolCall("move", {"n": int(rng.integers(100))}, "1"),))


@given(st.text(st.characters(codec="utf-8")))
def test_all_unicode_text_is_contained(text):
    assert text in TextSpace()
    assert text in ActionSpace()
    assert Message("assistant", text) in ActionSpace()


@pytest.mark.parametrize("value", ["\ud800", "a\udfffb", None, 3, b"bytes", ["text"], Message("assistant", "x")])
def test_what_is_no_text_is_not_an_observation(value):
    assert value not in TextSpace()


@pytest.mark.parametrize("value", [Message("user", "x"), Message("assistant", "\ud800"), {"role": "assistant"}, None, 3])
def test_what_is_no_assistant_message_is_not_an_action(value):
    assert value not in ActionSpace()


def test_the_bound_counts_characters():
    assert "日本" in TextSpace(2)
    assert "日本語" not in TextSpace(2)


def test_spaces_compare_by_what_they_contain():
    assert TextSpace(5) == TextSpace(5, sampler=Words(2), seed=3)
    assert TextSpace(5) != TextSpace(6)
    assert TextSpace(5) != ActionSpace(5)
    assert len({TextSpace(5), TextSpace(5), ActionSpace(5)}) == 2
    assert repr(ActionSpace(5)) == "ActionSpace(max_chars=5)"


def test_drawing_follows_the_seed_and_lands_inside():
    for space in (TextSpace(), ActionSpace(), ActionSpace(sampler=draw_message)):
        draws = []
        for _ in range(2):
            space.seed(4)
            draws.append([space.sample() for _ in range(20)])
        assert draws[0] == draws[1]
        assert len({str(draw) for draw in draws[0]}) > 5
        assert all(draw in space for draw in draws[0])


def test_masks_are_refused():
    with pytest.raises(ValueError, match="mask"):
        TextSpace().sample(mask=1)
    with pytest.raises(ValueError, match="probability"):
        ActionSpace().sample(probability=1)


def test_a_pickled_space_goes_on_drawing_alike():
    space = ActionSpace(sampler=draw_message, seed=2)
    space.sample()
    twin = pickle.loads(pickle.dumps(space))
    assert twin == space
    assert [twin.sample() for _ in range(5)] == [space.sample() for _ in range(5)]


def test_samples_go_through_json():
    space = ActionSpace(sampler=draw_message, seed=0)
    samples = [space.sample(), "text"]
    assert space.from_jsonable(json.loads(json.dumps(space.to_jsonable(samples)))) == samples
    assert TextSpace().from_jsonable(TextSpace().to_jsonable(["a"])) == ["a"]


def test_text_does_not_flatten():
    assert not TextSpace().is_np_flattenable


@given(st.text(st.characters(codec=None)))
def test_is_unicode_agrees_with_the_codec(text):
    try:
        text.encode()
    except UnicodeEncodeError:
        assert not is_unicode(text)
    else:
        assert is_unicode(text)
