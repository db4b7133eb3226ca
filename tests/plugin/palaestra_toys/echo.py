"""A backend added from outside: `toys_echo:MARK` answers with what follows the last MARK in the last message.

What a third party's client looks like: it asks once and raises `ModelError`; retries, limits and budget are around it.
"""

from __future__ import annotations

from palaestra.agents import Generation, Request
from palaestra.errors import ModelError
from palaestra.types import Message, Usage


class EchoBackend:
    """Repeats what it was told.

    Args:
        mark: What the answer stands behind, e.g. "level"; empty for the whole message.
        prefix: Said before it.
    """

    def __init__(self, mark: str = "", *, prefix: str = "") -> None:
        """Keep the words."""
        self.name = f"toys_echo:{mark}"
        self.mark, self.prefix = mark, prefix

    async def generate(self, request: Request) -> Generation:
        """Answer.

        Raises:
            ModelError: If the mark is not in the message.
        """
        last = request.messages[-1].content if request.messages else ""
        _, found, rest = last.rpartition(self.mark) if self.mark else ("", "", last)
        if self.mark and not found:
            raise ModelError(f"There is no {self.mark!r} in the message {last[:80]!r}.", retryable=False)
        text = f"{self.prefix}{rest.strip(' .')}"
        usage = Usage(calls=1, prompt_tokens=len(last.split()), completion_tokens=len(text.split()))
        return Generation(Message("assistant", text), usage=usage)

    async def aclose(self) -> None:
        """There is nothing to close."""
