"""A model that a command lets write: a function from chat messages to text, with its replies and its record kept in files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from palaestra.envs.judging.asking import Audit


@dataclass
class AskedModel:
    """A model, and what is kept of it.

    Attributes:
        complete: From messages to text; raises `ModelError` where the model fails, or its reply was cut off.
        cache: Replies that passed, by key.
        audits: The record of every item; the command fills it.
    """

    complete: Callable[[list[dict[str, str]]], str]
    cache: dict[str, str]
    audits: list[Audit] = field(default_factory=list)


@contextmanager
def asked_model(name: str, out: Path) -> Iterator[AskedModel]:
    """Lend a model; at the end, whatever happened, its cache and its record are written next to a file.

    Args:
        name: The model, e.g. "openai:NAME".
        out: The file that is written with its help; `OUT.cache.json` is read if it exists, and `OUT.audit.jsonl` is written.
    """
    import asyncio
    import json

    from palaestra.agents.backends.registry import make_backend
    from palaestra.agents.core import Request
    from palaestra.errors import ModelError
    from palaestra.types import Message

    kept = out.with_name(out.name + ".cache.json")
    cache: dict[str, str] = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {}
    backend = make_backend(name)
    runner = asyncio.Runner()

    def complete(messages: list[dict[str, str]]) -> str:
        request = Request(tuple(Message.from_json(one) for one in messages))
        answer = runner.run(backend.generate(request))
        if answer.finish_reason == "length":
            raise ModelError("The reply was cut off by the limit of tokens.")
        return answer.message.content

    asked = AskedModel(complete, cache)
    try:
        yield asked
    finally:
        runner.run(backend.aclose())
        runner.close()
        kept.write_text(json.dumps(cache, ensure_ascii=False), encoding="utf-8")
        lines = "".join(json.dumps(audit.to_json(), ensure_ascii=False) + "\n" for audit in asked.audits)
        out.with_name(out.name + ".audit.jsonl").write_text(lines, encoding="utf-8")


__all__ = ["AskedModel", "asked_model"]
