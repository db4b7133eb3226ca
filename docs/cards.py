"""Audits every environment of this package in every split: the pages of docs/cards, and the cards that ship with it.

python docs/cards.py                        # write; cards of ids that are no longer registered are removed
python docs/cards.py palaestra/Maze-v0      # write the card of this id (or several), and leave the others as they are
python docs/cards.py --check                # exit 1 and say where cards differ from what a short audit finds now

Environments registered with `cost="engine"` or "browser", and those that are measured to take long, are audited with fewer
tasks (palaestra/envs/audit/effort.py, pace.py).
Commit docs/cards and palaestra/envs/audit/audit_cards.json together. Where both sides of a merge added cards, take both sides'
lines of audit_cards.json, with commas between them, and make one of the ids again: that writes the index, too.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

from palaestra.envs.audit import audit_all, changes
from palaestra.envs.audit.effort import EFFORTS
from palaestra.envs.audit.pages import write_pages
from palaestra.envs.audit.shipped import FILE_NAME, OUR_CARDS, shipped_cards
from palaestra.envs.registration import list_envs, missing

FOLDER = Path(__file__).parent / "cards"


def main(arguments: list[str] | None = None) -> int:
    """Make the cards again, or say which do not hold."""
    ours = [env_id for env_id in list_envs() if env_id.startswith("palaestra/")]
    parser = argparse.ArgumentParser(description="Audit the environments of this package and write their cards.")
    parser.add_argument("ids", nargs="*", help="environments; by default all, and cards of others are removed")
    parser.add_argument("-n", type=int, help="tasks that each agent plays; by default as many as the cost of a step allows")
    parser.add_argument(
        "--effort", choices=list(EFFORTS), help="how much is played; by default as registered or as is measured"
    )
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if a card does not hold")
    asked = parser.parse_args(arguments)
    if asked.check:
        cards = [card for env_id in asked.ids or ours if not missing(env_id) for card in shipped_cards(env_id)]
        found = [f"{card.env}, {card.split}: {line}" for card in cards for line in changes(card)]
        print("\n".join(found) or "All cards hold.")
        return int(bool(found))
    made = audit_all(
        asked.n, effort=asked.effort, env_ids=asked.ids or ours, begin=lambda env_id: print(f"auditing {env_id}", flush=True)
    )
    for env_id, reason in made.skipped.items():
        print(f"{env_id} was not audited: {reason}")
    if not asked.ids and not made.skipped:
        shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(exist_ok=True)
    if asked.ids or made.skipped:
        shutil.copy(OUR_CARDS, FOLDER / FILE_NAME)  # those of other ids stay
    write_pages(FOLDER, made.cards)
    shutil.move(FOLDER / FILE_NAME, OUR_CARDS)  # one copy, in the package
    return int(bool(made.skipped))


if __name__ == "__main__":
    sys.exit(main())
