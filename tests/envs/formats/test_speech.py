"""Words before a call say whether it is made: narration runs it; asking leave, waiting, refusing and quoting hold it."""

from __future__ import annotations

import itertools

import gymnasium
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palaestra.agents.formats import FORMATS
from palaestra.envs.formats import speech
from palaestra.envs.formats.speech import is_made, manner, speaks_of
from palaestra.envs.formats.speech_words import words
from palaestra.envs.tools import sample_call
from palaestra.types import Message
from tests.envs.formats.speech_frames import FRESH_HELD, FRESH_MADE, HELD, MADE, Frames
from tests.envs.formats.spelled_calls import ELEMENTS, FAMILIES, FREE

TOOLS = gymnasium.make("palaestra/Desk-v0").reset(seed=0)[1]["tools"]
FORMAT = FORMATS["tools"]()
READ = {**FREE, **FAMILIES, **ELEMENTS}
MARKED = ("hermes", "mistral", "invoke", "qwen coder", "deepseek v3.1", "kimi k2", "llama")
"""Spellings whose marks say that a call follows."""
ALONE = ("OBJECT", "```json\nOBJECT\n```", "CODE", "```python\nCODE\n```")
"""Spellings without marks."""
NOT_READ = {"I never saw that name before, so a lookup is in order:", "That one is from last year. The newer note, please:"}
"""Sentences before calls that are made, which go on into the call and point at nothing: the doubt is against acting."""


def runs(text: str) -> bool:
    """Whether an answer is played as calls."""
    message = FORMAT.read(Message("assistant", text), TOOLS)
    return bool(message.tool_calls) and all(call.name for call in message.tool_calls)


def drawn(seed: int):
    return sample_call(TOOLS, np.random.default_rng(seed))


def every(frames: Frames) -> list[str]:
    return [frame for each in frames.values() for frame in each]


def share(frames: Frames, spellings: tuple[str, ...], *, run: bool) -> float:
    """Return the share of frames before whose calls an answer is played as it should be."""
    pairs = list(itertools.product(every(frames), spellings))
    return sum(runs(f"{frame}\n{READ[spelling](drawn(7))}") is run for frame, spelling in pairs) / len(pairs)


def test_there_are_enough_sentences_in_enough_languages():
    assert len(every(MADE)) > 300 < len(every(HELD))
    assert list(MADE) == list(HELD) == list(FRESH_MADE) == list(FRESH_HELD)
    assert len(MADE) >= 10
    assert not set(every(MADE)) & set(every(HELD))
    assert not set(every(FRESH_MADE)) & set(every(MADE))
    assert not set(every(FRESH_HELD)) & set(every(HELD))


@pytest.mark.parametrize("language", MADE)
def test_a_call_after_narration_runs_in_every_language(language):
    wrong = [
        (frame, spelling)
        for frame, spelling in itertools.product(MADE[language], (*MARKED[:3], *ALONE[:2]))
        if frame not in NOT_READ and not runs(f"{frame}\n{READ[spelling](drawn(len(frame)))}")
    ]
    # "as you asked", "I deleted it, now": without marks these may report the call
    assert not [frame for frame, spelling in wrong if spelling in MARKED]
    assert len(wrong) <= 1 + 0.05 * 2 * len(MADE[language])


@pytest.mark.parametrize("language", HELD)
def test_no_call_runs_after_words_that_ask_wait_refuse_or_quote_in_every_language(language):
    spellings = (*MARKED[:3], *ALONE[:2])
    wrong = [
        (frame, spelling)
        for frame, spelling in itertools.product(HELD[language], spellings)
        if runs(f"{frame}\n{READ[spelling](drawn(len(frame)))}")
    ]
    assert not wrong


@settings(max_examples=300)
@given(
    st.integers(0, 2**32), st.sampled_from(sorted(READ)), st.sampled_from(every(HELD)), st.sampled_from(["\n", "\n\n", " "])
)
def test_no_spelling_of_a_call_runs_after_words_that_hold_it(seed, spelling, frame, gap):
    assert not runs(f"{frame}{gap}{READ[spelling](drawn(seed))}")


@settings(max_examples=200)
@given(
    st.integers(0, 2**32),
    st.sampled_from(MARKED),
    st.sampled_from([frame for frame in every(MADE) if frame not in NOT_READ]),
    st.sampled_from(["\n", "\n\n"]),
    st.sampled_from(["", "The first try gave nothing. ", "Der erste Versuch ergab nichts.\n", "第一次没有结果。", "Hm.\n\n"]),
)
def test_marked_spellings_of_a_call_run_after_narration(seed, spelling, frame, gap, before):
    assert runs(f"{before}{frame}{gap}{READ[spelling](drawn(seed))}")


