"""How alike texts are, by words and by a local model."""

import pytest

from palaestra.envs.critic.similarity import as_text, bow, similarity_of
from palaestra.errors import ConfigError, UsageError


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("Tea for two", "two: for TEA!", 1),
        ("tea tea", "tea cup", 2 / (2 * 2**0.5)),
        ("tea", "cup", 0),
        ("", "cup", 0),
        ("!", "!", 0),
        ({"a": 1}, "a 1", 1),
        ("茶", "茶", 1),
    ],
)
def test_words(one, other, expected):
    assert bow(one, other) == pytest.approx(expected)
    assert bow(other, one) == pytest.approx(expected)


def test_any_value_has_a_text():
    assert as_text(int("9" * 4000 + "0") ** 3) == "<int>"
    assert as_text(None) == "None"


@pytest.mark.parametrize("spec", ["words", "embed:", "", None])
def test_an_unknown_backend_says_which_there_are(spec):
    with pytest.raises(UsageError, match="expected 'bow', or 'embed:PATH'"):
        similarity_of(spec)


def test_a_local_model_compares_by_embeddings(tmp_path):
    transformers = pytest.importorskip("transformers")
    import torch

    torch.manual_seed(0)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "tea", "cup", "train"]
    (tmp_path / "vocab.txt").write_text("\n".join(words), encoding="utf-8")
    transformers.BertTokenizer(str(tmp_path / "vocab.txt")).save_pretrained(tmp_path)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    transformers.BertModel(transformers.BertConfig(vocab_size=len(words), **sizes)).save_pretrained(tmp_path)
    similarity = similarity_of(f"embed:{tmp_path}")
    assert similarity.name == f"embed:{tmp_path.name}"
    assert similarity("tea cup", "tea cup") == pytest.approx(1, abs=1e-6)
    assert 0 <= similarity("tea", "train train") < 1 - 1e-6
    assert similarity("tea", "train") == similarity("train", "tea")


def test_a_folder_without_a_model(tmp_path):
    with pytest.raises(ConfigError, match="There is no folder"):
        similarity_of(f"embed:{tmp_path / 'none'}")
    pytest.importorskip("transformers")
    with pytest.raises(ConfigError, match="does not hold a transformers model"):
        similarity_of(f"embed:{tmp_path}")
