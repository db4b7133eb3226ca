"""How alike two texts are: by the words that they share, or by sentence embeddings of a local model.

Scores of different backends are never compared: the name of the backend stands next to every score.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from palaestra.envs.core.data_files import kind_of, place_of, shown
from palaestra.envs.wrappers.injection import arguments
from palaestra.errors import ConfigError, MissingExtraError, UsageError

MAX_KEPT = 4096
"""Texts whose vectors are kept."""


class Similarity(Protocol):
    """A backend.

    Attributes:
        name: Reported with every score.
    """

    name: str

    def __call__(self, one: object, other: object) -> float:
        """Return how alike the texts of two values are, 0 (nothing shared) to 1 (the same words), to rounding."""


class BagOfWords:
    """Cosine of the counts of the words (letters, digits, underscores) of the texts in lower case; 0 if either has none."""

    name = "bow"

    def __call__(self, one: object, other: object) -> float:
        """Return the cosine, 0 to 1 (to rounding)."""
        return arguments.similarity(as_text(one), as_text(other))


class Embeddings:
    """Cosine of mean-pooled sentence embeddings, clipped at 0.

    The paper used all-mpnet-base-v2.

    Args:
        path: Folder of a `transformers` model with its tokenizer; nothing is downloaded.
        batch_tokens: Tokens of a text that are read; longer texts are cut.

    Raises:
        ConfigError: If there is no model at `path`.
        MissingExtraError: If `transformers` or torch are not installed.
    """

    def __init__(self, path: str | Path, *, batch_tokens: int = 384) -> None:
        """Load the model."""
        place = place_of(path)
        if kind_of(place) != "folder":
            raise ConfigError(f"There is no folder {shown(place)}; expected that of a transformers model.")
        try:
            import torch
            from transformers import AutoModel, AutoTokenizer
        except ImportError:
            raise MissingExtraError("Similarity by embeddings", "train") from None
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(place, local_files_only=True)
            self._model = AutoModel.from_pretrained(place, local_files_only=True).eval()
        except (OSError, ValueError) as error:
            raise ConfigError(f"{shown(place)} does not hold a transformers model with its tokenizer: {error}.") from None
        self._torch, self._max_tokens = torch, batch_tokens
        self.name = f"embed:{place.name}"
        self._kept: dict[str, Any] = {}

    def __call__(self, one: object, other: object) -> float:
        """Return the cosine of the embeddings, 0 to 1 (to rounding)."""
        first, second = self._vector(as_text(one)), self._vector(as_text(other))
        return max(0.0, float(first @ second))

    def _vector(self, text: str) -> Any:
        """Return the embedding of a text, of length 1."""
        if text not in self._kept:
            if len(self._kept) >= MAX_KEPT:
                self._kept.clear()
            read = self._tokenizer(text, return_tensors="pt", truncation=True, max_length=self._max_tokens)
            with self._torch.no_grad():
                hidden = self._model(**read).last_hidden_state  # (1, tokens, width)
            mask = read["attention_mask"].unsqueeze(-1).to(hidden.dtype)
            pooled = (hidden * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)
            self._kept[text] = self._torch.nn.functional.normalize(pooled, dim=1)[0]
        return self._kept[text]


bow = BagOfWords()


def similarity_of(spec: str) -> Similarity:
    """Return the backend that a text names.

    Args:
        spec: "bow", or "embed:PATH" with the folder of a local model.

    Raises:
        UsageError: If it names neither.
    """
    if spec == "bow":
        return bow
    kind, _, path = spec.partition(":") if isinstance(spec, str) else ("", "", "")
    if kind != "embed" or not path:
        raise UsageError(f"similarity is {spec!r}; expected 'bow', or 'embed:PATH' with the folder of a transformers model.")
    return Embeddings(path)


def as_text(value: object) -> str:
    """Return `str(value)`; of what Python refuses to write (numbers of thousands of digits, deep nesting) its type's name."""
    try:
        return value if isinstance(value, str) else str(value)
    except (ValueError, RecursionError):
        return f"<{type(value).__name__}>"


__all__ = ["MAX_KEPT", "BagOfWords", "Embeddings", "Similarity", "as_text", "bow", "similarity_of"]
