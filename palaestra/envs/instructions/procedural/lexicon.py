"""Words of made-up questions and answers."""

from __future__ import annotations

from typing import NamedTuple


class Topic(NamedTuple):
    """Something to ask about.

    Attributes:
        questions: Requests for a text about it.
        nouns: Words that belong to it, each one word in lowercase.
    """

    questions: tuple[str, ...]
    nouns: tuple[str, ...]


def _topic(subject: str, nouns: str) -> Topic:
    questions = (
        f"Tell me about {subject}.",
        f"Describe {subject} to a visitor.",
        f"What should a newcomer know about {subject}?",
        f"Write a short text about {subject}.",
        f"How would you explain {subject} to a neighbour?",
        f"Give me an account of {subject}.",
    )
    return Topic(questions, tuple(nouns.split()))


TOPICS = (
    _topic("a harbour town", "harbour boat anchor tide gull pier sailor lighthouse cargo net rope deck ferry storm lantern"),
    _topic(
        "a mountain railway",
        "railway tunnel bridge engine carriage ticket signal valley summit whistle rail station guard slope",
    ),
    _topic("keeping bees", "hive honey swarm meadow clover beekeeper smoker frame queen nectar pollen wax orchard blossom"),
    _topic("baking bread", "oven dough flour crust loaf baker yeast kitchen basket butter grain salt kneading morning"),
    _topic(
        "a small library", "library shelf novel reader catalogue librarian archive window atlas poem chapter desk quiet index"
    ),
    _topic(
        "a weather station",
        "barometer cloud forecast wind rainfall thermometer balloon season frost humidity pressure mast front",
    ),
    _topic("repairing bicycles", "bicycle chain saddle wheel spoke pedal brake workshop pump frame helmet lane tyre bell"),
    _topic("a botanical garden", "garden orchid fern greenhouse seed soil pond gardener path lily maple root compost hedge"),
    _topic("an orchestra", "violin drum concert conductor cello rehearsal stage melody score audience flute horn hall rhythm"),
    _topic("a pottery studio", "clay kiln glaze potter bowl wheelhead vase tile studio pigment handle rim brushwork sponge"),
    _topic("a village market", "market stall apple farmer cheese crate bargain square onion weaver lamp cloth barrel scale"),
    _topic(
        "an observatory", "telescope planet comet galaxy dome lens astronomer orbit crater eclipse mirror star night chart"
    ),
)
VERBS = ("keeps", "finds", "carries", "watches", "needs", "follows", "shows", "covers", "holds", "meets", "leaves", "guards")
ADJECTIVES = ("old", "small", "bright", "quiet", "wide", "narrow", "green", "heavy", "early", "plain", "warm", "distant")
ADVERBS = ("often", "slowly", "gladly", "again", "there", "today", "daily", "well")
PREPOSITIONS = ("near", "behind", "beside", "above", "under", "across", "with", "before")
DETERMINERS = ("the", "this", "that", "every", "one", "each")
TITLES = ("Overview", "Background", "Summary", "Details", "Notes", "Outlook", "Facts", "Advice")
STARTS = ("Answer:", "In short", "Dear reader", "My reply", "To begin")
ENDS = ("That is all.", "Thank you.", "The end.", "So it goes.")
CHINESE = {"simplified": ("这个国家", "汉语", "欢迎"), "traditional": ("這個國家", "漢語", "歡迎")}
HEADERS = ("Name", "Place", "Number", "Kind")
