"""TRL's trainers, set up for our policies, and what a tokenizer needs so that TRL can read tool calls.

TRL's trainers wrap the `forward` of the model they are given and keep random state of their own. So `train_dpo` hands
TRL a copy, takes the weights back, and leaves the global random state as it was.
"""

from __future__ import annotations

import contextlib
import importlib.util
import math
import random
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from palaestra.algorithms.learner.policy import Policy
from palaestra.algorithms.trl.preferences import PreferencePair, TokenPairCollator, preference_dataset
from palaestra.envs.formats.hermes import CALL_CLOSE, CALL_OPEN
from palaestra.errors import ConfigError, MissingExtraError

DPOLoss = Literal["sigmoid", "ipo", "hinge", "robust"]


@dataclass(frozen=True)
class DPOSettings:
    """How `train_dpo` updates.

    Attributes:
        beta: Strength of the pull to the reference; around 0.1 (Rafailov et al. 2023, arXiv:2305.18290).
        lr: Learning rate; 5e-7 to 5e-6 for large models, 1e-4 to 1e-3 for tiny ones.
        epochs: Passes over the pairs.
        batch_size: Pairs per optimiser step.
        microbatch_pairs: Pairs that go through the model at once; changes memory and speed, and with `sft_weight` what a token
            weighs: TRL takes the mean over the tokens of what goes through at once.
        warmup_updates: Optimiser steps over which the rate rises from 0.
        grad_clip: Largest gradient norm.
        loss: TRL's name of the loss.
        sft_weight: Weight of the likelihood of what was chosen, added to the loss; keeps chosen plays from losing
            likelihood together with the rejected ones, which share most of their tokens (Pang et al. 2024, arXiv:2404.19733).
        label_smoothing: Share of labels taken to be wrong, in [0, 0.5); used by "sigmoid" and "robust".
        seed: Seed of shuffling.
    """

    beta: float = 0.1
    lr: float = 1e-3
    epochs: int = 1
    batch_size: int = 16
    microbatch_pairs: int = 16
    warmup_updates: int = 0
    grad_clip: float = 1.0
    loss: DPOLoss = "sigmoid"
    sft_weight: float = 0.0
    label_smoothing: float = 0.0
    seed: int = 0

    def check(self) -> None:
        """Refuse a batch that cannot be cut into equal parts.

        Raises:
            ConfigError: If it cannot.
        """
        micro = min(self.microbatch_pairs, self.batch_size)
        if self.batch_size % micro:
            raise ConfigError(
                f"batch_size is {self.batch_size} and microbatch_pairs {micro}; expected a multiple, for equal updates."
            )


def check_trl() -> None:
    """Look for TRL without importing it.

    Raises:
        MissingExtraError: If it is not installed.
    """
    if importlib.util.find_spec("trl") is None:
        raise MissingExtraError("Training with TRL", "trl")


