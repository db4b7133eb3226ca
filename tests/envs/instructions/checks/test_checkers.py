"""Hand-worked responses for every kind, in both profiles."""

import pytest

from palaestra.envs.instructions import Constraint, all_kinds, check

TABLE = "| Name | Price |\n|---|:-:|\n| a | 1 |\n| b \\| c | 2 |"
CASES = [
    ("content.keywords", {"keywords": ["lake"]}, "The Lake.", True),
    ("content.keywords", {"keywords": ["lake"]}, "The lakes.", False),
    ("content.keywords", {"keywords": ["C++"]}, "I like C++.", True),
    ("content.keywords", {"keywords": ["Anna's"]}, "It is anna's", True),
    ("content.keywords", {"keywords": ["代表"]}, "他代表我们", True),
    ("content.keywords", {"keywords": ["lake"], "min_count": 2}, "lake, lake-side", True),
    ("content.keywords", {"keywords": ["lake", "sea"], "any_of": True}, "the sea", True),
    ("content.keywords", {"keywords": ["lake", "sea"]}, "the sea", False),
    ("content.keywords", {"keywords": ["lake"], "scope": "para"}, "A lake.\n\nNo.", False),
    ("content.repeated", {"keyword": "lake", "lo": 1, "hi": 2}, "lake lake lake", False),
    ("content.avoid", {"keywords": ["lake"]}, "No lake", False),
    ("content.avoid", {"keywords": ["lake"]}, "Lakes", True),
    ("content.start", {"text": "answer:"}, "\n## Answer: 3", True),
    ("content.start", {"text": "answer:"}, "My answer: 3", False),
    ("content.end", {"text": "The end."}, "So. The end.\n", True),
    ("content.end", {"text": "The end."}, "The end. Or not", False),
    ("content.delimiter", {"text": "***", "lo": 2, "hi": 2}, "a***b***c", True),
    ("content.ending_punctuation", {"allowed": ["."]}, "Yes.\n ", True),
    ("content.ending_punctuation", {"allowed": ["."]}, "Yes!", False),
    ("content.ending_punctuation", {"allowed": ["ANY"], "negate": True}, "Yes", True),
    ("content.ending_punctuation", {"allowed": ["ANY"], "negate": True}, "Yes)", False),
    ("content.ending_punctuation", {"allowed": ["."]}, "", False),
    ("content.ending_punctuation", {"allowed": ["."], "scope": "sentence"}, "One. Two. Three", False),
    ("content.ending_punctuation", {"allowed": ["."], "scope": "bullet"}, "no list", False),
    ("content.exclude_punctuation", {"chars": [","]}, "a, b", False),
    ("format.markdown", {"required_levels": [1, 3]}, "# A\n### B", True),
    ("format.markdown", {"required_levels": [2]}, "```\n## A\n```", False),
    ("format.markdown", {"required_levels": [2]}, "##A", False),
    ("format.markdown", {"titled_heading": [2, "To do"]}, "##  To do ", True),
    ("format.markdown", {"titled_heading": [2, "To do"]}, "## To Do", False),
    ("format.markdown", {"distinct_levels": ["==", 2]}, "# A\n## B\n## C", True),
    ("format.markdown", {"distinct_levels": ["<=", 1]}, "# A\n## B", False),
    ("format.markdown", {"max_level": 2}, "# A\n### B", False),
    ("format.markdown", {"max_level": 2}, "no heading", False),
    ("format.markdown", {"first_level": 2}, "text\n## B\n# A", True),
    ("format.markdown", {"exact_count": [2, 1]}, "## A\n## B", False),
    ("format.markdown", {"any_heading": False}, "#tag", True),
    ("format.markdown", {"block_quote": True}, "a\n> b", True),
    ("format.markdown", {"block_quote_all": True}, "> a\n\nb", False),
    ("format.markdown", {"block_quote_all": True}, "> a\n\n> b", True),
    ("format.markdown", {"bold": True, "bullets": True}, "- **a**", True),
    ("format.markdown", {"bullets": False}, "a\n* b", False),
    ("format.json_depth", {"lo": 2, "hi": 2}, '```json\n{"a": [1]}\n```', True),
    ("format.json_depth", {"lo": 1}, "{}", True),
    ("format.json_depth", {"hi": 3}, "no JSON", False),
    ("format.json_depth", {"lo": 1}, '{"a": NaN}', False),
    ("format.json_depth", {"lo": 1}, "[" * 100_000 + "]" * 100_000, False),
    ("format.xml_attributes", {"lo": 1, "hi": 1}, "<a b=\"1\"><c d='x > y'/></a>", True),
    ("format.xml_attributes", {"hi": 1}, '<a b="1" c="2">', False),
    ("format.xml_attributes", {"lo": 1}, "no XML", False),
    ("format.table", {"rows": [2, 2], "cols": [2, 2]}, TABLE, True),
    ("format.table", {"rows": [None, 1]}, TABLE, False),
    ("format.table", {"headers": ["price"]}, TABLE, True),
    ("format.table", {"headers": ["size"]}, TABLE, False),
    ("format.table", {"rows": [None, 3]}, "none", False),
    ("format.table", {"rows": [None, 3], "required": False}, "none", True),
    ("format.table", {"rows": [None, 1]}, "| a |\n|---|\n| b |\n\ntext\n" + TABLE, False),
    ("format.table", {"rows": [None, 1], "required": False}, f"```\n{TABLE}\n```", True),
    ("format.table", {"required": True}, "a | b | c", False),
    ("language.uppercase", {}, "ALL 3!", True),
    ("language.uppercase", {}, "ALl", False),
    ("language.uppercase", {}, "", False),
    ("language.lowercase", {}, "all 3!", True),
    ("language.uppercase", {"scope": "headings"}, "# YES\nno", True),
    ("language.title_case", {}, 'Every "Word" Is', True),
    ("language.title_case", {}, "Every (word)", False),
    ("language.title_case", {}, "See:\n```\ncode\n```\nhttps://x.y <b>Bold</b>", True),
    ("language.title_case", {}, "", False),
    ("language.zh_simplified", {}, "这是中国。", True),
    ("language.zh_simplified", {}, "這是中國。", False),
    ("language.zh_simplified", {}, "这是 China。", False),
    ("language.zh_traditional", {"mode": "contains"}, "Taiwan 國", True),
    ("language.zh_traditional", {}, "", False),
    ("length.words", {"hi": 3}, "one two-three four", True),
    ("length.words", {"lo": 7, "hi": 7}, "我们喜欢 GPT 模型", True),
    ("length.words", {"hi": 2, "scope": "cell"}, TABLE, False),
    ("length.words", {"hi": 3, "scope": "cell"}, TABLE, True),
    ("length.sentences", {"lo": 2, "hi": 2}, "Dr. Li paid 3.5 dollars. Why?!", True),
    ("length.sentences", {"lo": 2, "hi": 2}, "# Title\nA fragment", True),
    ("length.sentences", {"lo": 2, "hi": 2}, "我来。你去！", True),
    ("length.sentences", {"lo": 3, "hi": 3}, f"One.\n{TABLE}", True),
    ("length.sentences", {"lo": 1, "hi": 1}, '- "Stop." ...', True),
    ("length.paragraphs", {"lo": 2, "hi": 2}, "\n\na\nb\n \n\nc\n", True),
    ("length.characters", {"hi": 3, "scope": "word"}, "abc de", True),
    ("length.characters", {"lo": 3, "hi": 3}, " abc ", True),
]


