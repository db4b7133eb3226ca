"""Which transcripts go into a report, and in what form.

A report stays small enough to be mailed: it holds a spread over arms, outcomes and task types, the first and the last of
each first, up to a number of transcripts and of characters. Texts that many episodes share are kept once.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from palaestra.agents.evaluation.arms import ArmSummary
from palaestra.agents.report.injected import injected_blocks
from palaestra.agents.report.shown_media import ShownMedia
from palaestra.envs.core.declared import declared
from palaestra.media.items import escape_tags
from palaestra.results.metrics import Metric, in_order, is_number
from palaestra.results.tables import Blocks, EnvResults
from palaestra.types import Json, Message, Step, Trajectory

EpisodeOutcome = Literal["success", "failure", "error"]

_OUTCOMES: tuple[EpisodeOutcome, ...] = ("failure", "success", "error")


@dataclass(frozen=True, slots=True)
class TranscriptLimits:
    """How much of a run's transcripts a report may hold.

    Attributes:
        max_transcripts: Number of episodes over all arms.
        max_chars: Characters of all of them together, as JSON.
        max_text_chars: Characters of one text (observation, action, ...); the rest is cut with a note.
        max_turns: Turns of one episode.
        max_item_bytes: Largest sound or picture inside of the page, in bytes; a larger one is linked.
        max_media_bytes: Bytes of all sounds and pictures inside of the page.
    """

    max_transcripts: int = 240
    max_chars: int = 6_000_000
    max_text_chars: int = 12_000
    max_turns: int = 200
    max_item_bytes: int = 1_000_000
    max_media_bytes: int = 8_000_000


@dataclass(frozen=True, slots=True)
class Candidate:
    """An episode that could be shown.

    Attributes:
        arm: Index of its arm.
        position: Its place among the arm's episodes.
        run_id: Run that holds it.
        episode_id: Its name there.
        task_type: For the spread.
        outcome: For the spread.
    """

    arm: int
    position: int
    run_id: str
    episode_id: str
    task_type: str
    outcome: EpisodeOutcome


def candidates_of(arms: Sequence[ArmSummary]) -> list[Candidate]:
    """Return the episodes of arms as candidates for the transcript viewer."""
    return [
        Candidate(index, i, arm.run_id, e.episode_id, e.task_type, outcome_of(e.success, bool(e.error_boundary)))
        for index, arm in enumerate(arms)
        for i, e in enumerate(arm.episodes)
    ]


def outcome_of(success: bool | None, has_error: bool) -> EpisodeOutcome:
    """Return how an episode is shown: an error is neither success nor failure."""
    return "error" if has_error else "success" if success else "failure"


def spread(candidates: Iterable[Candidate]) -> list[Candidate]:
    """Order candidates so that any beginning of the list is a fair sample.

    Arms, outcomes and task types take turns; within each of these groups the first comes first, then the last, then the
    middle, and so on by halves.
    """
    groups: dict[tuple[int, int, str], list[Candidate]] = {}
    for candidate in candidates:
        key = (_OUTCOMES.index(candidate.outcome), candidate.arm, candidate.task_type)
        groups.setdefault(key, []).append(candidate)
    queues = [
        [members[i] for i in _by_halves(len(members))] for _, members in sorted(groups.items(), key=lambda item: item[0])
    ]
    order: list[Candidate] = []
    depth = 0
    while len(order) < sum(map(len, queues)):
        order += [queue[depth] for queue in queues if depth < len(queue)]
        depth += 1
    return order


def _by_halves(n: int) -> list[int]:
    """Return 0, n-1, then ever finer midpoints: each of `range(n)` once."""
    order = [0, n - 1] if n > 1 else [0]
    gaps = [(0, n - 1)]
    while gaps:
        finer: list[tuple[int, int]] = []
        for low, high in gaps:
            if high - low > 1:
                middle = (low + high) // 2
                order.append(middle)
                finer += [(low, middle), (middle, high)]
        gaps = finer
    return order


@dataclass(slots=True)
class TranscriptBook:
    """The transcripts of a report and the texts they share.

    Args:
        limits: How much it may hold.
        results: Results that environments have of their own, by id; they give the blocks below the steps.
        media: Takes the sounds and pictures that the transcripts name; None shows their tags.
    """

    limits: TranscriptLimits
    results: Mapping[str, EnvResults] = field(default_factory=dict)
    media: ShownMedia | None = None
    episodes: list[tuple[Candidate, dict[str, Json]]] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    num_chars: int = 0
    num_left_out: int = 0
    _index: dict[str, int] = field(default_factory=dict)

    def fill(self, candidates: Iterable[Candidate], load: Callable[[Candidate], Trajectory]) -> None:
        """Add transcripts in the order of `spread` until a limit is met."""
        for candidate in spread(candidates):
            if len(self.episodes) >= self.limits.max_transcripts or self.num_chars >= self.limits.max_chars:
                self.num_left_out += 1
                continue
            record = self._record(candidate, load(candidate))
            text = json.dumps(record)
            size = len(text)
            if self.episodes and self.num_chars + size > self.limits.max_chars:
                self.num_left_out += 1
                continue
            self.num_chars += size
            self.episodes.append((candidate, record))
            if self.media is not None:
                self.media.add(candidate.run_id, text + self.texts[record["instructions"]])

    def script(self, arms: Sequence[tuple[str, str]], *, by_arm: bool = True) -> str:
        """Return everything as JSON that cannot end or open an HTML element.

        Args:
            arms: `(name, run id)` by index.
            by_arm: Order by arm, then by position; else by position alone.
        """
        ordered = sorted(self.episodes, key=lambda pair: (pair[0].arm * by_arm, pair[0].position))
        data = {
            "arms": [{"name": name, "run": run} for name, run in arms],
            "texts": self.texts,
            "episodes": [record for _, record in ordered],
        }
        if self.media is not None and self.media.items:
            data["media"] = self.media.items
        try:
            text = json.dumps(
                data, separators=(",", ":"), allow_nan=False
            )  # ASCII: surrogates and line separators are escaped
        except ValueError:
            text = json.dumps(_finite(data), separators=(",", ":"))
        return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")

    @property
    def types(self) -> list[str]:
        """The task types that occur."""
        return sorted({candidate.task_type for candidate, _ in self.episodes})

    def _record(self, candidate: Candidate, trajectory: Trajectory) -> dict[str, Json]:
        """Return one episode as the viewer reads it."""
        outcome, usage = trajectory.outcome, trajectory.total_usage
        tokens = _tokens_by_turn(trajectory)
        steps = trajectory.steps[: self.limits.max_turns]
        record: dict[str, Json] = {
            "arm": candidate.arm,
            "id": trajectory.episode_id,
            "key": str(trajectory.task.get("key", "")) or trajectory.episode_id,
            "type": candidate.task_type,
            "split": str(trajectory.task.get("split", "")),
            "seed": trajectory.seed,
            "sample": trajectory.sample,
            "outcome": candidate.outcome,
            "score": outcome.score,
            "return": trajectory.return_,
            "stop": outcome.stop_reason,
            "turns": trajectory.num_turns,
            "max_turns": trajectory.max_turns,
            "instructions": self._shared(trajectory.instructions),
            "tools": self._shared("\n\n".join(_describe_tool(tool) for tool in trajectory.tools)),
            "usage": usage.to_json(),
            "metrics": _shown_metrics(outcome.metrics, declared(trajectory.env_id).metrics),
            "seats": _seats(trajectory),
            "steps": self._steps(trajectory, steps, tokens),
            "left_out_turns": len(trajectory.steps) - len(steps),
            "final": self._clip(trajectory.final_observation),
            "error": None,
        }
        if outcome.error is not None:
            record["error"] = {key: self._clip(text) for key, text in outcome.error.to_json().items()}
        unfinished = trajectory.meta.get("unfinished_action")
        if isinstance(unfinished, dict):
            record["steps"].append(
                {**self._action(Message.from_json(unfinished)), "observation": record["final"], "reward": 0}
            )
            record["final"] = ""
        return record

    def _steps(self, trajectory: Trajectory, steps: Sequence[Step], tokens: Mapping[int, int]) -> list[Json]:
        """Return the turns, each with the blocks that its environment shows below it."""
        metrics, blocks = declared(trajectory.env_id).metrics, self._blocks(trajectory)
        records: list[Json] = []
        for i, step in enumerate(steps):
            record = self._step(step, tokens.get(i))
            if trajectory.seats:
                record["seat"] = step.seat
            if measured := _shown_metrics(step.info.get("metrics"), metrics):
                record["metrics"] = measured
            if found := [*injected_blocks(step.info), *blocks.get(i, ())]:
                record["blocks"] = [block.to_json(self._clip) for block in found]
            records.append(record)
        return records

    def _blocks(self, trajectory: Trajectory) -> Blocks:
        """Return the blocks that the environment shows in a transcript."""
        results = self.results.get(trajectory.env_id)
        if results is None:
            return {}
        return results.blocks_of(trajectory)

    def _step(self, step: Step, tokens: int | None) -> dict[str, Json]:
        """Return one turn; what is empty is left out."""
        info = step.info
        record = {"observation": self._clip(step.observation), **self._action(step.action), "reward": step.reward}
        optional: dict[str, Json] = {
            "terminated": step.terminated,
            "truncated": step.truncated,
            "action_error": self._clip(str(info.get("action_error") or "")),
            "parts": info.get("reward_parts") if len(info.get("reward_parts") or ()) > 1 else None,
            "results": [
                {
                    "name": result.get("name", ""),
                    "status": result.get("status", ""),
                    "content": self._clip(str(result.get("content", ""))),
                }
                for result in info.get("tool_results") or ()
                if result.get("status") != "ok"  # the next observation shows what the others gave
            ],
        }
        record.update({key: value for key, value in optional.items() if value})
        if isinstance(info.get("score"), (int, float)):
            record["score"] = info["score"]
        if tokens is not None:
            record["tokens"] = tokens
        return record

    def _action(self, action: Message) -> dict[str, Json]:
        """Return what the agent said; `raw` is what a model wrote where that differs from what was played."""
        content = action.content if action.media else escape_tags(action.content)  # prose shows nothing
        record: dict[str, Json] = {"content": self._clip(content)}
        if action.reasoning:
            record["reasoning"] = self._clip(action.reasoning)
        if action.raw and action.raw != action.content:
            record["raw"] = self._clip(action.raw)
        if action.tool_calls:
            record["calls"] = [
                {"name": call.name, "arguments": self._clipped_arguments(call.to_json()["arguments"])}
                for call in action.tool_calls
            ]
        return record

    def _clipped_arguments(self, arguments: Json) -> Json:
        """Return arguments as they are unless they are too long, then as cut text."""
        text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
        return arguments if len(text) <= self.limits.max_text_chars else self._clip(text)

    def _clip(self, text: str) -> str:
        """Cut a text that is too long for a report."""
        limit = self.limits.max_text_chars
        return (
            text
            if len(text) <= limit
            else f"{text[:limit]}\n[... {len(text) - limit:,} further characters left out of this report]"
        )

    def _shared(self, text: str) -> int:
        """Return the index of a text that many episodes have in common."""
        text = self._clip(text)
        if text not in self._index:
            self._index[text] = len(self.texts)
            self.texts.append(text)
            self.num_chars += len(text)
        return self._index[text]


def _shown_metrics(values: object, metrics: Sequence[Metric]) -> list[list[str]]:
    """Return title and value of each metric as text; nothing for what is not a mapping of numbers."""
    numbers = {name: value for name, value in values.items() if is_number(value)} if isinstance(values, Mapping) else {}
    return [[metric.title, metric.shown(numbers[metric.name])] for metric in in_order(metrics, numbers)]


def _finite(value: Json) -> Json:
    """Return plain data whose NaN and infinities are texts: browsers read JSON strictly, models write it loosely."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _seats(trajectory: Trajectory) -> list[list[str]]:
    """Return name and agent of every seat that an agent played, the policy's first; nothing where there is one seat."""
    if not trajectory.seats:
        return []
    return [[trajectory.seat, trajectory.agent], *([name, record.agent] for name, record in trajectory.seats.items())]


def _tokens_by_turn(trajectory: Trajectory) -> dict[int, int]:
    """Return the number of sampled tokens of every turn that has token segments, whichever seat it is of."""
    tokens: dict[int, int] = {}
    for segment in (*trajectory.segments, *(part for record in trajectory.seats.values() for part in record.segments)):
        for span in segment.turns:
            tokens[span.turn] = tokens.get(span.turn, 0) + span.end - span.start
    return tokens


def _type_of(schema: Json) -> str:
    """Return the type that the schema of an argument names."""
    kind = schema.get("type", "any") if isinstance(schema, dict) else "any"
    return "|".join(kind) if isinstance(kind, list) else str(kind)


def _describe_tool(schema: Json) -> str:
    """Return a tool's schema as two readable lines."""
    function = schema.get("function", schema)
    parameters = function.get("parameters") or {}
    required = set(parameters.get("required", ()))
    shown = [
        f"{name}{'' if name in required else '?'}: {_type_of(value)}"
        for name, value in (parameters.get("properties") or {}).items()
    ]
    return f"{function.get('name', '')}({', '.join(shown)})\n    {function.get('description', '')}"
