"""CriticTool: does a model see that a tool call was wrong or failed, say why, and do what follows?

`record` is the format of an item, `files` reads and writes it, `scoring` scores replies by the paper's scorer or the published
one, `report` puts means into the paper's columns. `blocks` holds the texts that tell a model about errors.
"""

from typing import TYPE_CHECKING

from palaestra.lazy import lazy_names

if TYPE_CHECKING:
    from palaestra.envs.critic.blocks import instruction, with_instruction
    from palaestra.envs.critic.build import Built, build_items
    from palaestra.envs.critic.documents import CriticDataError, to_document, to_schema
    from palaestra.envs.critic.evolution import evolve, evolve_all
    from palaestra.envs.critic.files import Items, open_items, write_items
    from palaestra.envs.critic.record import Action, Record, of_published, to_published
    from palaestra.envs.critic.replies import ScoredFile, score_file
    from palaestra.envs.critic.report import behaviours, breakdown, overall, paper_columns
    from palaestra.envs.critic.scoring import Scored, score
    from palaestra.envs.critic.similarity import Similarity, similarity_of

_HOMES = {
    "blocks": ("instruction", "with_instruction"),
    "build": ("Built", "build_items"),
    "documents": ("CriticDataError", "to_document", "to_schema"),
    "evolution": ("evolve", "evolve_all"),
    "files": ("Items", "open_items", "write_items"),
    "record": ("Action", "Record", "of_published", "to_published"),
    "replies": ("ScoredFile", "score_file"),
    "report": ("behaviours", "breakdown", "overall", "paper_columns"),
    "scoring": ("Scored", "score"),
    "similarity": ("Similarity", "similarity_of"),
}

__all__ = [
    "Action",
    "Built",
    "CriticDataError",
    "Items",
    "Record",
    "Scored",
    "ScoredFile",
    "Similarity",
    "behaviours",
    "breakdown",
    "build_items",
    "evolve",
    "evolve_all",
    "instruction",
    "of_published",
    "open_items",
    "overall",
    "paper_columns",
    "score",
    "score_file",
    "similarity_of",
    "to_document",
    "to_published",
    "to_schema",
    "with_instruction",
    "write_items",
]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
