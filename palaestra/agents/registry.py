"""Agents by text: "random", "nothing", "expert", "human", a model string, `module:Name`, or an installed package's name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any

from palaestra.agents.context import ContextPolicy
from palaestra.agents.core import Agent, Sampling
from palaestra.agents.from_module import load_agent, names_a_module, plugin_agents
from palaestra.agents.llm import LLMAgent
from palaestra.agents.masking import masked_errors, remember_secrets
from palaestra.agents.reference import ExpertAgent, HumanAgent, NothingAgent, RandomAgent
from palaestra.agents.unknown_agents import unknown_agent, unknown_target
from palaestra.errors import ConfigError, UsageError

REFERENCE_AGENTS: dict[str, Callable[..., Agent]] = {
    "random": RandomAgent,
    "nothing": NothingAgent,
    "expert": ExpertAgent,
    "human": HumanAgent,
}

_AGENT_OPTIONS = ("format", "system_prompt", "instructions_as", "media", "cut", "name")
_SAMPLING_OPTIONS = tuple(field.name for field in fields(Sampling))
_CONTEXT_OPTIONS = {
    "max_context": "max_tokens",
    "context_strategy": "strategy",
    "keep_turns": "keep_turns",
    "transient": "transient",
}


def list_agents() -> list[str]:
    """Return the names of agents that can be used here, those of installed packages included."""
    return sorted({*REFERENCE_AGENTS, *plugin_agents()})


def takes_options(spec: str) -> bool:
    """Whether the command line passes options to an agent: to models and agents of one's own, not to reference agents."""
    return spec not in REFERENCE_AGENTS


def is_model(spec: str) -> bool:
    """Whether a text names a model behind a backend, for which retries, limits and prices mean something."""
    from palaestra.agents.backends.registry import list_backends

    scheme, colon, _ = spec.partition(":")
    return bool(colon) and (scheme in list_backends() or not names_a_module(spec))


def make_agent(spec: str, **options: Any) -> Agent:
    """Build an agent from one string.

    Args:
        spec: "random", "nothing", "expert", "human"; a model string such as "openai:NAME", "http://host:port/v1#NAME",
            "hf:PATH", "scripted:FILE"; `module:Name` of a class, an instance or a function of one's own, the module from the
            working directory too; or a name in the entry-point group `palaestra.agents` of an installed package.
        **options: For reference agents and classes of one's own their own arguments. For models: `format`, `system_prompt`,
            `instructions_as`, `media`, `cut`, `name`; the fields of `Sampling`; `max_context`, `context_strategy`,
            `keep_turns`, `transient`; all else goes to `make_backend`.

    Raises:
        UsageError: If the string or an option means nothing.
    """
    if not isinstance(spec, str):
        raise UsageError(
            f"make_agent got a {type(spec).__name__}; expected a text such as 'random' or 'openai:NAME'. An Agent is given to "
            f"evaluate() as it is."
        )
    if spec in REFERENCE_AGENTS:
        try:
            return REFERENCE_AGENTS[spec](**options)
        except TypeError as error:
            raise ConfigError(f"Agent {spec!r} does not take these options ({error}); leave them out.") from None
    if ":" not in spec:
        plugins = plugin_agents()
        if spec in plugins:
            return load_agent(plugins[spec], options)
        from palaestra.agents.backends.registry import list_backends

        if spec not in list_backends() and names_a_module(f"{spec}:agent"):
            raise UsageError(
                f"{spec!r} is the name of a module, not of an agent. Name what plays in it: {spec}:NAME, a class, an instance "
                f"or a function (observation, info)."
            )
        raise unknown_agent(spec, [*REFERENCE_AGENTS, *sorted(plugins)], list_backends())
    if not is_model(spec):
        return load_agent(spec, options)
    from palaestra.agents.backends.registry import list_backends, make_backend

    known = list_backends()
    if spec.partition(":")[0] not in known:
        remember_secrets(spec, options)
        with masked_errors():
            if (unknown := unknown_target(spec, known)) is not None:
                raise unknown
    own = {key: options.pop(key) for key in _AGENT_OPTIONS if key in options}
    sampling = {key: options.pop(key) for key in _SAMPLING_OPTIONS if key in options}
    context = {field: options.pop(key) for key, field in _CONTEXT_OPTIONS.items() if key in options}
    if "stop" in sampling:
        sampling["stop"] = tuple(sampling["stop"])
    return LLMAgent(make_backend(spec, **options), sampling=Sampling(**sampling), context=ContextPolicy(**context), **own)
