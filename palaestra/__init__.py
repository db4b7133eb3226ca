"""Palaestra: Gymnasium environments, an agent SDK and training algorithms for LLM agents.

Importing it registers every environment with Gymnasium (`gymnasium.make("palaestra/TextCraft-v0")`), and nothing else:
torch, servers and LLM clients are imported where they are used.
"""

__version__ = "0.1.0"
