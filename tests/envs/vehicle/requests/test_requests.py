import json
from itertools import pairwise
from random import Random

import pytest

from palaestra.envs.vehicle.car.call_result import Change
from palaestra.envs.vehicle.car.tables import MODULES, SEATS, car_tables
from palaestra.envs.vehicle.requests.dialogue import Dialogue, Wish
from palaestra.envs.vehicle.requests.goals import Chooser, Clash, Goal, split_of
from palaestra.envs.vehicle.requests.kinds import change_kinds, goal_kinds, refusal_kinds
from palaestra.envs.vehicle.requests.phrases import Intent, Phrase, phrasebooks
from palaestra.envs.vehicle.requests.spoken import Place, Quantity, fill, place_words, quantity_words, sentence, uncapital
from palaestra.envs.vehicle.world import VehicleWorld


def intent(module: str, name: str) -> Intent:
    return phrasebooks()[module].intents[name]


def say(text: str, goal: Goal) -> str:
    return Goal(goal.intent, Phrase.of(text), goal.flag, goal.words, goal.place, goal.quantity, goal.other).text()


@pytest.mark.parametrize(
    ("place", "said"),
    [
        (Place(("driver's seat",), "name"), "the driver's door"),
        (Place(("second row left",), "name"), "the second-row left door"),
        (Place(("third row right",), "mine"), "my door"),
        (Place(SEATS[2:4], "second"), "both second-row doors"),
        (Place(SEATS[2:4], "behind"), "the doors of the row behind me"),
        (Place(SEATS, "all"), "all doors"),
        (Place(SEATS[1:], "rest"), "all doors except mine"),
        (Place(SEATS[:2], "every", "open"), "every open door"),
    ],
)
def test_places_are_said_with_their_noun(place: Place, said: str) -> None:
    assert place_words(place, "of", "door") == said


def test_sides_rows_and_ends_are_said_too() -> None:
    assert place_words(Place(("left side",), "name"), "of", "mirror") == "the left mirror"
    assert place_words(Place(("front", "rear"), "both ends"), "at") == "at the front and at the rear"
    assert place_words(Place(("front", "rear"), "unnamed"), "of", "switch/switches") == "both switches"


@pytest.mark.parametrize(
    ("quantity", "step", "target"),
    [
        (Quantity(20, "percentage"), "20 percent", "20 percent"),
        (Quantity(2, "gear"), "2 gears", "gear 2"),
        (Quantity(1, "level"), "1 level", "level 1"),
        (Quantity(0.5, "celsius"), "0.5 degrees Celsius", "0.5 degrees Celsius"),
        (Quantity(7), "7", "7"),
        (Quantity(degree="little"), "a bit", "a bit"),
        (Quantity(degree="max"), "the maximum", "the maximum"),
    ],
)
def test_amounts_are_said_as_steps_and_as_targets(quantity: Quantity, step: str, target: str) -> None:
    assert quantity_words(quantity, is_step=True) == step
    assert quantity_words(quantity, is_step=False) == target


def test_amount_slots_are_empty_for_the_default_step() -> None:
    goal = Goal(intent("door", "wider"), Phrase.of(""), place=Place(("driver's seat",), "name"))
    assert say("open {place:door} wider {by}, please", goal) == "open the driver's door wider, please"
    assert say("{place:door} {is} {much} wider", goal) == "the driver's door is wider"
    much = Goal(goal.intent, goal.phrase, place=Place(SEATS, "all"), quantity=Quantity(5, "centimeter"))
    assert say("open {place:door} wider {by}", much) == "open all doors wider by 5 centimeters"
    assert say("{place:door} {is} {much} wider, leave {it} so", much) == "all doors are 5 centimeters wider, leave them so"


def test_alternatives_follow_the_flag() -> None:
    assert fill("[lock|unlock] it", True, lambda name, noun: "") == "lock it"
    assert fill("[lock|unlock] it", False, lambda name, noun: "") == "unlock it"


