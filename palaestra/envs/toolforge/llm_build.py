"""The builder that asks a language model: eight stages, each checked, repaired or given up, with a record of every request.

`LLMBuilder` takes any callable from chat messages to text, so that it works with every backend. Stages, after the paper's:
L1 decompose, L2 verify with a second prompt, L3 write a document for each part, L4 the call first, L5 merge documents, L6 make
them harder, L7 implement them, L8 check the whole. It fails closed: what could not be verified is dropped, with a reason.

Source: Feng et al. 2025 (arXiv:2508.08791), section 3.1. Departures: the call is written before the code, so that the code is
tried against it; code is tried with wrong arguments as well; named entities can be replaced by made-up ones.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

from palaestra.envs.judging.asking import Asker, Audit, Complete, Dropped, Problem, prompt, read_as
from palaestra.envs.sandbox import Sandbox
from palaestra.envs.toolforge.graph import SCENARIOS, depth_of, width_of
from palaestra.envs.toolforge.instance import Instance, InstanceError
from palaestra.envs.toolforge.llm.replies import (
    Decomposition,
    Distractors,
    DraftCall,
    DraftDocument,
    DraftSource,
    Integration,
    Scaling,
    Verdict,
)
from palaestra.envs.toolforge.llm.rules import (
    check_call,
    check_decomposition,
    check_document,
    check_groups,
    check_no_echo,
    check_scaled,
    check_verdict,
    faults_of,
)
from palaestra.envs.toolforge.llm.trial import Golden, try_source
from palaestra.envs.toolforge.stages.checks import MAX_BYTES
from palaestra.envs.toolforge.stages.draw import Draw
from palaestra.envs.toolforge.stages.names import Names
from palaestra.envs.toolforge.stages.presets import LEVELS
from palaestra.envs.toolforge.stages.scale import OPTIONAL
from palaestra.errors import ConfigError, unknown_name
from palaestra.types import Json

VERSION = "llm-1"
DISTRACTORS = (0, 3, 6, 10)


@dataclass(frozen=True)
class LLMSettings:
    """What the builder asks for, and how patient it is.

    Attributes:
        scenario: One of the four scenarios.
        nodes: Least and largest number of nodes.
        levels: Levels of complexity, 0 to 3: `params`, `types` and `toolset`; `function` is the model's choice in L5.
        model: Name of the model and its settings; part of the cache's keys and of `meta`.
        repairs: How often a reply is sent back with what is wrong with it.
        regenerations: How often a stage, or a question that was verified to be wrong, is begun again.
        fictional: Replace the names of entities by made-up ones, so that nothing is known beforehand.
        split: Split of the instances.
        seed: Seed of the made-up names.
    """

    scenario: str = "multi_hop"
    nodes: tuple[int, int] = (1, 8)
    levels: Mapping[str, int] | None = None
    model: str = ""
    repairs: int = 3
    regenerations: int = 2
    fictional: bool = False
    split: str = "train"
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the names and the ranges."""
        if self.scenario not in SCENARIOS:
            raise unknown_name("scenario", self.scenario, SCENARIOS)
        for name, level in (self.levels or {}).items():
            if name not in LEVELS:
                raise unknown_name("level", name, LEVELS)
            if isinstance(level, bool) or level not in (0, 1, 2, 3):
                raise ConfigError(f"The level of {name!r} is {level!r}; expected a whole number from 0 to 3.")
        if not 1 <= self.nodes[0] <= self.nodes[1] <= 20:
            raise ConfigError(f"nodes is {self.nodes!r}; expected two numbers from 1 to 20, the smaller first.")
        for name in ("repairs", "regenerations"):
            if not 0 <= getattr(self, name) <= 10:
                raise ConfigError(f"{name} is {getattr(self, name)!r}; expected a whole number from 0 to 10.")

    def level(self, name: str) -> int:
        """Return a level, 0 if it is not set."""
        return (self.levels or {}).get(name, 0)


