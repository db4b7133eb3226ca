"""Evaluation: which episodes to play, and summaries of them."""

from palaestra.agents.evaluation.deciding import UntilDecided
from palaestra.agents.evaluation.evaluation import EnvSpec, Evaluation, evaluate, evaluate_async
from palaestra.agents.evaluation.rescore import rescore, rescore_async
from palaestra.agents.evaluation.summary import Summary, summarize

__all__ = [
    "EnvSpec",
    "Evaluation",
    "Summary",
    "UntilDecided",
    "evaluate",
    "evaluate_async",
    "rescore",
    "rescore_async",
    "summarize",
]
