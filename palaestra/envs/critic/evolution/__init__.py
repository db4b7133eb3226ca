"""Items made harder, with the same ground truth: long context, extra tools, noisy queries, harder documents of tools.

`evolve` takes one item, `evolve_all` many; `problems_of` proves what came out. `Rewriter` lets a language model
do the wording.
"""

from palaestra.envs.critic.evolution.by_model import Rewriter
from palaestra.envs.critic.evolution.evolve import Evolved, evolve, evolve_all, problems_of
from palaestra.envs.critic.evolution.parts import STRATEGIES, Refused

__all__ = ["STRATEGIES", "Evolved", "Refused", "Rewriter", "evolve", "evolve_all", "problems_of"]
