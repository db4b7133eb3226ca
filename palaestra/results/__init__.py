"""How figures look: metrics with a name, intervals, tables. On the ground floor, so that environments may use it."""

from palaestra.results.metrics import NOTHING_TO_DO, SHARE, Metric
from palaestra.results.tables import Arm, EnvResults, ResultTable, StepBlock

__all__ = ["NOTHING_TO_DO", "SHARE", "Arm", "EnvResults", "Metric", "ResultTable", "StepBlock"]
