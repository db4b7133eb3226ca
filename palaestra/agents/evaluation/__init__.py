"""Evaluation: which episodes to play, and summaries of them.

The names below are imported when they are first used: commands that only read results need nothing that plays.
"""

from typing import TYPE_CHECKING

from palaestra.lazy import lazy_names

if TYPE_CHECKING:
    from palaestra.agents.evaluation.deciding import UntilDecided
    from palaestra.agents.evaluation.evaluation import EnvSpec, Evaluation, evaluate, evaluate_async
    from palaestra.agents.evaluation.rescoring import rescore, rescore_async
    from palaestra.agents.evaluation.summary import Summary, summarize

_HOMES = {
    "deciding": ("UntilDecided",),
    "evaluation": ("EnvSpec", "Evaluation", "evaluate", "evaluate_async"),
    "rescoring": ("rescore", "rescore_async"),
    "summary": ("Summary", "summarize"),
}

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

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
