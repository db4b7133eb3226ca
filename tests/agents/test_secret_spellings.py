from __future__ import annotations

import base64
import itertools
import json
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from palaestra.agents.secret_spellings import LONG, MASK, SHORT, SecretFinder
from tests.agents.spellings import IN_BASE64, SPELLINGS, decodings, readings

KEY = "mk-7Zq!x/9+e@r"
SECRETS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=LONG, max_size=24) | st.text(
    st.sampled_from('aZ09/+-_=%&\\"<é ß€\U0001f600'), min_size=LONG, max_size=16
).filter(lambda text: text == text.strip())
AROUND = st.text(st.sampled_from("ab Z09.,:;=+/-_\"'<>{}[]%&\\u\n"), max_size=12)


def assert_gone(secret: str, text: str) -> None:
    """Check that no reading of a text holds a secret."""
    lowered = secret.lower()
    for reading in readings(text):
        assert lowered not in reading.lower(), (secret, text, reading)
        assert secret.replace(" ", "+") not in reading
    for data in decodings(text):
        assert secret.encode() not in data, (secret, text)


@given(SECRETS, st.sampled_from([*SPELLINGS]), AROUND, AROUND)
@example("abcde%", "json", "", "41")
@example('a"b\\ncd', "json", "\\", "n")
@example("a b c d", "url form", "x", "y")
@example("a&amp;bc", "html", "&", ";")
def test_a_secret_is_found_in_every_spelling(secret: str, way: str, before: str, after: str) -> None:
    spelled = SPELLINGS[way](secret)
    finder = SecretFinder([secret])
    text = f"{before}|{spelled}|{after}"
    assert finder.finds(text)
    shown = finder.masked(text)
    assert MASK in shown
    assert_gone(secret, shown)
    assert finder.masked(shown) == shown


@given(
    st.text(st.sampled_from('aZ09/-_=&"<é ß'), min_size=LONG, max_size=12).filter(lambda text: text == text.strip()),
    st.lists(st.sampled_from([*SPELLINGS]), min_size=2, max_size=4),
    AROUND,
)
@example("00-000", ["json of all characters", "upper"], "")
@example("00-/00", ["python bytes", "upper", "json"], "")
def test_a_secret_is_found_in_spellings_of_spellings(secret: str, ways: list[str], before: str) -> None:
    spelled = f"{before} {secret} "
    for way in ways:
        spelled = SPELLINGS[way](spelled)
    finder = SecretFinder([secret])
    assert finder.finds(spelled)
    shown = finder.masked(spelled)
    assert_gone(secret, shown)
    assert not finder.finds(shown)


@pytest.mark.parametrize("levels", range(1, 7))
@pytest.mark.parametrize("secret", ['mk9-"quoted"/key', "mk9-\\back\\slash", "mk9-é€/key"])
def test_a_secret_is_found_in_json_within_json(secret: str, levels: int) -> None:
    text = secret
    for level in range(levels):
        text = json.dumps({"error": text, "level": level}).replace("/", "\\/")
    shown = SecretFinder([secret]).masked(text)
    for level in reversed(range(levels)):
        data = json.loads(shown)
        assert data["level"] == level, "what stands around it is left as it is"
        shown = data["error"]
    assert shown == MASK


@given(SECRETS, st.binary(max_size=9), st.binary(max_size=9), st.booleans(), st.booleans())
def test_a_secret_is_found_in_base64_at_every_alignment(
    secret: str, before: bytes, after: bytes, url: bool, padded: bool
) -> None:
    coded = base64.b64encode(before + secret.encode() + after, altchars=b"-_" if url else b"+/").decode()
    coded = coded if padded else coded.rstrip("=")
    finder = SecretFinder([secret])
    for text in (coded, f"Basic {coded}, refused", json.dumps({"a": coded}).replace("/", "\\/"), quote(coded, safe="")):
        assert finder.finds(text)
        shown = finder.masked(text)
        for reading in readings(shown, 1):
            assert not any(secret.encode() in data for data in decodings(reading)), (secret, text, shown)


