"""`LLMAgent`: a backend, a prompt format and a context policy make an agent."""

from __future__ import annotations

import copy
import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, Literal, Self

import gymnasium

from palaestra.agents.context import ContextPolicy, estimate_tokens
from palaestra.agents.core import Agent, AgentRecord, Backend, Request, Sampling, session_seed
from palaestra.agents.endings import ADVICE, EMPTY, announces_call, check_ending, cut_answer, is_cut, is_empty, unknown_reason
from palaestra.agents.formats import Format, choose, make_format
from palaestra.agents.ranges import check_range
from palaestra.agents.segments import SegmentBuilder
from palaestra.envs.formats.action_format import ActionFormat
from palaestra.envs.formats.hermes import ensure_call_ids, format_message
from palaestra.envs.formats.reasoning import without_reasoning
from palaestra.errors import ConfigError, EpisodeStateError, ModelError, UnsupportedMediaError, UsageError
from palaestra.media.items import MARK
from palaestra.media.store import current_media, read_known_tags
from palaestra.types import Json, Message, Usage, plain


class LLMAgent(Agent):
    """Plays by asking a language model.

    Args:
        backend: The model.
        format: "auto", "text", "react", "tools", "json", "code", "hermes", a `Format`, or a form of `palaestra.envs.formats`.
        sampling: How the model writes. A seed is mixed with episode and turn, so that no two requests share one; without one,
            the seed of a request follows from episode and turn alone.
        context: What to do when the dialogue outgrows the window.
        system_prompt: Put before the environment's instructions.
        instructions_as: "system" message, "user" for models that know no system role, or "none" for a policy that has
            learned the environment's instructions and is not shown them.
        media: "send" shows the model the sounds and pictures that observations name, and is an error where its backend cannot;
            "text" shows their tags as they are, and takes tags that it writes for what they name.
        cut: "refuse" plays nothing of an answer that was cut off by a limit, and tells the model so; "play" plays what there
            is of it, for policies that have to learn first where an answer ends. The tokens that were sampled are kept.
        name: Shown in reports; the backend's name by default.
    """

    def __init__(
        self,
        backend: Backend,
        *,
        format: str | Format | ActionFormat = "auto",
        sampling: Sampling | None = None,
        context: ContextPolicy | None = None,
        system_prompt: str = "",
        instructions_as: Literal["system", "user", "none"] = "system",
        media: Literal["send", "text"] = "send",
        cut: Literal["refuse", "play"] = "refuse",
        name: str = "",
    ) -> None:
        """Keep the parts; nothing is asked yet."""
        self.backend = backend
        self.format = make_format(format)
        self.sampling = _checked(sampling or Sampling())
        self.context = context or ContextPolicy()
        self.system_prompt = system_prompt
        if instructions_as not in ("system", "user", "none"):
            raise ConfigError(f"instructions_as is {instructions_as!r}; expected 'system', 'user' or 'none'.")
        self.instructions_as = instructions_as
        if media not in ("send", "text"):
            raise ConfigError(f"media is {media!r}; expected 'send' or 'text'.")
        self.media = media
        if cut not in ("refuse", "play"):
            raise ConfigError(f"cut is {cut!r}; expected 'refuse' or 'play'.")
        self.cut = cut
        self.name = name or backend.name
        self._history: list[Message] | None = None
        self._begin_episode("")

    def _begin_episode(self, session: str) -> None:
        """Forget the last episode."""
        self._session = session
        self._is_seated = False
        self._tools: tuple[Mapping[str, Json], ...] = ()
        self._transient: tuple[str, ...] = ()
        self._active: Format = self.format
        self._opening = ""
        self._played: Message | None = None
        self._prior: tuple[str, Sequence[Mapping[str, Any]]] = ("", ())
        self._turn = 0
        self._usage = Usage()
        self._segments = SegmentBuilder()

    def reset(self, info: Mapping[str, Any], *, env: gymnasium.Env[Any, Any] | None = None, session: str = "") -> None:
        """Open a dialogue with the environment's instructions and the format's.

        Raises:
            UsageError: If the format does not suit the environment, or the backend cannot offer its tools.
            UnsupportedMediaError: If the instructions show what the backend does not take.
        """
        del env
        self._begin_episode(session)
        self._is_seated = "seat" in info and "private" in info  # as `Seats` tells it; others may have a `step` of their own
        self._tools = tuple(info.get("tools") or ())
        self._active = choose(
            self.format, self._tools, info.get("format") or "", native=getattr(self.backend, "native_tools", True)
        )
        if self._active.native_tools and (check := getattr(self.backend, "check_tools", None)) is not None:
            check()
        self._transient = tuple(info.get("transient") or ())
        if info.get("history"):  # what was played before the agent took over (see `InjectErrors`), in turns
            self._prior = (str(info.get("opening", "")), info["history"])
        instructions = "" if self.instructions_as == "none" else info.get("instructions") or ""
        parts = (self.system_prompt, instructions, self._active.describe(self._tools))
        self._opening = "\n\n".join(part.strip() for part in parts if part.strip())
        system = self._opening and self.instructions_as != "user"
        self._history = self._shown([Message.of_text("system", self._opening)]) if system else []

    async def aact(self, observation: str, info: Mapping[str, Any]) -> Message:
        """Show the observation to the model and read its answer.

        Raises:
            ModelError: If the backend failed.
            UnsupportedMediaError: If the observation shows what the backend does not take.
        """
        history = self._history
        if history is None:
            raise EpisodeStateError("act() was called before reset(info); reset the agent with the info of env.reset().")
        if self._played is None and self.instructions_as == "user" and self._opening:
            observation = f"{self._opening}\n\n{observation}"
        if (instead := _played_instead(info)) is not None and self._played is not None:
            self._played, history[-1] = instead, self._as_written(instead)
        if "tools" in info:  # the environment offers other ones from now on
            self._tools = tuple(info["tools"] or ())
        if self._played is None and self._prior[1]:
            history += self._shown(self._prior_turns())
        else:
            history += self._shown(self._active.show(self._played, observation, info))
        request = Request(
            messages=self.context.fit(
                self.context.current(history, self._transient), getattr(self.backend, "count_tokens", estimate_tokens)
            ),
            tools=self._tools if self._active.native_tools else (),
            sampling=self._turn_sampling(),
            session=self._session,
            turn=self._turn,
        )
        started = time.perf_counter()
        try:
            generation = check_ending(await self.backend.generate(request), self.backend.name)
        except ModelError as error:
            if error.usage is not None:  # an answer that was blocked or broke off is paid for
                self._usage += error.usage.timed(0.0, error.usage.env_s)
            raise
        self._usage += generation.usage.timed(time.perf_counter() - started, generation.usage.env_s)
        if generation.tokens is not None:
            self._segments.add(generation.tokens, info["step"] if self._is_seated else self._turn)
        answer = without_reasoning(generation.message)
        written = answer
        if self.media == "text" and MARK in answer.content:
            content, media = read_known_tags(answer.content)
            answer = replace(answer, content=content, media=media)
        played, written = self._read(answer, written, generation.finish_reason)
        history.append(written)
        self._played = played
        self._turn += 1
        return played

    @property
    def version(self) -> str:
        """A digest of everything that the agent's answers follow from in addition to the backend's weights."""
        settings = [self.backend.name, self.format.name, self.system_prompt, self.instructions_as, self.media]
        settings += ["cut=play"] if self.cut == "play" else []
        text = json.dumps([*settings, plain(asdict(self.sampling)), plain(asdict(self.context))], sort_keys=True)
        return hashlib.blake2b(text.encode("utf-8", "backslashreplace"), digest_size=6).hexdigest()

    def shaped_by(self) -> dict[str, Json]:
        """Return model, prompt, format, sampling and context, and the options that the backend was made with."""
        told = getattr(self.backend, "shaped_by", None)
        return {
            "model": self.backend.name,
            "backend": told() if callable(told) else {},
            "format": self.format.name,
            "system_prompt": self.system_prompt,
            "instructions_as": self.instructions_as,
            "media": self.media,
            "cut": self.cut,
            "sampling": plain(asdict(self.sampling)),
            "context": plain(asdict(self.context)),
        }

    def record(self) -> AgentRecord:
        """Return usage and tokens of the current episode."""
        return AgentRecord(self._usage, self._segments.segments())

    def fork(self) -> Self:
        """Return an agent for another episode on the same backend."""
        twin = copy.copy(self)
        twin._history = None
        twin._begin_episode("")
        return twin

    async def aclose(self) -> None:
        """Close the backend."""
        await self.backend.aclose()

    def _read(self, answer: Message, written: Message, finish_reason: str) -> tuple[Message, Message]:
        """Return what is played for an answer, and what the dialogue keeps of it.

        The dialogue keeps what the model wrote, its reasoning apart; with native calls, as they were played (ids filled in).
        """
        if is_cut(finish_reason) and self.cut == "refuse":
            played = cut_answer(answer)
            # a call with an id would have to be answered, and none is run
            return played, played if any(call.id for call in written.tool_calls) else written
        played = self._active.read(answer, self._tools)
        if announces_call(finish_reason) and self._tools and not (played.tool_calls or played.error):
            # words before a call that the server has lost are no final answer
            played = replace(played, content="", raw=played.raw or played.content, error=ADVICE, media=())
        elif is_empty(played):  # a token that ends turns is not a final answer
            played = replace(played, content="" if played.content.strip() else played.content, finish_reason=EMPTY)
        elif unknown := unknown_reason(finish_reason):
            played = replace(played, finish_reason=unknown)
        return played, played if self._active.native_tools else written

    def _prior_turns(self) -> list[Message]:
        """Return the dialogue before the agent took over, as if it had been its own."""
        opening, turns = self._prior
        if self.instructions_as == "user" and self._opening:
            opening = f"{self._opening}\n\n{opening}"
        messages = self._active.show(None, opening, {})
        for number, turn in enumerate(turns):
            played = Message.from_json(turn["message"])
            played = ensure_call_ids(played, f"prior_{number}") if self._active.native_tools else played
            shown = self._active.show(played, str(turn["observation"]), {"tool_results": turn.get("results", ())})
            messages += [self._as_written(played), *shown]
        return messages

    def _as_written(self, played: Message) -> Message:
        """Return the message that the dialogue keeps for one that was played instead of the model's own."""
        if self._active.native_tools:
            return played
        try:
            return Message.of_text("assistant", self._active.write(played, self._tools))
        except UsageError:  # the form cannot say it, as a tool that does not exist cannot be said as a command
            return Message.of_text("assistant", format_message(played))

    def _shown(self, messages: list[Message]) -> list[Message]:
        """Return messages as the backend takes them, or refuse what it cannot show."""
        for message in messages:
            if message.media:
                return self._shown_media(messages)
        return messages

    def _shown_media(self, messages: list[Message]) -> list[Message]:
        """Do what the setting says with messages that name media."""
        if self.media == "text":
            return [replace(message, media=()) for message in messages]
        if not getattr(self.backend, "takes_media", False):
            for media in [media for message in messages for media in message.media if current_media().holds(media)]:
                raise UnsupportedMediaError(
                    f"The environment shows an {media.kind} ({media.type}), and the backend {self.backend.name!r} takes text "
                    f"only. Use a model behind an OpenAI-compatible server that takes it, or the option media='text', which "
                    f"shows tags."
                )
        return messages

    def _turn_sampling(self) -> Sampling:
        """Return the sampling of this turn, with a seed of its own."""
        if self.sampling.seed is None:
            return self.sampling
        return replace(self.sampling, seed=session_seed(self.sampling.seed, self._session, self._turn))


def _played_instead(info: Mapping[str, Any]) -> Message | None:
    """Return the message that an environment played instead of the agent's own (see `InjectErrors`), None if it did not."""
    injection = info.get("injection")
    played = injection.get("played") if isinstance(injection, Mapping) else None
    return Message.from_json(played) if isinstance(played, Mapping) else None


def _checked(sampling: Sampling) -> Sampling:
    """Return a sampling if its numbers mean something; servers refuse others one episode after the other."""
    check_range("temperature", sampling.temperature)
    check_range("top_p", sampling.top_p, above=True, high=1)
    check_range("max_tokens", sampling.max_tokens, low=1, whole=True, optional="the server's limit")
    check_range("seed", sampling.seed, low=-(2**63), high=2**63 - 1, whole=True, optional="none")
    return sampling