def test_sentences_begin_with_capitals_and_end_with_a_mark() -> None:
    assert sentence("could you lock it?") == "Could you lock it?"
    assert sentence("i") == "I."
    assert [uncapital(text) for text in ("Lock it", "I want it", "I'd like it", "HUD on", "A bit")] == [
        "lock it",
        "I want it",
        "I'd like it",
        "HUD on",
        "A bit",
    ]


def test_a_goal_becomes_a_call_with_every_argument() -> None:
    goal = Goal(intent("door", "open"), Phrase.of(""), flag=False, place=Place(SEATS, "all"))
    call = goal.call()
    assert (call.function, call.kwargs) == ("carcontrol_carDoor_switch", {"action": "close", "position": ["all"]})
    set_angle = Goal(
        intent("door", "angle"), Phrase.of(""), place=Place(("passenger seat",), "name"), quantity=Quantity(40, "centimeter")
    )
    assert set_angle.call().kwargs == {"position": ["passenger seat"], "value": 40, "unit": "centimeter"}


def test_the_key_of_a_goal_does_not_depend_on_the_words() -> None:
    lock = intent("door", "lock")
    by_name = Goal(lock, lock.phrases[0], flag=True, place=Place(("driver's seat",), "name"))
    mine = Goal(lock, lock.phrases[1], flag=True, place=Place(("driver's seat",), "mine"))
    assert by_name.key() == mine.key()
    assert by_name.key() != by_name.opposite().key()


def key(module: str, function: str, **arguments: object) -> str:
    return json.dumps([module, function, sorted(arguments.items())], separators=(",", ":"))


def test_a_request_belongs_to_one_split_whatever_the_order_of_its_goals() -> None:
    keys = [key("music", "music_soundVolume_set", value=i) for i in range(2000)]
    pairs = list(pairwise(keys))
    for splits in ([split_of([one]) for one in keys], [split_of(pair) for pair in pairs]):
        assert 0.15 < splits.count("test") / len(splits) < 0.25
    assert all(split_of([a, b]) == split_of([b, a, a]) for a, b in pairs[:100])


def test_every_function_can_be_asked_for_in_training() -> None:
    flags = []
    for module in MODULES:
        for function in car_tables().modules[module].functions.values():
            if not function.params:
                assert split_of([key(module, function.name)]) == "train"
            elif len(function.params) == 1 and (function.params[0].enum or function.params[0].type == "bool"):
                splits = [
                    split_of([key(module, function.name, **{function.params[0].name: value})])
                    for value in function.params[0].enum or (True, False)
                ]
                assert "train" in splits
                flags += splits
    assert 0.1 < flags.count("test") / len(flags) < 0.3


