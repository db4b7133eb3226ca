import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from palaestra.algorithms.math.returns import generalised_advantages
from palaestra.algorithms.math.sequences import token_sequences, turn_sequences

EPISODES = st.lists(st.lists(st.integers(1, 3), min_size=1, max_size=4), min_size=1, max_size=4)


def layout(episodes: list[list[int]], gaps: list[int], segments_at: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Rows for episodes given as tokens per turn, with observation gaps; a new row begins at turn `segments_at`."""
    rows: list[tuple[int, list[int]]] = []
    for episode, turns in enumerate(episodes):
        row = [-1]
        for turn, tokens in enumerate(turns):
            if turn == segments_at:
                rows.append((episode, row))
                row = [-1] * 2
            row += [turn] * tokens + [-1] * gaps[(episode + turn) % len(gaps)]
        rows.append((episode, row))
    width = max(len(row) for _, row in rows)
    turn_index = torch.tensor([row + [-1] * (width - len(row)) for _, row in rows])
    return turn_index >= 0, torch.tensor([episode for episode, _ in rows]), turn_index


@given(EPISODES, st.lists(st.integers(0, 4), min_size=1, max_size=5), st.integers(1, 4), st.integers(0, 2**31))
@settings(max_examples=60, deadline=None)
def test_observation_spans_segments_and_the_order_of_rows_change_nothing(episodes, gaps, segments_at, seed) -> None:
    plain = turn_by_turn(layout(episodes, [0], 99), seed)
    other = turn_by_turn(layout(episodes, gaps, segments_at), seed, shuffle=True)
    assert all(torch.equal(a, b) for a, b in zip(plain, other, strict=True))


def turn_by_turn(rows, seed: int, shuffle: bool = False) -> list[torch.Tensor]:
    mask, episode, turn = rows
    if shuffle:
        order = torch.randperm(len(mask), generator=torch.Generator().manual_seed(seed))
        mask, episode, turn = mask[order], episode[order], turn[order]
    found = []
    for sequences in (token_sequences(mask, episode, turn), turn_sequences(mask, episode, turn)):
        generator = torch.Generator().manual_seed(seed)
        value = torch.rand(sequences.mask.shape, generator=generator)
        reward = torch.rand(sequences.mask.shape, generator=generator)
        result = generalised_advantages(reward, value, sequences.mask, gamma=0.9, lam=0.8)
        back = sequences.spread(result.advantage)
        assert not back[~mask].any()
        assert torch.equal(sequences.at_first(back), result.advantage)
        sizes = sequences.total(torch.ones(mask.shape))
        assert torch.allclose(sequences.total(back), result.advantage * sizes, atol=1e-5)
        found.append(result.advantage)
    return found


def test_turns_know_their_first_and_last_token() -> None:
    turn = torch.tensor([[-1, 0, 0, -1, 1, -1]])
    sequences = turn_sequences(turn >= 0, torch.tensor([7]), turn)
    assert sequences.episodes.tolist() == [7]
    assert sequences.first.tolist() == [[1, 4]]
    assert sequences.last.tolist() == [[2, 4]]
    assert sequences.starts().tolist() == [[False, True, False, False, True, False]]


def test_a_batch_without_action_tokens_has_no_sequences() -> None:
    mask = torch.zeros((2, 3), dtype=torch.bool)
    sequences = token_sequences(mask, torch.tensor([0, 1]), torch.full((2, 3), -1))
    assert sequences.mask.numel() == 0
    assert not sequences.spread(torch.zeros(sequences.mask.shape)).any()
