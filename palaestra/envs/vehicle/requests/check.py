"""Checks the files of phrasings: `python -m palaestra.envs.vehicle.requests.check [MODULE ...]`."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from itertools import product
from typing import Any

from palaestra.envs.vehicle.car.paths import full_path, place_paths
from palaestra.envs.vehicle.car.tables import MODULES, car_tables
from palaestra.envs.vehicle.requests.phrases import (
    AMOUNT_SLOTS,
    CHOICE,
    PLACE_SLOTS,
    SLOT,
    Condition,
    Intent,
    Phrase,
    Phrasebook,
    phrasebooks,
    strings,
)
from palaestra.errors import ConfigError, PalaestraError

MIN_PHRASINGS = 6
_GRAMMAR_SLOTS = ("is", "has", "it")
_DOMAIN_WORDS = {"iHeartRadio", "YouTube"}


def problems(books: Mapping[str, Phrasebook], modules: Iterable[str] | None = None) -> list[str]:
    """Return the faults of phrasings, one line each; sentences are compared over all books given.

    Args:
        books: Phrasings by module.
        modules: Modules to report on; by default all.
    """
    wanted = set(MODULES if modules is None else modules)
    found: list[str] = []
    for module, book in books.items():
        if module in wanted:
            found += _book_problems(book)
    meanings: dict[str, tuple[str, Any]] = {}
    for module, book in books.items():
        for intent in book.intents.values():
            for sentence, meaning in _sentences(intent):
                where, first = meanings.setdefault(sentence, (f"{module}.{intent.name}", meaning))
                if first != meaning and (module in wanted or where.partition(".")[0] in wanted):
                    found.append(
                        f"{module}.{intent.name}: {sentence!r} also means {where}; say something else in one of them."
                    )
    return found


def _book_problems(book: Phrasebook) -> Iterator[str]:
    """Yield what is wrong within one file."""
    functions = car_tables().modules[book.module].functions
    covered = {intent.function.name for intent in book.intents.values()}
    for name in functions:
        if name not in covered:
            yield f"{book.module}: no intent uses {name}."
    for intent in book.intents.values():
        where = f"{book.module}.{intent.name}"
        for problem in (*_argument_problems(intent), *_slot_problems(intent), *_phrase_problems(intent)):
            yield f"{where}: {problem}"
        if intent.same_as and intent.same_as not in book.intents:
            yield f"{where}: same_as names {intent.same_as!r}, which is no intent of this file."
    for condition in book.conditions:
        for problem in _condition_problems(condition):
            yield f"{book.module}, condition {condition.path}: {problem}"


def _argument_problems(intent: Intent) -> Iterator[str]:
    """Yield what is wrong with an intent's arguments and amounts."""
    params = {param.name: param for param in intent.function.params}
    for name, value in intent.arguments.items():
        if name not in params:
            yield f"{intent.function.name} has no parameter {name!r}; it takes {', '.join(params) or 'none'}."
        elif name in ("value", "unit", "degree"):
            yield f"{name} comes from amount and degrees; leave it out of arguments."
        elif isinstance(value, str) and not SLOT.fullmatch(value) and params[name].enum and value not in params[name].enum:
            yield f"argument {name} is {value!r}; expected one of {', '.join(params[name].enum)}."
        elif value == "{flag}" and params[name].type != "bool":
            yield f"argument {name} takes {params[name].type}, no flag; write '{{flag:first/second}}' for two words."
    for name, param in params.items():
        if param.required and name not in intent.arguments:
            yield f"argument {name} is required."
    if intent.flag and not isinstance(intent.flag[0], bool):
        words = next(params[n].enum for n, v in intent.arguments.items() if isinstance(v, str) and v.startswith("{flag:"))
        yield from (f"flag word {word!r} is none of {', '.join(words)}." for word in intent.flag if word not in words)
    for slot in intent.slots.values():
        for name, value in intent.arguments.items():
            if name in params and value == f"{{{slot.name}}}" and params[name].enum:
                for word, _ in slot.words:
                    if word not in params[name].enum:
                        yield f"slot {slot.name} has the value {word!r}; {name} takes {', '.join(params[name].enum)}."
    yield from _amount_problems(intent)
    functions = car_tables().modules[intent.module].functions
    for function, arguments in (*intent.prepare, *intent.forbid):
        if function not in functions:
            yield f"prepare or forbid names {function!r}, which is no function of {intent.module}."
        else:
            names = [param.name for param in functions[function].params]
            yield from (f"{function} is to be called with the unknown {name!r}." for name in arguments if name not in names)


