"""An item in play: what was replied so far, whether that was all, and what it is worth. No Gymnasium in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from palaestra.envs.critic import published
from palaestra.envs.critic.blocks import Mode
from palaestra.envs.critic.documents import Profile
from palaestra.envs.critic.paper import GOOD_ARGS, MAX_ACTIONS, Reply, is_same, read_reply, score_args
from palaestra.envs.critic.record import Action, Record
from palaestra.envs.critic.scoring import Scored, credit, score
from palaestra.envs.critic.similarity import Similarity

UNREAD = (
    "Your message holds no action that can be read. Answer with one JSON object: "
    '{"name": "TOOL", "args": {...}}, with "error" in front of it if the step before was wrong.'
)


class CriticWorld:
    """An item in play.

    Args:
        record: The item.
        mode: What is judged.
        profile: Which scorer; "published" also reads replies as published, and takes every reply for an action.
        similarity: How texts are compared.

    Attributes:
        replies: The replies so far.
    """

    def __init__(self, record: Record, mode: Mode, profile: Profile, similarity: Similarity) -> None:
        """Begin without a reply."""
        self.record, self.mode, self.profile, self.similarity = record, mode, profile, similarity
        self.replies: list[str] = []

    @property
    def is_over(self) -> bool:
        """Whether the last reply ended the item: an internal one, the fourth, or another action than the failed one."""
        if not self.replies:
            return False
        return self.mode == "internal" or len(self.replies) >= MAX_ACTIONS or not self._is_retry(self.replies[-1])

    def problem(self, text: str) -> str:
        """Say why a reply cannot be played; "" if it can."""
        if self.profile == "published":
            return ""
        return "" if self._is_played(read_reply(text)) else UNREAD

    def play(self, text: str) -> None:
        """Take a reply.

        Args:
            text: One that has no `problem`.
        """
        self.replies.append(text)

    def scored(self, unread: Sequence[str] = ()) -> Scored:
        """Score the replies so far.

        Args:
            unread: Replies that could not be played; they count in `parse_rate`, and alone if there are no others.
        """
        if self.mode == "internal":
            found = score(
                self.record, [*self.replies, *unread][:1], self.mode, profile=self.profile, similarity=self.similarity
            )
        else:
            replies = [*self.replies, *unread][:MAX_ACTIONS]
            found = score(self.record, replies, self.mode, profile=self.profile, similarity=self.similarity)
        return replace(found, scores={**found.scores, "parse_rate": 0.0}) if unread else found

    def reward(self, scored: Scored) -> float:
        """Return the reward of the replies, from 0 to 1: their part of Overall.

        After a right step Overall counts `detect` alone, so that any action would do; here the expected one counts as well, as
        after a wrong step.

        Args:
            scored: The scores of the replies.
        """
        if self.mode != "internal" or self.record.label:
            return scored.credit
        tool, args = self._next_step()
        return credit({**scored.scores, "category": scored.scores["detect"], "tool": tool, "args": args}, self.mode)

    def is_solved(self, scored: Scored) -> bool:
        """Whether everything that counts is right: each measure 1, arguments at least 0.99.

        Args:
            scored: The scores of the replies.
        """
        counted = {name: value for name, value in scored.scores.items() if name not in ("parse_rate", "thought")}
        if self.mode == "internal" and not self.record.label:
            counted["tool"], counted["args"] = self._next_step()
        return all(value >= (GOOD_ARGS if name == "args" else 1) for name, value in counted.items())

    def golden(self) -> list[Action]:
        """Return the actions that are expected from here."""
        record = self.record
        if self.mode == "internal":
            assert record.golden is not None
            return [] if self.replies else [record.golden]
        assert record.next is not None
        last = record.next if self.mode == "skip" else self._report()
        return [] if self.is_over else [*([] if self.replies else [record.failed()]), last]

    def _report(self) -> Action:
        """Return the report of a failure to the user."""
        failed = self.record.failed()
        text = published.FINISH_SENTENCE.format(tool=f" {failed.name}")
        return Action(name=published.FINISH, args=text, thought=None if failed.thought is None else text)

    def _is_played(self, reply: Reply | None) -> bool:
        """Whether a reply counts: one with an action, or about a step also one with a claim alone."""
        return reply is not None and (reply.action is not None or (self.mode == "internal" and bool(reply.claim)))

    def _next_step(self) -> tuple[float, float]:
        """Return the scores of tool and arguments of the step after a right one."""
        reply, gold = read_reply(self.replies[-1]), self.record.golden
        if reply is None or reply.action is None or gold is None or reply.action.name != gold.name:
            return 0.0, 0.0
        return 1.0, score_args(self.record.tools, reply.action, gold, self.similarity)

    def _is_retry(self, text: str) -> bool:
        """Whether a reply repeats the failed call, as the profile reads it."""
        failed = self.record.failed()
        if self.profile == "published":
            return published.is_same(published.load(text, trim=False), failed.to_published())
        reply = read_reply(text)
        return reply is not None and reply.action is not None and is_same(reply.action, failed)


__all__ = ["UNREAD", "CriticWorld"]
