"""How figures look: metrics with a name, intervals, tables. On the ground floor, so that environments may use it."""

from palaestra.results.metrics import SHARE, Metric
from palaestra.results.tables import Arm, EnvResults, ResultTable, StepBlock

__all__ = ["SHARE", "Arm", "EnvResults", "Metric", "ResultTable", "StepBlock"]