def _amount_problems(intent: Intent) -> Iterator[str]:
    """Yield what is wrong with an intent's numbers and degree words."""
    params = {param.name: param for param in intent.function.params}
    takes = "value" in params or "degree" in params
    if takes and not intent.has_amount:
        yield "the function takes an amount; give `amount` (perhaps {})."
    if intent.has_amount and not takes:
        yield "the function takes no amount; leave `amount` out."
    units = params["unit"].enum if "unit" in params else ("",)
    for unit, steps in intent.amount.items():
        if unit not in units and units:
            yield f"amount has the unit {unit!r}; expected {', '.join(units)}."
        if len(steps) != 3 or steps[0] > steps[1] or steps[2] <= 0:
            yield f"amount of {unit!r} is {list(steps)}; expected least, greatest and step."
    for degree in intent.degrees:
        if degree not in intent.degrees_taken:
            yield f"degree {degree!r} is none of {', '.join(intent.degrees_taken)}."


def _slot_problems(intent: Intent) -> Iterator[str]:
    """Yield what is wrong with an intent's slots."""
    used = {slot.partition(":")[0] for text in strings(intent.arguments) for slot in SLOT.findall(text)}
    for name in used - {"flag", "place"} - set(intent.slots):
        yield f"arguments hold the slot {name!r}, which `slots` does not describe."
    for name in set(intent.slots) - used:
        yield f"slot {name!r} stands in no argument."
    if intent.place and intent.targets is None:
        yield f"{intent.function.name} takes no place."
    for slot in intent.slots.values():
        said: dict[str, Any] = {}
        for value, words in slot.words:
            if not words:
                yield f"slot {slot.name}: nothing is said for {value!r}."
            for word in words:
                if said.setdefault(word.lower(), value) != value:
                    yield f"slot {slot.name}: {word!r} is said for {said[word.lower()]!r} and for {value!r}."
        if slot.list_path and slot.list_path not in car_tables().properties:
            yield f"slot {slot.name}: {slot.list_path} is no list of the car."


def _phrase_problems(intent: Intent) -> Iterator[str]:
    """Yield what is wrong with an intent's phrasings."""
    known = {*intent.slots, *(AMOUNT_SLOTS if intent.has_amount else ())}
    if intent.place:
        known |= {*PLACE_SLOTS, *_GRAMMAR_SLOTS}
    values = {"true", "false"} if intent.flag else set()
    values |= {str(value) for slot in intent.slots.values() for value, _ in slot.words} | set(intent.degrees)
    for phrase in (*intent.phrases, *intent.again, *intent.phrases_like):
        extra = {"other"} if phrase in intent.phrases_like else set()
        for name in sorted(phrase.slots - known - extra):
            yield f"{phrase.text!r} holds the unknown slot {{{name}}}."
        if phrase.only and phrase.only not in values:
            yield f"say_for {phrase.only!r} is no value of a flag, slot or degree of this intent."
        yield from _text_problems(phrase.text)
        if CHOICE.search(phrase.text) and not intent.flag:
            yield f"{phrase.text!r} has alternatives, but the intent has no flag."
    for phrase in intent.phrases:
        yield from _meaning_problems(intent, phrase)
    for value in ("true", "false") if intent.flag else ("",):
        count = len({phrase.text for phrase in intent.phrases if phrase.only in ("", value)})
        if count < MIN_PHRASINGS:
            yield f"{count} phrasings{f' for {value}' if value else ''}; expected at least {MIN_PHRASINGS}."


def _meaning_problems(intent: Intent, phrase: Phrase) -> Iterator[str]:
    """Yield why it could not be told from a phrasing what is meant."""
    if intent.flag and not phrase.only and not CHOICE.search(phrase.text):
        yield f"{phrase.text!r} does not tell true from false; use [this|that] or say_for."
    for slot in intent.slots.values():
        if slot.name not in phrase.slots and phrase.only not in {str(value) for value, _ in slot.words}:
            yield f"{phrase.text!r} leaves out {{{slot.name}}}."
    if intent.is_set and not phrase.slots & {"to", "level"} and phrase.only not in intent.degrees:
        yield f"{phrase.text!r} does not say where to; use {{to}} or {{level}}, or say_for a degree."
    if not intent.is_set and phrase.slots & {"to", "level"}:
        yield f"{phrase.text!r} says where to, but the function moves by an amount; use {{by}} or {{much}}."
    if intent.is_set and phrase.slots & {"by", "much"}:
        yield f"{phrase.text!r} says by how much, but the function sets; use {{to}} or {{level}}."