@pytest.mark.parametrize(
    ("kind", "params", "response", "passed"),
    CASES,
    ids=lambda value: value if isinstance(value, str) and "." in value[:9] else "",
)
def test_verdict(kind, params, response, passed):
    verdict = check(Constraint(kind, params), response)
    assert verdict.passed is passed, verdict.reason


def test_every_kind_has_cases():
    assert {kind for kind, *_ in CASES} == set(all_kinds())


@pytest.mark.parametrize(
    ("kind", "params", "text", "response"),
    [
        ("length.sentences", {"lo": 1}, "", "An unterminated line"),
        ("length.words", {"lo": 5}, "", "one two three four five 国"),
        ("format.json_depth", {"lo": 1}, "", "{}"),
        ("format.table", {"required": False}, "Limit any table to 3 rows", "no table"),
    ],
)
def test_strict_passes_where_the_published_checker_does_not(kind, params, text, response):
    constraint = Constraint(kind, params, text)
    assert (check(constraint, response).passed, check(constraint, response, "published").passed) == (True, False)


@pytest.mark.parametrize(
    ("kind", "params", "response"),
    [
        ("language.title_case", {}, "Every (word)"),
        ("format.markdown", {"required_levels": [2]}, "```\n## A\n```"),
        ("length.sentences", {"lo": 2}, "Dr. Li came."),
    ],
)
def test_the_published_checker_passes_where_strict_does_not(kind, params, response):
    constraint = Constraint(kind, params)
    assert (check(constraint, response).passed, check(constraint, response, "published").passed) == (False, True)
