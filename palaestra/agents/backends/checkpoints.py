"""Loading and saving causal language models, and what their configurations say."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from palaestra.agents.backends.chat_template import ChatTemplate
from palaestra.errors import ModelError, UsageError

_DEFAULT_CONTEXT = 8192  # for models that know no limit
_SAMPLED = 64  # values of a parameter that its digest is made of
_ALIGNMENT = 64  # bytes, of torch's allocator on CPUs


def load_checkpoint(path: str | Path, *, dtype: str | None = None, download: bool = False) -> tuple[Any, Any]:
    """Load a causal LM and its tokenizer from the disk; code that comes with a model is never run.

    Args:
        path: Directory written by `save_pretrained`, or the name of a model in the cache of transformers.
        dtype: Data type of the weights, e.g. "float32"; as they were saved if None.
        download: Whether a name that is not in the cache may be fetched from the hub.

    Returns:
        `(model, tokenizer)`, the model on the CPU in evaluation mode.

    Raises:
        UsageError: If there is nothing to load there, or the model needs code of its own.
    """
    if not str(path).strip():
        raise UsageError("The model string 'hf:' names no model. Expected hf:PATH, a directory written by save_pretrained.")
    from transformers import AutoModelForCausalLM, AutoTokenizer

    try:
        with _no_progress_bars():
            options: dict[str, Any] = {"local_files_only": not download, "trust_remote_code": False}
            tokenizer = AutoTokenizer.from_pretrained(str(path), **options)
            model = AutoModelForCausalLM.from_pretrained(str(path), dtype=dtype or "auto", **options)
    except (OSError, ValueError) as error:
        if "trust_remote_code" in str(error):
            raise UsageError(
                f"The model {str(path)!r} needs code of its own, which is not run here. Take a model that transformers "
                f"knows, or serve this one (e.g. with vLLM) and give its address: http://HOST:PORT/v1#NAME."
            ) from error
        reason = str(error).strip().split("\n")[0]
        if not download and not os.path.exists(path):  # transformers speaks of a connection that nobody tried to make
            reason = "there is no such directory, and no model of that name in the cache."
        hub = "" if download else ", or the name of a model in the cache (hf: downloads with --option download=true)"
        raise UsageError(
            f"No model could be loaded from {str(path)!r}: {reason} Give a directory written by save_pretrained{hub}."
        ) from error
    return model.eval(), tokenizer


def align_weights(model: Any) -> None:
    """Move weights that were read from a file to addresses as memory is allocated; nothing else changes.

    Weights of a file lie wherever the file has them, and matrix products from odd addresses may differ in their last bit from
    those of a model that was built in memory.
    """
    for tensor in (*model.parameters(), *model.buffers()):
        if tensor.data_ptr() % _ALIGNMENT:
            tensor.data = tensor.data.clone()


def save_checkpoint(model: Any, tokenizer: Any, path: str | Path) -> Path:
    """Write a causal LM and its tokenizer to a directory that `load_checkpoint` and the Auto classes load."""
    directory = Path(path)
    directory.mkdir(parents=True, exist_ok=True)
    with _no_progress_bars(), _stopping_as_here(model, tokenizer):
        model.save_pretrained(directory)
        tokenizer.save_pretrained(directory)
    return directory


@contextmanager
def _stopping_as_here(model: Any, tokenizer: Any) -> Iterator[None]:
    """Let the generation settings that are saved name all tokens at which we stop, so that every engine does."""
    settings: Any = getattr(model, "generation_config", None)
    ends: frozenset[int] = frozenset()
    if settings is not None and getattr(tokenizer, "chat_template", None):
        with suppress(ModelError):  # a template that refuses every dialogue: nothing is sampled with it
            ends = stop_ids(model, ChatTemplate(tokenizer))
    if not ends:
        yield
        return
    before = settings.eos_token_id
    if ends != model_end_ids(model):
        settings.eos_token_id = sorted(ends) if len(ends) > 1 else next(iter(ends))
    try:
        yield
    finally:
        settings.eos_token_id = before


def weights_digest(model: Any) -> str:
    """Return a digest of up to 64 values of every parameter, which models of equal shape and other weights do not share."""
    digest = hashlib.blake2b(digest_size=8)
    for name, parameter in model.named_parameters():
        values = parameter.detach().reshape(-1)
        few = values[:: max(1, len(values) // _SAMPLED)][:_SAMPLED].float().cpu().numpy()
        digest.update(f"{name} {tuple(parameter.shape)} {parameter.dtype}\n".encode() + few.tobytes())
    return digest.hexdigest()


def context_length(model: Any, wanted: int | None = None) -> int:
    """Return the longest sequence in tokens: `wanted`, or what the model can do if None.

    Raises:
        UsageError: If the model has fewer positions than wanted.
    """
    limit = getattr(model.config.get_text_config(decoder=True), "max_position_embeddings", None)
    if wanted is None:
        return int(limit) if limit else _DEFAULT_CONTEXT
    if wanted < 2 or (limit and wanted > limit):
        raise UsageError(f"max_context={wanted}; expected 2 to {limit or 'any number'}, the positions of this model.")
    return wanted


def model_end_ids(model: Any) -> frozenset[int]:
    """End tokens that the model's generation settings name."""
    ids = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    return frozenset() if ids is None else frozenset([ids] if isinstance(ids, int) else ids)


def stop_ids(model: Any, template: ChatTemplate) -> frozenset[int]:
    """Tokens at which sampling from a model stops: those of its template, and those that its generation settings name."""
    return template.end_ids | model_end_ids(model)


def num_ids(tokenizer: Any) -> int:
    """Return the number of ids that a tokenizer gives meaning to: one more than the largest."""
    return 1 + max(map(int, tokenizer.get_vocab().values()))


def vocabulary_size(model: Any, tokenizer: Any) -> int:
    """Return the number of ids that stand for a token; what a model's embedding has beyond them is padding.

    Raises:
        UsageError: If the tokenizer has ids that the model has no embedding for.
    """
    size = num_ids(tokenizer)
    tables = (model.get_input_embeddings(), model.get_output_embeddings())
    rows = [int(table.weight.shape[0]) for table in tables if getattr(table, "weight", None) is not None]
    if rows and min(rows) < size:
        raise UsageError(
            f"The tokenizer has {size} ids and the model an embedding for {min(rows)}; they do not belong together. Load the "
            f"model's own tokenizer, or call model.resize_token_embeddings({size}) after adding tokens."
        )
    return size


@contextmanager
def _no_progress_bars() -> Iterator[None]:
    """Keep transformers from drawing bars while files are read or written."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
