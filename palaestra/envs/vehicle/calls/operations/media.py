"""Operations of what can be heard and watched: the shared volume, the sound channel, playing lists, favourites."""

from __future__ import annotations

from collections.abc import Callable
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from palaestra.envs.vehicle.calls.operations import Run, operation
from palaestra.envs.vehicle.calls.preconditions import precondition_of
from palaestra.envs.vehicle.car.call_result import Refusal
from palaestra.envs.vehicle.car.paths import full_path
from palaestra.envs.vehicle.car.tables import CarTables, Function

if TYPE_CHECKING:
    from palaestra.envs.vehicle.car.car import Car
    from palaestra.envs.vehicle.car.state import CarState, Record

VOLUME = "environment.volume"
SOUND_CHANNEL = "environment.sound_channel"
VOLUME_STEPS = {"large": 20, "little": 10, "tiny": 5}
VOLUME_LIMITS = (0, 100)


@operation("volume")
def volume(function: Function, tables: CarTables) -> Run:
    """Move the volume that all audio modules share, and take the sound channel.

    Row: `direction` ("up", "down" or "set"), `published` (over the module's, see below).
    Module setting `volume`: `presets` (word -> volume, for "set") and `published`, the rules of the `published` profile:
    - `claims`: "first" takes the channel before anything is checked, "last" afterwards;
    - `both`: a value with a degree; "value" wins, or "error";
    - `whole`: only whole numbers are taken;
    - `negative`: amounts below 0; "error", "clamp", or "open" (the far limit is not kept);
    - `words`: an unknown degree; "error", or "ignore" (no change);
    - `outside`: setting a value outside 0 to 100; "error" or "clamp";
    - `step`: without an amount.
    """
    settings = tables.modules[function.module].settings["volume"]
    published = {**settings["published"], **function.arguments.get("published", {})}
    direction = function["direction"]
    sign = {"up": 1, "down": -1, "set": 0}[direction]
    words: dict[str, int] = settings["presets"] if direction == "set" else VOLUME_STEPS
    module = function.module

    def run(car: Car, bound: dict[str, Any]) -> dict[str, Any]:
        value, degree = bound["value"], bound["degree"]
        state = car.state
        old = state.values[VOLUME]
        if car.as_published:
            if published["claims"] == "first":
                state.set(SOUND_CHANNEL, module)
            new = _published_volume(published, sign, words, old, value, degree)
        else:
            new = _volume(sign, words, old, value, degree)
        state.set(VOLUME, new)
        state.set(SOUND_CHANNEL, module)
        return {"old_volume": old, "new_volume": new, "sound_channel": module}

    return run


def _volume(sign: int, words: dict[str, int], old: Any, value: Any, degree: Any) -> Any:
    """Return the new volume; arguments are checked, except that setting needs one of them and a volume within the limits."""
    low, high = VOLUME_LIMITS
    if not sign:
        if value is None and degree is None:
            raise Refusal("missing_argument", "Nothing says which volume to set; give value or degree.", "value")
        new = words[degree] if value is None else value
        if not low <= new <= high:
            raise Refusal("out_of_range", f"value is {value!r}; expected {low} to {high}.", "value")
        return new
    amount = value if value is not None else words[degree or "little"]
    return min(high, max(low, old + sign * amount))


def _published_volume(rules: dict[str, Any], sign: int, words: dict[str, int], old: Any, value: Any, degree: Any) -> Any:
    """Return the new volume by a module's published rules."""
    if value is not None:
        if degree is not None and rules["both"] == "error":
            raise Refusal("conflicting_arguments", "Give either value or degree.", "degree")
        if rules["whole"] and not isinstance(value, int):
            raise Refusal("invalid_type", f"value is {value!r}; expected a whole number.", "value")
        if sign and value < 0 and rules["negative"] == "error":
            raise Refusal("out_of_range", f"value is {value!r}; expected at least 0.", "value")
        if not sign and (value < 0 or value > 100) and rules["outside"] == "error":
            raise Refusal("out_of_range", f"value is {value!r}; expected 0 to 100.", "value")
        amount = value
    elif degree is not None:
        if degree not in words:
            if rules["words"] == "ignore":
                return old
            raise Refusal("invalid_value", f"degree is {degree!r}; expected one of {', '.join(words)}.", "degree")
        amount = words[degree]
    elif sign:
        amount = rules["step"]
    else:
        raise Refusal("missing_argument", "Give value or degree.", "value")
    if rules["negative"] == "open" and sign:
        return min(100, old + amount) if sign > 0 else max(0, old - amount)
    return min(100, max(0, old + sign * amount if sign else amount))


@operation("ladder")
def ladder(function: Function, tables: CarTables) -> Run:
    """Move a property one word along the order of its words; refuses at the ends.

    Row: `sets` (the property), `order` (its words from the lowest), `direction` ("up" or "down").
    """
    path = full_path(function.module, function["sets"])
    order: list[str] = function["order"]
    step = 1 if function["direction"] == "up" else -1
    end = order[-1] if step > 0 else order[0]

    def run(car: Car, bound: dict[str, Any]) -> dict[str, Any]:
        word = car.state.values[path]
        if word == end:
            raise Refusal(
                "precondition_failed", f"{path} is {end} already, the {'highest' if step > 0 else 'lowest'} there is."
            )
        new = order[order.index(str(word)) + step]
        car.state.set(path, new)
        return {function["sets"]: new}

    return run