def train_dpo(
    policy: Policy, pairs: Sequence[PreferencePair], settings: DPOSettings | None = None, *, reference: Policy | None = None
) -> dict[str, float]:
    """Train a policy on preference pairs with TRL's `DPOTrainer`, in place.

    Only tokens that the policy sampled count; observations inside chosen and rejected are context. Padding of the embedding,
    which TRL would score, has no part in it.

    Args:
        policy: Its weights are replaced by the trained ones, and its version is raised.
        pairs: At least one.
        settings: Learning rate, beta, ...
        reference: Policy that the pull goes to; the policy as it is by default.

    Returns:
        `loss`, `accuracy` (share of pairs in which chosen gains on rejected), `reward_margin` (mean over the updates),
        `grad_norm`, `updates`, `pairs`.

    Raises:
        ConfigError: If batch and micro-batch do not fit.
        TrainingStopped: If the trained weights are not finite; the policy is left as it was.
        MissingExtraError: If TRL is not installed.
    """
    from palaestra.errors import TrainingStopped

    with _missing_is_an_extra():
        from transformers import PrinterCallback
        from trl import DPOTrainer
    settings = settings or DPOSettings()
    twin = policy.frozen_copy()
    twin.model.requires_grad_(True)
    anchor = (reference or policy).frozen_copy()
    for copy in (twin, anchor):  # TRL scores over the whole embedding, and what it has beyond the tokenizer's ids is padding
        if copy.model.get_input_embeddings().num_embeddings > policy.vocabulary:
            copy.model.resize_token_embeddings(policy.vocabulary, mean_resizing=False)
    rows = preference_dataset(pairs, policy.tokenizer)
    with isolated_random_state(), tempfile.TemporaryDirectory() as folder, _quiet():
        trainer = DPOTrainer(
            model=twin.model,
            ref_model=anchor.model,
            args=_dpo_config(settings, folder, policy),
            train_dataset=rows,
            processing_class=policy.tokenizer,
            data_collator=TokenPairCollator(policy.tokenizer.pad_token_id),
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    state = twin.model.state_dict()
    if not all(bool(tensor.isfinite().all()) for tensor in state.values()):
        raise TrainingStopped(
            f"DPO left weights that are not finite after {trainer.state.global_step} updates; lower lr ({settings.lr})."
        )
    policy.model.load_state_dict(_with_padding(state, policy.model.state_dict()))
    policy.version += 1
    return {**_summary(trainer.state.log_history), "updates": float(trainer.state.global_step), "pairs": float(len(pairs))}


def response_template(tokenizer: Any) -> dict[str, Any]:
    """Return the template by which transformers reads calls in `<tool_call>` tags out of what a model wrote.

    TRL sets one itself for the chat templates it knows. For others, such as that of `build_tiny_lm`:

        tokenizer.response_template = response_template(tokenizer)

    Args:
        tokenizer: With a chat template that writes tool calls in these tags.

    Raises:
        ConfigError: If the chat template does not open and close the assistant's turn.
    """
    probe = "\ue0f3"
    shown = [{"role": "user", "content": "x"}, {"role": "assistant", "content": probe}]
    opened = tokenizer.apply_chat_template(shown[:1], tokenize=False, add_generation_prompt=True)
    whole = tokenizer.apply_chat_template(shown, tokenize=False)
    before, _, after = whole.partition(probe)
    anchor = _turn_opening(tokenizer, opened)
    end = tokenizer.eos_token if tokenizer.eos_token and tokenizer.eos_token in after else after.strip()
    if not anchor or not end or not before:
        raise ConfigError("The chat template does not mark the assistant's turn; set tokenizer.response_template by hand.")
    return {
        "defaults": {"role": "assistant"},
        "start_anchor": anchor,
        "fields": {
            "tool_calls": {
                "open": CALL_OPEN,
                "close_pattern": rf"{CALL_CLOSE}\s*",
                "repeats": True,
                "content": "json",
                "transform": {"type": "function", "function": "{content}"},
            },
            "content": {"close_pattern": "".join(f"\\{c}" if not c.isalnum() else c for c in end) + r"\s*", "content": "text"},
        },
    }


@contextlib.contextmanager
def isolated_random_state() -> Iterator[None]:
    """Give the block its own course of the global random generators, and put them back as they were."""
    import numpy as np
    import torch

    python, array = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng():
            yield
    finally:
        random.setstate(python)
        np.random.set_state(array)


def _with_padding(trained: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    """Return trained weights with the rows of padding that their embedding had before."""
    found = dict(trained)
    for name, tensor in before.items():
        if name in found and found[name].shape != tensor.shape:
            whole = tensor.clone()
            whole[: len(found[name])] = found[name]
            found[name] = whole
    return found


def _turn_opening(tokenizer: Any, opened: str) -> str:
    """Return the text that opens an assistant's turn."""
    closed = tokenizer.apply_chat_template([{"role": "user", "content": "x"}], tokenize=False, add_generation_prompt=False)
    return opened[len(closed) :] if opened.startswith(closed) else ""


def _dpo_config(settings: DPOSettings, folder: str, policy: Policy) -> Any:
    """Return TRL's settings."""
    from trl import DPOConfig

    settings.check()
    micro = min(settings.microbatch_pairs, settings.batch_size)
    return DPOConfig(
        output_dir=folder,
        beta=settings.beta,
        learning_rate=settings.lr,
        num_train_epochs=settings.epochs,
        per_device_train_batch_size=micro,
        gradient_accumulation_steps=settings.batch_size // micro,
        warmup_steps=settings.warmup_updates,
        lr_scheduler_type="constant_with_warmup",
        max_grad_norm=settings.grad_clip,
        loss_type=[settings.loss, "sft"] if settings.sft_weight else [settings.loss],
        loss_weights=[1.0, settings.sft_weight] if settings.sft_weight else None,
        label_smoothing=settings.label_smoothing,
        seed=settings.seed,
        max_length=None,  # episodes fit the model, or they would not have been played
        remove_unused_columns=False,
        activation_checkpointing=False,
        bf16=False,  # no autocast: the policy's own number format is what it was sampled with
        use_cpu=policy.model.device.type == "cpu",
        dataloader_pin_memory=False,
        save_strategy="no",
        report_to="none",
        logging_steps=1,
        disable_tqdm=True,
        log_level="error",
    )


def _summary(history: Sequence[dict[str, float]]) -> dict[str, float]:
    """Return the means over the updates of what the trainer logged."""
    names = {"loss": "loss", "rewards/accuracies": "accuracy", "rewards/margins": "reward_margin", "grad_norm": "grad_norm"}
    found: dict[str, float] = {}
    for logged, name in names.items():
        values = [float(row[logged]) for row in history if row.get(logged) is not None]
        if values:
            found[name] = math.fsum(values) / len(values)
    return found


@contextlib.contextmanager
def _missing_is_an_extra() -> Iterator[None]:
    """Say which extra brings TRL."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise MissingExtraError("Training with TRL", "trl") from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep bars for a few hundred rows, and warnings that only TRL itself can act on, from the user."""
    import datasets

    shown = not datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        with warnings.catch_warnings():
            # TRL still uses names that transformers has renamed
            warnings.filterwarnings("ignore", message=".*deprecated and will be removed in v6", category=FutureWarning)
            yield
    finally:
        if shown:
            datasets.enable_progress_bars()


__all__ = ["DPOLoss", "DPOSettings", "isolated_random_state", "response_template", "train_dpo"]
