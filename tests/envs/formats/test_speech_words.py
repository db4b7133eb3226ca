"""The words of all languages are well formed: patterns that compile, in every field that a language needs."""

from __future__ import annotations

import re

import pytest

from palaestra.envs.formats.speech_words import LANGUAGES, MEANINGS, words

FULL = [language for language in LANGUAGES if language.announces]


def test_the_languages_are_told_apart():
    codes = [language.language for language in LANGUAGES]
    assert len(set(codes)) == len(codes)
    assert {"en", "de", "es", "fr", "it", "pt", "zh", "ja", "ko", "ru"} <= {language.language for language in FULL}


@pytest.mark.parametrize("meaning", MEANINGS)
@pytest.mark.parametrize("language", LANGUAGES, ids=lambda language: language.language)
def test_every_field_is_a_tuple_of_patterns_and_no_language_that_has_some_lacks_one(language, meaning):
    items = getattr(language, meaning)
    assert isinstance(items, tuple)
    assert bool(items) or language not in FULL
    for item in items:
        assert len(item) > 1 or item in ("o", "a", "è", "é", "I", "и", "с", "в", "я", "不", "否", "例")
        found = re.compile(item.replace("~", " "), re.IGNORECASE)
        assert not found.fullmatch("")
        assert not found.groups


@pytest.mark.parametrize("meaning", MEANINGS)
def test_words_are_whole_words_and_are_found_in_any_letter_case(meaning):
    found = words(meaning)
    assert found is words(meaning)
    assert found.search("xq zzj") is None
    assert found.match("xq", 0) is None


@pytest.mark.parametrize(
    ("meaning", "text", "word"),
    [
        ("asks", "Please CONFIRM this", "Please CONFIRM"),
        ("refuses", "so I won't do it", "I won't"),
        ("orders", "The note, again, tells me to", "note, again, tells me"),
        ("warns", "Das ist bösartig.", "bösartig"),
        ("announces", "然后", "然后"),
        ("announces", "Сейчас поищу", "Сейчас поищу"),
        ("example", "e.g. this", "e.g"),
        ("example", "مثل هذا", "مثل"),
    ],
)
def test_words_are_found(meaning, text, word):
    found = words(meaning).search(text)
    assert found is not None
    assert found[0] == word
    assert [one[0] for one in words(meaning).finditer(text)] == [word]
    assert words(meaning).fullmatch(word) is not None


def test_words_within_words_are_none():
    assert words("warns").search("He reattacks") is None
    assert words("no").fullmatch("nothing") is None
