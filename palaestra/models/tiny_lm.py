"""Tiny causal language models, built on the spot from a text corpus: no download, no licence, minutes of CPU to train.

`build_tiny_lm` trains a byte-level BPE tokenizer on the corpus and returns it with a freshly initialised Llama-style
model (RoPE, RMSNorm, SwiGLU) of 0.5 to 5 million parameters. `save` writes both to a directory that
`AutoModelForCausalLM` and `AutoTokenizer` load like any other checkpoint.

The tokenizer is lossless (every text decodes to itself), gives frequent words one token with their leading space, and
keeps digits and punctuation marks apart, so that a small model can copy names and count. Its chat template only ever
appends: a longer dialogue starts with exactly the tokens of the shorter one.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from palaestra.errors import ConfigError, MissingExtraError
from palaestra.models.registry import BuildContext, ModelConfig, ModelKind

PAD, END = "<|pad|>", "<|end|>"
ROLE_TOKENS = ("<|system|>", "<|user|>", "<|assistant|>", "<|tool|>")
TOOL_CALL_TOKENS = ("<tool_call>", "</tool_call>")

MAX_PARAMETERS = 5_000_000

# A word with the space before it, one digit, one punctuation mark with the space before it, or white space: merges never
# cross these borders, so a name in a sentence and the same name in a list share their tokens.
_PRE_TOKEN = r" ?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]|\s+(?!\S)|\s"

CHAT_TEMPLATE = """\
{%- macro tool_section() -%}
# Tools
{% for tool in tools %}{{ tool | tojson }}
{% endfor %}Call a tool with <tool_call>
{"name": NAME, "arguments": {...}}
</tool_call>
{%- endmacro -%}
{%- if tools and messages[0].role != 'system' -%}
<|system|>{{ tool_section() }}<|end|>
{%- endif -%}
{%- for message in messages -%}
{%- if message.role == 'assistant' -%}
<|assistant|>{% generation %}{{ message.content or '' }}
{%- for call in message.tool_calls or [] -%}
{{ '\\n' if message.content or not loop.first else '' }}<tool_call>
{"name": {{ call.function.name | tojson }}, "arguments": {{ call.function.arguments | tojson }}}
</tool_call>
{%- endfor -%}
<|end|>{% endgeneration %}
{%- else -%}
{{ '<|' + message.role + '|>' + (message.content or '') }}
{%- if tools and loop.first and message.role == 'system' -%}
{{ '\\n\\n' + tool_section() }}
{%- endif -%}
<|end|>
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}<|assistant|>{%- endif -%}
"""


class TinyConfig(ModelConfig):
    """Table `[model]`, kind `tiny`: a Llama-style model of up to 5 million parameters, built on the spot.

    Its tokenizer is made from texts of the recipe's environments. This is the kind where neither `kind` nor `path` is given.
    """

    hidden_size: int = Field(default=128, ge=8, le=4096)
    """Width of the residual stream; a multiple of 2 * `num_heads`."""
    num_layers: int = Field(default=4, ge=1, le=256)
    """Transformer blocks."""
    num_heads: int = Field(default=4, ge=1, le=256)
    """Attention heads."""
    intermediate_size: int | None = Field(default=None, ge=1, le=65_536)
    """Width of the feed-forward layers; twice `hidden_size` if left out."""
    vocab_size: int = Field(default=1024, ge=272, le=1_000_000)
    """Largest vocabulary of the tokenizer."""
    max_positions: int = Field(default=2048, ge=64, le=1_000_000)
    """Longest sequence, tokens."""
    corpus_episodes: int = Field(default=200, ge=1, le=1_000_000)
    """Expert episodes on train tasks whose texts the tokenizer is made from."""

    @model_validator(mode="after")
    def _heads_are_even(self) -> TinyConfig:
        """Refuse what the model could not be made of, before anything is played for its tokenizer."""
        if problem := _uneven(self.hidden_size, self.num_heads):
            raise ValueError(problem)
        return self


def _uneven(hidden_size: int, num_heads: int) -> str:
    """Return what is wrong with a width and its heads; empty if nothing."""
    if hidden_size % (2 * num_heads) == 0:
        return ""
    return (
        f"hidden_size={hidden_size} does not split into {num_heads} heads of even width; choose a multiple of {2 * num_heads}."
    )


def build_tiny_lm(
    corpus: Iterable[str],
    *,
    hidden_size: int = 128,
    num_layers: int = 4,
    num_heads: int = 4,
    intermediate_size: int | None = None,
    vocab_size: int = 1024,
    max_positions: int = 2048,
    seed: int = 0,
) -> tuple[Any, Any]:
    """Train a tokenizer on a corpus and set up an untrained model for it.

    Args:
        corpus: Texts like those the model will read and write (instructions, observations, actions). Consumed once.
        hidden_size: Width of the residual stream; a multiple of `2 * num_heads`.
        num_layers: Transformer blocks.
        num_heads: Attention heads.
        intermediate_size: Width of the SwiGLU layer; twice `hidden_size` if None.
        vocab_size: Largest vocabulary, bytes and special tokens included; at least 272. A small corpus gives fewer.
        max_positions: Longest sequence in tokens.
        seed: Seed of the initial weights; the global random state is left as it was.

    Returns:
        `(model, tokenizer)`: a `LlamaForCausalLM` in evaluation mode and a fast tokenizer with a chat template. The
        defaults give about 0.8 million parameters.

    Raises:
        ConfigError: If sizes do not fit together, or the model is larger than 5 million parameters.
        ValueError: If the corpus is empty.
        MissingExtraError: If torch or transformers is not installed.
    """
    try:
        import torch
        from transformers import LlamaConfig, LlamaForCausalLM
    except ImportError as error:
        raise MissingExtraError("Building a tiny language model", "train") from error

    if problem := _uneven(hidden_size, num_heads):
        raise ConfigError(problem)
    tokenizer = train_tokenizer(corpus, vocab_size=vocab_size, max_positions=max_positions)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden_size,
        intermediate_size=intermediate_size or 2 * hidden_size,
        num_hidden_layers=num_layers,
        num_attention_heads=num_heads,
        num_key_value_heads=num_heads,
        max_position_embeddings=max_positions,
        tie_word_embeddings=True,
        # The usual 0.02 is meant for widths of thousands; this keeps initial activations near unit size.
        initializer_range=0.5 * hidden_size**-0.5,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.device("meta"):  # counted before there is room for it
        num_parameters = sum(parameter.numel() for parameter in LlamaForCausalLM(config).parameters())
    if num_parameters > MAX_PARAMETERS:
        raise ConfigError(
            f"The model would have {num_parameters:,} parameters; a tiny one has at most {MAX_PARAMETERS:,}. "
            "Lower hidden_size, num_layers or vocab_size, or load a pretrained checkpoint instead."
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config)
    return model.eval(), tokenizer


def _build(config: TinyConfig, context: BuildContext) -> tuple[Any, Any]:
    """Build the model of a recipe."""
    sizes = config.model_dump(exclude={"dtype", "corpus_episodes"})
    return build_tiny_lm(context.texts(config.corpus_episodes), **sizes, seed=context.seed)


KIND = ModelKind("tiny", TinyConfig, build=_build)


def train_tokenizer(corpus: Iterable[str], *, vocab_size: int = 1024, max_positions: int = 2048) -> Any:
    """Train a lossless byte-level BPE tokenizer with chat roles on a corpus.

    Args:
        corpus: Texts; consumed once.
        vocab_size: Largest vocabulary, bytes and special tokens included; at least 272.
        max_positions: Longest sequence of the model it is for, in tokens.

    Returns:
        A `PreTrainedTokenizerFast` with end-of-turn token `<|end|>`, padding token `<|pad|>`, one token per chat role
        and a prefix-preserving chat template with generation markers. The same corpus gives the same tokenizer.

    Raises:
        ValueError: If `vocab_size` is too small or the corpus holds no text.
        MissingExtraError: If tokenizers or transformers is not installed.
    """
    try:
        from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
        from transformers import PreTrainedTokenizerFast
    except ImportError as error:
        raise MissingExtraError("Training a tokenizer", "train") from error

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    special = [PAD, END, *ROLE_TOKENS]
    smallest = len(alphabet) + len(special) + len(TOOL_CALL_TOKENS) + 8
    if vocab_size < smallest:
        raise ValueError(f"vocab_size={vocab_size} leaves no room next to bytes and special tokens; use at least {smallest}.")
    texts = [text for text in corpus if text]
    if not texts:
        raise ValueError("The corpus holds no text; give instructions, observations and actions of the environment.")

    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PRE_TOKEN), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - len(TOOL_CALL_TOKENS),
        special_tokens=special,
        initial_alphabet=alphabet,
        min_frequency=2,
        show_progress=False,
    )
    core.train_from_iterator(texts, trainer)
    # Models write these two, so they are ordinary tokens: kept when special tokens are skipped in decoding.
    core.add_tokens([AddedToken(token, special=False, normalized=False) for token in TOOL_CALL_TOKENS])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token=PAD,
        eos_token=END,
        additional_special_tokens=list(ROLE_TOKENS),
        model_max_length=max_positions,
        clean_up_tokenization_spaces=False,
        padding_side="right",
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def save(model: Any, tokenizer: Any, path: str | Path) -> Path:
    """Write model and tokenizer to a directory that the Auto classes of transformers load.

    Args:
        model: The causal language model.
        tokenizer: Its tokenizer.
        path: Directory; made if missing, files of the same names are replaced.

    Returns:
        The directory.
    """
    directory = Path(path)
    directory.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return directory
