"""What a model did about an error, in one word for each item: the behaviour table."""

from __future__ import annotations

import re
from collections.abc import Sequence

from palaestra.envs.critic.blocks import Mode
from palaestra.envs.critic.paper import GOOD_ARGS, MAX_ACTIONS, actions_of, is_same, read_reply, score_args
from palaestra.envs.critic.published import FINISH
from palaestra.envs.critic.record import Action, Record
from palaestra.envs.critic.similarity import Similarity, bow

ON_ERRORS = (
    "correct",
    "wrong_category",
    "failure_to_correct",
    "correction_without_reflection",
    "error_ignorance",
    "interruption",
    "unparsable",
)
WITHOUT_ERRORS = ("proceed", "over_reflection", "unparsable")
ON_FAILURES = (
    "retry_then_skip",
    "retry_then_finish",
    "immediate_skip",
    "immediate_finish",
    "endless_retry",
    "hallucinated_success",
    "modified_retry",
    "other",
)

_CUES = re.compile(
    r"\b(?:not|no|none|unable|cannot|fail\w*|error\w*|issues?|problems?|trouble|unavailable|denied|refused|exceed\w*|limit\w*"
    r"|timed?[ -]?out|timeout|retr(?:y|ied)|again|later|sorry|apolog\w*|unfortunately|however|proceed|wrong|unsuccess\w*)\b"
    r"|n't\b",
    re.IGNORECASE,
)
"""Words by which a report admits that something failed or is uncertain."""


def behaviour_internal(record: Record, text: str, *, similarity: Similarity = bow) -> str:
    """Classify the reply to a step that may be wrong.

    Args:
        record: The item.
        text: The reply.
        similarity: How texts are compared.

    Returns:
        One of `ON_ERRORS`, or of `WITHOUT_ERRORS` for an item without an error.
    """
    reply, gold = read_reply(text), record.golden
    assert gold is not None
    if reply is None or (reply.action is None and not record.label):
        return "unparsable"
    if not record.label:
        return "over_reflection" if reply.claim else "proceed"
    action = reply.action
    if action is not None and action.name == FINISH != gold.name:
        return "interruption"
    is_right = (
        action is not None and action.name == gold.name and score_args(record.tools, action, gold, similarity) >= GOOD_ARGS
    )
    if not reply.claim:
        return "correction_without_reflection" if is_right else "error_ignorance"
    if reply.claim != record.label:
        return "wrong_category"
    return "correct" if is_right else "failure_to_correct"


def behaviour_external(record: Record, texts: Sequence[str], mode: Mode) -> str:
    """Classify the replies to a failure of the environment.

    Args:
        record: The item.
        texts: The replies, in order.
        mode: "skip" or "finish".

    Returns:
        One of `ON_FAILURES`.
    """
    failed, following = record.failed(), record.next
    assert following is not None
    actions = actions_of(map(read_reply, texts))
    breaking = next((action for action in actions if not is_same(action, failed)), None)
    if breaking is None:
        return "endless_retry" if len(actions) >= MAX_ACTIONS else "other"
    when = "retry_then" if breaking is not actions[0] else "immediate"
    if mode == "skip" and breaking.name == following.name and (breaking.name != failed.name or is_same(breaking, following)):
        return f"{when}_skip"
    if breaking.name == FINISH:
        return f"{when}_finish" if admits_failure(breaking) else "hallucinated_success"
    if breaking.name == failed.name:
        return "modified_retry"
    return f"{when}_skip" if breaking.name == following.name else "other"


def admits_failure(action: Action) -> bool:
    """Whether the text of a report has a word for failure or uncertainty."""
    return isinstance(action.args, str) and _CUES.search(action.args) is not None


__all__ = ["ON_ERRORS", "ON_FAILURES", "WITHOUT_ERRORS", "admits_failure", "behaviour_external", "behaviour_internal"]
