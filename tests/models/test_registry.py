"""What every kind of model promises, whoever wrote it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from palaestra.errors import ConfigError, UsageError
from palaestra.models import BuildContext, ModelConfig, ModelKind, get_model_kind, model_kinds, registry
from palaestra.models.tiny_lm import build_tiny_lm

TEXTS = ["take the red key", "open the door", "you are in a room with a red key and a door"]


def texts(num_episodes: int) -> Sequence[str]:
    return TEXTS * num_episodes


@pytest.fixture(params=model_kinds())
def kind(request: pytest.FixtureRequest) -> ModelKind:
    return get_model_kind(request.param)


def test_the_kinds_of_this_package_and_of_the_plugin_are_there() -> None:
    assert model_kinds() == ["checkpoint", "tiny", "toys_gpt2"]


def test_a_kind_explains_itself_and_its_settings(kind: ModelKind) -> None:
    assert issubclass(kind.config, ModelConfig)
    assert kind.config.__doc__
    assert "dtype" in kind.config.model_fields
    with pytest.raises(ValueError, match="extra"):
        kind.config.model_validate({"path": "somewhere", "no_such_key": 1})


@pytest.mark.parametrize("name", [name for name in model_kinds() if get_model_kind(name).build is not None])
def test_a_model_is_built_from_texts_and_seed_alone_and_loads_like_any_other(name: str, tmp_path: Path) -> None:
    kind = get_model_kind(name)
    assert kind.build is not None
    config = kind.config()
    before = torch.random.get_rng_state()
    model, tokenizer = kind.build(config, BuildContext(7, texts))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert not model.training
    again = kind.build(config, BuildContext(7, texts))[0].state_dict()
    other = kind.build(config, BuildContext(8, texts))[0].state_dict()
    weights = model.state_dict()
    assert all(torch.equal(again[name], weights[name]) for name in weights)
    assert any(not torch.equal(other[name], weights[name]) for name in weights)
    for text in TEXTS:
        assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False)) == text
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path).state_dict()
    assert all(torch.equal(loaded[name], weights[name]) for name in weights)
    assert AutoTokenizer.from_pretrained(tmp_path).chat_template


def test_the_tiny_kind_is_build_tiny_lm() -> None:
    kind = get_model_kind("tiny")
    assert kind.build is not None
    sizes = {"hidden_size": 32, "num_layers": 1, "vocab_size": 300, "max_positions": 64}
    config = kind.config.model_validate({**sizes, "corpus_episodes": 3})
    asked: list[int] = []
    model, _ = kind.build(config, BuildContext(5, lambda n: asked.append(n) or texts(n)))  # type: ignore[func-returns-value]
    assert asked == [3]
    same, _ = build_tiny_lm(texts(3), **sizes, seed=5)
    expected = same.state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in model.state_dict().items())


def test_the_checkpoint_kind_names_a_folder() -> None:
    kind = get_model_kind("checkpoint")
    assert kind.folder is not None
    assert kind.folder(kind.config.model_validate({"path": "runs/start"})) == "runs/start"


def test_the_registry_names_its_mistakes(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=r"Unknown model kind 'tinny'\. Did you mean 'tiny'"):
        get_model_kind("tinny")
    monkeypatch.setattr(registry, "_plugins", lambda: {"odd": f"{__name__}:TEXTS", "alias": "palaestra.models.tiny_lm:KIND"})
    with pytest.raises(ConfigError, match=r"is a list; expected a palaestra.models.ModelKind"):
        get_model_kind("odd")
    with pytest.raises(ConfigError, match="registered as 'alias' and calls itself 'tiny'"):
        get_model_kind("alias")
    for ways in ({}, {"build": lambda config, context: (None, None), "folder": lambda config: ""}):
        with pytest.raises(ConfigError, match="needs one of build and folder"):
            ModelKind("odd", ModelConfig, **ways)  # type: ignore[arg-type]
