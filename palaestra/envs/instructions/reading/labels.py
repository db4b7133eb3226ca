"""Families of constraints: from published pairs of labels, or guessed from a sentence."""

from __future__ import annotations

import re

FAMILIES = (
    "Content_Keywords",
    "Content_Punctuation",
    "Content_Identifiers",
    "Length_Words",
    "Length_Sentences",
    "Length_Paragraphs",
    "Format_Table",
    "Format_Markdown",
    "Format_Json",
    "Format_XML",
    "Language_English",
    "Language_Chinese",
)

_BY_LABEL: tuple[tuple[str, str], ...] = (
    (r"Content_(?:Keywords|Mention)", "Content_Keywords"),
    (r"Content_(?:Punctuation|Quotes)|Punctuation_", "Content_Punctuation"),
    (r"Content_(?:Identifiers|Sources)|Citations_|References_|Format_(?:Text|Bullet Points)", "Content_Identifiers"),
    (r"Length_Sentences|Sentences_", "Length_Sentences"),
    (r"Length_Paragraphs|Paragraphs_", "Length_Paragraphs"),
    (r"Length_Words|Words_|Content_Length|Format_(?:Blurb|Word Count|Length)", "Length_Words"),
    (r"Format_Table|Table_", "Format_Table"),
    (r"Format_Markdown|Markdown_", "Format_Markdown"),
    (r"Format_Json|Json_", "Format_Json"),
    (r"Format_XML|XML_", "Format_XML"),
    (r"Language_English", "Language_English"),
    (r"Language_Chinese", "Language_Chinese"),
)
_BY_TEXT: tuple[tuple[str, str], ...] = (
    (r"chinese|简体|繁體|簡體|繁体|中文", "Language_Chinese"),
    (r"\bxml\b", "Format_XML"),
    (r"\bjson\b.*\b(?:nest|level|depth)|\bnesting\b|\bnested\b", "Format_Json"),
    (r"\bheadings?\b|\bblock ?quotes?\b|\bmarkdown\b", "Format_Markdown"),
    (r"\b(?:rows?|columns?|tables?|tabular)\b", "Format_Table"),
    (
        r"\b(?:start|begin|end|conclud|finish)\w*\b(?: \w+){0,3}? with (?:the )?(?:\w+ )?['\"“「]",
        "Content_Identifiers",
    ),
    (r"keyword|\bterms? ['\"“]|\bwords? ['\"“]|\bphrases? ['\"“]|关键词|關鍵詞", "Content_Keywords"),
    (r"\b(?:uppercase|lowercase|capital\w*|title case)\b", "Language_English"),
    (r"\bpunctuation\b|\b(?:end|conclude)\w*\b.*\b(?:period|mark|full stop|semicolon|colon)\b", "Content_Punctuation"),
    (r"\b(?:exclamation|question) (?:mark|point)|\b(?:commas?|semicolons?|colons?|periods?)\b", "Content_Punctuation"),
    (r"\bsentences?\b", "Length_Sentences"),
    (r"\bparagraphs?\b", "Length_Paragraphs"),
    (r"\b(?:words?|characters?)\b", "Length_Words"),
    (r"['\"“「]", "Content_Keywords"),
    (r"\bbullet", "Content_Identifiers"),
)
_LABEL_PATTERNS = [(re.compile(pattern), family) for pattern, family in _BY_LABEL]
_TEXT_PATTERNS = [(re.compile(pattern), family) for pattern, family in _BY_TEXT]


def family_of(label: tuple[str, str] | None) -> str:
    """Return the family that a published pair of labels names; empty if it is unknown."""
    joined = "_".join(label) if label else ""
    return next((family for pattern, family in _LABEL_PATTERNS if pattern.match(joined)), "")


def guesses(text: str) -> list[str]:
    """Return the families that a sentence may belong to, the likeliest first."""
    lowered = text.lower()
    return [family for pattern, family in _TEXT_PATTERNS if pattern.search(lowered)]
