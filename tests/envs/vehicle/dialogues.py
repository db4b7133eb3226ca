"""A few dialogues in a car, small enough to be followed by hand."""

from palaestra.envs.core.tasks import FixedTasks, Task
from palaestra.envs.vehicle.calls.call import Call
from palaestra.envs.vehicle.requests.task import CarRequest, CarTask

DRIVER, PASSENGER = "driver's seat", "passenger seat"


def call(module: str, function: str, **kwargs: object) -> Call:
    return Call(module, function, (), kwargs)


UNLOCK = CarRequest(
    "Unlock my door and open it.",
    (
        call("door", "carcontrol_carDoor_lock_switch", switch=False, position=[DRIVER]),
        call("door", "carcontrol_carDoor_switch", action="open", position=[DRIVER]),
    ),
    ("act", "speaker"),
)
LOUDER = CarRequest("The music a bit louder.", (call("music", "music_soundVolume_increase", degree="little"),), ("act",))
WARMER = CarRequest(
    "If my air conditioner is off, switch it on.",
    (call("airConditioner", "switch", position=[DRIVER], switch=True),),
    ("inform",),
)
ALBUM = CarRequest("Which album is this?", (call("music", "music_get_currentAlbum"),), ("query",))
LOCKED = CarRequest("Open the locked boot for me.", (), ("refuse",))
AGAIN = CarRequest(
    "Switch the front fog light off.",
    (call("fogLight", "carcontrol_fogLight_switch", switch=False, position="front"),),
    ("already",),
)

LOCK_ALL = {"op": "call", "module": "door"}
DIALOGUES = {
    "doors": CarTask(("door",), ({"op": "env_set", "property": "language", "value": "English"},), (UNLOCK,)),
    "mixed": CarTask(("door", "music"), (), (LOUDER, LOCKED, UNLOCK)),
    "climate": CarTask(
        ("airConditioner", "music"), ({"op": "module_preset", "module": "music", "preset": "init1"},), (WARMER, ALBUM, LOUDER)
    ),
    "idle": CarTask(
        ("fogLight", "trunk"), ({"op": "module_preset", "module": "fogLight", "preset": "default"},), (LOCKED, ALBUM)
    ),
}


def dialogues() -> FixedTasks:
    """Return the dialogues as tasks: two to train on, two to test with."""
    splits = ("train", "test")
    rows = enumerate(DIALOGUES.items())
    return FixedTasks(Task(name, splits[index % 2], task.interaction, task.to_json()) for index, (name, task) in rows)