class LLMBuilder:
    """Builds instances with a language model.

    Args:
        complete: From chat messages (`role`, `content`) to the text of a reply. It may raise `ModelError`; a `BudgetError`
            ends the build.
        settings: What to ask for.
        verify: The model of L2; None for the same one.
        cache: Replies that passed, by key; filled while building. A rerun asks only for what did not pass.
        keep: Decides at the end whether an instance is kept, e.g. by playing it: True to keep it.
        sandbox: Where sources run; None for one of its own, which `close` ends.
    """

    def __init__(
        self,
        complete: Complete,
        settings: LLMSettings | None = None,
        *,
        verify: Complete | None = None,
        cache: MutableMapping[str, str] | None = None,
        keep: Callable[[Instance], bool] | None = None,
        sandbox: Sandbox | None = None,
    ) -> None:
        """Keep the model and the settings; nothing is asked yet."""
        self.settings = settings or LLMSettings()
        ask = partial(
            Asker,
            name=self.settings.model,
            repairs=self.settings.repairs,
            regenerations=self.settings.regenerations,
            cache={} if cache is None else cache,
        )
        self._asker, self._verifier = ask(complete), ask(verify or complete)
        self._keep = keep
        self._own_sandbox = sandbox is None
        self._sandbox = sandbox or Sandbox()

    def build(self, topic: str, *, item: str = "", text: str = "") -> tuple[Instance | None, Audit]:
        """Build one instance.

        Args:
            topic: What the question is about.
            item: Id of the instance; by default made of the topic.
            text: A source text that the question should be answered from.

        Returns:
            The instance, None if it was dropped, and the record of how it went.

        Raises:
            BudgetError: If the budget of the model is spent.
        """
        audit = Audit(item or "llm-" + (re.sub(r"\W+", "-", topic.casefold()).strip("-")[:60] or "item"))
        try:
            instance = self._built(audit, topic, text)
        except Dropped as reason:
            audit.outcome, audit.reason = "dropped", str(reason)
            return None, audit
        audit.outcome = "kept"
        return instance, audit

    def build_many(self, topics: Iterable[str]) -> Iterator[tuple[Instance | None, Audit]]:
        """Yield one instance a topic, or None, with its record; each is built when it is asked for.

        Args:
            topics: What the questions are about.
        """
        for number, topic in enumerate(topics):
            yield self.build(topic, item=f"llm-{self.settings.scenario}-s{self.settings.seed}-{number}")

    def close(self) -> None:
        """End the workers of the sandbox that it made."""
        if self._own_sandbox:
            self._sandbox.close()

    def _built(self, audit: Audit, topic: str, text: str) -> Instance:
        """Go through the stages."""
        draft = self._verified(audit, topic, text)
        if self.settings.fictional:
            draft = fictional(draft, Draw(VERSION, self.settings.seed, audit.item))
        work = _Work(self._asker, audit, draft)
        work.write_documents()
        work.integrate()
        work.scale(self.settings)
        sources = work.implement(self._sandbox)
        return self._checked(work, sources)

    def _verified(self, audit: Audit, topic: str, text: str) -> Decomposition:
        """L1 and L2: return a decomposition that a second prompt finds right."""
        settings = self.settings
        found: list[str] = []
        for _ in range(1 + settings.regenerations):
            data: dict[str, Any] = {"topic": topic, "shape": settings.scenario, "nodes": list(settings.nodes)}
            data |= {"source_text": text} if text else {}
            data |= {"found_wrong_before": found} if found else {}

            def read(value: Json) -> Decomposition:
                draft = read_as(Decomposition, value)
                check_decomposition(draft, settings.scenario, *settings.nodes)
                return draft

            draft = self._asker.ask(audit, "L1", prompt(prompts()["L1"], data), read)
            ids = [node.id for node in draft.nodes]

            def read_verdict(value: Json, ids: list[str] = ids) -> Verdict:
                verdict = read_as(Verdict, value)
                check_verdict(verdict, ids)
                return verdict

            shown = draft.model_dump(include={"question", "nodes"})
            found = faults_of(self._verifier.ask(audit, "L2", prompt(prompts()["L2"], shown), read_verdict))
            if not found:
                return draft
            audit.notes.append(f"L2 found: {', '.join(found)}")
        raise Dropped("L2:refused")

    def _checked(self, work: _Work, sources: Mapping[str, str]) -> Instance:
        """L8: return the instance, if all of it fits together and `keep` wants it."""
        try:
            instance = Instance.of(work.instance_data(self.settings, sources))
        except InstanceError as error:
            work.audit.notes.append(str(error)[:300])
            raise Dropped("L8:invalid") from None
        if len(instance.to_line().encode()) > MAX_BYTES:
            raise Dropped("L8:too_large")
        if self._keep is not None and not self._keep(instance):
            raise Dropped("L8:not_kept")
        return instance


