"""The rooms of made-up games: furniture, layouts, and which things are kept where.

Four kinds of rooms with twelve layouts each; the last layouts of a kind belong to the split "test". Layouts are drawn once
and for all from the name of the room, so that a room looks the same in every game.
"""

from __future__ import annotations

import random
from functools import cache
from typing import NamedTuple

LAYOUTS = 12  # of each kind of room
TEST_LAYOUTS = 3  # the last of them


class Furniture(NamedTuple):
    """Receptacles of one type in a kind of room.

    Attributes:
        type: Their type.
        least: Fewest in a layout.
        most: Most in a layout.
    """

    type: str
    least: int
    most: int


class Thing(NamedTuple):
    """A type of object.

    Attributes:
        type: Its name.
        rooms: Kinds of rooms where it is found.
        abilities: Which of "clean", "heat", "cool" and "slice" can be done to it.
        homes: Types of receptacles that can hold it, the likeliest first.
    """

    type: str
    rooms: tuple[str, ...]
    abilities: tuple[str, ...]
    homes: tuple[str, ...]


OPENING = frozenset(("Cabinet", "Drawer", "Fridge", "Microwave", "Safe", "LaundryHamper"))
"""Types of receptacles that open and close."""

STATIONS = {"clean": "SinkBasin", "heat": "Microwave", "cool": "Fridge"}
"""Where things are cleaned, heated and cooled."""

ROOMS: dict[str, tuple[Furniture, ...]] = {
    "kitchen": (
        Furniture("Cabinet", 4, 14),
        Furniture("Drawer", 3, 9),
        Furniture("CounterTop", 2, 3),
        Furniture("Fridge", 1, 1),
        Furniture("Microwave", 1, 1),
        Furniture("SinkBasin", 1, 1),
        Furniture("StoveBurner", 2, 4),
        Furniture("CoffeeMachine", 1, 1),
        Furniture("Toaster", 1, 1),
        Furniture("GarbageCan", 1, 1),
        Furniture("DiningTable", 0, 2),
        Furniture("Shelf", 0, 3),
        Furniture("SideTable", 0, 1),
    ),
    "living": (
        Furniture("Sofa", 1, 2),
        Furniture("ArmChair", 1, 2),
        Furniture("CoffeeTable", 1, 2),
        Furniture("SideTable", 1, 3),
        Furniture("Drawer", 1, 6),
        Furniture("Cabinet", 0, 4),
        Furniture("Shelf", 0, 4),
        Furniture("Dresser", 0, 1),
        Furniture("GarbageCan", 1, 1),
        Furniture("Safe", 0, 1),
        Furniture("DiningTable", 0, 1),
    ),
    "bedroom": (
        Furniture("Bed", 1, 1),
        Furniture("Desk", 1, 2),
        Furniture("SideTable", 1, 2),
        Furniture("Drawer", 2, 8),
        Furniture("Dresser", 0, 1),
        Furniture("Shelf", 0, 5),
        Furniture("GarbageCan", 1, 1),
        Furniture("LaundryHamper", 0, 1),
        Furniture("Safe", 0, 1),
        Furniture("ArmChair", 0, 1),
    ),
    "bathroom": (
        Furniture("SinkBasin", 1, 2),
        Furniture("BathtubBasin", 0, 1),
        Furniture("Toilet", 1, 1),
        Furniture("ToiletPaperHanger", 1, 1),
        Furniture("TowelHolder", 1, 2),
        Furniture("HandTowelHolder", 1, 2),
        Furniture("Cabinet", 2, 6),
        Furniture("CounterTop", 1, 2),
        Furniture("Drawer", 0, 4),
        Furniture("GarbageCan", 1, 1),
        Furniture("Shelf", 0, 2),
        Furniture("SideTable", 0, 1),
    ),
}

_TABLES = "CounterTop DiningTable SideTable CoffeeTable Desk Dresser Shelf"
_KITCHEN = "CounterTop DiningTable SideTable Cabinet Shelf Drawer"
_BATH = "CounterTop Cabinet Shelf SideTable Drawer"
_SEATS = "Sofa ArmChair Bed"

