import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.envs.instructions import InstructionDataError, load_answers
from palaestra.envs.instructions.answers import END_MARKERS, final_text
from palaestra.errors import MissingDataError

TURNS = [{"role": "user", "content": "?"}, {"role": "assistant", "content": "Yes."}]


def written(tmp_path, text):
    file = tmp_path / "answers.jsonl"
    file.write_text(text, encoding="utf-8")
    return file


def test_lines_and_published_items_are_read(tmp_path):
    line = json.dumps({"id": "a", "response": "<think>No?</think>Yes.<|im_end|>\n"})
    assert load_answers(written(tmp_path, line + "\n\n")) == {"a": "Yes."}
    item = {"id": "a", "conversations": TURNS}
    for text in (json.dumps([item]), json.dumps(item)):
        assert load_answers(written(tmp_path, text)) == {"a": "Yes."}


def test_what_was_thought_is_kept_where_that_is_asked_for(tmp_path):
    line = json.dumps({"id": "a", "response": "<think>No?</think>Yes.</s>"})
    kept = load_answers(written(tmp_path, line), strip_reasoning=False, end_markers=())
    assert kept == {"a": "<think>No?</think>Yes.</s>"}


def test_markers_are_cut_as_a_whole():
    assert final_text("This is the context") == "This is the context"
    assert final_text("The end </s> <|im_end|>") == "The end"
    assert final_text("a </s> b") == "a </s> b"


@given(st.text(alphabet="context<|im_endof/s>", max_size=30), st.lists(st.sampled_from(END_MARKERS), max_size=3))
def test_only_whole_markers_go(text, markers):
    found = final_text(text + "".join(markers), strip_reasoning=False)
    assert text.startswith(found)
    assert not found.endswith(END_MARKERS)
    if not markers and not text.rstrip().endswith(END_MARKERS):
        assert found == text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"id": "a", "response": "x"}\n{"id": "a", "response": "y"}', "line 2: the id 'a' stands twice"),
        ('{"id": "a", "response": 3}', "line 1: response is '3'"),
        ('{"response": "x"}', "line 1: id is 'None'"),
        ("\n[1, 2]", "item 0: id is"),
        ('{"id": "a", "conversations": [{"role": "user", "content": "?"}]}', "assistant's turn"),
        ('{"id": "a"', "line 1 is not JSON"),
    ],
)
def test_the_line_and_the_field_are_named(tmp_path, text, said):
    with pytest.raises(InstructionDataError, match=said):
        load_answers(written(tmp_path, text))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(MissingDataError, match="no file"):
        load_answers(tmp_path / "nothing.jsonl")
