"""A miniature recipe book for the tests of TextCraft."""

from palaestra.envs.agentgym.textcraft.recipes import RecipeBook
from palaestra.envs.agentgym.textcraft.text_book import parse_book

SMALL = """
# logs, pebbles and string can be got
tag plank: oak plank, pine plank
craft 4 oak plank using 1 oak log
craft 4 pine plank using 1 pine log
craft 4 stick using 2 plank        # any plank
craft 1 stick using 1 twig
craft 1 pick using 2 stick, 3 pebble
craft 1 crate using 1 pick, 4 plank, 1 oak plank
"""


def small_book() -> RecipeBook:
    return parse_book(SMALL, namespace="toy")
