import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palaestra.envs.instructions import Constraint, UnparsedConstraint, parse
from palaestra.errors import UsageError

CASES = [
    ("Write between fifty and 100 words.", "length.words", {"lo": 50, "hi": 100}),
    ("Use 10-20 words", "length.words", {"lo": 10, "hi": 20}),
    ("Write more than twenty-five words", "length.words", {"lo": 26}),
    ("Stay under 1,000 words", "length.words", {"hi": 999}),
    ("Do not use more than 90 words", "length.words", {"hi": 90}),
    ("A word count of one hundred words or fewer", "length.words", {"hi": 100}),
    ("Each cell holds at most 4 words", "length.words", {"hi": 4, "scope": "cell"}),
    ("Every word has no more than 8 characters", "length.characters", {"hi": 8, "scope": "word"}),
    ("Answer in 3 sentences", "length.sentences", {"lo": 3, "hi": 3}),
    ("It needs no fewer than 4 complete sentences", "length.sentences", {"lo": 4}),
    ("Write a single paragraph", "length.paragraphs", {"lo": 1, "hi": 1}),
    ("Stay within two paragraphs and use at least 40 words", "length.paragraphs", {"hi": 2}),
    ("A table with at most 3 rows and 2 columns", "format.table", {"rows": [None, 3], "cols": [None, 2]}),
    ("If you add a table, limit it to four columns", "format.table", {"cols": [None, 4], "required": False}),
    ("The table has the headers 'Name' and 'Price'", "format.table", {"headers": ["Name", "Price"]}),
    ("The JSON must have exactly two levels of nesting", "format.json_depth", {"lo": 2, "hi": 2}),
    ("Every XML element has up to 2 attributes", "format.xml_attributes", {"hi": 2}),
    ("Use a level 2 heading titled 'Next steps'", "format.markdown", {"titled_heading": [2, "Next steps"]}),
    ("Use '#' for the title and '###' for notes, as headings", "format.markdown", {"required_levels": [1, 3]}),
    ("Use at least two different heading levels", "format.markdown", {"distinct_levels": [">=", 2]}),
    ("Headings must not exceed level 3", "format.markdown", {"max_level": 3}),
    ("Begin with a level 1 heading", "format.markdown", {"first_level": 1}),
    ("Put a heading over each part", "format.markdown", {"any_heading": True}),
    ("Show the quotations as block quotes", "format.markdown", {"block_quote": True}),
    ("Include the keywords 'lake' and 'St. John's'", "content.keywords", {"keywords": ["lake", "St. John's"]}),
    ("Mention the term 'lake' or 'sea'", "content.keywords", {"keywords": ["lake", "sea"], "any_of": True}),
    ("Use the word “lake” at least twice", "content.keywords", {"keywords": ["lake"], "min_count": 2}),
    ("The keyword 'lake' appears at most 3 times", "content.repeated", {"keyword": "lake", "hi": 3}),
    ("Avoid the word 'very'", "content.avoid", {"keywords": ["very"]}),
    ("Include the keyword 'no more than that'", "content.keywords", {"keywords": ["no more than that"]}),
    ("End with a question mark", "content.ending_punctuation", {"allowed": ["?"]}),
    ("Each sentence ends with a period", "content.ending_punctuation", {"allowed": ["."], "scope": "sentence"}),
    ("Do not use any commas as punctuation", "content.exclude_punctuation", {"chars": [","]}),
    ("Write everything in uppercase", "language.uppercase", {}),
    ("All JSON keys must be lowercase", "language.lowercase", {"scope": "json_keys"}),
    ("Capitalize every word", "language.title_case", {}),
    ("Answer in traditional Chinese", "language.zh_traditional", {}),
    ("请用简体中文回答", "language.zh_simplified", {}),
]


@pytest.mark.parametrize(("text", "kind", "params"), CASES, ids=[text[:40] for text, *_ in CASES])
def test_sentence_is_read(text, kind, params):
    found = parse(text)
    assert isinstance(found, Constraint)
    expected = Constraint(kind, params)
    assert (found.kind, found.params) == (expected.kind, expected.params)


@pytest.mark.parametrize("text", ["", "Be polite.", "Write something about words", "Make it long enough"])
def test_what_says_nothing_checkable_stays_unparsed(text):
    assert isinstance(parse(text), UnparsedConstraint)


def test_the_label_chooses_what_is_read_first():
    text = "Use 3 sentences with at most 20 words"
    assert parse(text, ("Length", "Sentences")).params["lo"] == 3
    assert parse(text, ("Length", "Words: At most")).params["hi"] == 20
    assert parse(text, ("Length", "Words")).family == "Length_Words"


def test_a_quote_makes_no_keyword_of_a_sentence_with_another_label():
    assert isinstance(parse("The name starts with 'P'", ("Format", "Text")), UnparsedConstraint | Constraint)
    assert parse("Name of the shop: starts with the letter 'P'", ("Format", "Text")).family == "Content_Identifiers"


def test_a_label_is_a_pair():
    with pytest.raises(UsageError, match="pair of texts"):
        parse("At most 3 words", "Length")


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.sampled_from([text for text, *_ in CASES]),
            st.text(max_size=20),
            st.sampled_from(["'", '"', " between 9 and 3 words ", "999999999999 rows", "level 9 heading", "each", "\ud800"]),
        ),
        max_size=6,
    ).map(" ".join)
)
def test_any_sentence_is_read_or_left_unparsed(text):
    found = parse(text)
    assert isinstance(found, Constraint | UnparsedConstraint)
    assert found.text == text


@pytest.mark.parametrize("piece", ["'", "between 1 and ", "each ", "not ", "# ", "3 words ", "level 2 "])
def test_long_texts_are_left_alone(piece):
    assert isinstance(parse(piece * 100_000), UnparsedConstraint)
