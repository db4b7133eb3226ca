"""Whether a model's reasoning goes back to its server, and in which form.

Most servers take no reasoning, some refuse the field. DeepSeek, Kimi, GLM, Qwen and others continue to think between calls
only with what they thought before, and some of them refuse a dialogue with calls in which it is missing. Who asks for it is
known by address, by litellm's name of the provider, or by the name of the model; a server that says so in an error is asked
once more in the other way, which is remembered.

Sources: DeepSeek, "Thinking Mode: Tool Calls"; vLLM, "Interleaved Thinking", and its issue 38488; Moonshot, "Use the Kimi
thinking model"; Z.ai, "Thinking Mode"; MiniMax, "Tool Use & Interleaved Thinking"; litellm,
`llms/moonshot/chat/transformation.py` (a blank where there is no reasoning).
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from enum import Enum
from urllib.parse import urlsplit

from palaestra.agents.context import CHARS_PER_TOKEN, estimate_tokens
from palaestra.agents.core import Generation, Request
from palaestra.errors import ModelError
from palaestra.types import Json, Message

NAMES = ("reasoning_content", "reasoning")
"""Names of the field. vLLM reads `reasoning` alone, and drops the other in silence; most others know the first one alone."""
BLANK = " "
"""Stands for the reasoning of a message that has none, where a server wants the field in every one, and not empty."""

_HOSTS = re.compile(
    r"(?:^|\.)(?:deepseek\.com|moonshot\.(?:cn|ai)|kimi\.com|z\.ai|bigmodel\.cn|minimaxi?\.(?:io|com|chat)|aliyuncs\.com"
    r"|xiaomimimo\.com|siliconflow\.(?:cn|com))$"
)
_PROVIDERS = frozenset({"deepseek", "moonshot", "zai", "minimax", "dashscope", "xiaomi_mimo"})
_MODELS = re.compile(r"deepseek|kimi|glm-?(?:4\.[5-9]|[5-9]|z1)|minimax-?m\d|qwen-?3|qwq|\bmimo\b", re.IGNORECASE)
_IN_TAGS = re.compile(r"minimax", re.IGNORECASE)
# these take models of such names too, in another form: OpenRouter by `reasoning_details`, the others refuse the field
_OTHERS = re.compile(r"(?:^|\.)(?:openrouter\.ai|groq\.com|mistral\.ai|openai\.com|azure\.com)$")
_OTHER_PROVIDERS = frozenset({"openrouter", "groq", "mistral", "azure", "azure_ai", "bedrock", "vertex_ai"})

_NAMED = re.compile(r"reasoning[_ ]content", re.IGNORECASE)
_ASKED = re.compile(r"missing|miss |must be|should be|required?|needs?\b|pass(?:ed)? back|缺少|缺失|必须|传回", re.IGNORECASE)
_REFUSED = re.compile(
    r"un(?:supported|known|expected|recogni[sz]ed)|(?:not|isn't|n't) (?:supported|permitted|allowed|accepted|support)|extra\b"
    r"|extra_forbidden|forbidden|additional propert|should not|must not|不支持",
    re.IGNORECASE,
)


class Form(Enum):
    """How reasoning is sent."""

    NONE = "none"
    FIELD = "field"
    """As a field of the messages that have some."""
    FILLED = "filled"
    """As a field of every message of the model, a blank where it has none."""
    TAGS = "tags"
    """In the content, between the marks of a thought, as the model wrote it."""


class ReasoningBack:
    """Decides for one model, and learns from its server.

    Args:
        setting: The option `send_reasoning`: always, never, or None where the server asks for it.
        model: The server's name of the model.
        base_url: Address of the server, where it is known.
        provider: litellm's name of the provider, where it is asked through litellm.
    """

    def __init__(self, setting: bool | None, model: str, base_url: str = "", provider: str = "") -> None:
        """Nothing is learned yet."""
        self.setting = setting
        self._known = _known_form(model, urlsplit(base_url).hostname or "", provider)
        self._learned: Form | None = None
        self._seen: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the field: those under which the server itself reports reasoning, and the one that it has asked for."""
        asked = NAMES[:1] if not self._seen or self._learned is Form.FILLED else ()
        return tuple(name for name in NAMES if name in self._seen or name in asked)

    def note(self, data: Json) -> None:
        """Learn from an answer under which name its server reports reasoning.

        Args:
            data: The decoded body of a chat completion.
        """
        choices = data.get("choices") if isinstance(data, Mapping) else None
        first = choices[0] if isinstance(choices, list) and choices else None
        message = first.get("message") if isinstance(first, Mapping) else None
        if isinstance(message, Mapping):
            self._seen = tuple(name for name in NAMES if isinstance(message.get(name), str) and message[name]) or self._seen

    def form(self, messages: Sequence[Message], has_tools: bool) -> Form:
        """Return the form for a dialogue.

        Args:
            messages: The dialogue.
            has_tools: Whether tools are offered as function schemas; without them there are no calls to think between.
        """
        if self.setting is False:
            return Form.NONE
        if self._learned is not None:
            return self._learned
        if self.setting:
            return Form.FIELD
        return self._known if has_tools and any(message.reasoning for message in messages) else Form.NONE

    def count_tokens(self, messages: Sequence[Message]) -> int:
        """Estimate the tokens of a dialogue, with the reasoning that goes back."""
        tokens = estimate_tokens(messages)
        if self.form(messages, any(message.tool_calls for message in messages)) is Form.NONE:
            return tokens
        return tokens + int(sum(len(message.reasoning) for message in messages) / CHARS_PER_TOKEN)

    async def ask(self, request: Request, ask: Callable[[Form], Awaitable[Generation]]) -> Generation:
        """Ask, and once more in another form where the server refused the request for its reasoning.

        Args:
            request: What to ask.
            ask: Asks with reasoning in a form.

        Raises:
            ModelError: As `ask` does.
        """
        form = self.form(request.messages, bool(request.tools))
        try:
            return await ask(form)
        except ModelError as error:
            other = self._other(form, error)
            if other is None:
                raise
        try:
            generation = await ask(other)  # a request that is refused costs nothing
        except ModelError as error:
            if not _is_about_reasoning(error):
                self._learned = other
            raise
        self._learned = other
        return generation

    def _other(self, form: Form, error: ModelError) -> Form | None:
        """Return the form that a server asks for by refusing this one, or None if it does not or an option forbids it."""
        if not _is_about_reasoning(error) or self.setting is False:
            return None
        is_asked = _ASKED.search(str(error)) is not None and _REFUSED.search(str(error)) is None
        if form in (Form.NONE, Form.TAGS):
            return Form.FILLED
        if form is Form.FIELD:
            return Form.FILLED if is_asked else None
        return None if is_asked or self.setting else Form.NONE


def with_reasoning(content: str, reasoning: str) -> str:
    """Return the content of a message with its reasoning in front of it, between marks."""
    return f"<think>\n{reasoning}\n</think>\n\n{content}" if reasoning else content


def _known_form(model: str, host: str, provider: str) -> Form:
    """Return the form that a server is known to ask for."""
    if _OTHERS.search(host) or provider in _OTHER_PROVIDERS:
        return Form.NONE
    if _IN_TAGS.search(model) or _IN_TAGS.search(host) or provider == "minimax":
        return Form.TAGS
    is_known = _HOSTS.search(host) is not None or provider in _PROVIDERS or _MODELS.search(model) is not None
    return Form.FILLED if is_known else Form.NONE


def _is_about_reasoning(error: ModelError) -> bool:
    """Whether a server refused a request for its reasoning; gateways put that into an error of any status."""
    return _NAMED.search(str(error)) is not None and error.status != 429


__all__ = ["BLANK", "NAMES", "Form", "ReasoningBack", "with_reasoning"]
