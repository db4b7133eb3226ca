"""Bad files of training episodes: file, line, field and the next move; memory does not grow with the number of lines."""

from __future__ import annotations

import json
import os
import tracemalloc
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palaestra.agents.backends.chat_template import ChatTemplate
from palaestra.agents.export.export import export_trajectories
from palaestra.agents.export.reading import BadRecordWarning, load_episodes
from palaestra.agents.llm import LLMAgent
from palaestra.algorithms.data.demonstrations import Dictation, tokenize
from palaestra.algorithms.data.sources import Recorded
from palaestra.errors import UsageError
from palaestra.models.tiny_lm import train_tokenizer
from palaestra.types import Message, Step, ToolCall, Trajectory

TURNS = [{"from": "human", "value": "obs"}, {"from": "gpt", "value": "act"}]
GOOD = {"item_id": "good", "conversations": TURNS}
TOOL = {"type": "function", "function": {"name": "get", "parameters": {"type": "object", "properties": {}}}}
# as some published templates do
ALTERNATES = (
    "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('roles must alternate') }}"
    "{% endif %}{% if 'forbidden' in m.content %}{{ raise_exception('not this') }}{% endif %}"
    "[{{ m.role }}]{{ m.content }}{{ eos_token }}{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}"
)
LINES: dict[str, str] = {
    "good": json.dumps(GOOD),
    "half": json.dumps(GOOD)[:30],
    "role": json.dumps({"item_id": "a", "conversations": [{"from": "robot", "value": "x"}]}),
    "empty": json.dumps({"item_id": "a", "conversations": []}),
    "nan": '{"item_id": NaN}',
    "text": '"text"',
    "chat": json.dumps({"messages": [{"role": "user", "content": "obs"}, {"role": "assistant", "content": "act"}]}),
}


def template_of(source: str) -> ChatTemplate:
    tokenizer = train_tokenizer(["obs act [user] [assistant] forbidden"] * 4)
    tokenizer.chat_template = source
    return ChatTemplate(tokenizer)


def cloned(episodes: list[Trajectory], **options: Any) -> tuple[list[Trajectory], int]:
    template = template_of(ALTERNATES)
    options = {"format": "text", "instructions_as": "none", **options}
    return tokenize(episodes, LLMAgent(Dictation(template, max_context=9000), **options), template, max_context=9000)


