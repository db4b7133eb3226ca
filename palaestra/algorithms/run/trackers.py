"""Where else metrics go: services that people follow their experiments with.

A tracker takes the metrics of a step and is closed at the end. Table `[metrics]` of a recipe chooses; packages are imported
where they are used.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Protocol

from palaestra.algorithms.config import Config, Need
from palaestra.errors import MissingExtraError
from palaestra.types import Json


class MetricsConfig(Config):
    """`[metrics]`: where metrics are written in addition to `metrics.jsonl` and the run store."""

    needs: ClassVar[Mapping[str, Need]] = {
        "wandb_project": Need("wandb", (True,)),
        "wandb_entity": Need("wandb", (True,)),
        "wandb_offline": Need("wandb", (True,)),
    }

    tensorboard: bool = True
    """TensorBoard files, if the package is installed."""
    wandb: bool = False
    """Weights & Biases; who you are it knows from its own login."""
    wandb_project: str = "palaestra"
    """Project there."""
    wandb_entity: str | None = None
    """Team or user there; the login's own if left out."""
    wandb_offline: bool = False
    """Write to the run's folder only; `wandb sync` sends it later."""


class Tracker(Protocol):
    """Takes metrics."""

    def log(self, phase: str, step: int, metrics: Mapping[str, float]) -> None:
        """Take the finite metrics of a step."""
        ...

    def close(self) -> None:
        """Send what is left."""
        ...


class WandbTracker:
    """Sends metrics to Weights & Biases, as `<phase>/<name>` over `<phase>/step`.

    A resumed training run continues the run of the same id; steps after the last checkpoint are then sent again.

    Args:
        table: Project and mode.
        folder: Folder of the run; gets `wandb/`.
        run_id: Id and name there.
        config: Settings shown there.

    Raises:
        MissingExtraError: If the package is not installed.
    """

    def __init__(self, table: MetricsConfig, folder: Path, *, run_id: str, config: Mapping[str, Json]) -> None:
        """Look for the package; nothing is sent before the first step."""
        try:
            import wandb
        except ImportError as error:
            raise MissingExtraError("Logging to Weights & Biases (metrics.wandb = true)", "wandb") from error
        self._wandb: Any = wandb
        self._table = table
        self._folder = folder
        self._run_id = run_id
        self._config = dict(config)
        self._run: Any = None
        self._phases: set[str] = set()

    def log(self, phase: str, step: int, metrics: Mapping[str, float]) -> None:
        """Send the metrics of a step."""
        run = self._opened()
        if phase not in self._phases:
            # every phase counts its own steps, so none of them can be the service's
            run.define_metric(f"{phase}/step", hidden=True)
            run.define_metric(f"{phase}/*", step_metric=f"{phase}/step")
            self._phases.add(phase)
        run.log({f"{phase}/step": step, **{f"{phase}/{name}": value for name, value in metrics.items()}})

    def close(self) -> None:
        """Send what is left; harmless when repeated."""
        if self._run is not None:
            self._run.finish()
            self._run = None

    def _opened(self) -> Any:
        """Return the run there, begun or gone on with."""
        if self._run is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._run = self._wandb.init(
                project=self._table.wandb_project,
                entity=self._table.wandb_entity,
                dir=str(self._folder),
                id=self._run_id,
                name=self._run_id,
                resume="allow",
                config=self._config,
                mode="offline" if self._table.wandb_offline else None,
            )
        return self._run
