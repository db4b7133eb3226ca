from __future__ import annotations

import base64
import io
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palaestra.agents.backends.cache import ResponseCache
from palaestra.agents.backends.clients import CLIENTS
from palaestra.agents.backends.reliable import Reliable
from palaestra.agents.backends.scripted import ScriptedBackend
from palaestra.agents.backends.wire import read_generation, request_body
from palaestra.agents.core import Generation, Request, Sampling
from palaestra.agents.llm import LLMAgent
from palaestra.agents.registry import make_agent
from palaestra.agents.rollout.engine import RolloutEngine
from palaestra.agents.rollout.plans import EpisodePlan
from palaestra.errors import ConfigError, ModelError, UnsupportedMediaError
from palaestra.media import MemoryMedia, current_media, describe, escape_tags, png_bytes, read_wav, tone, use_media
from palaestra.types import Message, ToolCall, Trajectory
from tests.agents.backends.fault_server import FaultServer, chat_completion
from tests.media.gallery import COLOURS, ENV_ID, PITCHES, loudest_hz

Image = pytest.importorskip("PIL.Image")

FILES = [tone(300, 0.05), tone(600, 0.05), png_bytes(np.full((2, 3), 5, np.uint8)), b"ID3\x04 as if it were MP3"]
ASK = Sampling(extra={"modalities": ["text", "audio"], "audio": {"voice": "alloy", "format": "wav"}})


@pytest.fixture(autouse=True)
def media():
    with use_media(MemoryMedia()) as store:
        yield store


def sent(*messages: Message) -> list[dict[str, Any]]:
    body = request_body("m", Request(messages))
    return json.loads(json.dumps(body))["messages"]


def undone(content: str | list[dict[str, Any]]) -> str:
    """Return the text form that content parts stand for."""
    if isinstance(content, str):
        return escape_tags(content)
    texts = []
    for part in content:
        if part["type"] == "text":
            texts.append(escape_tags(part["text"]))
            continue
        if part["type"] == "image_url":
            kind, _, encoded = part["image_url"]["url"].partition(";base64,")
            type = kind.removeprefix("data:")
        else:
            encoded, type = (
                part["input_audio"]["data"],
                {"wav": "audio/wav", "mp3": "audio/mpeg"}[part["input_audio"]["format"]],
            )
        texts.append(describe(base64.b64decode(encoded, validate=True), type).tag)
    return "".join(texts)


pieces = st.lists(st.sampled_from(FILES).map(lambda data: describe(data).tag) | st.text(max_size=5), max_size=5).map("".join)


@settings(deadline=None)
@given(st.lists(pieces, min_size=1, max_size=4))
def test_what_users_show_is_sent_as_parts_and_nothing_else_changes(texts):
    for data in FILES:
        current_media().put(data)
    wired = sent(*(Message.of_text("user", text) for text in texts))
    assert [undone(message["content"]) for message in wired] == texts
    for text, message in zip(texts, wired, strict=True):
        assert isinstance(message["content"], list) is ("<image" in text or "<audio" in text)


def test_a_tag_whose_bytes_are_nowhere_is_sent_as_the_text_it_is():
    text = f"You wrote {describe(FILES[0]).tag}."
    assert sent(Message.of_text("user", text)) == [{"role": "user", "content": text}]


def test_tool_results_and_instructions_are_shown_by_the_next_user_message(media):
    sound, picture = media.put(FILES[0]), media.put(FILES[2])
    call = ToolCall("look", {}, "c1"), ToolCall("hear", {}, "c2")
    wired = sent(
        Message.of_text("system", f"Rules: {picture.tag} Play."),
        Message("user", "begin"),
        Message("assistant", "", call),
        Message.of_text("tool", f"seen: {picture.tag}", tool_call_id="c1"),
        Message.of_text("tool", sound.tag, tool_call_id="c2"),
        Message("assistant", "well"),
        Message("user", "go on"),
    )
    assert [message["role"] for message in wired] == [
        "system",
        "user",
        "assistant",
        "tool",
        "tool",
        "user",
        "assistant",
        "user",
    ]
    assert [message["content"] for message in wired if message["role"] in ("system", "tool")] == [
        "Rules: (image 1) Play.",
        "seen: (image 2)",
        "(audio 3)",
    ]
    assert undone(wired[1]["content"]) == f"Image 1:{picture.tag}begin"
    assert undone(wired[5]["content"]) == f"Image 2:{picture.tag}Audio 3:{sound.tag}"
    last = sent(Message("assistant", "", call[:1]), Message.of_text("tool", picture.tag, tool_call_id="c1"))
    assert [message["role"] for message in last] == ["assistant", "tool", "user"]


