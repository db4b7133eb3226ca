import contextlib
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.envs.twenty_questions.env import TwentyQuestionsEnv
from palaestra.envs.twenty_questions.questions import (
    MAX_CHARS,
    NO,
    UNKNOWN,
    YES,
    Unreadable,
    read_answer,
    read_count,
    read_question,
    read_verdict,
)
from palaestra.envs.twenty_questions.things import Question, ontology

NAMES = [thing.name for thing in ontology().things[:16]]
ALL = [
    *ontology().questions,
    *(Question("size", "<", name) for name in ontology().yardsticks),
    Question("name", "=", NAMES[3]),
]
LEADS = ["", "So, ", "OK. ", "Question 4: ", "It has no wings, I think. ", "Would you say that ", "Please tell me, "]
TAILS = ["?", "", " ?", "?!", "."]


@given(st.sampled_from(ALL), st.sampled_from(LEADS), st.sampled_from(TAILS), st.booleans())
def test_every_question_is_understood_as_it_is_put(question, lead, tail, shout):
    text = lead + question.text().rstrip("?") + tail
    assert read_question(text.upper() if shout else text, NAMES) == question


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("It is an animal?", "kind=animal"),
        ("is it alive", "kind=living thing"),
        ("Is it man-made?", "kind=made thing"),
        ("Is it a kind of bird?", "kind=bird"),
        ("Is the object larger than a person?", "size>person"),
        ("Is it smaller than a house?", "size<house"),
        ("Is it big?", "size=large"),
        ("Is it gray in color?", "colour=grey"),
        ("Does it live in the sea?", "place=sea"),
        ("Is it usually found in the kitchen?", "place=kitchen"),
        ("Does it grow in a garden?", "place=garden"),
        ("Is it wooden?", "material=wood"),
        ("Is it made out of metal?", None),
        ("Is it metallic?", "material=iron"),
        ("Is it built from clay?", "material=clay"),
        ("Has it got any horns?", "has=horns"),
        ("It has a handle?", "has=handle"),
        ("Is it furry?", "has=fur"),
        ("Does it fly?", "can=fly"),
        ("Could it be eaten?", "can=be eaten"),
        ("Is it able to swim?", "can=swim"),
        ("Is it edible?", "can=be eaten"),
        ("Is it something that can burn?", "can=burn"),
        ("Is it noisy?", "is=loud"),
        (f"I guess it is the {NAMES[5]}.", f"name={NAMES[5]}"),
        (f"My guess: {NAMES[5]}", f"name={NAMES[5]}"),
        (f"My final answer is {NAMES[5]}!", f"name={NAMES[5]}"),
        (f"**{NAMES[5]}**", f"name={NAMES[5]}"),
    ],
)
def test_people_put_it_in_other_words(text, key):
    if key is None:
        with pytest.raises(Unreadable):
            read_question(text, NAMES)
    else:
        assert read_question(text, NAMES).key == key


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no question"),
        ("???", "holds 3 questions"),
        ("Is it red? Is it blue?", "holds 2 questions; ask one at a time"),
        ("Is it red or blue?", "joins facts with 'or'"),
        ("Is it red and small?", "joins facts with 'and'"),
        ("Is it not red?", "holds a negation"),
        ("Isn't it red?", "holds a negation"),
        ("Is it a brid?", "Did you mean 'bird'"),
        ("Does it have wngs?", "Did you mean 'wings'"),
        ("What colour is it?", "I do not understand 'what colour is it'"),
        ("Is it bigger than a bread box?", "I do not understand"),
        ("Tell me the thing", "I do not understand"),
        ("x" * (MAX_CHARS + 1), f"has {MAX_CHARS + 1} characters"),
        ("Is it the dog?", "I do not understand"),
    ],
)
def test_what_cannot_be_asked_is_refused_and_says_how_to_ask(text, message):
    with pytest.raises(Unreadable) as caught:
        read_question(text, NAMES)
    assert message in str(caught.value)
    assert f'name a thing: "Is it the {NAMES[0]}?"' in str(caught.value)


def test_only_things_of_the_list_can_be_named():
    other = ontology().things[100].name
    with pytest.raises(Unreadable):
        read_question(f"Is it the {other}?", NAMES)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        *((word, YES) for word in ("yes", "Yes.", " YES!", "y", "Yes, it is.", "That is"[:0] + "correct", "true")),
        *((word, NO) for word in ("no", "No.", "Nope, sorry", "n", "false", "No, it does not")),
        *(
            (word, UNKNOWN)
            for word in ("I do not know.", "I don\u2019t know", "unknown", "I'm not sure", "not sure", "cannot say")
        ),
    ],
)
def test_answers_are_read(text, answer):
    assert read_answer(text) == answer


@pytest.mark.parametrize("text", ["", "maybe", "yes and no", "It is a bird", "the dowick", "well, yes", "42", "yes" * 200])
def test_what_is_no_answer_is_refused(text):
    with pytest.raises(Unreadable, match="Answer with"):
        read_answer(text)


@pytest.mark.parametrize(
    ("text", "upheld"), [("uphold", True), ("Upheld.", True), ("OVERRULE!", False), ("I overrule it", False)]
)
def test_verdicts_are_read(text, upheld):
    assert read_verdict(text) is upheld


@pytest.mark.parametrize("text", ["", "hm", "uphold or overrule", "not fair", "7"])
def test_what_is_no_verdict_is_refused(text):
    with pytest.raises(Unreadable, match='Say "uphold"'):
        read_verdict(text)


def test_counts_are_read():
    assert read_count("3 of them", 5) == 3
    assert read_count("0", 0) == 0
    for text in ("", "three", "3 of 5", "6", "-", "9" * 400, "\u0663"):
        with pytest.raises(Unreadable, match="one number from 0 to 5"):
            read_count(text, 5)


@given(st.text(max_size=600))
def test_any_text_is_read_or_refused(text):
    for read in (lambda t: read_question(t, NAMES), read_answer, read_verdict, lambda t: read_count(t, 9)):
        with contextlib.suppress(Unreadable):
            read(text)


def test_long_and_hostile_texts_are_read_quickly():
    texts = [
        "guess " * 80,
        "is it " * 80,
        "so " * 160,
        "it is it is " * 40,
        "my guess is is is is " * 23,
        "is it the the " * 35,
    ]
    texts += ["found in the " * 38, "a kind of " * 50, "?" * 500, "i say that that that that " * 19]
    started = time.process_time()
    for text in texts:
        for _ in range(20):
            with contextlib.suppress(Unreadable):
                read_question(text[:MAX_CHARS], NAMES)
    assert time.process_time() - started < 2  # linear: some 10 ms


def test_what_is_drawn_for_a_seat_can_be_read_in_it():
    rng = np.random.default_rng(0)
    everything = [thing.name for thing in ontology().things]
    for _ in range(300):
        read_question(TwentyQuestionsEnv._sample("asker", rng), everything)
        read_answer(TwentyQuestionsEnv._sample("answerer", rng))
