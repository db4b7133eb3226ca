import math
from collections import Counter
from random import Random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from palaestra.agents.backends.token_sampling import RowSampling, draw_tokens, random_stream


def test_log_probs_are_those_at_the_sampling_temperature() -> None:
    logits = torch.tensor([[1.0, 2.0, 0.5], [1.0, 2.0, 0.5], [1.0, 2.0, 0.5]])
    rows = [RowSampling(0.5, 1.0, Random(0)), RowSampling(2.0, 0.1, Random(0)), RowSampling(0.0, 1.0, Random(0))]
    ids, log_probs = draw_tokens(logits, rows)
    for token, log_prob, scale in zip(ids, log_probs, (0.5, 2.0, 1.0), strict=True):
        assert log_prob == pytest.approx(torch.log_softmax(logits[0] / scale, 0)[token].item(), abs=1e-6)
    assert ids[1:] == [1, 1]  # a small nucleus and temperature 0 both leave the most likely token


def test_frequencies_follow_the_distribution() -> None:
    probabilities = [0.5, 0.3, 0.15, 0.05, 0.0]
    logits = torch.tensor([[math.log(p) if p else -math.inf for p in probabilities]]).repeat(4000, 1)
    ids, _ = draw_tokens(logits, [RowSampling(1.0, 1.0, random_stream(i)) for i in range(4000)])
    counts = Counter(ids)
    for token, probability in enumerate(probabilities):
        assert abs(counts[token] / 4000 - probability) < 4 * math.sqrt(max(probability, 1e-9) / 4000)


def test_nucleus_keeps_the_fewest_tokens_that_reach_its_share() -> None:
    logits = torch.tensor([[0.1, 0.4, 0.2, 0.3]]).log().repeat(500, 1)
    ids, _ = draw_tokens(logits, [RowSampling(1.0, 0.65, random_stream(i)) for i in range(500)])
    assert set(ids) == {1, 3}
    ids, _ = draw_tokens(logits, [RowSampling(1.0, 0.75, random_stream(i)) for i in range(500)])
    assert set(ids) == {1, 2, 3}


@given(
    st.lists(st.lists(st.floats(-30, 30, width=32), min_size=6, max_size=6), min_size=1, max_size=5),
    st.integers(0, 4),
    st.sampled_from([0.0, 0.7, 1.0, 1.5]),
    st.sampled_from([0.3, 1.0]),
)
def test_a_row_draws_the_same_alone_and_in_company(
    logits: list[list[float]], row: int, temperature: float, top_p: float
) -> None:
    row %= len(logits)

    def sampling(i: int) -> RowSampling:
        return RowSampling(temperature if i == row else 1.0, top_p if i == row else 0.9, random_stream("row", i))

    together = draw_tokens(torch.tensor(logits), [sampling(i) for i in range(len(logits))])
    alone = draw_tokens(torch.tensor([logits[row]]), [sampling(row)])
    assert together[0][row] == alone[0][0]
    assert together[1][row] == pytest.approx(alone[1][0], abs=1e-6)


def test_impossible_tokens_are_never_drawn_at_the_ends_of_the_range() -> None:
    class Ends(Random):
        def __init__(self, value: float) -> None:
            super().__init__(0)
            self.value = value

        def random(self) -> float:
            return self.value

    logits = torch.tensor([[-math.inf, 0.0, -1.0, -math.inf]]).repeat(2, 1)
    ids, _ = draw_tokens(logits, [RowSampling(1.0, 1.0, Ends(0.0)), RowSampling(1.0, 1.0, Ends(math.nextafter(1.0, 0.0)))])
    assert ids == [1, 2]


def test_nan_logits_show_as_nan_log_probs_of_their_row_only() -> None:
    logits = torch.tensor([[math.nan, 0.0], [0.0, 1.0]])
    _, log_probs = draw_tokens(logits, [RowSampling(1.0, 1.0, Random(0))] * 2)
    assert math.isnan(log_probs[0])
    assert not math.isnan(log_probs[1])


def test_streams_depend_on_their_parts_alone() -> None:
    assert random_stream("a", 1).random() == random_stream("a", 1).random()
    assert random_stream("a", 1).random() != random_stream("a", 2).random()
    assert random_stream("a1").random() != random_stream("a", 1).random()