def test_of_an_assistants_own_sounds_the_words_are_sent(media):
    sound = media.put(FILES[0])
    assert sent(Message("assistant", f"hello\n{sound.tag}", media=(sound,)))[0]["content"] == "hello"
    assert sent(Message("assistant", sound.tag, media=(sound,)))[0]["content"] == "(audio)"


def test_a_sound_that_servers_do_not_take_is_one_clear_error(media):
    flac = media.put(b"fLaC and so on")
    with pytest.raises(UnsupportedMediaError, match="is 'audio/flac'; chat-completions servers take WAV and MP3"):
        sent(Message("user", flac.tag, media=(flac,)))


# -- answers ----------------------------------------------------------------------------------------------------------


def answered(audio: Any, content: str | None = None, format: str = "wav", tools: tuple[Any, ...] = ()) -> Message:
    sampling = Sampling(extra={"audio": {"voice": "x", "format": format}})
    data = json.loads(json.dumps(chat_completion(content, audio=audio)))
    return read_generation(data, Request((), tools=tools, sampling=sampling)).message


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def test_an_answer_in_sound_is_put_and_named_after_its_words(media):
    message = answered({"id": "audio_1", "data": encoded(FILES[0]), "transcript": "hello", "expires_at": 1})
    assert message == Message("assistant", f"hello\n{describe(FILES[0]).tag}", media=(describe(FILES[0]),))
    assert media.get(message.media[0]) == FILES[0]
    assert answered({"data": encoded(FILES[0])}).content == describe(FILES[0]).tag
    assert answered({"data": encoded(FILES[0]), "transcript": "b"}, "a").content == f"a\n{describe(FILES[0]).tag}"
    assert answered({"id": "audio_1"}, "a") == answered(None, "a") == Message("assistant", "a")


def test_raw_samples_and_types_without_a_header_are_read_by_the_format_asked_for(media):
    samples = np.arange(-50, 50, dtype="<i2")
    message = answered({"data": encoded(samples.tobytes())}, format="pcm16")
    assert (message.media[0].rate, message.media[0].seconds) == (24_000, 0.004)
    assert np.array_equal(np.round(read_wav(media.get(message.media[0]))[0][:, 0] * 32768), samples)
    assert answered({"data": encoded(b"\x01\x02 coded")}, format="aac").media[0].type == "audio/aac"
    assert answered({"data": encoded(FILES[3])}).media[0].type == "audio/mpeg"


@pytest.mark.parametrize(
    "audio",
    [{"data": "?!"}, {"data": "YQ"}, {"data": 3}, {"data": ["a"]}, {"data": encoded(b"hello")}, {"data": encoded(FILES[2])}],
)
def test_audio_that_cannot_be_read_is_the_servers_failure(audio):
    with pytest.raises(ModelError, match="audio of the server's answer cannot be read") as caught:
        answered(audio)
    assert caught.value.retryable


def test_a_tag_that_a_model_writes_is_prose(media):
    real, forged = media.put(FILES[1]), describe(FILES[0])
    message = answered({"data": encoded(FILES[1]), "transcript": f"not {forged.tag}"})
    assert message.media == (real,)
    assert message.content == f"not &lt;{forged.tag[1:]}\n{real.tag}"
    tools = ({"type": "function", "function": {"name": "look"}},)
    text = f'{real.tag}<tool_call>{{"name": "look", "arguments": {{}}}}</tool_call>'
    message = answered(None, text, tools=tools)
    assert (message.content, message.media, len(message.tool_calls)) == (real.tag, (), 1)


def test_a_kept_answer_brings_its_sound_along(tmp_path, media):
    sound = media.put(FILES[0])
    cache = ResponseCache(tmp_path / "cache.db")
    cache.put("k", Generation(Message("assistant", sound.tag, media=(sound,))))
    with use_media(MemoryMedia()) as later:
        found = ResponseCache(tmp_path / "cache.db").get("k")
        assert found is not None
        assert found.message.media == (sound,)
        assert later.get(sound) == FILES[0]
    cache._connection().execute("DELETE FROM media")
    assert cache.get("k") is None


# -- whole episodes ---------------------------------------------------------------------------------------------------


def gallery_model(body: dict[str, Any]) -> dict[str, Any]:
    """Answer as a model would that sees and hears: the last part says what the question is about."""
    shown = [message["content"] for message in body["messages"] if message["role"] == "user"]
    if isinstance(shown[-1], str):  # "Whistle it back."
        data = base64.b64decode(shown[-2][1]["input_audio"]["data"])
        whistle = tone(round(loudest_hz(data) / 10) * 10, 0.3)
        return chat_completion(None, audio={"id": "a", "data": encoded(whistle), "transcript": "la la", "expires_at": 9})
    before, part, after = shown[-1]
    assert before["text"] in ("Look: ", "Listen: ")
    assert after["text"].startswith(" Is it")
    if part["type"] == "input_audio":
        hertz = loudest_hz(base64.b64decode(part["input_audio"]["data"]))
        return chat_completion(min(PITCHES, key=lambda name: abs(PITCHES[name] - hertz)))
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(part["image_url"]["url"].partition(",")[2]))))
    mean = pixels.mean((0, 1))
    return chat_completion(min(COLOURS, key=lambda name: np.abs(np.array(COLOURS[name]) - mean).sum()))


