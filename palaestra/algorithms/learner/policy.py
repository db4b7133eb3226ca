"""A policy: a causal language model, seen by a learner.

`token_log_probs` scores what was sampled, at the sampling temperature, in float32, without ever holding the logits of
a whole batch. `sampler()` gives a backend that plays with the very same weights. Raising `version` after an update
makes the samplers drop their caches.
"""

from __future__ import annotations

import copy
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, Protocol, Self

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from palaestra.agents.backends.chat_template import ChatTemplate
from palaestra.agents.backends.checkpoints import context_length, load_checkpoint, save_checkpoint, vocabulary_size
from palaestra.agents.backends.local import LocalBackend
from palaestra.algorithms.math.losses import entropy_of
from palaestra.algorithms.scale.ranks import Forward, blocks_of, copy_whole, ranks
from palaestra.errors import ConfigError


class TokenScores(NamedTuple):
    """What a policy says about tokens.

    Attributes:
        log_prob: float32 [B, T], log-probability of the token at its own index; 0 where nothing was asked.
        entropy: float32 [B, T] in nats, of the distribution the token was drawn from; None unless asked for.
    """

    log_prob: Tensor
    entropy: Tensor | None


class Follower(Protocol):
    """What wants to know when a policy's weights have changed."""

    def update_weights(self, *, version: int) -> None:
        """Take note of weights with this version; loading a checkpoint may change them and leave the version."""
        ...


