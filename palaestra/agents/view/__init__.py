"""The live view: a folder of runs as pages on loopback, read while runs are written."""

from palaestra.agents.view.server import ViewServer

__all__ = ["ViewServer"]
