"""Dialogues: goals drawn for every request, a car made ready for them, and requests that the car has carried out once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from random import Random
from typing import Any

from palaestra.envs.vehicle.calls.call import Call
from palaestra.envs.vehicle.calls.calling import call_function
from palaestra.envs.vehicle.calls.setup import take_step
from palaestra.envs.vehicle.car.call_result import CallResult
from palaestra.envs.vehicle.car.car import Car
from palaestra.envs.vehicle.car.paths import full_path
from palaestra.envs.vehicle.car.tables import PRESETS, SEATS, car_tables
from palaestra.envs.vehicle.requests.goals import Chooser, Clash, Goal, split_of
from palaestra.envs.vehicle.requests.kinds import change_kinds, goal_kinds, refusal_kinds
from palaestra.envs.vehicle.requests.phrases import Condition, Intent, Phrase, phrasebooks
from palaestra.envs.vehicle.requests.spoken import Place, Quantity, fill, place_words, sentence, uncapital, words
from palaestra.envs.vehicle.requests.task import CarRequest

REFUSALS = ("precondition_failed", "not_found")
FOLLOW_UPS = ("again", "undo", "repeat", "more", "same_for", "instead")
_ATTEMPTS = 8
_FREE_PATHS = ("environment.sound_channel",)  # several parts of a request may write these


@dataclass(slots=True)
class Wish:
    """What a request is to be like.

    Attributes:
        kind: "act", "refuse", "already", "if", "like", "every", "follow", or "lead" (an act that a follow-up can refer to).
        modules: Module of each part.
        goals: Goals drawn for it.
        condition: Condition of an "if" request, and its place.
    """

    kind: str
    modules: tuple[str, ...]
    goals: list[Goal] = field(default_factory=list)
    condition: tuple[Condition, Place | None] | None = None


@dataclass(frozen=True, slots=True)
class Served:
    """A request that was carried out.

    Attributes:
        request: The request.
        keys: Keys of its goals, those included that were refused or not needed.
        modules: Modules that it is about.
    """

    request: CarRequest
    keys: tuple[str, ...]
    modules: tuple[str, ...]


class Dialogue:
    """A car and the requests made in it so far.

    Args:
        rng: Source of chance.
        split: Split that every request has to belong to.
        car: The car, changed in place.
        is_easy: Whether requests are kept simple.
    """

    def __init__(self, rng: Random, split: str, car: Car, *, is_easy: bool = False) -> None:
        """Start without requests."""
        self.rng = rng
        self.split = split
        self.car = car
        self.chooser = Chooser(rng, car, is_easy=is_easy)
        self.is_easy = is_easy
        self.setup: list[dict[str, Any]] = []
        self.served: list[Served] = []
        self._last: tuple[Goal, bool] | None = None  # the goal that a follow-up can refer to, and whether it changed anything
        self._mark = 0  # in the state's log, before the last request

    # -- before the first request ---------------------------------------------------------------------------------

    def take_step(self, step: dict[str, Any]) -> None:
        """Carry out a set-up step and remember it."""
        take_step(self.car, step)
        self.setup.append(step)

    def ready(self, wish: Wish) -> None:
        """Draw the goals of a wish and make the car ready for them.

        Raises:
            Clash: If nothing fits.
        """
        if wish.kind == "follow":
            return
        self.draw(wish)
        for goal in wish.goals:
            if wish.kind == "refuse":
                self._call_all(goal.calls_of(goal.intent.forbid))
                continue
            self._call_all(goal.calls_of(goal.intent.prepare))
            if wish.kind == "already":
                self._call_all([goal.call()])
            elif goal.flag is not None and self.rng.random() < 0.6:
                self._call_all([goal.opposite().call()])

    def disturb(self, module: str) -> None:
        """Let something of a module be done before the first request."""
        try:
            goal = self.chooser.goal(self._intent(module, "act"))
        except Clash:
            return
        if not goal.intent.is_query:
            self._call_all(goal.calls_of(goal.intent.prepare) if self.rng.random() < 0.5 else [])
            self._call_all([goal.call()])

    def _call_all(self, calls: Sequence[Call]) -> None:
        """Carry out calls and remember those that changed something."""
        for call in calls:
            result = self._try(call)
            if result.ok and result.changes:
                self.setup.append(
                    {"op": "call", "module": call.module, "function": call.function, "kwargs": dict(call.kwargs)}
                )

    def _try(self, call: Call) -> CallResult:
        """Carry out a call."""
        return call_function(self.car, call.module, call.function, call.args, call.kwargs)

    # -- drawing --------------------------------------------------------------------------------------------------

    def draw(self, wish: Wish, intents: Sequence[Intent] = ()) -> None:
        """Draw goals (again) that belong to the split.

        Args:
            wish: What the request is to be like.
            intents: Intents to use; by default they are drawn, too.

        Raises:
            Clash: If none are found.
        """
        for _ in range(4 * _ATTEMPTS):
            try:
                wish.goals = self._goals(wish, intents)
                if split_of(goal.key() for goal in wish.goals) == self.split:
                    wish.condition = self._condition(wish.modules[0]) if wish.kind == "if" else None
                    return
            except Clash:
                continue
        raise Clash

    def _goals(self, wish: Wish, intents: Sequence[Intent]) -> list[Goal]:
        """Draw goals of whatever split."""
        intents = intents or [self._intent(module, wish.kind) for module in wish.modules]
        plain = len(wish.modules) > 1 or wish.kind in ("if", "every")
        goals = [self.chooser.goal(intent, plain=plain, strange=wish.kind == "refuse") for intent in intents]
        if wish.kind == "every":
            return [self._every(goals[0])]
        return [self._like(goals[0])] if wish.kind == "like" else goals

    def _intent(self, module: str, kind: str) -> Intent:
        """Draw an intent of a module that suits a kind of request."""
        intents = suited(module, kind)
        if self.is_easy:
            intents = tuple(intent for intent in intents if not intent.has_amount and not intent.slots)
        if not intents:
            raise Clash
        return self.rng.choice(intents)

    def _every(self, goal: Goal) -> Goal:
        """Return the goal for all places of which some condition holds."""
        choices = [c for c in phrasebooks()[goal.intent.module].conditions if c.that]
        assert goal.intent.targets is not None
        if not choices or goal.phrase.slots & {"for", "at"}:
            raise Clash
        condition = self.rng.choice(choices)
        if set(goal.phrase.nouns) - set(condition.say.nouns):
            raise Clash  # "every open window handle" would not tell what is open
        values = self.car.state.values
        paths = place_leaves(condition)
        known = goal.intent.targets.places
        places = tuple(place for place in known if place in paths and condition.holds_for(values[paths[place]]))
        if not places or len(places) == len(known):
            raise Clash
        return replace(goal, place=Place(places, "every", condition.that))

    def _like(self, goal: Goal) -> Goal:
        """Return the goal of bringing one place to the level of another."""
        intent = goal.intent
        assert intent.like is not None
        assert intent.targets is not None
        phrase = self.rng.choice(intent.phrases_like)
        known = intent.targets.places
        place = self.chooser.place(intent, phrase)
        others = [name for name in known if name not in place.places]
        if not others:
            raise Clash
        other = self.rng.choice(others)
        how = "mine" if other == self.chooser.speaker else "name"
        level = self.car.state.values[leaf(intent.module, intent.like["path"], other)]
        if isinstance(level, bool) or not isinstance(level, int | float):
            raise Clash
        return replace(
            goal, phrase=phrase, place=place, quantity=Quantity(level, intent.like["unit"]), other=Place((other,), how)
        )

    def _condition(self, module: str) -> tuple[Condition, Place | None]:
        """Draw a condition for a request, mostly one that holds."""
        conditions = phrasebooks()[module].conditions
        if not conditions:
            raise Clash
        wanted = self.rng.random() < 0.65
        for _ in range(_ATTEMPTS):
            condition = self.rng.choice(conditions)
            leaves = place_leaves(condition)
            name = self.rng.choice(tuple(leaves))
            if condition.holds_for(self.car.state.values[leaves[name]]) is wanted:
                how = "mine" if name == self.chooser.speaker and self.rng.random() < 0.5 else "name"
                return condition, Place((name,), how) if name else None
        raise Clash

    # -- serving --------------------------------------------------------------------------------------------------

    def serve(self, wish: Wish) -> None:
        """Make a request of a wish and carry it out; its goals are drawn again where the car has moved on.

        Raises:
            Clash: If nothing fits.
        """
        if wish.kind == "follow":
            self._follow(wish)
            return
        for attempt in range(_ATTEMPTS):
            if attempt:
                try:
                    self.draw(wish, [goal.intent for goal in wish.goals] if attempt < _ATTEMPTS / 2 else ())
                except Clash:
                    continue
            if self._attempt(wish):
                return
        raise Clash

    def _attempt(self, wish: Wish) -> bool:
        """Carry out the goals of a wish; leave the car as it was and return False if they do not come out as wished."""
        mark = self.car.state.mark()
        if wish.kind == "already":
            served = self._serve_already(wish.goals[0])
        elif wish.kind == "refuse":
            served = self._serve_refusal(wish.goals[0])
        elif wish.kind == "if":
            served = self._serve_condition(wish)
        else:
            served = self._serve_acts(wish)
        if served is None:
            self.car.state.undo(mark)
            return False
        self._mark = mark
        self.served.append(served)
        return True

    def _serve_acts(self, wish: Wish) -> Served | None:
        """Carry out goals that each change or ask something."""
        seen: set[str] = set()
        kinds: set[str] = set()
        calls: list[Call] = []
        state = self.car.state
        for goal in wish.goals:
            call = goal.call()
            result = self._try(call)
            changes = result.changes
            touched = {change.path for change in changes} - set(_FREE_PATHS)
            if not result.ok or not (changes or goal.intent.is_query) or touched & seen or call in calls:
                return None
            if _has_doubles(self.car, call.module):
                return None
            if wish.kind in ("every", "like") and not changes:
                return None
            if wish.kind == "like" and any(change.new is False for change in changes):
                return None  # the lowest level also switches some things off, which "the same level" does not say
            seen |= touched
            kinds |= change_kinds(changes) | goal_kinds(goal, changes, state) | {"act" if changes else "query"}
            calls.append(call)
        if wish.kind in ("every", "like"):
            kinds.add("inform")
        texts = [goal.text() for goal in wish.goals]
        if len(texts) == 1:
            self._last = wish.goals[0], bool(seen)
        else:
            kinds.add("compound")
            self._last = None
        return self._made(self._joined(texts), calls, kinds, wish.goals)

    def _serve_already(self, goal: Goal) -> Served | None:
        """Carry out a goal that already holds."""
        result = self._try(goal.call())
        if not result.ok or result.changes or goal.intent.is_query:
            return None
        self._last = goal, False
        kinds = goal_kinds(goal, (), self.car.state) | {"already"}
        return self._made(sentence(goal.text()), [goal.call()], kinds, [goal])

    def _serve_refusal(self, goal: Goal) -> Served | None:
        """Let the car refuse a goal."""
        result = self._try(goal.call())
        if result.ok or result.error is None or result.error.code not in REFUSALS or result.changes:
            return None
        self._last = None
        kinds = goal_kinds(goal, (), self.car.state) | refusal_kinds(goal.intent.module) | {"refuse"}
        return self._made(sentence(goal.text()), [], kinds, [goal])

    def _serve_condition(self, wish: Wish) -> Served | None:
        """Carry out a goal if its condition holds; it must be one that would change something."""
        assert wish.condition is not None
        (goal,), (condition, place) = wish.goals, wish.condition
        state = self.car.state
        mark = state.mark()
        holds = condition.holds_for(state.values[place_leaves(condition)[place.places[0] if place else ""]])
        result = self._try(goal.call())
        if not result.ok or not result.changes:
            return None
        kinds = goal_kinds(goal, result.changes, state) | {"inform"}
        if place is not None and place.depends_on_speaker:
            kinds |= {"speaker", "C8"}
        if holds:
            kinds |= change_kinds(result.changes) | {"act"}
        else:
            state.undo(mark)
            kinds.add("unmet")
        self._last = None
        request = uncapital(goal.text())
        text = self.rng.choice(words()["if"]).replace("{condition}", condition_words(condition, place))
        return self._made(sentence(text.replace("{request}", request)), [goal.call()] if holds else [], kinds, [goal])

    def _made(self, text: str, calls: Sequence[Call], kinds: set[str], goals: Sequence[Goal]) -> Served:
        """Return a request that was carried out."""
        order = ("act", "query", "inform", "refuse", "already", "unmet")
        first = [kind for kind in order if kind in kinds]
        rest = sorted(kinds.difference(order), key=lambda kind: (len(kind), kind))
        request = CarRequest(text, tuple(calls), (*first, *rest))
        return Served(request, tuple(goal.key() for goal in goals), tuple(goal.intent.module for goal in goals))

    def _joined(self, texts: Sequence[str]) -> str:
        """Join the parts of a request."""
        joined = [sentence(texts[0])]
        for text in texts[1:]:
            join = self.rng.choice(words()["joins"])
            joined.append(sentence(join + uncapital(text) if join else text))
        return " ".join(joined)

    # -- follow-ups -----------------------------------------------------------------------------------------------

    def _follow(self, wish: Wish) -> None:
        """Make a request that refers to the one before, or else one of its own."""
        kinds = list(FOLLOW_UPS)
        self.rng.shuffle(kinds)
        last = self._last
        for kind in kinds if last is not None else ():
            for _ in range(3):
                if self._attempt_follow_up(kind, *last):  # type: ignore[misc]
                    return
        wish.kind = "act"
        wish.goals = []
        self.draw(wish)
        self.serve(wish)

    def _attempt_follow_up(self, kind: str, last: Goal, can_undo: bool) -> bool:
        """Try one kind of follow-up; leave the car as it was if it does not come out."""
        found = self._follow_up(kind, last, can_undo)
        if found is None or split_of([found[0].key()]) != self.split:
            return False
        goal, text = found
        mark = self.car.state.mark()
        result = self._try(goal.call())
        changes = result.changes
        if not result.ok or not changes or (kind == "undo" and self.car.state.changes_since(self._mark)):
            self.car.state.undo(mark)
            return False
        kinds = change_kinds(changes) | goal_kinds(goal, changes, self.car.state) | {"act", "follow-up"}
        self._last, self._mark = (goal, True), mark
        self.served.append(self._made(sentence(text), [goal.call()], kinds, [goal]))
        return True

    def _follow_up(self, kind: str, last: Goal, can_undo: bool) -> tuple[Goal, str] | None:
        """Return the goal and the text of a follow-up, or None if this kind does not suit the last goal."""
        intent, rng = last.intent, self.rng
        if kind == "again":
            if not intent.again or last.other is not None or (last.flag is None and not intent.has_amount):
                return None
            phrase = rng.choice(intent.again)
            goal = replace(last, phrase=phrase, quantity=self.chooser.quantity(intent, phrase))
            goal = goal if goal.flag is None else goal.opposite()
            return goal, goal.text()
        if kind == "undo":
            if last.flag is None or not can_undo:
                return None
            return last.opposite(), rng.choice(words()["undo"])
        if kind in ("repeat", "more"):
            if not intent.has_amount or intent.is_set:
                return None
            if kind == "repeat":
                return last, rng.choice(words()["repeat"])
            if not intent.degrees:
                return None
            goal = replace(last, quantity=Quantity(degree=rng.choice(intent.degrees)))
            said = words()["degrees"][goal.quantity.degree]  # type: ignore[union-attr]
            return goal, rng.choice(words()["more"]).replace("{degree}", said)
        if kind == "same_for":
            if last.place is None or last.place.places[0] not in SEATS or intent.targets is None or last.other is not None:
                return None
            goal = replace(last, place=self.chooser.seats(intent.targets.places))
            assert goal.place is not None
            if set(goal.place.places) & set(last.place.places):
                return None
            return goal, rng.choice(words()["same_for"]).replace("{for}", place_words(goal.place, "for"))
        if not intent.is_set or last.other is not None:
            return None
        phrase = Phrase.of(rng.choice(words()["instead"]))
        quantity = self.chooser.quantity(intent, phrase)
        if quantity is None or quantity == last.quantity:
            return None
        goal = replace(last, phrase=phrase, quantity=quantity)
        return goal, goal.text()


def _has_doubles(car: Car, module: str) -> bool:
    """Whether two records of a module claim to be the same one; a state written by identity could not tell them apart."""
    state, tables = car.state, car.tables
    seen: dict[object, int] = {}
    for path, kind in _record_places(module):
        number = state.refs.get(path)
        for other in state.lists.get(path, () if number is None else (number,)):
            record = state.records[other]
            identity = (kind, *(record[name] for name in tables.record_types[kind].identity))
            if seen.setdefault(identity, other) != other:
                return True
    return False


@cache
def _record_places(module: str) -> tuple[tuple[str, str], ...]:
    """Return the lists and references of a module that hold records with an identity, and the type of those."""
    tables = car_tables()
    rows = [row for row in tables.modules[module].properties if row.type in ("list", "record")]
    return tuple((path, row.of) for row in rows if tables.record_types[row.of].identity for path in row.paths())


def leaf(module: str, path: str, place: str) -> str:
    """Return the full path of a leaf of a place."""
    full = full_path(module, path)
    if "{seat}" in full:
        return full.replace("{seat}", place)
    places = car_tables().modules[module].settings.get("places", {})
    return full.replace("{place}", places.get(place, place))


def place_leaves(condition: Condition) -> dict[str, str]:
    """Return the leaves that a condition can ask for, by place; the only key is the empty text where it names no place."""
    module, path = condition.module, condition.path
    if "{seat}" in path:
        row = next(row for row in car_tables().modules[module].properties if row.path == path)
        return {seat: leaf(module, path, seat) for seat in row.seats}
    if "{place}" in path:
        return {place: leaf(module, path, place) for place in car_tables().modules[module].settings["places"]}
    return {"": full_path(module, path)}


def condition_words(condition: Condition, place: Place | None) -> str:
    """Return a condition in words."""

    def slot(name: str, noun: str) -> str:
        if name in ("is", "has", "it"):
            return name
        assert place is not None
        return place_words(place, "of" if name == "place" else name, noun)

    return fill(condition.say.text, None, slot)


@cache
def suited(module: str, kind: str) -> Sequence[Intent]:
    """Return the intents of a module that suit a kind of request."""
    intents = tuple(phrasebooks()[module].intents.values())
    match kind:
        case "like":
            return tuple(intent for intent in intents if intent.like is not None)
        case "every":
            return tuple(intent for intent in intents if intent.place and not intent.is_query)
        case "if":
            return tuple(intent for intent in intents if not intent.is_query)
        case "lead":
            return tuple(i for i in intents if not i.is_query and (i.flag or i.has_amount or (i.place and not i.slots)))
        case "already":
            return tuple(i for i in intents if not i.is_query and (i.is_set or not i.has_amount))
        case "refuse":
            return tuple(intent for intent in intents if intent.forbid or _is_refused_somewhere(intent))
    return intents


def _is_refused_somewhere(intent: Intent) -> bool:
    """Whether a car as it is delivered, or in a preset of the module, refuses what an intent asks for."""
    for preset in PRESETS:
        car = Car()
        car.apply_preset(intent.module, preset)
        chooser = Chooser(Random(0), car)
        for _ in range(4):
            try:
                call = chooser.goal(intent, strange=True).call()
            except Clash:
                continue
            error = call_function(car.copy(), call.module, call.function, call.args, call.kwargs).error
            if error is not None and error.code in REFUSALS:
                return True
    return False
