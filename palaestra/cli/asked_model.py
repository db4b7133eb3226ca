"""A model as a function from chat messages to text, for commands that let one write."""

from __future__ import annotations

from collections.abc import Callable


def asked_model(name: str) -> tuple[Callable[[list[dict[str, str]]], str], Callable[[], None]]:
    """Return a model as a function from messages to text, and what closes it.

    The function raises `ModelError` where the model fails, or its reply was cut off.

    Args:
        name: The model, e.g. "openai:NAME".
    """
    import asyncio

    from palaestra.agents.backends.registry import make_backend
    from palaestra.agents.core import Request
    from palaestra.errors import ModelError
    from palaestra.types import Message

    backend = make_backend(name)
    runner = asyncio.Runner()

    def complete(messages: list[dict[str, str]]) -> str:
        request = Request(tuple(Message.from_json(one) for one in messages))
        answer = runner.run(backend.generate(request))
        if answer.finish_reason == "length":
            raise ModelError("The reply was cut off by the limit of tokens.")
        return answer.message.content

    def close() -> None:
        runner.run(backend.aclose())
        runner.close()

    return complete, close


__all__ = ["asked_model"]