@settings(max_examples=60, deadline=None)
@given(kinds=st.lists(st.sampled_from(list(LINES)), min_size=1, max_size=8))
def test_every_bad_line_is_told_once_with_its_number_and_every_good_one_is_read(
    kinds: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("lines") / "in.jsonl"
    path.write_text("\n".join(LINES[kind] for kind in kinds) + "\n", encoding="utf-8")
    told: list[str] = []
    read = list(load_episodes(path, on_bad=told.append))
    told_lines = [line_of(text) for text in told]
    assert [line_of(one.meta["record"]) for one in read] == where(kinds, "good", "chat")
    assert len(set(told_lines)) == len(told_lines)
    assert set(where(kinds, "half", "role", "empty", "nan")) <= set(told_lines)
    # what is no record may belong to the half of one before it
    assert set(told_lines) <= set(where(kinds, "half", "role", "empty", "nan", "text"))
    assert "text" not in kinds[:1] or 1 in told_lines


def where(kinds: list[str], *wanted: str) -> list[int]:
    return [number for number, kind in enumerate(kinds, start=1) if kind in wanted]


def line_of(text: str) -> int:
    return int(text.partition("line ")[2].partition(",")[0])


@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_a_pipe_or_a_device_is_one_clear_error(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    if kind == "device":
        path = Path(os.devnull)
    else:
        os.mkfifo(path)
    with pytest.raises(UsageError, match=rf"is a {kind}.*expected a"):
        Recorded(str(path), 1).episodes(None)


def test_a_log_for_inspect_is_no_source_of_episodes(tmp_path: Path) -> None:
    played = Trajectory("e", "x", {"key": "k", "split": "train"}, steps=(Step("obs", Message("assistant", "act")),))
    path = export_trajectories([played], tmp_path / "in.eval", "eval").path
    with pytest.raises(UsageError, match=r"in\.eval is an archive.*Export the run as jsonl"):
        Recorded(str(path), 1).episodes(None)


@pytest.mark.parametrize("harm", ["cut", "empty", "no state", "half state", "other columns"])
def test_half_a_data_set_is_one_clear_error(harm: str, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    rows = [{"messages": [{"role": "user", "content": "obs"}, {"role": "assistant", "content": "act"}]}] * 40
    columns = {"x": [1]} if harm == "other columns" else {"messages": [row["messages"] for row in rows]}
    datasets.disable_progress_bars()
    datasets.Dataset.from_dict(columns).save_to_disk(str(tmp_path / "rows"))
    datasets.enable_progress_bars()
    (arrow,) = (tmp_path / "rows").glob("*.arrow")
    state = tmp_path / "rows" / "state.json"
    harms: dict[str, Callable[[], object]] = {
        "cut": lambda: arrow.write_bytes(arrow.read_bytes()[:200]),
        "empty": lambda: arrow.write_bytes(b""),
        "no state": state.unlink,
        "half state": lambda: state.write_text(state.read_text()[:20]),
    }
    harms.get(harm, lambda: None)()
    with pytest.raises(UsageError, match=r"row 1.*expected item_id|is not a data set"):
        Recorded(str(tmp_path / "rows"), 9).episodes(None)


def test_memory_does_not_grow_with_the_number_of_lines(tmp_path: Path) -> None:
    path = tmp_path / "many.jsonl"

    def peak(num_lines: int) -> int:
        with path.open("w") as file:
            file.writelines(f"{LINES['good' if number % 3 else 'role']}\n" for number in range(num_lines))
        tracemalloc.start()
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            assert sum(1 for _ in load_episodes(path)) == num_lines - -(-num_lines // 3)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert len(told) == 21
        return found

    small, large = peak(1_000), peak(12_000)
    assert path.stat().st_size > 1_000_000
    assert large < small + 500_000


def test_a_dialogue_that_the_template_refuses_is_named_by_file_line_and_turn_and_the_others_are_learned_from(
    tmp_path: Path,
) -> None:
    bad = {"item_id": "b", "conversations": [*TURNS, {"from": "human", "value": "forbidden"}, TURNS[1]]}
    path = tmp_path / "in.jsonl"
    path.write_text("\n".join(map(json.dumps, (GOOD, bad, GOOD))))
    episodes = Recorded(str(path), 9).episodes(None)
    with pytest.warns(BadRecordWarning, match=r"in\.jsonl, line 2, record 2, turn 2: .*not this.*agent\.format.*left out"):
        kept, too_long = cloned(episodes)
    assert (len(kept), too_long) == (2, 0)
    with pytest.raises(UsageError, match=r"in\.jsonl, line 2, record 2, turn 2: .* None of 2 episodes can be shown"):
        cloned([episodes[1]] * 2)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        cloned([episodes[0], *[episodes[1]] * 25])
    assert len(told) == 21
    assert "5 more episodes" in str(told[-1].message)


def test_an_episode_that_the_format_cannot_play_is_named(tmp_path: Path) -> None:
    task = {"key": "k", "split": "train", "type": ""}
    without = Trajectory("no-tools", "x", task, steps=(Step("obs", Message("assistant", "act")),))
    call = Message("assistant", "", (ToolCall("get", {}, "c1"),))
    played = Trajectory("tools", "x", task, tools=(TOOL,), steps=(Step("obs", call),))
    with pytest.warns(BadRecordWarning, match=r"Episode 'no-tools', its opening: .*tools"):
        kept, _ = cloned([without, played], format="hermes")
    assert [one.episode_id for one in kept] == ["tools"]
