"""A server that samples the training episodes, while the trainer keeps the weights: the table `[sampler]` of a recipe.

    policy (trained here) --files--> folder of the server --reload--> server --ids and log-probs--> episodes --> update
          ^                                                                                                      |
          '------------------------------------------------------------------------------------------------------'

`ServerSampler` follows a policy. Whenever its weights have changed since the server read them, `refresh` writes them to the
folder that the server was started from, asks the server to read it again, and the tokens that come after carry the new
version. The first refresh of a process and of each phase also compares the two, token by token (`VLLMBackend.probe`): so a
resumed run begins by giving the server the weights of its checkpoint and by looking whether it really has them.

A server that fails gives episodes that ended in an error and have no score. Where all episodes of a step do, or where the
server does not take new weights, training stops, with the last checkpoint behind it.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from palaestra.agents.backends.endpoint import check_url
from palaestra.agents.ranges import MAX_SECONDS
from palaestra.algorithms.config import MOST_CONNECTIONS, MOST_COUNTED, Config
from palaestra.errors import ConfigError, ModelError, StoreError, TrainingStopped, UsageError
from palaestra.types import Json, Trajectory

_SHAPE = ("model_type", "hidden_size", "num_hidden_layers", "num_attention_heads", "vocab_size")
_DRAFT = ".palaestra-draft"

PLACES = frozenset(
    {"url", "model", "weights", "reload", "session_header", "api_key_env", "retries", "timeout_s", "max_connections"}
)
"""Keys that say where the server is: a resumed run may find it elsewhere."""


class SamplerConfig(Config):
    """`[sampler]`: a vLLM server samples the training episodes."""

    url: str
    """Where the server is, up to and including /v1."""
    model: str = Field(min_length=1)
    """The server's name of the model (`--served-model-name`)."""
    weights: str = Field(min_length=1)
    """Model folder that the server was started from; it is written after every update."""
    reload: tuple[tuple[str, dict[str, Any]], ...] | None = None
    """Requests that make the server read its weights again, `[["/path", {key = "value"}], ...]`, with "{path}" and "{version}"
    filled in; None is what vLLM in development mode understands."""
    session_header: str = "X-Session-Id"
    """Header that names the episode, for routers that keep its turns with one replica."""
    api_key_env: str | None = None
    """Environment variable that holds the server's token; the token itself is in no recipe and no run."""
    tolerance: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Largest difference of log-probs that the probe accepts, nats; .05 in float32 and .2 in bfloat16 if left out."""
    probe_tokens: int = Field(default=16, ge=1, le=100_000)
    """Tokens of each of the six answers that the probe compares."""
    retries: int = Field(default=3, ge=0, le=MOST_COUNTED)
    """How often a request that failed is repeated before its episode ends in an error."""
    timeout_s: float = Field(default=300.0, gt=0, le=MAX_SECONDS)
    """Seconds for one request; reading the weights again is one too."""
    max_connections: int = Field(default=512, ge=1, le=MOST_CONNECTIONS)
    """Connections open at once."""
    evaluation: Literal["server", "local"] = "server"
    """Who samples when the policy is evaluated: the server, with the weights of that moment, or the training process."""

    @field_validator("url")
    @classmethod
    def _url_is_one(cls, url: str) -> str:
        try:
            found = check_url(url)
        except UsageError as error:
            raise ConfigError(str(error)) from None
        if "@" in urlsplit(found).netloc:
            raise ConfigError("it holds a name or password, which a recipe must not; name a variable with api_key_env.")
        if not found.endswith("/v1"):
            raise ConfigError(f"{found!r} does not end with /v1; expected e.g. http://127.0.0.1:8000/v1.")
        return found

    @field_validator("session_header")
    @classmethod
    def _header_is_free(cls, header: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9-]+", header) or header.lower() in ("authorization", "content-type", "accept"):
            raise ConfigError(f"{header!r} cannot name episodes; expected a header of its own, e.g. X-Session-Id.")
        return header

    @field_validator("api_key_env")
    @classmethod
    def _is_a_name(cls, name: str | None) -> str | None:
        if name is not None and not re.fullmatch(r"[A-Z_][A-Z0-9_]*", name):  # whatever it is, it may be secret
            raise ConfigError("expected the name of an environment variable (capitals), e.g. VLLM_API_KEY, never the token.")
        return name

    @model_validator(mode="after")
    def _server_can_reload(self) -> SamplerConfig:
        if self.reload is not None and not self.reload:
            raise ConfigError("reload is empty, so the server would never see new weights; leave it out or list its requests.")
        for path, _ in self.reload or ():
            if not path.startswith("/"):
                raise ConfigError(f"reload asks for {path!r}; expected a path from the server's root, e.g. /collective_rpc.")
        return self

    def refuse(self, model_path: str | None) -> None:
        """Refuse a model that would be written over.

        Raises:
            ConfigError: If the server's folder is the one that training begins with.
        """
        if model_path is not None and Path(model_path).resolve() == Path(self.weights).resolve():
            raise ConfigError(
                f"sampler.weights and model.path are both {self.weights!r}, and the server's folder is written after every "
                f"update. Start the server from a copy, and name the copy as sampler.weights."
            )

    def check(self, dtype: str = "float32") -> None:
        """Look for what has to be there before a run is begun.

        Args:
            dtype: Number format that the trainer keeps weights in.

        Raises:
            ConfigError: If the folder holds no model, or the variable with the token is not set.
        """
        if not (Path(self.weights) / "config.json").is_file():
            raise ConfigError(
                f"sampler.weights is {self.weights!r}, which holds no model (config.json). Copy the policy there and start "
                f"the server from it: {self.command(dtype)}"
            )
        if self.api_key_env is not None and not os.environ.get(self.api_key_env, "").strip():
            raise ConfigError("The environment variable that sampler.api_key_env names is not set; export it, or take it out.")

    def command(self, dtype: str) -> str:
        """Return how a vLLM server for this table is started; by itself it would make less of float32."""
        return (
            f"VLLM_SERVER_DEV_MODE=1 vllm serve {self.weights} --served-model-name {self.model} "
            f"--logprobs-mode processed_logprobs --dtype {dtype}"
        )


class SampledPolicy(Protocol):
    """The part of a policy that a server needs: its weights, and word of when they change."""

    model: Any
    tokenizer: Any

    @property
    def version(self) -> int:
        """Version of the weights."""
        ...

    def attach(self, follower: Any) -> None:
        """Call `follower.update_weights(version=...)` whenever the weights have changed."""
        ...

    def save(self, path: str | Path) -> Path:
        """Write model and tokenizer to a folder."""
        ...


class ServerSampler:
    """A server that samples with the weights of a policy, as they are at each refresh.

    Attributes:
        config: Where the server is.
        policy: Whose weights it gets.
        backend: What agents sample from; failed requests are repeated.
        is_stale: Whether the policy has changed since the server read it.

    Raises:
        ConfigError: If the server's folder holds a model of another shape, or its token is not at hand.
        MissingExtraError: If aiohttp is not installed.
    """

    def __init__(self, policy: SampledPolicy, config: SamplerConfig, *, temperature: float = 1.0) -> None:
        """Nothing is asked or written yet.

        Args:
            policy: Trained in this process.
            config: Where the server is.
            temperature: Of the rollouts; the probe compares log-probs at the same one.
        """
        from palaestra.agents.backends.reliable import Reliable, RetryPolicy
        from palaestra.agents.backends.vllm import RELOAD, VLLMBackend

        self._dtype = str(policy.model.dtype).removeprefix("torch.")
        config.check(self._dtype)
        _check_shape(config, policy)
        self.config = config
        self.policy = policy
        self.temperature = temperature
        self.is_stale = True
        self._is_probed = False
        self._server = VLLMBackend(
            config.url,
            policy.tokenizer,
            model=config.model,
            session_header=config.session_header,
            reload=RELOAD if config.reload is None else config.reload,
            name="policy",
            api_key=os.environ[config.api_key_env].strip() if config.api_key_env else None,
            timeout_s=config.timeout_s,
            max_connections=config.max_connections,
        )
        # no deadline: the event loop may stand still while the policy is updated
        self.backend = Reliable(self._server, policy=RetryPolicy(retries=config.retries, deadline_s=None))
        policy.attach(self)

    @property
    def version(self) -> int:
        """Version of the weights that the server has."""
        return self._server.version

    def update_weights(self, *, version: int) -> None:
        """Take note that the policy has changed; the server learns of it at the next refresh."""
        del version
        self.is_stale = True

    def begin_phase(self) -> None:
        """Compare server and trainer again at the next refresh: a phase may begin with weights from a checkpoint."""
        self._is_probed = False
        self.is_stale = True

    def refresh(self, run: Callable[[Coroutine[Any, Any, None]], None] = asyncio.run) -> None:
        """Give the server the current weights, unless it has them. Every rank calls it; the first one does it.

        Args:
            run: Runs a coroutine to its end: in the event loop in which turns may be in flight, or in a new one.

        Raises:
            TrainingStopped: If the server cannot be reached or refuses; training can be resumed.
            UsageError: If the server does not sample what the trainer would.
            StoreError: If the folder cannot be written.
        """
        from palaestra.algorithms.scale.ranks import ranks

        ranks().on_main(lambda: self.refresh_here(run))
        self._server.version = self.policy.version
        self.is_stale = False

    def refresh_here(self, run: Callable[[Coroutine[Any, Any, None]], None] = asyncio.run) -> None:
        """Like `refresh`, for what the first rank does alone."""
        if self.is_stale:
            run(self._refresh())

    def check_step(self, trajectories: Sequence[Trajectory]) -> None:
        """Stop where the server gave nothing at all.

        Raises:
            TrainingStopped: If every episode failed at the server.
        """
        errors = [t.outcome.error for t in trajectories if t.outcome.error is not None and t.outcome.error.boundary == "model"]
        if errors and len(errors) == len(trajectories):
            raise TrainingStopped(
                f"All {len(errors)} episodes failed at the server that samples, {self.config.url}, and nothing was trained on "
                f"them: {errors[0].message} {self._next_move()}"
            )

    async def _refresh(self) -> None:
        """Write, reload, and compare where that is due."""
        version = self.policy.version
        try:
            if not self._is_probed:
                await self._server.ask_context()  # nothing is written for a server that is not there
            await asyncio.to_thread(self._write)
            await self._server.refresh(self.config.weights, version=version)
            if not self._is_probed:
                await self._server.probe(
                    self.policy.model,
                    temperature=self.temperature,
                    tolerance=self.config.tolerance,
                    max_tokens=self.config.probe_tokens,
                )
        except ModelError as error:
            raise TrainingStopped(
                f"The server that samples, {self.config.url}, cannot be given the weights of version {version}: {error} "
                f"{self._next_move()}"
            ) from error
        self._is_probed = True
        self.is_stale = False

    def _write(self) -> None:
        """Write the policy next to the server's files, then put each file in place of the old one.

        The server may have the old ones mapped into its memory, so they must not be written into.
        """
        folder = Path(self.config.weights)
        draft = folder / _DRAFT
        try:
            shutil.rmtree(draft, ignore_errors=True)
            self.policy.save(draft)
            written = sorted(file.name for file in draft.iterdir())
            for name in written:
                (draft / name).replace(folder / name)
            draft.rmdir()
            # where the folder was divided into other files, their index would have the server read the old ones
            for file in folder.glob("*.safetensors*"):
                if file.name not in written:
                    file.unlink()
        except OSError as error:
            raise StoreError(
                f"The weights could not be written to sampler.weights, {str(folder)!r}: {error}. Free space, or fix its "
                f"permissions."
            ) from error

    def _next_move(self) -> str:
        return (
            f"Start the server, e.g. with: {self.config.command(self._dtype)} -- then resume the same run, which gives it "
            f"the weights of the last checkpoint. A server elsewhere is named with --set sampler.url=URL."
        )


def _check_shape(config: SamplerConfig, policy: SampledPolicy) -> None:
    """Refuse to write a policy over a model of another shape."""
    file = Path(config.weights) / "config.json"
    try:
        served: dict[str, Json] = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{str(file)!r} could not be read: {error}. Copy the policy there once more.") from None
    own = policy.model.config.to_dict()
    for key in _SHAPE:
        if key in served and key in own and served[key] != own[key]:
            raise ConfigError(
                f"sampler.weights, {config.weights!r}, holds a model with {key} = {served[key]!r}; the policy has "
                f"{own[key]!r}. Nothing was written. Start the server from a copy of the policy, and name that folder."
            )


__all__ = ["PLACES", "SamplerConfig", "ServerSampler"]
