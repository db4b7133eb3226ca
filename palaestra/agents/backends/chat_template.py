"""From messages to token ids, by appending.

A `ChatTemplate` renders whole dialogues, and it renders *continuations*: the tokens that a new message adds behind what
the model has already written, starting at the end-of-turn token. A continuation never re-encodes sampled text. Whether
a template allows it (a longer dialogue begins with the text of the shorter one) is found out once per tokenizer by
rendering sample dialogues. Special tokens inside message contents are encoded as the plain text they are. In what form a
template takes messages, and how it writes calls of tools, `template_face.py` finds out in the same way.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any, Literal

from palaestra.agents.backends.template_face import (
    QUESTION,
    STAND_IN_CLOSE,
    STAND_IN_OPEN,
    TemplateFace,
    call_tokens,
    shared_length,
)
from palaestra.envs.formats.dialects import HARMONY, HERMES
from palaestra.envs.formats.hermes import THINK_CLOSE, THINK_OPEN, format_message
from palaestra.envs.formats.reasoning import is_tag, split_reasoning
from palaestra.errors import ModelError, UsageError
from palaestra.types import Json, Message

MessageKind = Literal["user", "tool"]

_ANALYSIS = "<|channel|>analysis<|message|>"
_MAX_ENCODED = 64  # whole prompts whose tokens are kept

# Private-use characters: no template writes them, and in contents they are marked like special tokens.
_OPEN, _CLOSE = "\ue0f0", "\ue0f1"
_PROBE_TEXT = "\ue0f2answer"
_PROBE_TOOL: Mapping[str, Json] = {
    "type": "function",
    "function": {"name": "probe", "description": "Probe.", "parameters": {"type": "object", "properties": {}}},
}


@dataclass(frozen=True, slots=True)
class Continuation:
    """What new messages add behind an assistant turn.

    Attributes:
        ids: Tokens, beginning with those that end the turn.
        closing: How many of them end the turn, up to the end-of-turn token; 0 if the template has none.
    """

    ids: tuple[int, ...]
    closing: int

    def after(self, ids: Sequence[int], *, ended: bool) -> tuple[int, ...]:
        """Return the tokens to append to a turn, so that the text is the template's.

        A turn that was ended otherwise than by the template (by the tokenizer's end token, say) keeps what was sampled, and
        the template's own end follows it.

        Args:
            ids: The turn, its end token included.
            ended: Whether its last token ends the turn.
        """
        is_own = ended and self.closing and ids and ids[-1] == self.ids[self.closing - 1]
        return self.ids[self.closing :] if is_own else self.ids


@dataclass(frozen=True, slots=True)
class TurnFrame:
    """What a template writes around the text of an assistant turn.

    Attributes:
        opening: Between the point where the assistant is to write and its text: nothing, a blank, an empty thought, a channel.
        closing: Between its text and the end-of-turn token.
        end: The token with which the turn ends; None if there is none at all.
    """

    opening: str
    closing: str
    end: int | None


class ChatTemplate:
    """Renders dialogues for one tokenizer.

    Args:
        tokenizer: A transformers tokenizer with a chat template.
        append_only: Continue by appending even where the template would rewrite earlier turns (some drop the reasoning
            of all but the last one). False renders such dialogues again, which opens a new token segment per turn.

    Raises:
        UsageError: If the tokenizer has no chat template.
    """

    def __init__(self, tokenizer: Any, *, append_only: bool = False) -> None:
        """Keep the tokenizer and the texts of its special tokens."""
        if not getattr(tokenizer, "chat_template", None):
            name = getattr(tokenizer, "name_or_path", "") or type(tokenizer).__name__
            raise UsageError(
                f"The tokenizer {name!r} has no chat template. Set tokenizer.chat_template, or use an instruction-tuned model."
            )
        self.tokenizer = tokenizer
        # the backend refuses prompts that are too long itself; the tokenizer's own warning would only alarm people
        getattr(tokenizer, "deprecation_warnings", {})["sequence-length-is-longer-than-the-specified-maximum"] = True
        self.append_only = append_only
        added: Mapping[int, Any] = getattr(tokenizer, "added_tokens_decoder", {})
        special = {str(token) for token in added.values() if getattr(token, "special", False)}
        special.update(str(token) for token in tokenizer.all_special_tokens)
        special.discard("")
        self._special_ids = frozenset(tokenizer.convert_tokens_to_ids(sorted(special)))
        # Longest first: a token may contain another one.
        own = [_OPEN, _CLOSE, _PROBE_TEXT[0], STAND_IN_OPEN, STAND_IN_CLOSE]
        marked = [*own, *sorted(special, key=lambda text: (-len(text), text))]
        self._marked = re.compile("|".join(map(re.escape, marked)))
        self._special = tuple(sorted(special))
        whole = sorted(special | set(map(str, added.values())) - {""}, key=lambda text: (-len(text), text))
        self._added = re.compile("|".join(map(re.escape, whole))) if whole else None
        # what a template adds to texts is an error where the tokenizer has no such token
        names = ("bos_token", "eos_token", "unk_token", "pad_token")
        self._no_tokens = {name: "" for name in names if getattr(tokenizer, name, None) is None}
        self.face = TemplateFace(self._rendered)
        self._continues: dict[tuple[MessageKind, bool], bool] = {}
        # the members of a group begin with one and the same prompt, and long texts take long
        self._encoded = lru_cache(maxsize=_MAX_ENCODED)(lambda text, literals: tuple(self.encode(text, literals)))

    @cached_property
    def end_ids(self) -> frozenset[int]:
        """Tokens at which sampling stops: the template's end of turn, the tokenizer's end token, the end of a call."""
        ids = {self.tokenizer.eos_token_id, self.frame.end, self._following_end("tool")} - {None}
        return frozenset(ids | self.call_end_ids)

    @cached_property
    def call_end_ids(self) -> frozenset[int]:
        """Tokens that end a turn which makes a call."""
        call = self.face.written_call.rstrip()
        return frozenset(self.tokenizer.convert_tokens_to_ids(token) for token in self._special if call.endswith(token))

    @cached_property
    def frame(self) -> TurnFrame:
        """What stands around an answer at the end of a dialogue.

        Where a template writes nothing behind it, the token that opens the next turn ends it; where that is not a single
        token, the tokenizer's end token does.
        """
        question = Message("user", "question")
        prompt = self._text([question], (), generate=True)
        before, _, after = self._text([question, Message("assistant", _PROBE_TEXT)], (), generate=False).rpartition(
            _PROBE_TEXT
        )
        shared = next((i for i, pair in enumerate(zip(prompt, before, strict=False)) if pair[0] != pair[1]), len(prompt))
        # a prompt that already holds more than the template shows later is all that the model is to see
        opening = before[shared:] if not prompt[shared:].strip() else ""
        closing, end = self._first_added(after)
        if end is not None and self.face.dialect is HARMONY and after.startswith("<|end|>"):  # which ends its thoughts too
            end = None
        if end is None:
            closing, end = "", self._following_end("user") if not after.strip() else None
        return TurnFrame(opening, closing, self.tokenizer.eos_token_id if end is None else end)

    def written_turn(self, text: str, *, asks: bool = False) -> tuple[int, ...]:
        """Tokenise an assistant turn as the template writes it, from where the assistant is to write to its end token.

        Args:
            text: What the assistant says; control tokens inside it are split up.
            asks: Whether results of tools come next.
        """
        frame = self.frame
        opening = frame.opening
        thought, rest = split_reasoning(text) if self.face.dialect is HARMONY else ("", text)
        if thought:  # a message of its own, on its own channel
            ids = [*self.encode(_ANALYSIS), *self._split(thought), *self.encode("<|end|><|start|>assistant")]
            return (*ids, *self.written_turn(rest, asks=asks))
        if opening.strip() and (split_reasoning(text)[0] or text.lstrip().startswith(opening.strip())):
            opening = ""  # it has thoughts of its own
        *_, head = self._added.split(opening) if self._added else (opening,)
        ids = self.encode(opening[: len(opening) - len(head)])
        if {THINK_OPEN, THINK_CLOSE} <= self._thought_tokens and text.startswith(THINK_OPEN) and THINK_CLOSE in text:
            thought, _, text = text.removeprefix(THINK_OPEN).partition(THINK_CLOSE)
            ids += [*self.encode(head + THINK_OPEN), *self._split(thought), *self.encode(THINK_CLOSE)]
            head = ""
        ids += self._split(head + text + frame.closing)
        end = self._following_end("tool") if asks and not self.closes_turns else None
        end = frame.end if end is None else end
        return tuple(ids) if end is None else (*ids, end)

    def _split(self, text: str) -> list[int]:
        """Encode a text in which special tokens are plain text."""
        encoded = self.tokenizer.encode(_well_formed(text), add_special_tokens=False, split_special_tokens=True)
        return list(encoded)

    def written_calls(self, action: Message, tools: Sequence[Mapping[str, Json]]) -> tuple[int, ...]:
        """Tokenise a turn that makes native calls as the template writes it, from where the assistant is to write to its end.

        Args:
            action: What is played; calls have names and arguments as objects.
            tools: The tools on offer.

        Returns:
            The tokens, of which `read` makes the same calls again, as it does in play; none where the template does not show
            these calls, or not so that they can be read. What is said and thought next to the calls stands before them if the
            template drops it, where a turn has no head of its own.
        """
        plain = replace(action, raw="", error="", name="")
        calls = [(call.name, call.arguments) for call in plain.tool_calls]
        readable: list[tuple[int, ...]] = []
        for message, before in self._ways_to_call(plain):
            if ids := self._call_turn(message, before, tools):
                found = self.read(self.decode(ids), tools)
                if [(call.name, call.arguments) for call in found.tool_calls] != calls:
                    continue
                said = [(found.content.strip(), plain.content.strip()), (found.reasoning.strip(), plain.reasoning.strip())]
                if all(read == meant for read, meant in said):
                    return ids
                if not before and all(read in ("", meant) for read, meant in said):  # dropped is better than taken for another
                    readable.append(ids)
        return readable[0] if readable else ()

    def _ways_to_call(self, action: Message) -> Iterator[tuple[Message, str]]:
        """Yield what to show the template of a turn with calls, and what to write before it."""
        yield action, ""
        alone = replace(action, content="", reasoning="")
        if action.reasoning and action.content:
            yield replace(action, content=""), ""
        if not self.frame.opening.strip():  # else a head stands before what is said, which calls do not have
            if action.reasoning and action.content:
                yield replace(action, reasoning=""), format_message(replace(action, tool_calls=(), content=""))
            yield alone, format_message(replace(action, tool_calls=()))
        yield alone, ""

    def _call_turn(self, message: Message, before: str, tools: Sequence[Mapping[str, Json]]) -> tuple[int, ...]:
        """Tokenise what the template shows of a turn with calls, after some text; nothing where it does not show the calls."""
        literals: list[str] = []
        [answer] = self._neutralise([message], literals)
        named = {call.name for call in message.tool_calls}
        # what else is on offer stands before the turn: rendering it would take long and change nothing
        given = [dict(tool) for tool in tools if tool.get("function", {}).get("name") in named] or [dict(_PROBE_TOOL)]
        shaped = self.face.shaped([Message("user", QUESTION), answer], has_tools=True, stand_ins=False, native=True)
        if "tool_calls" not in shaped.messages[-1]:
            return ()
        try:
            texts = [
                self._rendered(shaped.messages[:-1], given, True).rpartition(QUESTION)[2],
                self._rendered(shaped.messages, given, False).rpartition(QUESTION)[2],
            ]
        except Exception:  # templates raise errors of many kinds
            return ()
        before = before if not before or before.endswith("\n") else f"{before}\n"
        written = before + texts[1][shared_length(*texts) :]
        ids = self.encode(written, literals)
        length = next((number for number, token in enumerate(ids, start=1) if token in self.end_ids), 0)
        if length:
            return tuple(ids[:length])
        end = self._following_end("tool") if not self.closes_turns else None
        end = self.frame.end if end is None else end
        return tuple(ids) if end is None else (*ids, end)

    @cached_property
    def opens_thought(self) -> bool:
        """Whether the prompt opens a thought, so that an answer begins in the middle of one."""
        prompt = self._text([Message("user", "question")], (), generate=True)
        end = prompt.rpartition("question")[2]  # what stands before it may speak of thoughts
        return split_reasoning(f"{end}<call>")[0].endswith("<call>")

    @cached_property
    def closes_turns(self) -> bool:
        """Whether the template writes something behind the last answer."""
        return bool(self._after_answer([], ()).strip())

    def _following_end(self, kind: MessageKind) -> int | None:
        """Return the token that opens a turn behind an answer, for a template that writes none to end it."""
        if self.closes_turns or (kind == "tool" and not self.face.follows_text(True)):
            return None
        new = Message("tool", "result", tool_call_id="call_0", name="probe") if kind == "tool" else Message("user", "more")
        try:
            before, token = self._first_added(self._after_answer([new], (_PROBE_TOOL,) if kind == "tool" else ()))
        except ModelError:
            return None
        return token if not before.strip() else None

    def _first_added(self, text: str) -> tuple[str, int | None]:
        """Return what stands before the first token that is not ordinary text, and that token."""
        found = self._added.search(text) if self._added else None
        return (text, None) if found is None else (text[: found.start()], self.tokenizer.convert_tokens_to_ids(found.group()))

    @cached_property
    def _call_tokens(self) -> frozenset[str]:
        """Special tokens of the syntax of calls: they are part of what a model writes."""
        if self.face.dialect is None:
            return frozenset()
        # between a thought and a call gpt-oss ends one message and begins another
        between = frozenset(self._special) & {"<|end|>", "<|start|>"} if self.face.dialect is HARMONY else frozenset()
        return call_tokens(self.face.written_call, self._special) | between

    @cached_property
    def _dropped_ids(self) -> frozenset[int]:
        """Tokens that no decoded text shows: roles, ends, padding."""
        kept = set(self.tokenizer.convert_tokens_to_ids(sorted({*self._call_tokens, *self._thought_tokens})))
        return (self._special_ids - kept) | self.end_ids

    @cached_property
    def _thought_tokens(self) -> frozenset[str]:
        """Special tokens between which a model thinks: without them its thoughts would be taken for its answer."""
        return frozenset(token for token in self._special if is_tag(token))

    def check_tools(self) -> None:
        """Refuse to offer tools through a template that cannot show them, or whose calls could not be read.

        Raises:
            UsageError: With what is missing, and the formats that work.
        """
        if problem := self.face.tools_problem:
            name = getattr(self.tokenizer, "name_or_path", "") or type(self.tokenizer).__name__
            raise UsageError(
                f"The chat template of {name!r} cannot be used for native calls of tools: {problem}. Use format='react' or "
                "format='hermes', which explain tools and calls in the text."
            )

    def read(self, text: str, tools: Sequence[Mapping[str, Json]]) -> Message:
        """Return the message that a sampled text stands for, its calls read in the syntax that the template teaches.

        Args:
            text: What was sampled.
            tools: The tools that were offered.
        """
        dialect = self.face.dialect or HERMES
        reasoning, written = split_reasoning(text)
        if dialect is HARMONY and reasoning:
            written = written.removeprefix("<|start|>assistant")
        if dialect is HERMES:
            answer = HERMES.parse(text, tools)
            canonical = format_message(replace(answer, reasoning="")) if answer.tool_calls else answer.content
        else:
            answer = replace(dialect.parse(written, tools), reasoning=reasoning)
            canonical = answer.content
        error = dialect.advice(answer.tool_calls)
        return replace(answer, raw="" if canonical == written else written, error=error)

    def render(self, messages: Sequence[Message], tools: Sequence[Mapping[str, Json]] = ()) -> tuple[int, ...]:
        """Tokenise a whole dialogue up to the point where the assistant is to write.

        Args:
            messages: The dialogue, oldest first.
            tools: OpenAI function schemas shown to the model.

        Raises:
            ModelError: If the template refuses the dialogue.
        """
        literals: list[str] = []
        text = self._text(self._neutralise(messages, literals), self._neutralise_json(tools, literals), generate=True)
        return self._encoded(text, tuple(literals))

    def continuation(self, messages: Sequence[Message], tools: Sequence[Mapping[str, Json]] = ()) -> Continuation | None:
        """Tokenise what `messages` add behind an assistant turn, up to the next point where the assistant is to write.

        Args:
            messages: The new messages, "user" or "tool" only.
            tools: The tools that the dialogue began with.

        Returns:
            The tokens to append, or None if this template or these messages need a fresh rendering.
        """
        if not messages:
            return None
        kinds: set[MessageKind] = set()
        for message in messages:
            if message.role != "user" and message.role != "tool":
                return None
            kinds.add(message.role)
        if not all(self._can_continue(kind, bool(tools)) for kind in sorted(kinds)):
            return None
        literals: list[str] = []
        # Tools stand before the sample answer, so their contents do not matter here.
        text = self._after_answer(self._neutralise(messages, literals), (_PROBE_TOOL,) if tools else ())
        ids = self.encode(text, literals)
        return Continuation(tuple(ids), self._closing_length(ids))

    def _closing_length(self, ids: Sequence[int]) -> int:
        """Return how many of the tokens behind an answer end its turn."""
        before = len(self.encode(self.frame.closing))
        return before + 1 if len(ids) > before and ids[before] in self.end_ids else 0

    def encode(self, text: str, literals: Sequence[str] = ()) -> list[int]:
        """Encode rendered text; marked literals become plain text, everything else may hold special tokens."""
        if not literals:
            return list(self.tokenizer.encode(_well_formed(text), add_special_tokens=False)) if text else []
        ids: list[int] = []
        head, *rest = text.split(_OPEN)
        ids += self.encode(head)
        for piece in rest:
            number, _, tail = piece.partition(_CLOSE)
            ids += self._encode_literal(literals[int(number)])
            ids += self.encode(tail)
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """Turn sampled tokens into text; control tokens (roles, ends, padding) are left out."""
        dropped = self._dropped_ids
        kept = [token for token in ids if token not in dropped]
        return str(self.tokenizer.decode(kept, skip_special_tokens=False, clean_up_tokenization_spaces=False))

    def _encode_literal(self, text: str) -> list[int]:
        """Encode the text of a special token so that it is not one."""
        ids = list(self.tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True))
        if not self._special_ids.isdisjoint(ids):
            # The tokenizer knows no such switch; halves of a special token are none.
            middle = max(1, len(text) // 2)
            ids = [*self.encode(text[:middle]), *self.encode(text[middle:])]
        if not self._special_ids.isdisjoint(ids):
            raise ModelError(f"A message holds {text!r}, which this tokenizer cannot encode as plain text. Remove it.")
        return ids

    def _neutralise(self, messages: Sequence[Message], literals: list[str]) -> list[Message]:
        """Replace special tokens in messages by marked numbers; the texts replaced go to `literals`."""
        neutral = []
        for message in messages:
            data = message.to_json()
            data.pop("provider", None)  # for servers; no template shows it
            if self._marked.search(message.content) or len(data) > 2:
                raw = "" if message.role != "assistant" else self._neutralise_text(message.raw, literals, self._call_tokens)
                data = {**self._neutralise_json({**data, "raw": ""}, literals), "role": message.role, "raw": raw}
                message = Message.from_json(data)
            neutral.append(message)
        return neutral

    def _neutralise_json(self, value: Json, literals: list[str]) -> Json:
        """Like `_neutralise` for all texts inside JSON data."""
        if isinstance(value, str):
            return self._neutralise_text(value, literals)
        if isinstance(value, Mapping):
            return {self._neutralise_json(str(k), literals): self._neutralise_json(v, literals) for k, v in value.items()}
        if isinstance(value, (list, tuple)):
            return [self._neutralise_json(item, literals) for item in value]
        return value

    def _neutralise_text(self, text: str, literals: list[str], kept: frozenset[str] = frozenset()) -> str:
        """Like `_neutralise` for one text, except for some special tokens."""

        def mark(match: re.Match[str]) -> str:
            if match.group() in kept:
                return match.group()
            literals.append(match.group())
            return f"{_OPEN}{len(literals) - 1}{_CLOSE}"

        return self._marked.sub(mark, text)

    def _after_answer(self, messages: Sequence[Message], tools: Sequence[Mapping[str, Json]]) -> str:
        """Render sample dialogue + `messages`, and return what stands behind the sample's answer."""
        sample = [Message("user", "question"), Message("assistant", _PROBE_TEXT)]
        text = self._text([*sample, *messages], tools, generate=bool(messages))
        return text.rpartition(_PROBE_TEXT)[2]

    def _can_continue(self, kind: MessageKind, has_tools: bool) -> bool:
        """Say whether the template only appends when a message of this kind comes; found out once."""
        key = (kind, has_tools)
        if key not in self._continues:
            self._continues[key] = self._probe(kind, (_PROBE_TOOL,) if has_tools else ())
        return self._continues[key]

    def _probe(self, kind: MessageKind, tools: Sequence[Mapping[str, Json]]) -> bool:
        """Compare renderings of a sample dialogue before and after a message of one kind."""
        first = [Message("system", "rules"), Message("user", "question")]
        answer = Message("assistant", _PROBE_TEXT)
        new = Message("tool", "result", tool_call_id="call_0", name="probe") if kind == "tool" else Message("user", "more")
        if kind == "tool" and not self.face.follows_text(bool(tools)):
            return False
        try:
            prompt = self._text(first, tools, generate=True)
            answered = self._text([*first, answer], tools, generate=False)
            longer = self._text([*first, answer, new], tools, generate=True)
            later = self._text([*first, answer, new, Message("assistant", "b"), Message("user", "c")], tools, generate=True)
            split = self._after_answer([new], tools)
        except ModelError:
            return False
        if _PROBE_TEXT not in longer or longer.rpartition(_PROBE_TEXT)[2] != split:
            return False
        if self.append_only:
            return True
        before = prompt + _PROBE_TEXT
        return answered.startswith(before) and longer.startswith(answered) and later.startswith(longer)

    def _text(self, messages: Sequence[Message], tools: Sequence[Mapping[str, Json]], *, generate: bool) -> str:
        """Render to text that shows every message.

        What the model wrote stands in it as it wrote it, whatever the template would make of it: a form of the dialogue that
        it does not take or show in full is followed by the next one.
        """
        refusal: Exception | None = None
        incomplete = ""
        given = [dict(tool) for tool in tools]
        forms = [(False, True, True), (True, True, True), (True, False, True)]
        if any(message.raw and message.tool_calls for message in messages):  # as calls, if that says the same word for word
            forms.insert(0, (False, True, False))
        for stand_ins, native, verbatim in forms:
            shaped = self.face.shaped(messages, has_tools=bool(tools), stand_ins=stand_ins, native=native, verbatim=verbatim)
            try:
                text = self._rendered(shaped.messages, given, generate)
            except Exception as error:  # templates raise jinja2 errors of many kinds
                refusal = refusal or error
                continue
            if shaped.holds(text):
                return shaped.finish(text)
            incomplete = incomplete or shaped.finish(text)
        if incomplete:
            return incomplete
        raise ModelError(f"The chat template refused a dialogue of {len(messages)} messages: {refusal}") from refusal

    def _rendered(self, messages: list[dict[str, Json]], tools: list[dict[str, Json]], generate: bool) -> str:
        """Render messages in the form that templates take."""
        return str(
            self.tokenizer.apply_chat_template(
                messages, tools=tools or None, tokenize=False, add_generation_prompt=generate, **self._no_tokens
            )
        )


class Templated:
    """What a backend that renders dialogues itself can say of them, by its chat template.

    Attributes:
        template: The chat template of its tokenizer.
    """

    template: ChatTemplate

    @property
    def native_tools(self) -> bool:
        """Whether tools can be offered as function schemas: the chat template shows them, and its calls can be read."""
        return not self.template.face.tools_problem

    def check_tools(self) -> None:
        """Refuse tools before the first request where they cannot be offered.

        Raises:
            UsageError: With what the chat template lacks, and the formats that work.
        """
        self.template.check_tools()

    def count_tokens(self, messages: Sequence[Message]) -> int:
        """Return the length in tokens of a dialogue, rendered again."""
        return len(self.template.render(messages))


def _well_formed(text: str) -> str:
    """Return a text without halves of surrogate pairs, which no tokenizer takes: whole pairs joined, others replaced."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
