"""One end of turn for sampling, cloning, continuing and saving, under every chat template that TRL ships."""

from __future__ import annotations

import json
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from palaestra.agents.backends.chat_template import ChatTemplate, Continuation
from palaestra.agents.backends.checkpoints import load_checkpoint, model_end_ids, save_checkpoint, stop_ids
from palaestra.agents.backends.token_turns import extended_prompt, finished_turn
from palaestra.agents.core import Request
from palaestra.agents.llm import LLMAgent
from palaestra.algorithms.data.demonstrations import Dictation, tokenize
from palaestra.algorithms.learner.policy import Policy
from palaestra.models.tiny_lm import CHAT_TEMPLATE, END, build_tiny_lm, train_tokenizer
from palaestra.types import Message, Outcome, Step, Trajectory

SPEC = find_spec("trl")
FOLDER = Path(str(SPEC.origin)).parent / "chat_templates" if SPEC else Path("chat_templates")
NAMES = sorted(path.stem for path in FOLDER.glob("*.jinja"))
MARKS = re.compile(
    r"<\|[A-Za-z_]+\|>|</?s>|<\|?[a-z_]*turn\|?>|<end_of_utterance>|<｜[^｜<>]*｜>|</?think>|\[/?INST\]|\[gMASK\]|<sop>"
)
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TEXTS = ["Goal: craft dark oak planks.", "get 12 oak log inventory obs"] * 4
PLAYED = (("obs0", "get 1 oak log"), ("obs1", "inventory"), ("obs2", " padded: [1]"))
# what their prompts open (a thought) is not in their histories: the policy is taught behind the prompt that it will see
OPENS_A_THOUGHT = re.compile("deepseek|nemotron")


def with_template(tokenizer: Any, source: str) -> Any:
    """Give a tokenizer a template, whose marks become tokens, and an end token that the template does not use."""
    own_end = "</s>" if "eos_token" in source else "<|endoftext|>"
    marks = sorted({*MARKS.findall(source), own_end} - set(tokenizer.get_vocab()))
    tokenizer.add_special_tokens({"additional_special_tokens": marks})
    tokenizer.eos_token = own_end
    tokenizer.chat_template = source
    return tokenizer


_templates: dict[str, ChatTemplate] = {}


def template_of(name: str) -> ChatTemplate:
    if name not in _templates:
        source = (FOLDER / f"{name}.jinja").read_text(encoding="utf-8")
        _templates[name] = ChatTemplate(with_template(train_tokenizer(TEXTS), source))
    return _templates[name]


def cloned(template: ChatTemplate) -> Trajectory:
    """Return an episode of some turns as cloning sees it."""
    steps = [Step(shown, Message("assistant", said)) for shown, said in PLAYED]
    task = {"key": "k", "split": "train", "type": ""}
    played = Trajectory(episode_id="e", env_id="x", task=task, steps=tuple(steps), outcome=Outcome(1.0, True, "success"))
    agent = LLMAgent(Dictation(template, max_context=10**6), format="text", instructions_as="none")
    (found,), _ = tokenize([played], agent, template, max_context=10**6)
    return found


def dialogue(template: ChatTemplate, num_turns: int) -> str:
    """Return the template's own text of the first turns."""
    messages: list[dict[str, Any]] = []
    for shown, said in PLAYED[:num_turns]:
        messages += [{"role": "user", "content": shown}, {"role": "assistant", "content": said}]
    if template.face.takes_parts:
        messages = [{**message, "content": [{"type": "text", "text": message["content"]}]} for message in messages]
    return str(template.tokenizer.apply_chat_template(messages, tokenize=False, bos_token=""))


@pytest.mark.skipif(not NAMES, reason="TRL, which ships the templates, is not installed")
@pytest.mark.parametrize("name", NAMES)
def test_cloned_ids_are_those_of_the_templates_own_text(name: str) -> None:
    template = template_of(name)
    episode = cloned(template)
    trims = PLAYED[2][1] not in dialogue(template, 3)  # a blank that the template cuts off is what the model wrote
    turns = [(segment, span) for segment in episode.segments for span in segment.turns]
    assert [span.turn for _, span in turns] == [0, 1, 2]
    for number, (segment, span) in enumerate(turns, start=1):
        ids = segment.ids[: span.end]
        assert ids[-1] == template.frame.end
        assert ids[-1] in template.end_ids
        if OPENS_A_THOUGHT.match(name):
            asked = [Message(*pair) for shown, said in PLAYED[:number] for pair in (("user", shown), ("assistant", said))]
            assert segment.ids[: span.start] == template.render(asked[:-1])
            assert template.decode(ids[span.start :]).endswith(PLAYED[number - 1][1])
            assert len([token for token in ids[span.start :] if token in template.end_ids]) == 1
        elif number < 3 or not trims:
            text = dialogue(template, number)
            if not template.closes_turns:  # the token that opens the next turn ends this one
                text += template.tokenizer.decode([template.frame.end])
            assert tuple(template.encode(text))[: len(ids)] == ids
            assert not text.removeprefix(template.tokenizer.decode(ids)).strip() or "<|" in text, (
                "nothing but more marks follows"
            )


