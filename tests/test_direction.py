import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from palaestra.types.direction import steers_direction, with_direction_shown

CONTROLS = [0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)]  # Unicode's property Bidi_Control


def test_every_control_is_one_and_no_letter_digit_or_sign_is() -> None:
    assert all(steers_direction(chr(code)) for code in CONTROLS)
    for code in range(0x110000):
        if steers_direction(one := chr(code)):
            assert unicodedata.category(one) == "Cf", hex(code)
    assert not any(map(steers_direction, "aא ب١,(\u00ad\u200b\u200c\u200d\ufeff\ud800"))


@given(st.text(st.sampled_from([*map(chr, CONTROLS), *"ab אבגد١ \n\U0001f600\U00013430"])))
def test_what_steers_is_spelled_out_and_the_rest_stays(text: str) -> None:
    shown = with_direction_shown(text)
    assert not any(map(steers_direction, shown))
    assert shown.encode("ascii", "backslashreplace").decode("unicode_escape") == text
    assert with_direction_shown(shown) == shown
