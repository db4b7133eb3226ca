"""Palaestra: Gymnasium environments, an agent SDK and training algorithms for LLM agents.

Importing it registers every environment with Gymnasium (`gymnasium.make("palaestra/TextCraft-v0")`), and nothing else:
torch, servers and LLM clients are imported where they are used.
"""

from palaestra.envs.registration import list_envs, register_environments

__version__ = "0.1.0"
__all__ = ["__version__", "list_envs"]

register_environments()
del register_environments  # has done its work; nothing for users to call
