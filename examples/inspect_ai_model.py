"""A model of inspect-ai, of whichever provider, as an agent here. Needs inspect-ai (`pip install inspect-ai`).

A mock model plays: no key, no network. With a real one: `python inspect_ai_model.py openai/MODEL`.
"""

import sys

from inspect_ai.model import GenerateConfig, Model, ModelOutput, ModelUsage, get_model, messages_from_openai
from inspect_ai.tool import ToolInfo

from palaestra import evaluate
from palaestra.agents import Generation, LLMAgent, Request
from palaestra.errors import ModelError
from palaestra.types import Message, ToolCall, Usage


class InspectBackend:
    """A backend; retries, caching and limits are those of inspect-ai's model."""

    def __init__(self, model: Model) -> None:
        """Keep the model."""
        self.model, self.name = model, f"inspect:{model}"

    async def generate(self, request: Request) -> Generation:
        """Ask the model."""
        asked, tools = request.sampling, [ToolInfo(**tool["function"]) for tool in request.tools]
        settings = {name: getattr(asked, name) for name in ("temperature", "top_p", "max_tokens", "seed")}
        config = GenerateConfig(stop_seqs=list(asked.stop) or None, **settings)
        said = await messages_from_openai([message.to_openai() for message in request.messages])
        try:
            output = await self.model.generate(said, tools, config=config)
        except Exception as error:
            raise ModelError(f"{self.name}: {error}") from error
        answer, used = output.message, output.usage
        calls = tuple(ToolCall(one.function, one.parse_error or one.arguments, one.id) for one in answer.tool_calls or ())
        thoughts = "\n".join(part.reasoning for part in answer.content_list if part.type == "reasoning")
        cached = (used and used.input_tokens_cache_read) or 0
        usage = Usage(1, 0, used.input_tokens + cached, cached, used.output_tokens) if used else Usage(calls=1)
        return Generation(Message("assistant", answer.text, calls, reasoning=thoughts), output.stop_reason, usage)

    async def aclose(self) -> None:
        """Leave it to inspect-ai, which closes its models itself."""


def mock(messages: list, tools: list, *_: object) -> ModelOutput:
    """Look at the notes once, and say that nothing is left to do."""
    if messages[-1].role == "tool":
        output = ModelOutput.from_content("mock", "Done.")
    else:
        output = ModelOutput.for_tool_call("mock", "search_notes", {"query": "plan"})
    output.usage = ModelUsage(input_tokens=80, output_tokens=4, total_tokens=84)  # counting them would need a download
    return output


if __name__ == "__main__":
    model = get_model(sys.argv[1]) if len(sys.argv) > 1 else get_model("mockllm/model", custom_outputs=mock)
    summary = evaluate("palaestra/Desk-v0", LLMAgent(InspectBackend(model)), n=8).summary
    print("success:", summary.success)
    print(
        "errors:", dict(summary.error_messages), "|", summary.usage.calls, "calls,", summary.usage.prompt_tokens, "tokens read"
    )
