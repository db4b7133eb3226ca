import json

import pytest

from palaestra.envs.instructions import InstructionDataError, load_published, to_published
from palaestra.errors import ConfigError, MissingDataError

ITEM = {
    "id": "a",
    "conversations": [{"role": "user", "content": "Name a lake, in at most 9 words."}],
    "constraints": [["Length", "Words", "At most 9 words"], ["Content", "Tone", "Be kind"]],
    "constraint_pattern": "Incorporation",
    "difficulty": "Level 1",
}


def written(tmp_path, items):
    file = tmp_path / "tasks.json"
    file.write_text(json.dumps(items), encoding="utf-8")
    return file


def test_there_and_back(tmp_path):
    (task,) = load_published(written(tmp_path, [ITEM]))
    assert (task.id, task.pattern, task.level) == ("a", "incorporation", 1)
    assert task.constraints[0].params == {"lo": None, "hi": 9, "scope": "whole"}
    assert to_published([task]) == [ITEM]


def test_turns_of_the_training_file(tmp_path):
    turns = [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Ho"}]
    (task,) = load_published(written(tmp_path, [ITEM | {"conversations": turns}]))
    assert [message["role"] for message in task.messages] == ["user", "assistant"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"id": 3}, "id is '3'"),
        ({"constraint_pattern": "Song"}, "constraint_pattern is 'Song'"),
        ({"difficulty": "Level 9"}, "difficulty is 'Level 9'"),
        ({"constraints": [["Length", "Words"]]}, "constraints is"),
        ({"conversations": []}, "conversations is"),
        ({"conversations": [{"role": "user"}]}, r"conversations\[0\]"),
    ],
)
def test_the_item_and_the_field_are_named(tmp_path, change, said):
    with pytest.raises(InstructionDataError, match=f"tasks.json', item 1: .*{said}"):
        load_published(written(tmp_path, [ITEM, ITEM | {"id": "b"} | change]))


def test_files_that_are_none(tmp_path):
    with pytest.raises(MissingDataError, match="no file"):
        load_published(tmp_path / "nothing.json")
    with pytest.raises(InstructionDataError, match="at least one"):
        load_published(written(tmp_path, []))
    with pytest.raises(InstructionDataError, match="stands twice"):
        load_published(written(tmp_path, [ITEM, ITEM]))
    for raw in (b"[{", b"[" * 100_000, b"\xff"):
        (tmp_path / "tasks.json").write_bytes(raw)
        with pytest.raises((InstructionDataError, ConfigError), match="not"):
            load_published(tmp_path / "tasks.json")
