import json
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.media import FolderMedia, MemoryMedia, current_media, describe, find_media, tone
from palaestra.spaces import ActionSpace, MediaWords, TextSpace, Words, is_unicode
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


# -- media ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("as_message", [False, True])
def test_small_sounds_and_pictures_are_drawn_alike_by_equal_seeds(as_message):
    stores = [MemoryMedia(), MemoryMedia()]
    draws = []
    for store in stores:
        space = ActionSpace(sampler=MediaWords(as_message, store=store), media=store, seed=3)
        draws.append([space.sample() for _ in range(30)])
        assert all(draw in space for draw in draws[-1])
    assert draws[0] == draws[1]
    assert sorted(stores[0]) == sorted(stores[1])
    named = [item for draw in draws[0] for item in find_media(draw.content if as_message else draw)]
    assert {item.kind for item in named} == {"audio", "image"}
    assert len(set(named)) > 30
    assert max(len(stores[0].get(item)) for item in named) < 10_000
    assert space.from_jsonable(json.loads(json.dumps(space.to_jsonable(draws[0])))) == draws[0]


def test_without_a_store_of_their_own_samples_lie_in_the_current_one():
    text = TextSpace(sampler=MediaWords(), seed=0).sample()
    assert all(item in current_media() for item in find_media(text))
    assert find_media(text)


@pytest.mark.parametrize("space", [TextSpace, ActionSpace])
def test_a_tag_whose_bytes_are_nowhere_is_refused_only_where_a_store_is_given(space, tmp_path):
    nowhere, store = describe(tone(333, 0.05)), FolderMedia(tmp_path)
    here = store.put(tone(222, 0.05))
    assert f"hear {nowhere.tag}" in space()
    assert f"hear {here.tag}" in space(media=store)
    assert f"hear {here.tag} and {nowhere.tag}" not in space(media=store)
    assert f"prose &lt;{nowhere.tag[1:]}" in space(media=store)
    assert space(media=store) == space()
    assert pickle.loads(pickle.dumps(space(media=store))).contains(here.tag)


def test_a_message_is_contained_if_its_content_names_its_media(tmp_path):
    store = FolderMedia(tmp_path)
    here, nowhere = store.put(tone(222, 0.05)), describe(tone(333, 0.05))
    for media, content, anywhere, in_store in (
        ((here,), here.tag, True, True),
        ((nowhere,), nowhere.tag, True, False),
        ((here,), "", False, False),
        ((here,), here.tag + nowhere.tag, False, False),
        ((), nowhere.tag, True, True),  # prose that looks like a tag
        ((here, here), here.tag, False, False),
    ):
        message = Message("assistant", content, media=media)
        assert (message in ActionSpace()) is anywhere
        assert (message in ActionSpace(media=store)) is in_store
