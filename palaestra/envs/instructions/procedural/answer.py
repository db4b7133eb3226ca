"""Writes the answer of a plan: lays out blocks, distributes sentences and words, sets the letter case."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Sequence
from typing import NamedTuple

from palaestra.envs.instructions.procedural.draw import in_case
from palaestra.envs.instructions.procedural.lexicon import (
    ADJECTIVES,
    ADVERBS,
    DETERMINERS,
    HEADERS,
    PREPOSITIONS,
    VERBS,
)
from palaestra.envs.instructions.procedural.plan import Impossible, Plan
from palaestra.types import Json

_WORD = re.compile(r"(?<![\w#|>-])[A-Za-z]{3,}")


class Block(NamedTuple):
    """A part of an answer that stays together.

    Attributes:
        text: Its text.
        sentences: How many sentences it counts as.
        is_code: Whether it is a fenced block, which title case leaves alone.
    """

    text: str
    sentences: int
    is_code: bool = False


def write(plan: Plan, nouns: Sequence[str], rng: random.Random) -> str:
    """Return an answer of this form.

    Args:
        plan: From `plan_for`.
        nouns: Words for filler; banned ones are left out.
        rng: Source of chance.

    Raises:
        Impossible: If the numbers of words, sentences and paragraphs cannot be met together.
    """
    pool = [noun for noun in nouns if noun not in plan.banned]
    fixed = _fixed_blocks(plan, pool, rng)
    num_prose = _num_prose(plan, fixed, rng)
    prose = _prose(plan, num_prose, fixed, pool, rng)
    return _joined(plan, _arranged(plan, fixed, prose, rng), rng)


def _fixed_blocks(plan: Plan, pool: Sequence[str], rng: random.Random) -> list[Block]:
    """Return headings, table, lists, quote and code."""
    blocks = [Block(f"{'#' * level} {title}", 1) for level, title in plan.headings]
    if plan.quote:
        blocks.append(Block(f"> {' '.join(_filler(5, pool, rng)).capitalize()}.", 1))
    if plan.bullets:
        blocks.append(
            Block("\n".join(f"- {rng.choice(ADJECTIVES)} {rng.choice(pool)}" for _ in range(plan.bullets)), plan.bullets)
        )
    if plan.table:
        rows, cols = plan.table
        lines = [[HEADERS[at % len(HEADERS)] for at in range(cols)], ["---"] * cols]
        lines += [[rng.choice(pool) for _ in range(cols)] for _ in range(rows)]
        blocks.append(Block("\n".join(f"| {' | '.join(line)} |" for line in lines), rows))
    if plan.depth is not None:
        value: Json = "value"
        for level in range(plan.depth, 0, -1):
            value = {f"level{level}": value}
        blocks.append(Block(f"```json\n{json.dumps(value)}\n```", 0, True))
    if plan.attributes is not None:
        attributes = "".join(f' a{at}="{at}"' for at in range(1, plan.attributes + 1))
        blocks.append(Block(f"```xml\n<item{attributes}/>\n```", 0, True))
    return blocks


def _num_prose(plan: Plan, fixed: list[Block], rng: random.Random) -> int:
    """Return the number of sentences of prose."""
    others = sum(block.sentences for block in fixed) + bool(plan.end)
    least = 2 if plan.start and fixed and not plan.end else 1
    if plan.paragraphs is not None:
        least = max(least, (plan.paragraphs[0] or 1) - len(fixed) - bool(plan.end))
    lo, hi = plan.sentences
    low = max(least, (lo or 0) - others)
    if hi is None:
        return low + (rng.randint(0, 2) if lo is None else rng.randint(0, 1))
    if low > hi - others:
        raise Impossible
    return rng.randint(low, min(hi - others, low + 2))


def _prose(plan: Plan, number: int, fixed: list[Block], pool: Sequence[str], rng: random.Random) -> list[str]:
    """Return the sentences of prose."""
    keywords = [word for word, count in plan.counts.items() for _ in range(count)]
    holds: list[list[str]] = [[] for _ in range(number)]
    for word in keywords:
        rng.choice(holds).append(word)
    least = [2 + 2 * len(words) for words in holds]
    taken = sum(len(block.text.split()) for block in fixed) + len(plan.start.split()) + len(plan.end.split())
    sizes = _sizes(plan, least, taken, rng)
    sentences = []
    for at, (size, words) in enumerate(zip(sizes, holds, strict=True)):
        tokens = _filler(size - 2 * len(words), pool, rng)
        for word in words:
            tokens += [rng.choice(PREPOSITIONS), word]
        if at == 0 and plan.inserted:
            tokens[0] += plan.inserted
        if at == 0 and plan.start:
            tokens.insert(0, plan.start)
        else:
            tokens[0] = tokens[0][:1].upper() + tokens[0][1:]
        last = at == number - 1 and not plan.end
        sentences.append(" ".join(tokens) + (plan.mark if last else "."))
    return sentences


def _sizes(plan: Plan, least: list[int], taken: int, rng: random.Random) -> list[int]:
    """Return the number of words of each sentence of prose."""
    natural = [max(low, rng.randint(5, 10)) for low in least]
    lo, hi = plan.words
    total = taken + sum(natural)
    target = max(total, lo or 0) if hi is None else min(max(total, lo or 0), hi)
    if target == total:
        return natural
    room = target - taken - sum(least)
    if room < 0:
        raise Impossible
    share, rest = divmod(room, len(least))
    return [low + share + (at < rest) for at, low in enumerate(least)]


def _filler(size: int, pool: Sequence[str], rng: random.Random) -> list[str]:
    """Return so many words that read like a sentence."""
    if size < 3:
        return [rng.choice(pool), rng.choice(VERBS)][:size]
    tokens = [rng.choice(DETERMINERS), rng.choice(pool), rng.choice(VERBS)]
    while (room := size - len(tokens)) > 0:
        if room == 1:
            tokens.append(rng.choice(ADVERBS))
        elif room == 2:
            tokens += [rng.choice(PREPOSITIONS), rng.choice(pool)]
        elif room == 4 or rng.random() < 0.5:
            tokens += [rng.choice(PREPOSITIONS), rng.choice(DETERMINERS), rng.choice(ADJECTIVES), rng.choice(pool)][
                : min(room, 4)
            ]
            if room == 3:
                tokens[-1] = rng.choice(pool)
        else:
            tokens += [rng.choice(PREPOSITIONS), rng.choice(DETERMINERS), rng.choice(pool)]
    return tokens


def _arranged(plan: Plan, fixed: list[Block], prose: list[str], rng: random.Random) -> list[Block]:
    """Return all blocks in order; prose is first where a start is asked for, and last unless an end is."""
    front = 1 if plan.start or (len(prose) > 1 and rng.random() < 0.5) else 0
    back = len(prose) if plan.end and (plan.start or len(prose) > 1) else len(prose) - 1
    if front > back or (not fixed and front):
        front, back = 0, len(prose)
    middle = [Block(sentence, 1) for sentence in prose[front:back]]
    headings, others = fixed[: len(plan.headings)], fixed[len(plan.headings) :]
    rest = [*others, *middle]
    rng.shuffle(rest)
    placed = list(rest)
    for at, heading in enumerate(headings):  # in their order, each before what is left
        placed.insert(min(len(placed), at + at * len(rest) // max(1, len(headings))), heading)
    blocks = [Block(sentence, 1) for sentence in prose[:front]] + placed + [Block(sentence, 1) for sentence in prose[back:]]
    return [*blocks, Block(plan.end, 1)] if plan.end else blocks


def _joined(plan: Plan, blocks: list[Block], rng: random.Random) -> str:
    """Return the text of the blocks, with blank lines between paragraphs."""
    cased = [_cased(plan, block) for block in blocks]
    if plan.breaks_case:
        cased = _with_a_break(plan, blocks, cased)
    breaks = _breaks(plan, blocks, rng)
    parts = [cased[0]]
    for at in range(1, len(blocks)):
        both_prose = _is_prose(blocks[at - 1]) and _is_prose(blocks[at])
        parts += ["\n\n" if at in breaks else " " if both_prose else "\n", cased[at]]
    return "".join(parts)


def _cased(plan: Plan, block: Block) -> str:
    return block.text if block.is_code and plan.case == "title_case" else in_case(block.text, plan.case)


def _with_a_break(plan: Plan, blocks: list[Block], cased: list[str]) -> list[str]:
    """Return the texts with one word of prose in another case."""
    for at, block in enumerate(blocks):
        match = _WORD.search(cased[at]) if _is_prose(block) and block.text != plan.end else None
        if match is not None:
            word = match[0].upper() if plan.case == "lowercase" else match[0].lower()
            cased[at] = cased[at][: match.start()] + word + cased[at][match.end() :]
            return cased
    raise Impossible


def _breaks(plan: Plan, blocks: list[Block], rng: random.Random) -> set[int]:
    """Return the indices of the blocks that begin a paragraph."""
    gaps = range(1, len(blocks))
    if plan.paragraphs is None:
        free = [at for at in gaps if _is_prose(blocks[at - 1]) and _is_prose(blocks[at])]
        return {at for at in gaps if at not in free or rng.random() < 0.3}
    lo, hi = plan.paragraphs
    most = len(blocks) if hi is None else min(hi, len(blocks))
    if (lo or 1) > most:
        raise Impossible
    wanted = rng.randint(lo or 1, min(most, (lo or 1) + 1))
    return set(rng.sample(gaps, wanted - 1))


def _is_prose(block: Block) -> bool:
    return block.sentences == 1 and not block.is_code and block.text[0] not in "#|>-"
