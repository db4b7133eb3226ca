"""What travels and what is stored: plain frozen data, JSON both ways.

Every class here has `to_json()` (plain dicts, lists, strings, numbers) and `from_json()`; unknown keys are ignored on
reading, so that newer files stay readable.
"""

from palaestra.media.items import Media
from palaestra.types.messages import Message, Role, ToolCall, ToolResult, ToolStatus, known_status, result_messages
from palaestra.types.plain_json import MAX_DEPTH, Json, is_deep, plain
from palaestra.types.tokens import Segment, TurnSpan
from palaestra.types.trajectory import (
    OPENING_HINTS,
    EpisodeError,
    Outcome,
    SeatRecord,
    Step,
    StopReason,
    Trajectory,
    Usage,
    observation_messages,
)

__all__ = [
    "MAX_DEPTH",
    "OPENING_HINTS",
    "EpisodeError",
    "Json",
    "Media",
    "Message",
    "Outcome",
    "Role",
    "SeatRecord",
    "Segment",
    "Step",
    "StopReason",
    "ToolCall",
    "ToolResult",
    "ToolStatus",
    "Trajectory",
    "TurnSpan",
    "Usage",
    "is_deep",
    "known_status",
    "observation_messages",
    "plain",
    "result_messages",
]
