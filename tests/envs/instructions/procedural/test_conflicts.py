import pytest

from palaestra.envs.instructions import Constraint, conflicts

PAIRS = [
    (("length.words", {"lo": 50}), ("length.words", {"hi": 40}), "more than"),
    (("language.uppercase", {}), ("language.title_case", {}), "cannot both hold"),
    (("language.zh_simplified", {}), ("language.zh_traditional", {}), "cannot both hold"),
    (("language.zh_simplified", {}), ("content.keywords", {"keywords": ["lake"]}), "Latin letters"),
    (("length.words", {"hi": 9}), ("length.sentences", {"lo": 5}), "too little"),
    (("length.sentences", {"hi": 2}), ("length.paragraphs", {"lo": 3}), "too little"),
    (("length.words", {"hi": 2}), ("content.keywords", {"keywords": ["St. John's", "lake"]}), "fewer words"),
    (("content.ending_punctuation", {"allowed": ["!"]}), ("content.end", {"text": "The end."}), "does not end"),
    (("content.ending_punctuation", {"allowed": ["!"]}), ("content.exclude_punctuation", {"chars": ["!"]}), "forbids"),
    (("content.exclude_punctuation", {"chars": [","]}), ("format.json_depth", {"lo": 1}), "forbids"),
    (("content.avoid", {"keywords": ["lake"]}), ("content.keywords", {"keywords": ["Lakeside"]}), "forbids"),
    (("content.avoid", {"keywords": ["notes"]}), ("format.markdown", {"titled_heading": [1, "My Notes"]}), "forbids"),
    (("language.lowercase", {}), ("content.end", {"text": "The end."}), "not in the case"),
    (("format.markdown", {"block_quote_all": True}), ("format.table", {}), "block quote"),
]


@pytest.mark.parametrize("pair", PAIRS, ids=[f"{one[0]}-{two[0]}-{at}" for at, (one, two, _) in enumerate(PAIRS)])
@pytest.mark.parametrize("swapped", [False, True])
def test_contradictions_are_named_in_either_order(pair, swapped):
    one, two, said = pair
    constraints = [Constraint(*one), Constraint(*two)]
    found = conflicts(constraints[::-1] if swapped else constraints)
    assert len(found) == 1
    assert said in found[0]


@pytest.mark.parametrize(
    ("one", "two"),
    [
        (("length.words", {"lo": 50}), ("length.words", {"hi": 50})),
        (("length.words", {"hi": 5, "scope": "cell"}), ("length.words", {"lo": 50})),
        (("language.uppercase", {"scope": "headings"}), ("language.lowercase", {})),
        (("language.zh_simplified", {"mode": "contains"}), ("content.keywords", {"keywords": ["lake"]})),
        (("content.avoid", {"keywords": ["lake"]}), ("content.keywords", {"keywords": ["lake", "sea"], "any_of": True})),
        (("content.ending_punctuation", {"allowed": [".", "!"]}), ("content.exclude_punctuation", {"chars": ["!"]})),
    ],
)
def test_what_an_answer_can_meet_is_left_alone(one, two):
    assert conflicts([Constraint(*one), Constraint(*two)]) == []
