"""What texts and data hold."""

from __future__ import annotations

import base64
import json
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.envs.audit.texts import contains, leaves, normal, values_of
from palaestra.envs.formats.hermes import format_call
from palaestra.types import ToolCall

SECRET = "mara.lind@example.org"
ENCODED = {
    "plain": SECRET,
    "base64": base64.b64encode(SECRET.encode()).decode(),
    "hex": SECRET.encode().hex(),
    "JSON": json.dumps({"deep": [1, {"gold": SECRET}]}),
    "bytes": json.dumps({"gold": SECRET}).encode(),
    "compressed": base64.b64encode(zlib.compress(SECRET.encode())).decode(),
    "reversed": SECRET[::-1],
    "nested": {"a": [{"b": base64.b64encode(json.dumps([SECRET]).encode()).decode()}]},
}


@pytest.mark.parametrize("how", ENCODED)
def test_values_are_found_behind_encodings(how):
    assert SECRET in [leaf.value for leaf in leaves({"info": ENCODED[how]})]


@pytest.mark.parametrize("how", [how for how in ENCODED if how != "plain"])
def test_without_decoding_values_are_what_stands_there(how):
    held = [leaf.value for leaf in leaves({"a (b)": ENCODED[how], "n": 7}, decode=False)]
    assert SECRET not in held
    assert "7" in held
    assert (ENCODED[how] in held) == isinstance(ENCODED[how], str)


VALUES = st.none() | st.booleans() | st.floats() | st.text() | st.binary()


@given(st.recursive(VALUES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_all_data_have_leaves_that_are_texts(data):
    found = list(leaves(data))
    assert all(isinstance(leaf.value, str) for leaf in found)
    plain = list(leaves(data, decode=False))
    assert set(plain) <= set(found)


def test_a_value_is_a_stretch_of_whole_words():
    assert contains(normal("It is: Anchor-583."), normal("anchor-583"))
    assert contains(normal("test-3-anchor-583"), normal("anchor-583"))
    assert not contains(normal("anchor-5831"), normal("anchor-583"))
    assert not contains("anything", "")


def test_values_of_an_action():
    assert values_of(format_call(ToolCall("add", {"title": "Winter tasting", "n": 3}))) == ["winter tasting", "3"]
    assert "anchor-583" in values_of("say anchor-583")
    assert "dowick" in values_of("Is it the dowick?")
