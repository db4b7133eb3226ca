"""What tokens cost: a table given by the user, as no built-in one would stay true.

A TOML file (or the same as a dict), prices per million tokens:

    currency = "USD"

    [models."gpt-5-mini"]
    prompt = 0.25
    cached = 0.025      # prompt tokens from the server's cache; as `prompt` if left out
    completion = 2.0

    [models."local-*"]  # shell patterns; the longest that fits is taken
    prompt = 0.0
    completion = 0.0
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Protocol

from palaestra.envs.core.data_files import kind_of, parse_toml, read_text, shown
from palaestra.errors import ConfigError, MissingDataError, unknown_name
from palaestra.types import Json, Usage

MAX_BYTES = 2**20
"""Largest table of prices."""


class ModelPrice(Protocol):
    """What one model costs."""

    def cost(self, usage: Usage) -> float:
        """Return the cost of `usage`."""
        ...


class Prices(Protocol):
    """What models cost.

    Attributes:
        currency: Shown in reports.
    """

    @property
    def currency(self) -> str:
        """Return the currency."""
        ...

    def find(self, *names: str) -> ModelPrice | None:
        """Return the price of a model that goes by any of `names`, or None."""
        ...


@dataclass(frozen=True, slots=True)
class Price:
    """Prices of one model, per million tokens.

    Attributes:
        prompt: Prompt tokens.
        completion: Completion tokens.
        cached: Prompt tokens from the server's cache.
    """

    prompt: float
    completion: float
    cached: float

    def cost(self, usage: Usage) -> float:
        """Return the cost of `usage`."""
        fresh = usage.prompt_tokens - usage.cached_tokens
        return (fresh * self.prompt + usage.cached_tokens * self.cached + usage.completion_tokens * self.completion) / 1e6


@dataclass(frozen=True, slots=True)
class PriceTable:
    """Prices by model name or pattern.

    Attributes:
        prices: Name or shell pattern to price.
        currency: Shown in reports.
    """

    prices: Mapping[str, Price]
    currency: str = "USD"

    @classmethod
    def load(cls, source: str | Path | Mapping[str, Json] | PriceTable) -> PriceTable:
        """Read a table from a TOML file or a dict of the same shape.

        Raises:
            MissingDataError: If there is no such file.
            ConfigError: If the table does not have the shape shown at the top of this module.
        """
        if isinstance(source, PriceTable):
            return source
        if isinstance(source, Mapping):
            return _read(source, "the price table")
        path = Path(source)
        if kind_of(path) == "nothing":
            raise MissingDataError(f"No price table at {shown(path)}. Expected a TOML file with [models.NAME] sections.")
        text = read_text(path, max_bytes=MAX_BYTES)
        try:
            return _read(parse_toml(text), f"'{path}'")
        except ValueError as error:
            raise ConfigError(f"The price table '{path}' is not TOML ({error}).") from None

    def find(self, *names: str) -> Price | None:
        """Return the price of a model that goes by any of `names`: an exact entry, else the longest pattern that fits."""
        for name in names:
            if name in self.prices:
                return self.prices[name]
        fitting = [pattern for pattern in self.prices if any(fnmatchcase(name, pattern) for name in names)]
        return self.prices[max(fitting, key=lambda pattern: (len(pattern), pattern))] if fitting else None


def _read(data: Mapping[str, Json], where: str) -> PriceTable:
    """Read the decoded table."""
    for key in data:
        if key not in ("currency", "models"):
            raise ConfigError(f"In {where}: {unknown_name('key', key, ('currency', 'models'))}")
    models = data.get("models")
    if not isinstance(models, Mapping) or not models:
        raise ConfigError(f"There are no [models.NAME] sections in {where}; expected one for each model with a price.")
    prices = {str(name): _price(entry, f"[models.{name!r}] of {where}") for name, entry in models.items()}
    return PriceTable(prices, str(data.get("currency", "USD")))


def _price(entry: Json, where: str) -> Price:
    """Read the prices of one model."""
    if not isinstance(entry, Mapping):
        raise ConfigError(f"{where} is {entry!r}; expected prices per million tokens for prompt, completion and cached.")
    for key, value in entry.items():
        if key not in ("prompt", "completion", "cached"):
            raise ConfigError(f"In {where}: {unknown_name('key', key, ('prompt', 'completion', 'cached'))}")
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not value >= 0:
            raise ConfigError(f"In {where}: {key} is {value!r}; expected a price per million tokens, 0 or more.")
    for key in ("prompt", "completion"):
        if key not in entry:
            raise ConfigError(f"In {where}: {key} is missing; expected a price per million tokens.")
    return Price(float(entry["prompt"]), float(entry["completion"]), float(entry.get("cached", entry["prompt"])))
