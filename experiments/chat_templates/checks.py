"""The checks of one chat template; each returns how many dialogues are as they should be, and what the first other one is."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from experiments.chat_templates.dialogues import ASK, CALLS, EPISODES, GET, MORE, RULES, TEXT, chat_of, messages
from palaestra.agents.backends.chat_template import ChatTemplate
from palaestra.agents.backends.template_face import written_text
from palaestra.agents.backends.token_turns import extended_prompt, finished_turn
from palaestra.agents.core import Request
from palaestra.agents.llm import LLMAgent
from palaestra.algorithms.data.demonstrations import Dictation, tokenize
from palaestra.algorithms.trl.datasets import to_dataset
from palaestra.errors import ModelError
from palaestra.models.tiny_lm import train_tokenizer
from palaestra.types import Message, Trajectory

# what tokenizers of these families have as tokens
MARKS = re.compile(
    r"<\|[A-Za-z_]+\|>|</?s>|<\|?[a-z_]*turn\|?>|<end_of_utterance>|<｜[^｜<>]*｜>|</?think>|\[gMASK\]|<sop>"
    r'|<\|?/?tool_[a-z_]+\|?>|</?tool_[a-z]+>|\[/?[A-Z_]+\]|<\|"\|>'
)
WORDS = "Goal: craft dark oak planks. get 12 oak log inventory obs result These are the rules."
NUM_MESSAGES = 60
REFUSED = "refused:"


@dataclass(frozen=True)
class Found:
    """What a check found.

    Attributes:
        good: Dialogues that are as they should be.
        total: Dialogues.
        first: The first one that is not: the two texts where they part, or the template's refusal.
    """

    good: int
    total: int
    first: str = ""


def sources() -> dict[str, str]:
    """Return the templates of the installed TRL by name."""
    spec = find_spec("trl")
    folder = Path(str(spec.origin)).parent / "chat_templates" if spec else Path("absent")
    return {path.stem: path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.jinja"))}


def template_of(source: str) -> ChatTemplate:
    """Return a template with a small tokenizer that knows its marks, and whose end token is another than the template's."""
    tokenizer = train_tokenizer([WORDS] * 4)
    end = "</s>" if "eos_token" in source else "<|endoftext|>"
    tokenizer.add_special_tokens(
        {"additional_special_tokens": sorted({*MARKS.findall(source), end} - set(tokenizer.get_vocab()))}
    )
    tokenizer.eos_token = end
    tokenizer.chat_template = source
    return ChatTemplate(tokenizer)


def own_text(template: ChatTemplate, chat: list[dict[str, Any]], tools: Sequence[Any], *, generate: bool = False) -> str:
    """Return the template's own rendering of a dialogue; contents go in as parts where it wants that."""
    if template.face.takes_parts:
        chat = [{**message, "content": [{"type": "text", "text": message["content"]}]} for message in chat]
    return str(
        template.tokenizer.apply_chat_template(
            chat, tools=list(tools) or None, tokenize=False, add_generation_prompt=generate, bos_token=""
        )
    )


def cloned(template: ChatTemplate, episode: Trajectory) -> Found:
    """Compare the tokens that cloning sees, turn by turn, with the template's own text of the dialogue."""
    agent = LLMAgent(Dictation(template, max_context=10**6), format="tools" if episode.tools else "text")
    (found,), _ = tokenize([episode], agent, template, max_context=10**6)

    def compared() -> Iterator[tuple[str, str]]:
        for segment in found.segments:
            for span in segment.turns:
                ids = segment.ids[: span.end]
                own = own_text(template, chat_of(episode, span.turn + 1), episode.tools)
                # where a template ends a turn with nothing, the token that opens the next turn ends it
                own = own if template.closes_turns and not episode.tools else own + template.tokenizer.decode(ids[-1:])
                yield template.tokenizer.decode(ids), own

    return _counted(compared(), lambda seen, own: own.startswith(seen))


def read_back(template: ChatTemplate, episodes: Sequence[Trajectory]) -> Found:
    """Read the calls of cloned turns as they are read in play, and compare them with those that were dictated."""

    def compared() -> Iterator[tuple[str, str]]:
        agent = LLMAgent(Dictation(template, max_context=10**6), format="tools")
        for episode in episodes:
            (found,), _ = tokenize([episode], agent, template, max_context=10**6)
            for segment in found.segments:
                for span in segment.turns:
                    read = template.read(template.decode(segment.ids[span.start : span.end]), [GET])
                    wanted = episode.steps[span.turn].action
                    yield _calls(read), _calls(wanted)

    return _counted(compared(), str.__eq__)


def rows(template: ChatTemplate) -> Found:
    """Compare the rendering of data set rows with that of plain messages."""
    made = to_dataset(EPISODES).to_list()

    def compared() -> Iterator[tuple[str, str]]:
        for row, episode in zip(made, EPISODES, strict=True):
            texts = []
            for chat, tools in ((row["messages"], row["tools"]), (chat_of(episode), episode.tools)):
                try:
                    texts.append(own_text(template, chat, tools or ()))
                except Exception as error:  # templates raise errors of many kinds
                    texts.append(f"{REFUSED} {type(error).__name__}")
            yield texts[0], texts[1]

    return _counted(compared(), str.__eq__)


