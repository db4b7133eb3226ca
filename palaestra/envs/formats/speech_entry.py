"""The entry of a language in the words by which a sentence says whether the call after it is made."""

from __future__ import annotations

from dataclasses import dataclass

Items = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Words:
    """What one language says around calls; the fields are tuples of patterns.

    Attributes:
        language: Its code.
        announces: The speaker is about to act: "I will", "let me", "searching".
        says: After such words: what is announced is words, no act ("tell you").
        denies: After such words: the act is not done.
        asks: The speaker asks leave, or waits for somebody.
        condition: The act depends on somebody.
        refuses: The speaker does not do it, or says that it must not be done.
        finds: Verbs of finding and knowing, whose negation refuses nothing ("I can't find it").
        no: A whole sentence that refuses.
        orders: Something that was read, rather than the user, wants the act: a note, a document, an e-mail.
        quotes: In a sentence that leads into the call: the call is somebody's words.
        warns: The act is somebody's attack.
        reports: The act was done before.
        example: The call is an example.
        this: Words that point at the call.
        strange: Words that a sentence about an act of the speaker has no use for: who else speaks, negations, "you".
        common: Words by which the language is known.
        is_spaced: Whether spaces stand between words.
        is_latin: Whether its words may be plain ASCII.
    """

    language: str
    announces: Items = ()
    says: Items = ()
    denies: Items = ()
    asks: Items = ()
    condition: Items = ()
    refuses: Items = ()
    finds: Items = ()
    no: Items = ()
    orders: Items = ()
    quotes: Items = ()
    warns: Items = ()
    reports: Items = ()
    example: Items = ()
    this: Items = ()
    strange: Items = ()
    common: Items = ()
    is_spaced: bool = True
    is_latin: bool = True


__all__ = ["Items", "Words"]