class Policy:
    """A transformers causal LM with its tokenizer.

    Dropout is always off: sampling and scoring have to be the same function. Both leave out what an embedding has beyond the
    tokenizer's ids, which is padding.

    Args:
        model: The model; used as it is, not copied.
        tokenizer: Its tokenizer, with a chat template.
        version: Version of the weights.
        append_only: Append to dialogues even where the chat template would rewrite earlier turns.
        max_logits: Most logits held at a time; 2**24 are 64 MiB in float32.

    Raises:
        UsageError: If there is no chat template, or the tokenizer has more ids than the model.
    """

    def __init__(
        self, model: Any, tokenizer: Any, *, version: int = 0, append_only: bool = False, max_logits: int = 2**24
    ) -> None:
        """Keep the parts, and find out how the model computes its logits."""
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.template = ChatTemplate(tokenizer, append_only=append_only)
        self.max_context = context_length(model)
        self.vocabulary = vocabulary_size(model, tokenizer)
        self._append_only = append_only
        self._max_logits = max_logits
        self._version = version
        self._samplers: weakref.WeakSet[Follower] = weakref.WeakSet()
        self._has_plain_head = _has_plain_head(model)
        self._shards: Forward | None = None
        self._trained: dict[str, Tensor] = {}

    @classmethod
    def from_path(cls, path: str | Path, *, dtype: str | None = None, device: str | None = None, **options: Any) -> Self:
        """Load a checkpoint.

        Args:
            path: Directory of a model and its tokenizer.
            dtype: Data type of the weights, e.g. "float32"; as saved if None.
            device: Where to put the model; the CPU if None.
            **options: Arguments of `Policy`.

        Raises:
            UsageError: If there is nothing to load there.
        """
        model, tokenizer = load_checkpoint(path, dtype=dtype)
        return cls(model if device is None else model.to(device), tokenizer, **options)

    @property
    def version(self) -> int:
        """Version of the weights. Setting it says that they changed: samplers drop caches and sample with this version."""
        return self._version

    @version.setter
    def version(self, value: int) -> None:
        self._version = value
        self.refresh()

    def refresh(self) -> None:
        """Take the trained shards into the model, and let samplers drop what they have cached; the version stays."""
        if self._shards is not None:
            with torch.no_grad():
                for name, parameter in self.model.named_parameters():
                    parameter.copy_(self._trained[name].full_tensor())
        for sampler in list(self._samplers):  # a copy: samplers may vanish meanwhile
            sampler.update_weights(version=self._version)

    @property
    def num_parameters(self) -> int:
        """Number of weights, tied ones counted once."""
        return sum(parameter.numel() for parameter in self.model.parameters())

    def parameters(self) -> Iterator[Any]:
        """Iterate over the weights that are trained."""
        trained = self.model.parameters() if self._shards is None else self._trained.values()
        return (parameter for parameter in trained if parameter.requires_grad)

    def distribute(self) -> None:
        """Cut the weights that are trained into shards, where ranks share them that way (see `distributed`).

        The model itself stays whole on every rank: it samples and is saved, and takes over the trained weights whenever
        `version` is set. Harmless when repeated.
        """
        if self._shards is not None or ranks().sharing != "sharded":
            return
        self._shards = Forward(copy.deepcopy(self.model), self._token_scores)
        ranks().shard(self._shards, blocks_of(self._shards.model))
        self._trained = {name.removeprefix("model."): p for name, p in self._shards.named_parameters()}
        self.model.requires_grad_(False)

    def token_log_probs(
        self,
        ids: Tensor,
        attention_mask: Tensor,
        action_mask: Tensor | None = None,
        *,
        temperature: float = 1.0,
        entropy: bool = False,
    ) -> TokenScores:
        """Score tokens given everything before them in their row.

        Args:
            ids: int64 [B, T], padded on either side.
            attention_mask: [B, T], true at real tokens.
            action_mask: [B, T], true at the tokens to score; all real tokens if None. The first real token of a row has
                nothing before it and is never scored.
            temperature: Logits are divided by it, above 0.
            entropy: Whether entropies are wanted too.

        Returns:
            Log-probs (and entropies) at the index of the scored token, with gradient where gradients are enabled.

        Raises:
            ConfigError: If the temperature is not above 0.
        """
        if not temperature > 0:
            raise ConfigError(f"temperature is {temperature}; expected above 0, as the tokens were sampled.")
        device = self.model.device
        ids, real = ids.to(device), attention_mask.to(device).bool()
        wanted = real if action_mask is None else real & action_mask.to(device).bool()
        rows, columns = torch.nonzero(wanted[:, 1:] & real[:, :-1], as_tuple=True)  # [N]; logits at t-1 score token t
        asked = (ids, real, rows, columns, temperature, entropy)
        found = self._token_scores(self.model, *asked) if self._shards is None else self._shards(*asked)
        log_prob, entropies = found

        def spread(values: Tensor) -> Tensor:
            return torch.zeros(ids.shape, device=device).index_put((rows, columns + 1), values)  # [N] -> [B, T]

        return TokenScores(spread(log_prob), spread(entropies) if entropy else None)

    def sampler(self, **options: Any) -> LocalBackend:
        """Return a backend that samples with these weights, whatever they become.

        Args:
            **options: Arguments of `LocalBackend`.
        """
        fixed = {"device": None, "version": self._version, "append_only": self._append_only}
        backend = LocalBackend(self.model, self.tokenizer, **{"name": "policy", **options, **fixed})
        self._samplers.add(backend)
        return backend

    def attach(self, follower: Follower) -> None:
        """Tell something whenever these weights have changed, as long as it lives; samplers of `sampler()` are told anyway."""
        self._samplers.add(follower)

    def frozen_copy(self, path: str | Path | None = None) -> Policy:
        """Return a policy of its own that is not trained, e.g. as a reference.

        Args:
            path: Checkpoint whose weights it takes; the current weights if None.
        """
        twin = Policy(
            copy.deepcopy(self.model),
            self.tokenizer,
            version=self._version,
            append_only=self._append_only,
            max_logits=self._max_logits,
        )
        if path is not None:
            twin.load_weights(path)
        twin.model.requires_grad_(False)
        return twin

    def save(self, path: str | Path) -> Path:
        """Write model and tokenizer to a directory that `from_path` and transformers' Auto classes load."""
        return save_checkpoint(self.model, self.tokenizer, path)

    def load_weights(self, path: str | Path) -> None:
        """Take over the weights of a checkpoint of the same shape, in place; the version stays.

        Raises:
            UsageError: If there is nothing to load there.
            ConfigError: If the shapes differ.
        """
        other, _ = load_checkpoint(path)
        try:
            self.model.load_state_dict(other.state_dict())
        except RuntimeError as error:
            raise ConfigError(f"The weights in {str(path)!r} do not fit this policy: {error}") from error
        if self._shards is not None:
            copy_whole(dict(self.model.named_parameters()), self._trained)
        self.refresh()

    def _token_scores(
        self, model: Any, ids: Tensor, real: Tensor, rows: Tensor, columns: Tensor, temperature: float, entropy: bool
    ) -> tuple[Tensor, Tensor]:
        """Log-probs and entropies [N] of the tokens after (row, column)."""
        states = self._states(model, ids, real)[rows, columns]  # [N, width], or [N, vocabulary] without a plain head
        return self._score(model, states, ids[rows, columns + 1], temperature, entropy)

    def _states(self, model: Any, ids: Tensor, real: Tensor) -> Tensor:
        """Final hidden states [B, T, width], or logits if the head cannot be applied on its own."""
        model.eval()
        inputs: dict[str, Any] = {"input_ids": ids, "use_cache": False}
        # With padding on the right only, causality alone keeps real tokens from seeing it, and no mask is faster.
        if not bool((real[:, 1:] <= real[:, :-1]).all()):
            inputs["attention_mask"] = real.long()
            inputs["position_ids"] = (real.long().cumsum(dim=1) - 1).clamp(min=0)  # [B, T], counted from the first real token
        if self._has_plain_head:
            states: Tensor = model.base_model(**inputs).last_hidden_state
            return states
        logits: Tensor = model(**inputs).logits
        return logits

    def _score(self, model: Any, states: Tensor, targets: Tensor, temperature: float, entropy: bool) -> tuple[Tensor, Tensor]:
        """Score N tokens in parts that keep within `max_logits`."""
        head = model.get_output_embeddings() if self._has_plain_head else None
        vocabulary = states.shape[1] if head is None else int(head.weight.shape[0])
        size = max(1, self._max_logits // vocabulary)  # tokens at a time
        if len(targets) <= size:
            return _score_part(head, self.vocabulary, states, targets, temperature, entropy)
        # Logits of a part are computed again in the backward pass rather than kept.
        parts = [
            checkpoint(_score_part, head, self.vocabulary, part, goal, temperature, entropy, use_reentrant=False)
            for part, goal in zip(states.split(size), targets.split(size), strict=True)
        ]
        return torch.cat([part[0] for part in parts]), torch.cat([part[1] for part in parts])


def _score_part(
    head: Any, size: int, states: Tensor, targets: Tensor, temperature: float, entropy: bool
) -> tuple[Tensor, Tensor]:
    """Log-probs [N] and entropies [N] (zeros unless wanted) in float32, over the first `size` ids."""
    logits = meaningful(states if head is None else head(states), size).float()
    if temperature != 1.0:
        logits = logits / temperature
    log_probs = torch.log_softmax(logits, dim=-1)  # [N, vocabulary]
    picked = log_probs.gather(1, targets[:, None])[:, 0]  # [N]
    spread = entropy_of(log_probs) if entropy else torch.zeros_like(picked)
    return picked, spread


def meaningful(logits: Tensor, size: int) -> Tensor:
    """Leave out the logits [..., vocabulary] of the ids from `size` on, which are padding."""
    return logits if logits.shape[-1] == size else logits[..., :size]


@torch.no_grad()  # type: ignore[untyped-decorator]
def _has_plain_head(model: Any) -> bool:
    """Whether logits are the output layer applied to the last hidden state (some models scale or cap them)."""
    head = model.get_output_embeddings()
    if head is None or not hasattr(head, "weight"):
        return False
    ids = torch.arange(4, device=model.device)[None] % head.weight.shape[0]
    try:
        states = model.base_model(input_ids=ids, use_cache=False).last_hidden_state
        expected = model(input_ids=ids, use_cache=False).logits
        return bool(torch.allclose(head(states), expected, rtol=1e-5, atol=1e-5))
    except (AttributeError, RuntimeError, TypeError):
        return False