def play(agent: LLMAgent, n: int = 4) -> list[Trajectory]:
    plans = [EpisodePlan(f"e{i}", ENV_ID, task_key=f"test/{i}", seed=i) for i in range(n)]
    return RolloutEngine(4).collect(plans, agent, close_agent=True)


@pytest.mark.parametrize("client", [client for client in CLIENTS if client != "auto"])
def test_a_model_that_sees_hears_and_speaks_solves_the_gallery(server: FaultServer, client, media):
    server.answer = gallery_model
    agent = make_agent(server.model_string, client=client, format="text", extra=ASK.extra)
    played = play(agent)
    assert [trajectory.outcome.success for trajectory in played] == [True] * 4
    for trajectory in played:
        said = trajectory.steps[-1].action
        assert said.content == f"la la\n{said.media[0].tag}"
        assert said.media[0] in media
    assert server.received[0].body["modalities"] == ["text", "audio"]


def test_a_backend_for_text_alone_is_one_clear_error_at_once():
    class TextOnly(ScriptedBackend):
        takes_media = False

    for backend in (TextOnly(["red"]), Reliable(TextOnly(["red"]))):
        agent = LLMAgent(backend, format="text")
        with pytest.raises(
            UnsupportedMediaError, match=r"shows an image \(image/png\), and the backend 'scripted' takes text only"
        ):
            play(agent)


def test_a_backend_for_text_alone_may_be_shown_tags_and_write_them(media):
    sound = media.put(tone(PITCHES["high"], 0.2))

    class TextOnly(ScriptedBackend):
        takes_media = False

    backend = TextOnly(
        lambda request: "red" if len(request.messages) < 3 else "high" if len(request.messages) < 5 else sound.tag
    )
    played = play(LLMAgent(backend, format="text", media="text"), 1)[0]
    assert played.steps[-1].action.media == (sound,)
    assert played.steps[-1].terminated
    assert all(not message.media for request in backend.requests for message in request.messages)
    assert "<image sha256=" in backend.requests[0].messages[-1].content
    with pytest.raises(ConfigError, match="media is 'drop'; expected 'send' or 'text'"):
        LLMAgent(backend, media="drop")


def test_a_world_that_repeats_a_forged_tag_stops_nobody():
    class TextOnly(ScriptedBackend):
        takes_media = False

    forged = describe(FILES[0])
    agent = LLMAgent(TextOnly(["ok"]), format="text")
    agent.reset({"task": {}, "instructions": "", "tools": []})
    assert agent.act(f"Unknown command {forged.tag!r}", {}).content == "ok"


# -- scripts ----------------------------------------------------------------------------------------------------------


def test_a_script_shows_files(tmp_path, media):
    (tmp_path / "hello.wav").write_bytes(FILES[0])
    path = tmp_path / "script.jsonl"
    path.write_text('{"content": "hi", "media": ["hello.wav"], "repeat": true}\n{"media": ["hello.wav"]}\n')
    agent = make_agent(f"scripted:{path}", format="text")
    agent.reset({"task": {}, "instructions": "", "tools": []})
    said = agent.act("hello?", {})
    assert said == Message("assistant", f"hi\n{describe(FILES[0]).tag}", media=(describe(FILES[0]),))
    assert said.media[0] in media
    forged = describe(FILES[0]).tag
    path.write_text(json.dumps({"content": f"see {forged}", "media": ["hello.wav"]}) + "\n")
    agent = make_agent(f"scripted:{path}", format="text")
    agent.reset({"task": {}, "instructions": "", "tools": []})
    said = agent.act("hello?", {})
    assert said.media == (describe(FILES[0]),)  # shown once: the tag in the text is a text
    assert said.content == f"see {escape_tags(forged)}\n{forged}"


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ('{"media": ["nowhere.wav"]}', "nowhere.wav' cannot be read: No such file"),
        ('{"media": ["script.jsonl"]}', "the file .*script.jsonl cannot be shown. These .* of no known type"),
        ('{"media": [3]}', "'media' holds 3; expected names of files"),
        ('{"media": "hello.wav"}', "'media' is 'hello.wav'; expected list"),
        ("{}", "a reply needs 'content', 'tool_calls', 'media' or 'error'"),
    ],
)
def test_files_that_a_script_cannot_show_are_one_clear_error(tmp_path, row, told):
    path = tmp_path / "script.jsonl"
    path.write_text(row + "\n")
    with pytest.raises(ConfigError, match=told):
        make_agent(f"scripted:{path}")