@pytest.mark.skipif(not NAMES, reason="TRL, which ships the templates, is not installed")
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("end", ["template", "tokenizer", "length"])
def test_continuing_gives_the_templates_text_however_the_turn_ended(name: str, end: str) -> None:
    template = template_of(name)
    asked, more = Message("user", "obs0"), Message("user", "obs1")
    if template.continuation([more]) is None:
        return  # the dialogue is rendered again
    written = template.written_turn("get 1 oak log")
    if end != "template":
        written = (*written[:-1], *([template.tokenizer.eos_token_id] if end == "tokenizer" else []))
    prompt = template.render([asked])
    turn = finished_turn(template, Request((asked,)), prompt, written, "length" if end == "length" else "eos")
    extended = extended_prompt(template, turn, Request((asked, turn.answer, more)))
    whole = template.render([asked, Message("assistant", "get 1 oak log"), more])
    assert extended is not None
    assert extended[: len(prompt) + len(written)] == prompt + written, "what was sampled is kept"
    if (
        end == "tokenizer" and written[-1] != template.frame.end
    ):  # a token that the template does not write is followed by its own
        extended = extended[: len(prompt) + len(written) - 1] + extended[len(prompt) + len(written) :]
    assert extended == whole


def test_a_call_that_ends_with_a_token_of_its_own_is_followed_by_a_fresh_rendering() -> None:
    found = 0
    for template in map(template_of, NAMES):
        for end in template.call_end_ids - {template.frame.end}:
            found += 1
            asked, prompt = Message("user", "obs0"), template.render([Message("user", "obs0")])
            written = (*template.encode("get"), end)
            turn = finished_turn(template, Request((asked,)), prompt, written, "eos")
            assert end in template.end_ids
            assert extended_prompt(template, turn, Request((asked, turn.answer, Message("user", "obs1")))) is None
    assert found or not NAMES


@pytest.mark.parametrize("source", [CHATML, CHAT_TEMPLATE, CHATML.replace("<|im_end|>", " <|im_end|>")])
def test_all_that_stops_us_is_saved_and_read_back(source: str, tmp_path: Path) -> None:
    model, tokenizer = build_tiny_lm(TEXTS, hidden_size=32, num_layers=1, num_heads=2)
    if source != CHAT_TEMPLATE:
        with_template(tokenizer, source)
        model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    policy = Policy(model, tokenizer)
    before = model.generation_config.eos_token_id
    policy.save(tmp_path)
    assert model.generation_config.eos_token_id == before, "saving changes nothing here"
    saved = json.loads((tmp_path / "generation_config.json").read_text())["eos_token_id"]
    expected = stop_ids(model, policy.template)
    assert {saved} if isinstance(saved, int) else set(saved) == expected
    assert policy.template.frame.end in expected
    assert policy.sampler()._end_ids == expected
    again, _ = load_checkpoint(tmp_path)
    assert model_end_ids(again) == expected
    if source == CHAT_TEMPLATE:
        assert saved == tokenizer.convert_tokens_to_ids(END), "one end stays a number"


@pytest.mark.parametrize("source", [None, "{{ raise_exception('nobody may speak') }}"])
def test_a_model_without_a_template_that_works_is_saved_as_it_is(source: str | None, tmp_path: Path) -> None:
    model, tokenizer = build_tiny_lm(TEXTS, hidden_size=32, num_layers=1, num_heads=2)
    tokenizer.chat_template = source
    save_checkpoint(model, tokenizer, tmp_path)
    saved = json.loads((tmp_path / "generation_config.json").read_text())["eos_token_id"]
    assert saved == model.generation_config.eos_token_id == tokenizer.eos_token_id


def test_blanks_before_the_end_of_turn_are_part_of_it() -> None:
    tokenizer = with_template(train_tokenizer(TEXTS), CHATML.replace("<|im_end|>", " <|im_end|>"))
    template = ChatTemplate(tokenizer)
    (segment,) = cloned(template).segments
    assert tokenizer.decode(segment.ids) == dialogue(template, 3).rstrip()
    assert Continuation((1, 2, 3), 2).after((9, 1, 2), ended=True) == (3,)
    assert Continuation((1, 2, 3), 2).after((9, 2), ended=True) == (3,)
    assert Continuation((1, 2, 3), 2).after((9, 1, 2), ended=False) == (1, 2, 3)
    assert Continuation((1, 2, 3), 2).after((9, 4), ended=True) == (1, 2, 3)
    assert Continuation((1, 2, 3), 0).after((9, 4), ended=True) == (1, 2, 3)


def test_thoughts_of_its_own_are_not_opened_by_the_template() -> None:
    source = CHATML.replace(
        "{{ m.content }}", "{{ '<think>\n\n</think>\n\n' if m.role == 'assistant' else '' }}{{ m.content }}"
    )
    template = ChatTemplate(with_template(train_tokenizer(TEXTS), source))
    said = "<think>\nhm\n</think>\n\ngo"
    assert template.tokenizer.decode(template.written_turn("go")) == "<think>\n\n</think>\n\ngo<|im_end|>"
    assert template.tokenizer.decode(template.written_turn(said)) == f"{said}<|im_end|>"


def test_the_tokenizers_end_token_ends_turns_where_the_template_has_no_token() -> None:
    tokenizer = train_tokenizer(TEXTS)
    tokenizer.chat_template = CHATML  # whose marks are ordinary text for this tokenizer
    template = ChatTemplate(tokenizer)
    assert template.end_ids == {tokenizer.eos_token_id}
    assert template.written_turn("go") == (*template.encode("go"), tokenizer.eos_token_id)