class _Work:
    """The tools of one item, as they grow: a document and a call for each node."""

    def __init__(self, asker: Asker, audit: Audit, draft: Decomposition) -> None:
        self.asker = asker
        self.audit = audit
        self.draft = draft
        self.nodes = {node.id: node for node in draft.nodes}
        self.answers = {node.id: node.answer for node in draft.nodes}
        self.documents: dict[str, DraftDocument] = {}  # by the tool's name
        self.home: dict[str, str] = {}  # the tool of each node
        self.calls: dict[str, dict[str, Json]] = {}

    def write_documents(self) -> None:
        """L3 and L4: a document for each node, then its call."""
        for node in self.draft.nodes:

            def read(value: Json) -> DraftDocument:
                document = read_as(DraftDocument, value)
                self._check(document, [*self.documents])
                return document

            data = {
                "question": self.draft.question,
                "part": {"id": node.id, "text": node.text, "answer_type": node.answer_type},
            }
            document = self.asker.ask(self.audit, "L3", prompt(prompts()["L3"], {**data, "taken": [*self.documents]}), read)
            self.documents[document.name], self.home[node.id] = document, document.name

            def read_call(value: Json, document: DraftDocument = document, name: str = node.id) -> dict[str, Json]:
                arguments = read_as(DraftCall, value).arguments
                self._check_call(name, document, arguments)
                return arguments

            data |= {"known": {dep: self.answers[dep] for dep in node.deps}, "tool": document.model_dump()}
            self.calls[node.id] = self.asker.ask(self.audit, "L4", prompt(prompts()["L4"], data), read_call)

    def integrate(self) -> None:
        """L5: merge tools; a group that does not pass keeps its tools, and so does everything if no reply passes."""
        if len(self.documents) < 2:
            return

        def read(value: Json) -> Integration:
            reply = read_as(Integration, value)
            check_groups(reply, [*self.nodes])
            return reply

        tools = [
            {"node": node, "tool": self.documents[name].model_dump(), "call": self.calls[node]}
            for node, name in self.home.items()
        ]
        try:
            reply = self.asker.ask(self.audit, "L5", prompt(prompts()["L5"], {"tools": tools}), read)
        except Dropped as reason:
            self.audit.notes.append(f"{reason}: every node keeps its tool")
            return
        for group in reply.groups:
            others = [name for node, name in self.home.items() if node not in group.nodes]
            try:
                self._check(group.document, others)
                for node in group.nodes:
                    self._check_call(node, group.document, group.calls[node])
                check_no_echo(group.calls, self.answers, group.document.parameters)
            except Problem as problem:
                self.audit.notes.append(f"L5: the group {', '.join(group.nodes)} keeps its tools: {problem}"[:300])
                continue
            self._replace(group.nodes, group.document, group.calls)

    def scale(self, settings: LLMSettings) -> None:
        """L6: harder tools, and tools that no node needs; a tool that no reply passes for stays as it is."""
        optional, types = OPTIONAL[settings.level("params")], settings.level("types")
        for name in [*self.documents] if optional or types else []:
            before = self.documents[name]
            users = [node for node, home in self.home.items() if home == name]
            others = [other for other in self.documents if other != name]

            def read(
                value: Json, before: DraftDocument = before, users: list[str] = users, others: list[str] = others
            ) -> Scaling:
                reply = read_as(Scaling, value)
                self._check(reply.document, others)
                if sorted(reply.calls) != sorted(users):
                    raise Problem(f"There is not one call for each of {', '.join(users)}.")
                for node in users:
                    self._check_call(node, reply.document, reply.calls[node])
                pairs = {node: (self.calls[node], reply.calls[node]) for node in users}
                check_scaled(before, reply.document, pairs, optional)
                return reply

            data = {"tool": before.model_dump(), "calls": {node: self.calls[node] for node in users}}
            try:
                reply = self.asker.ask(
                    self.audit, "L6", prompt(prompts()["L6"], {**data, "optional": optional, "types": types}), read
                )
            except Dropped as reason:
                self.audit.notes.append(f"{reason}: {name} stays as it is")
                continue
            self._replace(users, reply.document, reply.calls)
        if count := DISTRACTORS[settings.level("toolset")]:
            self._distract(count)

    def implement(self, sandbox: Sandbox) -> dict[str, str]:
        """L7: return the source of each tool, tried in the sandbox."""
        sources = {}
        for name, document in self.documents.items():
            golden = [
                Golden(self.calls[node], self.answers[node], self.nodes[node].answer_type)
                for node, home in self.home.items()
                if home == name
            ]

            def read(value: Json, document: DraftDocument = document, golden: list[Golden] = golden) -> str:
                source = read_as(DraftSource, value).source
                try_source(sandbox, source, document.name, document.parameters, document.result_field, golden)
                return source

            calls = [{"arguments": call.arguments, document.result_field: call.answer} for call in golden]
            data = {"tool": document.model_dump(), "calls": calls}
            sources[name] = self.asker.ask(self.audit, "L7", prompt(prompts()["L7"], data), read)
        return sources

    def instance_data(self, settings: LLMSettings, sources: Mapping[str, str]) -> dict[str, Any]:
        """Return the instance as plain JSON."""
        nodes = [
            {
                **node.model_dump(),
                "tool": self.home[node.id],
                "path": self.documents[self.home[node.id]].result_field,
                "golden_args": self.calls[node.id],
            }
            for node in self.draft.nodes
        ]
        graph = {node.id: node.deps for node in self.draft.nodes}
        used = {*self.home.values()}
        sizes = {"nodes": len(nodes), "depth": depth_of(graph), "width": width_of(graph), "n_tools": len(self.documents)}
        tools = [
            {"type": "function", "function": {"name": name, "description": one.description, "parameters": one.parameters}}
            for name, one in sorted(self.documents.items())
        ]
        return {
            "format": "toolenv/1",
            "id": self.audit.item,
            "source": "llm",
            "seed": settings.seed,
            "builder_version": VERSION,
            "scenario": settings.scenario,
            "question": self.draft.question,
            "messages": [{"role": "user", "content": self.draft.question}],
            "tools": tools,
            "impl": {name: {"kind": "python", "source": sources[name]} for name in sorted(self.documents)},
            "nodes": nodes,
            "final": self.draft.final.model_dump(),
            "difficulty": {
                **sizes,
                "n_distractors": sum(name not in used for name in self.documents),
                "levels": {name: settings.level(name) for name in LEVELS},
            },
            "meta": {"split": settings.split, "model": settings.model},
        }

    def _check(self, document: DraftDocument, taken: list[str]) -> None:
        """Check a document against all answers, the final one too."""
        final = self.draft.final.answer
        check_document(document, [*self.answers.values(), *(final if isinstance(final, list) else [final])], taken)

    def _check_call(self, node: str, document: DraftDocument, arguments: dict[str, Json]) -> None:
        """Check the call of a node."""
        check_call(arguments, document, self.nodes[node], self.draft.question, self.answers)

    def _replace(self, nodes: Iterable[str], document: DraftDocument, calls: Mapping[str, dict[str, Json]]) -> None:
        """Give nodes another tool and other calls; tools that nobody needs any more go."""
        for node in nodes:
            self.home[node], self.calls[node] = document.name, calls[node]
        self.documents[document.name] = document
        used = {*self.home.values()}
        self.documents = {name: one for name, one in self.documents.items() if name in used}

    def _distract(self, count: int) -> None:
        """Add tools that no node needs; none if no reply passes."""

        def read(value: Json) -> list[DraftDocument]:
            reply = read_as(Distractors, value)
            if len(reply.documents) != count:
                raise Problem(f"There are {len(reply.documents)} documents; expected {count}.")
            taken = [*self.documents]
            for document in reply.documents:
                self._check(document, taken)
                taken.append(document.name)
            return reply.documents

        data = {
            "question": self.draft.question,
            "tools": [one.model_dump() for one in self.documents.values()],
            "count": count,
        }
        for document in self.asker.ask(self.audit, "L6", prompt(prompts()["L6_distractors"], data), read):
            self.documents[document.name] = document


