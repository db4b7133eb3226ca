"""The front of the parser: a sentence, with or without its published labels, to a typed constraint."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from palaestra.envs.instructions.constraints import Constraint, UnparsedConstraint
from palaestra.envs.instructions.reading import content, formats, language, length, markdown
from palaestra.envs.instructions.reading.labels import family_of, guesses
from palaestra.errors import UsageError

MAX_CHARACTERS = 4000
"""Longer texts are not read; no constraint takes so many words."""

Reader = Callable[[str], length.Typed | None]

_READERS: dict[str, tuple[Reader, ...]] = {
    "Content_Keywords": (content.keywords, content.identifiers),
    "Content_Punctuation": (content.punctuation,),
    "Content_Identifiers": (content.identifiers,),
    "Length_Words": (length.words,),
    "Length_Sentences": (length.sentences,),
    "Length_Paragraphs": (length.paragraphs,),
    "Format_Table": (formats.table,),
    "Format_Markdown": (markdown.markdown,),
    "Format_Json": (formats.json_depth,),
    "Format_XML": (formats.xml_attributes,),
    "Language_English": (language.english,),
    "Language_Chinese": (language.chinese,),
}


def parse(text: str, label: Sequence[str] | None = None) -> Constraint | UnparsedConstraint:
    """Read a sentence that states a constraint.

    Args:
        text: Any string.
        label: The published pair of labels, if there is one; it chooses what the sentence is read as first.

    Returns:
        A typed constraint, or an `UnparsedConstraint` if the sentence says nothing that a kind can check.

    Raises:
        UsageError: If the label is not a pair of texts.
    """
    pair = None if label is None else _pair(label)
    family = family_of(pair)
    if len(text) > MAX_CHARACTERS:
        return UnparsedConstraint(text, pair, family)
    candidates = guesses(text)
    if family:
        # a quoted text alone does not make keywords of a sentence that its label files under something else
        candidates = [family, *(one for one in candidates if one != "Content_Keywords")]
    for candidate in dict.fromkeys(candidates):
        for reader in _READERS[candidate]:
            found = reader(text)
            if found is not None:
                return Constraint(found[0], found[1], text, pair, family or candidate)
    return UnparsedConstraint(text, pair, family)


def _pair(label: Sequence[str]) -> tuple[str, str]:
    if isinstance(label, str) or len(label) != 2 or not all(isinstance(one, str) for one in label):
        raise UsageError(f"The label of a constraint is {label!r}; expected a pair of texts, e.g. ('Length', 'Words').")
    return label[0], label[1]