@pytest.mark.parametrize("speaker", SEATS)
def test_rows_ahead_and_behind_are_those_of_the_speaker(speaker: str) -> None:
    world = VehicleWorld()
    world.set_up([{"op": "env_set", "property": "speaker", "value": speaker}])
    chooser = Chooser(Random(0), world)
    row = SEATS.index(speaker) // 2
    for _ in range(300):
        place = chooser.seats(SEATS)
        rows = {SEATS.index(seat) // 2 for seat in place.places}
        match place.how:
            case "ahead":
                assert rows == {row - 1}
            case "behind":
                assert rows == {row + 1}
            case "next":
                assert rows == {row}
                assert speaker not in place.places
            case "rest":
                assert set(place.places) == set(SEATS) - {speaker}
            case "mine":
                assert place.places == (speaker,)
        assert place.depends_on_speaker == (place.how in ("ahead", "behind", "next", "rest", "mine"))


def test_a_phrasing_that_names_no_place_means_the_speaker() -> None:
    world = VehicleWorld()
    world.set_up([{"op": "env_set", "property": "speaker", "value": "third row left"}])
    place = Chooser(Random(0), world).place(intent("door", "open"), Phrase.of("let me out"))
    assert place == Place(("third row left",), "unnamed")
    assert place.depends_on_speaker


def test_amounts_lie_on_the_grid_that_the_file_names() -> None:
    chooser = Chooser(Random(0), VehicleWorld())
    angle = intent("door", "angle")
    for _ in range(200):
        quantity = chooser.quantity(angle, angle.phrases[0])
        assert quantity is not None
        if not quantity.degree:
            low, high, step = angle.amount[quantity.unit]
            assert quantity.value is not None
            assert low <= quantity.value <= high
            assert (quantity.value - low) % step == 0


def dialogue(speaker: str = "driver's seat", split: str = "train", seed: int = 0) -> Dialogue:
    world = VehicleWorld()
    world.set_up([{"op": "env_set", "property": "speaker", "value": speaker}])
    return Dialogue(Random(seed), split, world)


@pytest.mark.parametrize(
    ("kind", "label"),
    [("act", "act"), ("refuse", "refuse"), ("already", "already"), ("if", "inform"), ("every", "inform")],
)
def test_each_kind_of_wish_comes_out_as_wished(kind: str, label: str) -> None:
    served = 0
    for seed in range(30):
        talk = dialogue(seed=seed)
        wish = Wish(kind, ("door",))
        try:
            for _ in range(3):
                talk.disturb("door")
            talk.ready(wish)
            talk.car.state.forget()
            before = talk.car.copy()
            talk.serve(wish)
        except Clash:
            continue
        served += 1
        request = talk.served[0].request
        assert label in request.kinds
        if kind in ("refuse", "already") or "unmet" in request.kinds:
            assert talk.car == before
        else:
            assert talk.car != before
        assert bool(request.calls) != (kind == "refuse" or "unmet" in request.kinds)
    assert served >= 10


def test_follow_ups_refer_to_the_request_before() -> None:
    seen = set()
    for seed in range(60):
        talk = dialogue(seed=seed)
        talk.ready(Wish("act", ("door",)))
        talk.car.state.forget()
        try:
            talk.serve(first := Wish("act", ("door",), [talk.chooser.goal(intent("door", "open"))]))
        except Clash:
            continue
        talk.serve(Wish("follow", ("door",)))
        request = talk.served[1].request
        if "follow-up" not in request.kinds:
            continue
        (call,) = request.calls
        assert call.function == first.goals[0].call().function
        seen.add(request.text)
    assert len(seen) >= 4


def test_undoing_leaves_the_car_as_it_was() -> None:
    undone = 0
    for seed in range(80):
        talk = dialogue(seed=seed)
        talk.car.state.forget()
        before = talk.car.copy()
        lock = Wish("act", ("door",), [talk.chooser.goal(intent("door", "lock"))])
        try:
            talk.serve(lock)
        except Clash:
            continue
        last, can_undo = lock.goals[0], True
        if talk._attempt_follow_up("undo", last, can_undo):
            undone += 1
            assert talk.car == before
    assert undone >= 5


def test_couplings_are_seen_in_the_changes() -> None:
    def kinds(*paths: str) -> set[str]:
        return change_kinds([Change("set", path, 0, 1) for path in paths])

    assert kinds("environment.volume", "environment.sound_channel") == {"C1", "C2"}
    assert kinds("airConditioner.heat_mode") == set()
    assert kinds("airConditioner.heat_mode", "airConditioner.cool_mode") == {"C3"}
    assert kinds("navigation.broadcast_mode", "navigation.voice_notifications_enabled") == {"C7"}
    assert kinds("door.doors.driver's seat.status") == {"C11"}
    assert kinds("radio._history[0].name") == {"C14"}
    assert refusal_kinds("HUD") == {"C10"}
    assert refusal_kinds("tailLight") == set()


def test_another_unit_than_the_stored_one_is_told() -> None:
    angle = intent("door", "angle")
    kinds = {}
    for unit in ("percentage", "gear"):
        world = VehicleWorld()
        goal = Goal(angle, angle.phrases[0], place=Place(("driver's seat",), "name"), quantity=Quantity(3, unit))
        call = goal.call()
        changes = world.call_with(call.module, call.function, (), call.kwargs).changes
        kinds[unit] = goal_kinds(goal, changes, world.state)
    assert kinds == {"percentage": {"value"}, "gear": {"value", "unit"}}
