import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.agents.context import ContextPolicy, estimate_tokens
from palaestra.errors import ConfigError, ModelError
from palaestra.media import Media
from palaestra.types import Message


def dialogue(turns: int, length: int = 100) -> list[Message]:
    messages = [Message("system", "rules"), Message("user", "first")]
    for turn in range(turns):
        messages.append(Message("assistant", f"action {turn}"))
        messages.append(Message("user", f"{turn} " + "x" * length))
    return messages


def count_chars(messages):
    return sum(len(message.content) for message in messages)


def test_a_dialogue_that_fits_is_sent_as_it_is():
    messages = dialogue(3)
    assert ContextPolicy(max_tokens=10_000).fit(messages) == tuple(messages)
    assert ContextPolicy().fit(messages) == tuple(messages)


def test_oldest_turns_go_first_and_the_opening_stays():
    fitted = ContextPolicy(max_tokens=400).fit(dialogue(6), count_chars)
    assert fitted[0].content == "rules"
    assert fitted[1].content.startswith("first")
    assert "3 earlier turns left out" in fitted[1].content
    assert fitted[-1].content.startswith("5 ")
    assert [message.role for message in fitted] == ["system", "user", *["assistant", "user"] * 3]


def test_observations_are_elided_before_turns_are_dropped():
    policy = ContextPolicy(max_tokens=1_500, strategy="elide_observations", keep_chars=20)
    fitted = policy.fit(dialogue(6, length=500), count_chars)
    assert len(fitted) == len(dialogue(6))
    assert "characters left out" in fitted[3].content
    assert fitted[-1] == dialogue(6, length=500)[-1]


def test_keep_fails_as_a_model_error_with_the_next_move():
    with pytest.raises(ModelError, match="raise max_tokens"):
        ContextPolicy(max_tokens=10, strategy="keep").fit(dialogue(6), count_chars)


def test_last_turns_are_never_dropped():
    with pytest.raises(ModelError, match="cannot be cut to 5"):
        ContextPolicy(max_tokens=5).fit(dialogue(6), count_chars)


def test_only_the_newest_of_transient_blocks_is_sent():
    messages = [
        Message("system", "rules with <state>\nnothing\n</state>"),
        Message("user", "first <state>\n{}\n</state> <state>\n1\n</state> end"),
        Message("assistant", "I quote <state>\n{}\n</state>"),
        Message("user", "second <state>\n2\n</state>"),
        Message("assistant", "ok"),
        Message("user", "no block"),
    ]
    sent = ContextPolicy().current(messages, ["state"])
    note = "<state>(left out: a newer one follows)</state>"
    assert [message.content for message in sent] == [
        f"rules with {note}",
        f"first {note} {note} end",
        messages[2].content,
        messages[3].content,
        "ok",
        "no block",
    ]
    assert ContextPolicy().current(messages) == messages
    assert ContextPolicy(transient="keep").current(messages, ["state"]) == messages
    assert ContextPolicy().current(sent, ["state"]) == sent


@pytest.mark.parametrize(
    "bad", [{"transient": "all"}, {"strategy": "forget"}, {"max_tokens": 0}, {"keep_turns": 0}, {"keep_chars": -1}]
)
def test_wrong_values_are_refused(bad):
    with pytest.raises(ConfigError):
        ContextPolicy(**bad)


@given(
    turns=st.integers(0, 12),
    length=st.integers(0, 600),
    limit=st.integers(1, 3_000),
    strategy=st.sampled_from(["drop_oldest", "elide_observations"]),
)
def test_what_is_sent_fits_and_ends_with_the_same_message(turns, length, limit, strategy):
    messages = dialogue(turns, length)
    try:
        fitted = ContextPolicy(max_tokens=limit, strategy=strategy).fit(messages, count_chars)
    except ModelError:
        return
    assert count_chars(fitted) <= limit
    if turns:
        assert fitted[-1] == messages[-1]
    assert fitted[0] == messages[0]


def test_estimate_grows_with_text():
    assert estimate_tokens(dialogue(2)) < estimate_tokens(dialogue(3))


SOUND, PICTURE = Media("a" * 64, "audio/wav", 2.0, 16_000), Media("b" * 64, "image/png", width=300, height=250)


def test_what_is_shown_is_estimated_by_its_length_and_size():
    plain = estimate_tokens([Message("user", "x" * 35)])
    assert estimate_tokens([Message("user", "x" * 35 + SOUND.tag, media=(SOUND,))]) == plain + 20
    assert estimate_tokens([Message("user", "x" * 35 + PICTURE.tag, media=(PICTURE,))]) == plain + 100
    unknown = Media("c" * 64, "audio/mpeg"), Media("d" * 64, "image/avif")
    assert estimate_tokens([Message("user", "".join(item.tag for item in unknown), media=unknown)]) == 6 + 100 + 1333


def test_old_observations_lose_what_they_show_before_turns_are_dropped():
    shown = Message("user", f"look {PICTURE.tag} and {SOUND.tag}" + "." * 300, media=(PICTURE, SOUND))
    turns = [part for i in range(4) for part in (Message("assistant", f"a{i}"), shown)]
    messages = [Message("system", "rules"), Message("user", "begin"), *turns]
    policy = ContextPolicy(600, "elide_observations", keep_chars=20, keep_turns=2)
    kept = policy.fit(messages)
    assert [message.media for message in kept if message.role == "user"] == [(), (), (), (PICTURE, SOUND), (PICTURE, SOUND)]
    assert kept[3].content.startswith("look [image left out")
    assert estimate_tokens(kept) <= 600


def test_blocks_that_newer_ones_replace_take_their_media_along():
    old = Message("user", f"<state>\n{PICTURE.tag}\n</state> {SOUND.tag}", media=(PICTURE, SOUND))
    new = Message("user", f"<state>\n{PICTURE.tag}\n</state>", media=(PICTURE,))
    kept = ContextPolicy().current([old, Message("assistant", "a"), new], ["state"])
    assert kept[0].media == (SOUND,)
    assert PICTURE.tag not in kept[0].content
    assert kept[2] == new
