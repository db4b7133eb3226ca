import json
import pickle

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from palaestra.errors import UsageError
from palaestra.media import Media, escape_tags, find_media, read_tags, split_tags, write_tags
from palaestra.media.items import unescape_tags
from tests.media.drawn import media, near_tags, tags, texts

A = Media("a" * 64, "audio/wav", 2.5, 16_000)
B = Media("b" * 64, "image/png", width=32, height=24)


def test_the_tags_are_exactly_these():
    assert A.tag == f"<audio sha256={'a' * 64} seconds=2.5 rate=16000/>"
    assert B.tag == f"<image sha256={'b' * 64} width=32 height=24 type=image/png/>"
    assert (
        Media("c" * 64, "audio/mpeg", 3, channels=2).tag == f"<audio sha256={'c' * 64} seconds=3 channels=2 type=audio/mpeg/>"
    )
    assert Media("c" * 64, "audio/wav").tag == f"<audio sha256={'c' * 64}/>"
    assert Media("c" * 64, "audio/wav", 1 / 3).tag == f"<audio sha256={'c' * 64} seconds=0.333/>"


@given(media)
@example(Media("0" * 64, "audio/wav", -0.0))
@example(Media("0" * 64, "audio/wav", 1e-5))
@example(Media("0" * 64, "audio/wav", 9_999_999.0))
def test_a_tag_says_everything(item):
    assert find_media(item.tag) == (item,)
    assert find_media(f"see{item.tag}{item.tag} and") == (item,)
    assert Media.from_json(json.loads(json.dumps(item.to_json()))) == item
    assert pickle.loads(pickle.dumps(item)) == item
    assert hash(Media.from_json(item.to_json())) == hash(item)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("rate=16000", "rate=16000 channels=1"),
        ("rate=16000", "rate=16000 type=audio/wav"),
        ("rate=16000", "rate=016000"),
        ("rate=16000", "rate=16000000"),
        ("rate=16000", "rate=16000 width=3"),
        ("seconds=2.5", "seconds=2.50"),
        ("seconds=2.5", "seconds=2.5001"),
        ("seconds=2.5", "seconds=02.5"),
        ("seconds=2.5", "seconds=.5"),
        ("seconds=2.5", "seconds=1e3"),
        ("seconds=2.5 rate=16000", "rate=16000 seconds=2.5"),
        (" seconds", "  seconds"),
        ("/>", " />"),
        ("/>", ">"),
        ("<audio", "<Audio"),
        ("<audio", "<image"),
        ("a" * 64, "A" * 64),
        ("a" * 64, "a" * 63),
    ],
)
def test_there_is_one_way_to_write_a_tag(old, new):
    assert find_media(A.tag.replace(old, new)) == ()


@given(near_tags())
def test_what_differs_by_a_character_is_another_tag_or_none(text):
    for item in find_media(text):
        assert item.tag in text


@given(texts)
def test_every_text_form_is_read_and_written_alike(text):
    content, found = read_tags(text)
    assert found == find_media(text)
    assert write_tags(content, found) == text


@given(texts)
def test_every_prose_has_a_text_form_that_names_nothing(prose):
    text = write_tags(prose, ())
    assert text == escape_tags(prose)
    assert find_media(text) == ()
    assert read_tags(text) == (prose, ())
    assert unescape_tags(text) == prose


@given(texts, st.randoms(use_true_random=False))
def test_tags_of_media_that_are_not_there_are_prose(text, chance):
    there = {item for item in find_media(text) if chance.random() < 0.5}
    content, found = read_tags(text, there.__contains__)
    assert set(found) == there
    assert found == tuple(item for item in find_media(text) if item in there)
    assert unescape_tags(write_tags(content, found)) == unescape_tags(text)
    assert find_media(write_tags(content, found)) == found


@given(texts)
def test_pieces_are_the_media_in_turn_and_the_prose_between_them(text):
    content, found = read_tags(text)
    pieces = split_tags(content, found)
    assert tuple(dict.fromkeys(piece for piece in pieces if isinstance(piece, Media))) == found
    if found:
        assert "".join(piece.tag if isinstance(piece, Media) else escape_tags(piece) for piece in pieces) == text
    else:
        assert "".join(pieces) == content


def test_pieces_name_only_media_that_are_meant():
    content = f"one {A.tag}{B.tag} two"
    assert split_tags(content, [A, B]) == ["one ", A, B, " two"]
    assert split_tags(content, [B]) == [f"one {A.tag}", B, " two"]
    assert split_tags("", []) == []
    assert split_tags(A.tag, []) == [A.tag]


@given(st.lists(tags, max_size=4))
def test_media_come_once_each_in_the_order_of_their_first_tags(found):
    assert [item.tag for item in find_media(" ".join(found))] == list(dict.fromkeys(found))


@pytest.mark.parametrize("content", ["nothing", B.tag, f"{A.tag}{B.tag}", f"{B.tag}{A.tag}"])
def test_media_that_the_content_does_not_name_are_refused(content):
    for given_ in ((A,), (A, A), (B, A) if content.startswith(A.tag) else (A, B), (A, B, A)):
        if find_media(content) != given_:
            with pytest.raises(UsageError, match=r"A message has the media .* the tags in its content name"):
                write_tags(content, given_)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"sha256": "A" * 64}, "expected 64 hexadecimal digits"),
        ({"sha256": "../../etc/passwd"}, "expected 64 hexadecimal digits"),
        ({"sha256": None}, "expected 64 hexadecimal digits"),
        ({"type": "text/html"}, "expected a MIME type"),
        ({"type": "audio/"}, "expected a MIME type"),
        ({"type": "audio/wav onerror=x"}, "expected a MIME type"),
        ({"seconds": float("nan")}, "expected a number from 0"),
        ({"seconds": -1}, "expected a number from 0"),
        ({"seconds": "2"}, "expected a number from 0"),
        ({"rate": 0}, "expected a whole number"),
        ({"rate": 16_000.0}, "expected a whole number"),
        ({"channels": None}, "expected a whole number"),
        ({"channels": True}, "expected a whole number"),
        ({"width": 3, "height": 3}, "leave them out"),
        ({"type": "image/png", "width": 3}, "give both or none"),
        ({"type": "image/png", "rate": 3}, "leave them out"),
        ({"type": "image/png", "channels": 2}, "leave them out"),
    ],
)
def test_what_no_tag_could_say_is_refused(wrong, told):
    with pytest.raises(UsageError, match=told):
        Media(**{"sha256": "0" * 64, "type": "audio/wav", **wrong})
