"""The expert of an episode with an error: the environment's own, which repeats, skips or reports as the case asks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from palaestra.envs.core.command_env import CommandEnv
from palaestra.envs.wrappers.injection.critique import critique_call, critique_text
from palaestra.envs.wrappers.injection.episode import Injection
from palaestra.envs.wrappers.injection.grading import MAX_RETRIES
from palaestra.envs.wrappers.injection.reading import read_action
from palaestra.envs.wrappers.injection.turn import Host
from palaestra.envs.wrappers.text_wrapper import Action
from palaestra.types import Message


def recovering(host: Host, ask: Callable[..., Iterator[Action]], seat: tuple[str, ...]) -> Iterator[Action]:
    """Yield the environment's own expert's actions, and after an error those that recover from it.

    A call that failed, or a wrong call that changed nothing, is repeated as it was meant, at most three times; then the plan
    goes on without it, and the last message says so. A wrong call that went through may have changed anything: the
    environment's expert is asked again, from where things stand.

    Args:
        host: The wrapper.
        ask: `expert` of the wrapped environment.
        seat: Arguments of `ask`.
    """
    if _is_struck(host.injection):
        yield from _mended(host)
    while True:
        for action in ask(*seat):
            yield _said(host, action)
            if _is_struck(host.injection):
                is_changed = _is_changed(host.injection)
                yield from _mended(host)
                if is_changed:
                    break
        else:
            return


def _mended(host: Host) -> Iterator[Action]:
    """Yield the right call until it goes through or has been repeated often enough; nothing if a wrong one had its effect."""
    if _is_changed(host.injection):
        return
    for _ in range(MAX_RETRIES):
        injection = host.injection
        if injection is None or injection.right_call is None:
            return
        if injection.turn_failed != injection.turn and not _is_struck(injection):
            return
        yield _said(host, Message("assistant", tool_calls=(injection.right_call,)))


def _is_struck(injection: Injection | None) -> bool:
    """Whether the last action met with an error."""
    return injection is not None and injection.record is not None and injection.turn == injection.turn_injected


def _is_changed(injection: Injection | None) -> bool:
    """Whether the error was a wrong call that may have had an effect."""
    return injection is not None and injection.record is not None and bool(injection.record.get("changed"))


def _said(host: Host, action: Action) -> Action:
    """Return an action with the critique of the last step, and with what could not be done if it is the last."""
    injection = host.injection
    if injection is None or injection.record is None:
        return action
    reports = host.critique is not None and injection.is_open and injection.family == "internal"
    message = read_action(host.env.unwrapped, action, host.schemas)
    if message is None:
        return action
    label = str(injection.record["label"])
    if reports and host.report_tool and message.tool_calls:
        return replace(message, tool_calls=(critique_call(host.report_tool, label), *message.tool_calls))
    if reports and host.critique == "text":
        return replace(message, content=f"{critique_text(label)}\n{message.content}".strip())
    is_missing = injection.left != 0 and injection.family == "external"
    if is_missing and not message.tool_calls and not isinstance(host.env.unwrapped, CommandEnv) and injection.gold:
        name = injection.gold["name"]
        return replace(message, content=f"The call of {name} kept failing and was not carried out. {message.content}".strip())
    return action


__all__ = ["recovering"]