def _condition_problems(condition: Condition) -> Iterator[str]:
    """Yield what is wrong with a condition."""
    try:
        paths = place_paths(car_tables(), condition.module, condition.path)
    except (ConfigError, KeyError):
        paths = {}
    rows = car_tables().properties
    if not paths or any(path not in rows for path in paths.values()):
        yield f"{full_path(condition.module, condition.path)} is no leaf of the car."
        return
    row = rows[next(iter(paths.values()))]
    if row.type not in ("bool", "int", "float", "str", "enum"):
        yield f"{row.path} is a {row.type}; only single values can be asked for."
        return
    if condition.test != "is" and row.type not in ("int", "float"):
        yield f"{condition.test} asks for a number; the leaf is {row.type}."
    elif row.enum and condition.value not in row.enum:
        yield f"is {condition.value!r}; expected one of {', '.join(row.enum)}."
    if row.type == "bool" and not isinstance(condition.value, bool):
        yield f"is {condition.value!r}; expected true or false."
    has_places = "" not in paths
    for name in condition.say.slots - ({*PLACE_SLOTS, *_GRAMMAR_SLOTS} if has_places else set()):
        yield f"{condition.say.text!r} holds the unknown slot {{{name}}}."
    if has_places and "place" not in condition.say.slots:
        yield f"{condition.say.text!r} does not name the place; use {{place:noun}}."
    yield from _text_problems(condition.say.text)


def _text_problems(text: str) -> Iterator[str]:
    """Yield leaks and slips of form in a phrasing."""
    plain = SLOT.sub(" ", CHOICE.sub(r"\1 \2", text))
    if "_" in plain or re.search(r"[{}\[\]|]", plain):
        yield f"{text!r} holds '_' or a stray bracket."
    for word in re.findall(r"\w+", plain):
        if word not in _DOMAIN_WORDS and word in _api_words():
            yield f"{text!r} gives away the API's word {word!r}."
    if text.endswith(".") or text != text.strip():
        yield f"{text!r} ends with a full stop or a space; leave both out."


@cache
def _api_words() -> frozenset[str]:
    """Return the words of the API that nobody would say: those with an inner capital."""
    words: set[str] = set()
    for module in car_tables().modules.values():
        words.add(module.name)
        for function in module.functions.values():
            words |= {function.name, *function.name.split("_"), *(param.name for param in function.params)}
    return frozenset(word for word in words if re.search(r"[a-z][A-Z]", word))


def _sentences(intent: Intent) -> Iterator[tuple[str, Any]]:
    """Yield every sentence of an intent, free parts left as slots, with what it means."""
    flags = ("true", "false") if intent.flag else ("",)
    worded = [slot for slot in intent.slots.values() if slot.words]
    source = (intent.module, intent.same_as or intent.name)
    for phrase in intent.phrases:
        for flag in flags:
            if phrase.only in ("true", "false") and phrase.only != flag:
                continue
            text = CHOICE.sub(r"\1" if flag == "true" else r"\2", phrase.text)
            options = [
                [(value, word) for value, words in slot.words for word in words if phrase.only in ("", flag, str(value))]
                or [("", "")]
                for slot in worded
            ]
            for chosen in product(*options) if len(worded) <= 2 else ():
                filled = text
                for slot, (_, word) in zip(worded, chosen, strict=True):
                    filled = filled.replace(f"{{{slot.name}}}", word)
                meaning = (
                    source,
                    flag,
                    tuple(str(value) for value, _ in chosen),
                    phrase.only if phrase.only in intent.degrees else "",
                )
                for amount in ("", "<amount>") if phrase.names_amount and not intent.is_set else ("<amount>",):
                    yield _flatten(filled, amount), (*meaning, bool(amount) and phrase.names_amount)


def _flatten(text: str, amount: str) -> str:
    """Return a sentence in lower case with its free slots replaced."""
    text = re.sub(r"\{(by|much|to|level)\}", amount, text)
    text = re.sub(r"\{place:([^}/]*)[^}]*\}", r"<place> \1", text)
    return " ".join(text.lower().split()).replace(" ,", ",").replace(" ?", "?")


def main(modules: list[str]) -> int:
    """Check the files of these modules, or all, and print what is wrong; return the number of problems."""
    try:
        books = phrasebooks()
        for module in modules:
            car_tables().module(module)
    except PalaestraError as error:
        sys.stdout.write(f"{error}\n")
        return 1
    missing = [module for module in modules or MODULES if module not in books]
    lines = [f"{module}: there is no phrases/{module}.json." for module in missing] + problems(books, modules or None)
    lines.append(f"{len(lines)} problems.")
    sys.stdout.write("\n".join(lines) + "\n")
    return len(lines) - 1


if __name__ == "__main__":
    raise SystemExit(1 if main(sys.argv[1:]) else 0)