def fictional(draft: Decomposition, draw: Draw) -> Decomposition:
    """Return a decomposition with made-up names in place of those of its entities, the same ones everywhere.

    Args:
        draft: A question with `entities`, the names that it holds.
        draw: Chance of the names.
    """
    names = Names(draw, "names")
    known = [*draft.entities, *(str(node.answer) for node in draft.nodes if node.answer_type == "entity")]
    made = {name: names.entity("city") for name in dict.fromkeys(known)}
    pattern = re.compile(
        "|".join(rf"(?<!\w){re.escape(name)}(?!\w)" for name in sorted(made, key=len, reverse=True)) or r"(?!)"
    )

    def renamed(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: renamed(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [renamed(inner) for inner in value]
        return pattern.sub(lambda match: made[match[0]], value) if isinstance(value, str) else value

    data = draft.model_dump()
    texts = {key: data[key] for key in ("question", "entities")}
    nodes = [{**node, "text": renamed(node["text"]), "answer": renamed(node["answer"])} for node in data["nodes"]]
    final = {**data["final"], "answer": renamed(data["final"]["answer"])}
    return Decomposition.model_validate({**renamed(texts), "nodes": nodes, "final": final})


@cache
def prompts() -> Mapping[str, str]:
    """Return the instructions of each stage."""
    text = (Path(__file__).parent / "llm" / "prompts.toml").read_text(encoding="utf-8")
    return {name: instructions.strip() for name, instructions in tomllib.loads(text).items()}


__all__ = ["DISTRACTORS", "VERSION", "LLMBuilder", "LLMSettings", "fictional", "prompts"]
