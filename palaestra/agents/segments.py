"""From the tokens of single turns to token segments, which is what training reads.

A segment grows only by appending. As long as each prompt begins with everything seen and sampled before it, all turns
of an episode share one segment; a prompt that does not (the history was shortened, summarised or rewritten, a turn was
asked again) opens a new one, in which the prompt is context and nothing else. So every sampled token is an action in
exactly one segment, with the id and the log-probability it was sampled with.
"""

from __future__ import annotations

from palaestra.agents.core import Tokens
from palaestra.types import Segment, TurnSpan


class SegmentBuilder:
    """Collects the turns of one episode."""

    def __init__(self) -> None:
        """Begin without any turn."""
        self._closed: list[Segment] = []
        self._open = _OpenSegment()

    def add(self, tokens: Tokens, turn: int) -> None:
        """Append one turn.

        Args:
            tokens: What the policy was conditioned on and what it sampled.
            turn: Index of the step that these tokens caused.

        Raises:
            ValueError: If there is not one log-probability per sampled token.
        """
        if len(tokens.log_probs) != len(tokens.completion_ids):
            raise ValueError(
                f"Turn {turn} has {len(tokens.completion_ids)} sampled tokens and {len(tokens.log_probs)} log-probabilities; "
                "expected one each."
            )
        if not self._open.is_prefix_of(tokens.prompt_ids):
            self._closed.append(self._open.freeze())
            self._open = _OpenSegment()
        self._open.append(tokens, turn)

    def segments(self) -> tuple[Segment, ...]:
        """Return the segments so far, in the order they were opened; none without a turn."""
        return (*self._closed, self._open.freeze()) if self._open.turns else tuple(self._closed)


class _OpenSegment:
    """The segment that still grows."""

    def __init__(self) -> None:
        """Begin empty, which every prompt extends."""
        self.ids: list[int] = []
        self.action: list[bool] = []
        self.log_prob: list[float] = []
        self.version: list[int] = []
        self.turns: list[TurnSpan] = []

    def is_prefix_of(self, prompt_ids: tuple[int, ...]) -> bool:
        """Whether a prompt only adds to this segment."""
        return list(prompt_ids[: len(self.ids)]) == self.ids

    def append(self, tokens: Tokens, turn: int) -> None:
        """Add what the prompt brings as context, then the sampled tokens as actions."""
        context = tokens.prompt_ids[len(self.ids) :]
        self._extend(context, False, (0.0,) * len(context), -1)
        start = len(self.ids)
        self._extend(tokens.completion_ids, True, tokens.log_probs, tokens.version)
        self.turns.append(TurnSpan(start, len(self.ids), turn, tokens.stop))

    def freeze(self) -> Segment:
        """Return the segment as plain data."""
        return Segment(tuple(self.ids), tuple(self.action), tuple(self.log_prob), tuple(self.version), tuple(self.turns))

    def _extend(self, ids: tuple[int, ...], action: bool, log_probs: tuple[float, ...], version: int) -> None:
        """Append tokens of one kind."""
        self.ids += ids
        self.action += [action] * len(ids)
        self.log_prob += log_probs
        self.version += [version] * len(ids)
