"""The procedural builder: from a preset and a number to an instance with its proofs, offline and without a model.

`stages` holds the five stages that `build` goes through, in the paper's order, and the checks that prove the result.
Instance *i* of a split is made alone, from (version, preset, scenario, seed, split, i). Splits do not meet: every goal (what a
question asks, without its words) belongs by its hash to one split, and an instance only takes goals of its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import count as counting
from typing import Any

from palaestra.envs.core.snapshots import digest
from palaestra.envs.toolforge.graph import SCENARIOS, depth_of, width_of
from palaestra.envs.toolforge.instance import Instance
from palaestra.envs.toolforge.stages.checks import check_instance, check_question
from palaestra.envs.toolforge.stages.decompose import Plan, answer_type, decompose
from palaestra.envs.toolforge.stages.deploy import deploy
from palaestra.envs.toolforge.stages.document import Document, golden_arguments, home_of, schema_of, write_documents
from palaestra.envs.toolforge.stages.draw import Draw
from palaestra.envs.toolforge.stages.integrate import integrate
from palaestra.envs.toolforge.stages.names import Names, Reject
from palaestra.envs.toolforge.stages.presets import LEVELS, PRESETS, Preset, preset_of
from palaestra.envs.toolforge.stages.question import part_in_words, put_into_words
from palaestra.envs.toolforge.stages.scale import scale
from palaestra.errors import ConfigError, EnvironmentFault, unknown_name
from palaestra.types import Json

VERSION = "procedural-1"
"""Part of every stream of chance; raised whenever an instance changes."""

SPLITS = ("train", "test")
TEST_SHARE = 5  # one goal in five is kept for the test split
MAX_REJECTS = 20
_MAX_DRAFTS = 1000  # graphs that lead nowhere and goals of another split are cheap to draw again
_STEP = (5**0.5 - 1) / 2  # successive multiples of the golden ratio lie evenly between 0 and 1


def build(
    preset: str | Preset = "paper_like",
    *,
    scenario: str | None = None,
    levels: Mapping[str, int] | None = None,
    split: str = "train",
    index: int = 0,
    seed: int = 0,
) -> Instance:
    """Return one instance, proven; always the same for the same arguments, on every platform.

    Args:
        preset: One of `PRESETS`, or settings of your own.
        scenario: One of the four scenarios; None draws one by the weights of the preset.
        levels: Fixes some of the levels `function`, `params`, `types` and `toolset`, each 0 to 3.
        split: "train" or "test"; no goal of one is a goal of the other.
        index: Number of the instance, from 0, without end.
        seed: Names another sequence of instances.

    Raises:
        UnknownNameError: For an unknown preset, scenario, split or level.
        ConfigError: For a level or a number out of range.
        EnvironmentFault: If 20 finished drafts failed their proofs, or 1,000 drawn ones led nowhere; the message has the
            reasons.
    """
    return next(build_many(preset, scenario=scenario, levels=levels, split=split, start=index, count=1, seed=seed))


def build_many(
    preset: str | Preset = "paper_like",
    *,
    scenario: str | None = None,
    levels: Mapping[str, int] | None = None,
    split: str = "train",
    start: int = 0,
    count: int | None = None,
    seed: int = 0,
) -> Iterator[Instance]:
    """Return an iterator over instances, each made when it is asked for.

    Args:
        preset: As of `build`, and so are the others.
        scenario: One of the four scenarios, or None.
        levels: Levels to fix.
        split: "train" or "test".
        start: Number of the first instance.
        count: How many; None for no end.
        seed: Names another sequence of instances.

    Raises:
        UnknownNameError: For an unknown preset, scenario, split or level, at once.
        ConfigError: For a level or a number out of range, at once.
    """
    if scenario is not None and scenario not in SCENARIOS:
        raise unknown_name("scenario", scenario, SCENARIOS)
    if split not in SPLITS:
        raise unknown_name("split", split, SPLITS)
    for name, number in (("The index", start), ("The seed", seed), ("count", 0 if count is None else count)):
        if isinstance(number, bool) or not isinstance(number, int) or number < 0:
            raise ConfigError(f"{name} is {number!r}; expected a whole number from 0.")
    maker = _Maker(preset_of(preset, levels), preset if isinstance(preset, str) else "", scenario, split, seed)
    numbers = counting(start) if count is None else range(start, start + count)
    return (maker.make(index) for index in numbers)


def split_of(goal: Json) -> str:
    """Return the split that a goal belongs to.

    Args:
        goal: What a question asks, without its words.
    """
    return "test" if int(digest(goal)[:8], 16) % TEST_SHARE == 0 else "train"


class _Maker:
    """Makes the instances of one sequence."""

    def __init__(self, preset: Preset, name: str, scenario: str | None, split: str, seed: int) -> None:
        self.preset = preset
        self.scenario = scenario
        self.split = split
        self.seed = seed
        settings = digest([preset.to_json(), scenario])
        known = name in PRESETS and preset == PRESETS[name]
        self.label = "-".join(filter(None, [name or "own", scenario, "" if known else settings[:8], f"s{seed}"]))
        self.key = (VERSION, settings, seed, split)

    def make(self, index: int) -> Instance:
        """Make one instance."""
        scenario = (
            self.scenario or SCENARIOS[Draw(*self.key, index, "scenario").weighted(list(enumerate(self.preset.scenarios)))]
        )
        reasons: dict[str, None] = {}
        finished = 0
        for draft in range(_MAX_DRAFTS):
            try:
                plan, names = self.plan(scenario, index, draft)
                if split_of(plan.goal()) == self.split:
                    finished += 1
                    return self.finished(plan, names, index, draft)
            except Reject as reason:
                reasons.setdefault(str(reason))
            if finished >= MAX_REJECTS:
                break
        raise EnvironmentFault(
            f"Instance {self.label}-{self.split}-{index} ({scenario}) could not be built; reasons: "
            f"{'; '.join(reasons) or f'no goal of the split {self.split!r} was found'}. Change the preset."
        )

    def plan(self, scenario: str, index: int, draft: int) -> tuple[Plan, Names]:
        """Draw what is asked."""
        names = Names(Draw(*self.key, index, draft, "names"), self.preset.values)
        point = index * _STEP % 1  # so that a few instances in a row have the mean size of many
        return decompose(Draw(*self.key, index, draft, "decompose"), scenario, self.preset, names, point), names

    def finished(self, plan: Plan, names: Names, index: int, draft: int) -> Instance:
        """Put a plan into words, give it tools, and prove the result."""
        preset = self.preset
        stage = {name: Draw(*self.key, index, draft, name) for name in ("question", "document", "levels", "scale", "deploy")}
        text = put_into_words(stage["question"], plan, is_plain=preset.is_plain)
        check_question(text, plan)
        levels = {name: stage["levels"].one(preset.levels.get(name, (0,))) for name in LEVELS}
        documents = integrate(write_documents(stage["document"], plan, is_plain=preset.is_plain))
        documents = scale(stage["scale"], documents, levels, preset)
        specs = deploy(stage["deploy"], plan, documents, names, preset)
        data = instance_data(plan, documents, specs, text, levels)
        data["id"], data["seed"] = f"{self.label}-{self.split}-{index}", self.seed
        data["meta"] = {"split": self.split, "preset": self.label, "index": index}
        size = len(json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode())
        check_instance(data, size)
        return Instance.of(data)


def instance_data(
    plan: Plan, documents: list[Document], specs: Mapping[str, dict[str, Json]], text: str, levels: Mapping[str, int]
) -> dict[str, Any]:
    """Return an instance in the format, as plain JSON, without a name of its own.

    Args:
        plan: What is asked.
        documents: The tools, in the order in which they are shown.
        specs: Their specifications.
        text: The question.
        levels: Levels of complexity.
    """
    home = home_of(documents)
    nodes = []
    for part in plan.parts:
        document = home[part.id]
        node = {"id": part.id, "text": part_in_words(part), "tool": document.name, "deps": list(dict.fromkeys(part.deps))}
        answer = plan.answers[part.id]
        node |= {"answer": answer, "answer_type": answer_type(part, answer), "path": document.field(part)}
        nodes.append({**node, "golden_args": golden_arguments(document, part, plan.value)})
    answer, kind = plan.final_answer()
    operation = None if plan.operation == "identity" else {"kind": plan.operation, "over": list(plan.over)}
    graph = {part.id: part.deps for part in plan.parts}
    sizes = {"nodes": len(nodes), "depth": depth_of(graph), "width": width_of(graph), "n_tools": len(documents)}
    return {
        "format": "toolenv/1",
        "id": "",
        "source": "procedural",
        "seed": None,
        "builder_version": VERSION,
        "scenario": plan.scenario,
        "question": text,
        "messages": [{"role": "user", "content": text}],
        "tools": [schema_of(document) for document in documents],
        "impl": {document.name: {"kind": "table", "spec": specs[document.name]} for document in documents},
        "nodes": nodes,
        "final": {"answer": answer, "answer_type": kind, "op": operation},
        "difficulty": {**sizes, "n_distractors": sum(not document.parts for document in documents), "levels": dict(levels)},
        "meta": {},
    }


__all__ = [
    "LEVELS",
    "MAX_REJECTS",
    "PRESETS",
    "SPLITS",
    "VERSION",
    "Preset",
    "build",
    "build_many",
    "instance_data",
    "split_of",
]
