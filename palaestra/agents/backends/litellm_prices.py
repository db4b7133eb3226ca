"""What tokens cost by litellm's map of prices, where it is installed: `prices="litellm"`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from palaestra.agents.backends.litellm_sdk import import_litellm
from palaestra.types import Usage

_PROVIDERS = {"google": "gemini"}  # schemes of ours that litellm calls by another name


@dataclass(frozen=True, slots=True)
class LiteLLMPrice:
    """The price of one model, with its steps for long prompts.

    Attributes:
        litellm: The package.
        model: Its name of the model.
    """

    litellm: Any
    model: str

    def cost(self, usage: Usage) -> float:
        """Return the cost of `usage` in USD."""
        prompt, completion = self.litellm.cost_per_token(
            model=self.model,
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
            cache_read_input_tokens=usage.cached_tokens,
        )
        return float(prompt) + float(completion)


class LiteLLMPrices:
    """Prices of the models that litellm knows, in USD; none is downloaded."""

    currency = "USD"

    def __init__(self) -> None:
        """Load the map.

        Raises:
            MissingExtraError: If litellm is not installed.
        """
        self._litellm = import_litellm()

    def find(self, *names: str) -> LiteLLMPrice | None:
        """Return the price of a model that goes by any of `names`, as `SCHEME:NAME` or NAME; None if it has none."""
        for name in names:
            scheme, colon, rest = name.partition(":")
            spellings = (
                (name, f"{_PROVIDERS.get(scheme, scheme.removesuffix('-responses'))}/{rest}", rest) if colon else (name,)
            )
            for spelling in spellings:
                if spelling in self._litellm.model_cost and "input_cost_per_token" in self._litellm.model_cost[spelling]:
                    return LiteLLMPrice(self._litellm, spelling)
        return None


__all__ = ["LiteLLMPrice", "LiteLLMPrices"]