# types | rooms | what can be done to them | where they are kept, the likeliest place first
_THINGS = f"""
Apple Tomato Potato | kitchen | clean heat cool slice | CounterTop DiningTable SideTable Fridge SinkBasin GarbageCan Microwave
Lettuce | kitchen | clean cool slice | Fridge CounterTop DiningTable SideTable SinkBasin GarbageCan
Bread | kitchen | heat cool slice | CounterTop DiningTable SideTable Fridge Microwave GarbageCan
Egg | kitchen | clean heat cool | Fridge CounterTop DiningTable Microwave SinkBasin GarbageCan
Mug Cup | kitchen | clean heat cool | {_KITCHEN} CoffeeMachine SinkBasin Fridge Microwave
Plate Bowl | kitchen | clean heat cool | {_KITCHEN} SinkBasin Fridge Microwave
Pot Pan | kitchen | clean cool | StoveBurner CounterTop DiningTable Cabinet SinkBasin Fridge
Kettle | kitchen | clean | StoveBurner CounterTop DiningTable Cabinet Shelf SinkBasin
WineBottle | kitchen | cool | CounterTop DiningTable Fridge Shelf Cabinet GarbageCan
Knife ButterKnife | kitchen | clean | CounterTop DiningTable Drawer SideTable SinkBasin
Fork Spoon Spatula Ladle | kitchen | clean | CounterTop DiningTable Drawer SideTable SinkBasin
SaltShaker PepperShaker | kitchen | | {_KITCHEN}
DishSponge | kitchen bathroom | clean | SinkBasin CounterTop Cabinet Shelf SideTable Drawer BathtubBasin GarbageCan
Book | living bedroom | | {_TABLES} {_SEATS} Drawer
Laptop | living bedroom | | Desk CoffeeTable DiningTable {_SEATS}
CellPhone | living bedroom | | {_TABLES} {_SEATS} Drawer Safe
Pillow | living bedroom | | {_SEATS}
KeyChain CreditCard Watch | living bedroom | | {_TABLES} Sofa ArmChair Drawer Safe
Statue Vase | living | | {_TABLES} Safe
Newspaper | living | | {_TABLES} Sofa ArmChair Drawer GarbageCan
RemoteControl | living | | {_TABLES} Sofa ArmChair Drawer
Box TissueBox | living | | {_TABLES} Sofa ArmChair
Pen Pencil | bedroom | | {_TABLES} Drawer GarbageCan
CD AlarmClock | bedroom | | {_TABLES} Drawer
SoapBar SoapBottle | bathroom | | SinkBasin {_BATH} Toilet BathtubBasin GarbageCan
Cloth | bathroom | clean | SinkBasin {_BATH} BathtubBasin LaundryHamper GarbageCan
ToiletPaper | bathroom | | ToiletPaperHanger Toilet {_BATH} GarbageCan
Candle SprayBottle | bathroom | | {_BATH} Toilet GarbageCan
Towel | bathroom | | TowelHolder BathtubBasin
HandTowel | bathroom | | HandTowelHolder SinkBasin CounterTop
"""

LAMPS = {
    "DeskLamp": ("Desk", "SideTable", "Dresser", "Shelf", "CoffeeTable", "DiningTable"),
    "FloorLamp": ("SideTable", "CoffeeTable", "Desk"),
}
"""Types of lamps and where they stand."""


def _read_things() -> tuple[Thing, ...]:
    """Read the table."""
    found = []
    for line in _THINGS.strip().splitlines():
        types, rooms, abilities, homes = (tuple(part.split()) for part in line.split("|"))
        found += [Thing(name, rooms, abilities, homes) for name in types]
    return tuple(found)


THINGS = _read_things()
"""All types of objects that can be carried."""


class Room(NamedTuple):
    """A room: its kind and the number of its layout."""

    kind: str
    number: int

    @property
    def split(self) -> str:
        """The split whose games are played here."""
        return "test" if self.number >= LAYOUTS - TEST_LAYOUTS else "train"

    def furniture(self) -> tuple[str, ...]:
        """Return the type of each receptacle."""
        return _layout(self.kind, self.number)

    def __str__(self) -> str:
        """Return its name."""
        return f"{self.kind}-{self.number}"


def rooms_of(split: str) -> tuple[Room, ...]:
    """Return the rooms of a split."""
    rooms = (Room(kind, number) for kind in ROOMS for number in range(LAYOUTS))
    return tuple(room for room in rooms if room.split == split)


@cache
def likely_homes() -> dict[str, tuple[str, ...]]:
    """Return where each type of object is likely to be found, in small letters, the likeliest first."""
    known = {thing.type: thing.homes for thing in THINGS} | LAMPS
    return {name.lower(): tuple(home.lower() for home in homes) for name, homes in known.items()}


@cache
def _layout(kind: str, number: int) -> tuple[str, ...]:
    """Draw a layout."""
    chance = random.Random(f"alfworld/{kind}/{number}")
    found: list[str] = []
    for name, least, most in ROOMS[kind]:
        found += [name] * chance.randint(least, most)
    return tuple(found)


__all__ = ["LAMPS", "OPENING", "ROOMS", "STATIONS", "THINGS", "Furniture", "Room", "Thing", "likely_homes", "rooms_of"]