def shown(template: ChatTemplate, seed: int = 0) -> Found:
    """Render messages that our parser made of arbitrary text, and look for what was written."""

    def compared() -> Iterator[tuple[str, str]]:
        for number, message in enumerate(messages(NUM_MESSAGES, seed)):
            after = [
                Message("tool", f"result {n}", tool_call_id=one.id, name=one.name) for n, one in enumerate(message.tool_calls)
            ]
            tools = [GET] if number % 2 else []
            closing = after if after and number % 3 else [MORE]
            try:
                seen = str(template.tokenizer.decode(template.render([RULES, ASK, message, *closing], tools)))
            except ModelError as error:
                seen = f"{REFUSED} {error}"
            yield seen, _written(message)

    return _counted(compared(), _holds)


def continuing(template: ChatTemplate) -> Found:
    """Continue a turn, however it ended, and compare with the rendering of the longer dialogue, end tokens aside."""
    asked, more = Message("user", "obs0"), Message("user", "obs1")
    if template.continuation([more]) is None:
        return Found(0, 0)  # the dialogue is rendered again
    prompt = template.render([asked])
    whole = template.render([asked, Message("assistant", "get 1 oak log"), more])
    written = template.written_turn("get 1 oak log")

    def compared() -> Iterator[tuple[str, str]]:
        own, eos = written[-1], template.tokenizer.eos_token_id
        for ending, stop in (([own], "eos"), ([eos], "eos"), ([], "length")):
            ids = (*written[:-1], *ending)
            turn = finished_turn(template, Request((asked,)), prompt, ids, stop)  # type: ignore[arg-type]
            extended = extended_prompt(template, turn, Request((asked, turn.answer, more))) or ()
            if ending == [eos] and eos != own:  # what was sampled stays, and the template's own end follows
                cut = len(prompt) + len(ids)
                extended = (*extended[: cut - 1], *extended[cut:])
            yield template.tokenizer.decode(extended), template.tokenizer.decode(whole)

    return _counted(compared(), str.__eq__)


def row_of(name: str, template: ChatTemplate) -> dict[str, Any]:
    """Return everything that is found out about a template."""
    problem = template.face.tools_problem
    dialect = template.face.dialect
    native: dict[str, Any] = {"calls": None, "read_back": None}
    if not problem:
        native = {"calls": cloned(template, CALLS), "read_back": read_back(template, EPISODES[1:])}
    checks = {
        "cloned": cloned(template, TEXT),
        **native,
        "rows": rows(template),
        "shown": shown(template),
        "continuing": continuing(template),
    }
    decode = template.tokenizer.convert_ids_to_tokens
    return {
        "template": name,
        "syntax": "" if problem or dialect is None else dialect.name,
        "no_calls": problem,
        "end": "" if template.frame.end is None else decode(template.frame.end),
        "ends": sorted(decode(token) for token in template.end_ids),
        **{check: None if found is None else vars(found) for check, found in checks.items()},
    }


def _counted(pairs: Iterator[tuple[str, str]], is_good: Callable[[str, str], bool]) -> Found:
    """Count the pairs that are as they should be, and note where the first other one parts."""
    good = total = 0
    first = ""
    for seen, wanted in pairs:
        total += 1
        if is_good(seen, wanted):
            good += 1
        elif not first:
            place = next((i for i, pair in enumerate(zip(seen, wanted, strict=False)) if pair[0] != pair[1]), len(wanted))
            begin = max(0, place - 30)
            first = f"{seen[begin : place + 30]!r} for {wanted[begin : place + 30]!r}"
    return Found(good, total, first)


def _calls(message: Message) -> str:
    return json.dumps([[one.name, one.arguments] for one in message.tool_calls], sort_keys=True)


def _written(message: Message) -> str:
    """Return the words of a message that have to be found, as JSON, and those of its calls where these are shown as calls."""
    values = [
        str(value)
        for one in message.tool_calls
        if isinstance(one.arguments, dict)
        for value in [*one.arguments, *one.arguments.values()]
    ]
    return json.dumps({"text": written_text(message), "content": message.content, "values": values})


def _holds(text: str, wanted: str) -> bool:
    """Whether a rendered text holds what was written: word for word, or every word of it where calls are shown as calls."""
    if text.startswith(REFUSED):
        return False
    parts = json.loads(wanted)
    if parts["text"].replace("\\u003c", "<") in text.replace("\\u003c", "<"):  # tags in the JSON of calls may be escaped
        return True
    words = [
        (one, *(json.dumps(one, ensure_ascii=plain)[1:-1] for plain in (False, True)), *_quoted(one))
        for one in parts["values"]
    ]
    return bool(words) and parts["content"] in text and all(any(form in text for form in forms) for forms in words)


def _quoted(text: str) -> tuple[str, str, str]:
    """Return a text as it stands between single quotes, with and without tabs escaped, and as Python shows it."""
    quoted = text.translate({92: "\\\\", 10: "\\n", 39: "\\'"})
    return quoted, quoted.replace("\t", "\\t"), repr(text)[1:-1]


__all__ = ["Found", "cloned", "continuing", "read_back", "row_of", "rows", "shown", "sources", "template_of"]