@operation("stop")
def stop(function: Function, tables: CarTables) -> Run:
    """Stop what plays; the sound channel stays. Refuses where nothing plays.

    Row: `sets` (whether it plays), `published` (quirks Q1 and Q2 of the `published` profile: "fails" always, "succeeds"
    always).
    """
    path = full_path(function.module, function["sets"])
    published = function["published"]

    def run(car: Car, bound: dict[str, Any]) -> dict[str, Any]:
        state = car.state
        if car.as_published and published == "fails":
            raise Refusal("precondition_failed", "The published function always fails.")
        if not car.as_published and not state.values[path]:
            raise Refusal("precondition_failed", f"Nothing to stop: {path} is False already.")
        state.set(path, False)
        return {"is_playing": False}

    return run


@operation("play_tracks")
def play_tracks(function: Function, tables: CarTables) -> Run:
    """Make a list of tracks the current playlist and play its first track; takes the sound channel.

    Row: `list` (the tracks), `history` (whether an unheard first track goes to the head of the history).
    Module setting `player`: `list` (current playlist), `index`, `playing` and `history` (their properties).
    """
    module = function.module
    player = {key: full_path(module, path) for key, path in tables.modules[module].settings["player"].items()}
    source = full_path(module, function["list"])
    keeps_history = function["history"]

    def run(car: Car, bound: dict[str, Any]) -> dict[str, Any]:
        state = car.state
        state.set(SOUND_CHANNEL, module)  # before the check: published so (Q9), undone in `fixed`
        tracks = state.lists[source]
        if not tracks:
            raise Refusal("precondition_failed", f"{source} is empty; there is nothing to play.")
        state.set_list(player["list"], tracks)
        state.set(player["index"], 0)
        state.set(player["playing"], True)
        first = tracks[0]
        if keeps_history and first not in state.lists[player["history"]]:
            state.set_list(player["history"], (first, *state.lists[player["history"]]))
        return {"is_playing": True, "current_track": state.records[first]["title"], "playlist_size": len(tracks)}

    return run


@operation("play_first")
def play_first(function: Function, tables: CarTables) -> Run:
    """Make the first item of a list the current one and play it; takes the sound channel.

    Row: `list` (the items).
    Module setting `player`: `current` and `playing` (properties), `tells` (field -> name in the answer).
    """
    module = function.module
    player = tables.modules[module].settings["player"]
    current, playing = full_path(module, player["current"]), full_path(module, player["playing"])
    source, tells = full_path(module, function["list"]), player["tells"]

    def run(car: Car, bound: dict[str, Any]) -> dict[str, Any]:
        state = car.state
        items = state.lists[source]
        if not items:
            raise Refusal("precondition_failed", f"{source} is empty; there is nothing to play.")
        state.set_ref(current, items[0])
        state.set(playing, True)
        state.set(SOUND_CHANNEL, module)
        record = state.records[items[0]]
        return {module: {name: record[field] for field, name in tells.items()}}

    return run


def current_of(function: Function, tables: CarTables) -> Any:
    """Return the finder of the record at hand: `(state) -> number or None`.

    Row or module setting `player`: `current` (a reference), or `list` and `index` (the position in a list).
    """
    module = function.module
    player = tables.modules[module].settings["player"]
    if "current" in player:
        path = full_path(module, player["current"])
        return lambda state: state.refs[path]
    items, index = full_path(module, player["list"]), full_path(module, player["index"])

    def at_index(state: CarState) -> int | None:
        numbers, position = state.lists[items], state.values[index]
        return numbers[position] if isinstance(position, int) and 0 <= position < len(numbers) else None

    return at_index


@operation("mark")
def mark(function: Function, tables: CarTables) -> Run:
    """Set a boolean of the item at hand (see `current_of`), in every list that holds it.

    Row: `field`. In the `published` profile a value that is not a boolean is kept as it is (quirk Q24).
    """
    param = function.params[0].name
    field = function["field"]
    current = current_of(function, tables)

    def run(car: Car, bound: dict[str, Any]) -> dict[str, Any]:
        number = current(car.state)
        if number is None:
            raise Refusal("precondition_failed", "Nothing is selected; play something first.")
        car.state.change_record(number, **{field: bound[param]})
        return {field: bound[param]}

    return run


@operation("collect")
def collect(function: Function, tables: CarTables) -> Run:
    """Put the item at hand (see `current_of`) into a list, or take it out.

    Row: `list`, `field` (boolean of the item that says so; none if left out), `keeps` (`published`, quirk Q24: a value that is
    not a boolean is kept in the field as it is). Items are told apart by the identity of their kind.
    """
    path = full_path(function.module, function["list"])
    field, keeps = function.arguments.get("field"), function.arguments.get("keeps", False)
    identity = itemgetter(*tables.record_types[tables.properties[path].of].identity)
    current = current_of(function, tables)
    precondition = precondition_of(function, tables)

    def run(car: Car, bound: dict[str, Any]) -> dict[str, Any]:
        precondition(car)
        state, wanted = car.state, bound["collect"]
        number = current(state)
        if number is None:
            raise Refusal("precondition_failed", "Nothing is selected; play something first.")
        numbers = state.lists[path]
        twin = twin_in(state, numbers, number, identity)
        if wanted and twin is None:
            state.set_list(path, (*numbers, number))
        elif not wanted and twin is not None:
            state.set_list(path, [other for other in numbers if other != twin])
        if field is not None:
            state.change_record(number, **{field: wanted if keeps else bool(wanted)})
        return {"collected": bool(wanted), "count": len(state.lists[path])}

    return run


def twin_in(state: CarState, numbers: tuple[int, ...], number: int, identity: Callable[[Record], Any]) -> int | None:
    """Return which of these records is the given one or has its identity, or None."""
    if number in numbers:
        return number
    records = state.records
    wanted = identity(records[number])
    return next((other for other in numbers if identity(records[other]) == wanted), None)
