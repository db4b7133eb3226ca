import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.agents.core import Tokens
from palaestra.agents.segments import SegmentBuilder
from palaestra.types import Segment, TurnSpan


def tokens(prompt: str, completion: str, *, version: int = 0, stop: str = "eos") -> Tokens:
    sampled = tuple(map(ord, completion))
    return Tokens(tuple(map(ord, prompt)), sampled, tuple(-0.1 * i for i in sampled), version, stop)  # type: ignore[arg-type]


def build(*turns: Tokens) -> tuple[Segment, ...]:
    builder = SegmentBuilder()
    for number, turn in enumerate(turns):
        builder.add(turn, number)
    return builder.segments()


def actions(segment: Segment) -> str:
    return "".join(chr(i) for i, is_action in zip(segment.ids, segment.action, strict=True) if is_action)


def test_turns_that_extend_each_other_share_a_segment() -> None:
    (segment,) = build(tokens("s?", "ab.", version=3), tokens("s?ab.o?", "c.", version=4))
    assert "".join(map(chr, segment.ids)) == "s?ab.o?c."
    assert actions(segment) == "ab.c."
    assert segment.turns == (TurnSpan(2, 5, 0), TurnSpan(7, 9, 1))
    assert segment.version == (-1, -1, 3, 3, 3, -1, -1, 4, 4)
    assert segment.log_prob[2] == pytest.approx(-0.1 * ord("a"))
    assert segment.log_prob[:2] == (0.0, 0.0)


def test_end_token_missing_after_a_length_stop_stands_on_the_observation_side() -> None:
    (segment,) = build(tokens("s?", "ab", stop="length"), tokens("s?ab.o?", "c."))
    assert segment.turns[0] == TurnSpan(2, 4, 0, "length")
    assert not segment.action[4]
    assert segment.log_prob[4] == 0.0


def test_shortened_history_opens_a_segment_in_which_the_prompt_is_context_only() -> None:
    first, second = build(tokens("s?", "ab."), tokens("s[ab]o?", "c."), tokens("s[ab]o?c.o?", "d."))
    assert (actions(first), actions(second)) == ("ab.", "c.d.")
    assert [span.turn for span in second.turns] == [1, 2]


def test_turn_asked_again_keeps_both_answers_apart() -> None:
    first, second = build(tokens("s?", "ab."), tokens("s?", "cd."))
    assert (actions(first), actions(second)) == ("ab.", "cd.")


def test_turn_without_sampled_tokens_is_an_empty_span() -> None:
    (segment,) = build(tokens("s?", ""), tokens("s?.o?", "c."))
    assert segment.turns == (TurnSpan(2, 2, 0), TurnSpan(5, 7, 1))
    assert actions(segment) == "c."


def test_no_turn_gives_no_segment() -> None:
    assert SegmentBuilder().segments() == ()


def test_log_probs_must_match_the_sampled_tokens() -> None:
    with pytest.raises(ValueError, match="Turn 7 has 2 sampled tokens and 1 log-probabilities"):
        SegmentBuilder().add(Tokens((1,), (2, 3), (0.0,)), 7)


@given(st.lists(st.tuples(st.booleans(), st.lists(st.integers(0, 3), min_size=1, max_size=4), st.integers(0, 4)), max_size=8))
def test_every_sampled_token_is_an_action_in_exactly_one_segment(plan: list[tuple[bool, list[int], int]]) -> None:
    builder = SegmentBuilder()
    history: tuple[int, ...] = ()
    sampled: list[tuple[int, int]] = []
    unique = 10
    for turn, (is_rewritten, observation, length) in enumerate(plan):
        history = (tuple(observation) + history[-3:] if is_rewritten else history) + tuple(observation)
        completion = tuple(range(unique, unique + length))
        unique += length
        builder.add(Tokens(history, completion, tuple(-float(i) for i in completion), turn), turn)
        history += completion
        sampled += [(turn, token) for token in completion]
    found: list[tuple[int, int]] = []
    for segment in builder.segments():
        inside = {i for span in segment.turns for i in range(span.start, span.end)}
        assert inside == {i for i, is_action in enumerate(segment.action) if is_action}
        for i, token in enumerate(segment.ids):
            assert segment.log_prob[i] == (-float(token) if segment.action[i] else 0.0)
            assert (segment.version[i] == -1) is (not segment.action[i])
        found += [(span.turn, token) for span in segment.turns for token in segment.ids[span.start : span.end]]
        assert Segment.from_json(segment.to_json()) == segment
    assert found == sampled
    assert [span.turn for segment in builder.segments() for span in segment.turns] == list(range(len(plan)))