def test_what_stands_around_base64_is_kept() -> None:
    coded = base64.b64encode(b"a picture of " + KEY.encode() + b" on a wall").decode()
    shown = SecretFinder([KEY]).masked(coded)
    start, _, end = shown.partition(MASK)
    assert base64.b64decode(start[: len(start) // 4 * 4]).startswith(b"a picture of"[:9])
    assert len(start) + len(end) > 20


@pytest.mark.parametrize("end", ["\n", "\r\n", "\\n"])
def test_a_secret_is_found_in_base64_on_several_lines(end: str) -> None:
    data = b"x" * 50 + KEY.encode() + b"y" * 90
    lines = base64.encodebytes(data).decode().strip().replace("\n", end)
    shown = SecretFinder([KEY]).masked(f"begin {lines} end")
    assert MASK in shown
    assert KEY.encode() not in base64.b64decode(shown.replace(end, "").split()[1].replace(MASK, "A" * 4))


@pytest.mark.parametrize("way", [*SPELLINGS, *IN_BASE64])
def test_what_undoes_the_spellings_finds_the_secret(way: str) -> None:
    text = {**SPELLINGS, **IN_BASE64}[way](KEY)
    seen = " ".join([*readings(text), *(data.decode("latin-1") for one in readings(text, 1) for data in decodings(one))])
    assert KEY.lower() in seen.lower(), "the tests would notice"
    assert KEY.lower() not in SecretFinder([KEY]).masked(text).lower()


def test_hex_is_found() -> None:
    assert SecretFinder([KEY]).masked(f"x{KEY.encode().hex().upper()}y") == f"x{MASK}y"


@given(st.sets(SECRETS, min_size=1, max_size=4), AROUND)
def test_secrets_within_secrets_leave_nothing(secrets: set[str], around: str) -> None:
    longest = max(secrets, key=len)
    parts = {longest[:LONG], longest[-LONG:], longest}
    shown = SecretFinder(secrets | parts).masked(f"{around}|{longest}|{around}")
    for part in secrets | parts:
        assert part.lower() not in shown.lower()
    assert MASK in shown


def test_of_secrets_that_hold_each_other_the_longest_goes() -> None:
    for secrets in itertools.permutations(["abcdef", "abcdef-ghij", "ef-ghij-klm"]):
        assert SecretFinder(secrets).masked("x abcdef-ghij-klm y") == f"x {MASK} y"


@pytest.mark.parametrize("secret", ["ab1x", "ab1xy"])
def test_short_secrets_are_found_where_they_stand_alone(secret: str) -> None:
    finder = SecretFinder([secret])
    coded = base64.b64encode(secret.encode()).decode()
    for text in (
        secret,
        f"key {secret}.",
        f'"{secret}"',
        f"a/{secret}/b",
        secret.upper(),
        coded,
        f"Basic {coded.rstrip('=')},",
    ):
        assert MASK in finder.masked(text), text
    for text in (f"x{secret}", f"{secret}9", f"pre{secret}post"):
        assert finder.masked(text) == text


def test_secrets_of_six_characters_are_found_within_words() -> None:
    assert SecretFinder(["ab1xyz"]).masked("preab1xyzpost YWIxeHl6") == f"pre{MASK}post {MASK}"


@given(st.text(max_size=SHORT - 1), st.text())
def test_still_shorter_ones_mask_nothing(secret: str, text: str) -> None:
    assert SecretFinder([secret]).masked(text) == text


@given(st.text())
def test_texts_without_a_secret_stay(text: str) -> None:
    finder = SecretFinder([KEY, "ab1x"])
    if KEY not in text and "ab1x" not in text:
        assert finder.masked(text) == text
        assert not finder.finds(text)
    assert SecretFinder().masked(text + KEY) == text + KEY


@pytest.mark.parametrize("letter", ["İ", "ß", "ς", "ŉ", "\U0001f600"])
def test_letters_whose_case_changes_their_length_move_nothing(letter: str) -> None:
    text = f"{letter * 3}{KEY.upper()}{letter}"
    assert SecretFinder([KEY]).masked(text) == f"{letter * 3}{MASK}{letter}"
    own = f"key-{letter}ΣΑΣ-1"
    assert SecretFinder([own]).masked(f"a {own} b") == f"a {MASK} b"


def test_escapes_without_end_are_read_to_a_limit() -> None:
    finder = SecretFinder([KEY])
    for text in ("\\" * 100_000, "%25" * 30_000, "&amp;" * 30_000, "\\u005c" * 20_000, "%26amp;\\u0025" * 5_000):
        assert finder.masked(text) == text
        assert finder.masked(f"{text} {KEY}") == f"{text} {MASK}"
