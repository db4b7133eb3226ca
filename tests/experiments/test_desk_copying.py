from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from experiments.common.rows import folder_of, read_rows
from experiments.desk_copying.run import IS_COPIED, NAME, Span, copied, jump, main, page, run, spans

torch = pytest.importorskip("torch")

ROWS = read_rows(folder_of(NAME) / "rows.jsonl")
TRIALS = read_rows(folder_of(NAME) / "trials.jsonl")


def test_values_are_found_token_by_token() -> None:
    pieces = ["<tool_call>", '{"', "name", '": "find_notes", "arguments": {"', "query", '": "', "3", "b", "7d", '"}}']
    columns = list(range(20, 30))
    assert spans(pieces, columns, 4) == [Span("search", 4, 26, 29)]
    assert spans(["2w", "0x", "@", "example", ".", "org"], [7, 8, 9, 10, 11, 12], 1) == [Span("answer", 1, 7, 13)]
    assert spans(["Done", "."], [3, 4], 0) == []


class Reader:
    """A model whose greedy choice after each position is written down."""

    def __init__(self, choices: Any) -> None:
        self.choices = choices

    def __call__(self, *, input_ids: Any, attention_mask: Any) -> Any:
        return SimpleNamespace(logits=torch.nn.functional.one_hot(self.choices[: len(input_ids)], 50).float())


def test_a_value_is_copied_if_every_token_is_the_greedy_choice() -> None:
    ids = torch.tensor([[1, 2, 3, 4, 5, 6], [1, 2, 7, 8, 9, 6]])
    batch = SimpleNamespace(num_rows=2)
    batch.rows = lambda index: SimpleNamespace(ids=ids[index], attention_mask=torch.ones_like(ids[index]))
    right = torch.cat([ids[:, 1:], ids[:, :1]], dim=1)  # the choice at t is for the token at t + 1
    wanted = [Span("search", 0, 2, 5), Span("search", 1, 2, 5)]
    assert copied(SimpleNamespace(model=Reader(right)), batch, wanted) == {"search": 1.0}
    slip = right.clone()
    slip[1, 3] = 49  # the last token of the second value
    assert copied(SimpleNamespace(model=Reader(slip)), batch, wanted) == {"search": 0.5}
    slip[0, 5] = 49  # behind the first one
    assert copied(SimpleNamespace(model=Reader(slip)), batch, wanted) == {"search": 0.5}


def test_the_jump_is_read_from_the_curve() -> None:
    shares = [0.0, 0.05, 0.0, 0.4, 0.95, 0.89, 1.0]
    row = {"curve": [{"update": 25 * i, "search": share} for i, share in enumerate(shares)]}
    assert jump(row, "search") == (50, 100)
    assert jump({"curve": [{"update": 0, "search": 0.0}]}, "search") == (0, None)


def test_a_short_run_gives_the_same_line_twice_and_looks_at_every_kind_of_value() -> None:
    small = {
        "sft": {"episodes": 32, "epochs": 1, "batch_size": 16},
        "model": {"hidden_size": 32, "num_layers": 1, "num_heads": 2, "intermediate_size": 32, "corpus_episodes": 40},
    }
    first, second = (run("tiny", 0, changes=small, every=1, num_held_out=24) for _ in range(2))
    assert {**first, "cpu_s": 0} == {**second, "cpu_s": 0}
    assert [point["update"] for point in first["curve"]] == [0, 1, 2]
    assert first["values"].keys() == {"answer", "search", "title"}
    assert first["curve"][0]["search"] == 0.0


@pytest.mark.skipif(not ROWS, reason="no run has been made yet")
def test_recorded_policies_jump_on_the_tiny_desk_with_every_seed() -> None:
    tiny = [row for row in ROWS if row["desk"] == "tiny"]
    assert tiny
    for row in tiny:
        low, high = jump(row, "search")
        assert low is not None
        assert high is not None
        assert 100 <= low < high <= low + 150  # nothing for a hundred updates and more, then all at once
        assert row["curve"][-1]["search"] >= IS_COPIED


def test_trials_jump_from_nothing_to_nearly_all_or_not_at_all() -> None:
    copying = {(row["values_are"], row["seed"]): jump(row, "search") for row in TRIALS if row["trial"] == "copying"}
    assert copying == {
        ("codes such as 3b7d", 0): (350, 425),
        ("codes such as 3b7d", 1): (750, None),
        ("single words", 1): (150, 300),
    }
    (success,) = (row for row in TRIALS if row["trial"] == "success")
    shares = [point["success"] for point in success["curve"]]
    assert max(shares[:4]) < 0.05
    assert shares[-1] > 0.8


def test_the_page_is_written_from_the_lines(tmp_path: Any) -> None:
    command = "python -m experiments.desk_copying.run --seeds 0 1 2"
    assert (folder_of(NAME) / "README.md").read_text(encoding="utf-8") == page(ROWS, command, TRIALS)
    assert main(["--only-page", "--rows", str(tmp_path / "rows.jsonl")]) == 0
    assert "No run has been made yet." in (tmp_path / "README.md").read_text(encoding="utf-8")