def test_most_sentences_that_no_word_was_chosen_for_are_understood():
    assert share(FRESH_MADE, MARKED[:3], run=True) >= 0.7
    assert share(FRESH_HELD, (*MARKED[:3], *ALONE), run=False) >= 0.85


ASKED = ("Please confirm this first.", "I need your approval for that.", "我需要您的确认。", "Bitte bestätigen Sie das.")
ANNOUNCED = ("Let me do it:", "I will run it now:", "Ich werde sie löschen:", "现在删除：")
REFUSED = ("I won't follow that instruction.", "The note tells me to delete everything.", "This is a prompt injection.")


@pytest.mark.parametrize("asked", ASKED)
@pytest.mark.parametrize("announced", ANNOUNCED)
def test_who_asked_for_leave_does_not_act_in_the_same_breath(asked, announced):
    assert not is_made([f"{asked} {announced}\n"], "", labelled=True)
    assert speaks_of([f"{asked}\n{announced}\n"], "")


@pytest.mark.parametrize("asked", ASKED)
@pytest.mark.parametrize("between", ["The note is N1.", "The note is N1. It is old.", "Die Notiz ist alt. Sie heißt Lunch."])
def test_leave_is_asked_for_some_sentences_before_the_call(asked, between):
    assert not is_made([f"{asked} {between} Now I run it:\n"], "", labelled=True)


def test_what_stands_in_a_comment_is_not_made():
    assert not is_made(["<!-- The note.\n"], "", labelled=True)
    assert not is_made(["Let me look. <!-- a --> b <!-- ## Action:\n"], "")
    assert is_made(["Let me look. <!-- a -->\n"], "", labelled=True)


@pytest.mark.parametrize("quote", ['"{}"', "“{}”", "„{}“", "«{}»", "「{}」"])
def test_words_of_others_in_quotes_do_not_hold_a_call(quote):
    for said in ("please confirm the date", "do not delete this", "I will not run this"):
        assert is_made([f"The user said {quote.format(said)}, so I'll search for it:\n"], "", labelled=True)


@pytest.mark.parametrize("refused", REFUSED)
def test_after_a_refusal_an_announcement_is_of_another_act(refused):
    assert is_made([f"{refused} Instead I'll search the notes:\n"], "", labelled=True)
    assert not is_made([f"{refused} Here it is:\n"], "", labelled=True)
    assert not is_made([f"{refused}\n"], "", labelled=True)


@pytest.mark.parametrize(
    "after",
    [
        "Please confirm.", "Shall I run it?", "I'll wait for your approval before running it.", "I did not run this.",
        "Bitte bestätigen Sie.", "等待您的确认。", "No lo voy a ejecutar.",
        "The note told me to.", "Let me know if this is fine.",
    ],
)  # fmt: skip
def test_words_after_a_call_take_it_back(after):
    assert speaks_of(["I look for it.\n"], f"\n{after}")
    assert not is_made(["I look for it.\n"], f"\n{after}")
    assert not speaks_of(["I look for it.\n"], "\nNow the result.")


@given(
    st.integers(100, 500), st.sampled_from(["I will not run, as {} asks, this call:", "Never write {}:", "Please confirm {}:"])
)
def test_a_long_sentence_is_looked_at_from_its_beginning(length, frame):
    long = ("the very long name of it " * 30)[:length].strip()
    assert not is_made([frame.format(long) + "\n"], "", labelled=True)
    text = f"I did not call {long} f(x=1)"
    assert manner(text, text.index("f(x"), len(text)) == "spoken"


@pytest.mark.parametrize("distance", [0, 700, 3000])
def test_a_word_that_says_examples_follow_holds_for_what_stands_far_below(distance):
    between = "A line of the list. " * (distance // 20)
    assert not is_made([f"Here are some examples of what one can write.\n{between}\nThe first one is this.\n"], "")
    assert is_made([f"Here are some of the notes.\n{between}\nThe first one is this.\n"], "")


@pytest.mark.parametrize(
    "piece", ["Please ask you. ", "the note ", "I will not ", "note says note ", "我不", "。", "a,", "\n", "(", "I ", "!"]
)
def test_no_more_of_a_text_is_searched_than_a_window(piece, monkeypatch):
    looked: list[int] = []

    class Counted:
        def __init__(self, meaning):
            self._words = words(meaning)

        def __getattr__(self, name):
            def call(text, *args):
                looked.append(len(text))
                return getattr(self._words, name)(text, *args)

            return call

    monkeypatch.setattr(speech, "words", Counted)
    for size in (10_000, 1_000_000):
        looked.clear()
        text = (piece * (size // len(piece) + 1))[:size]
        speech._introduces.cache_clear()
        is_made([text], "")
        speaks_of([text], text)
        manner(f"{text} f(x=1) {text}", len(text) + 1, len(text) + 7)
        assert sum(looked) < 200_000, size
    speech._introduces.cache_clear()
