"""Operations of the phone: calls and messages."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from palaestra.envs.vehicle.calls.operations import Run, operation
from palaestra.envs.vehicle.calls.operations.media import SOUND_CHANNEL
from palaestra.envs.vehicle.calls.operations.queries import TIME, names_of, project
from palaestra.envs.vehicle.car.call_result import Refusal
from palaestra.envs.vehicle.car.paths import full_path
from palaestra.envs.vehicle.car.tables import CarTables, Function

if TYPE_CHECKING:
    from palaestra.envs.vehicle.car.car import Car
    from palaestra.envs.vehicle.car.state import CarState

IDLE, ACTIVE, RINGING = "idle", "active", "ringing"


class _Phone:
    """The phone's properties by role."""

    def __init__(self, function: Function, tables: CarTables) -> None:
        """Read the module setting `phone`: the properties named below."""
        self.module = function.module
        paths = {
            role: full_path(function.module, path) for role, path in tables.modules[function.module].settings["phone"].items()
        }
        self.call, self.contact, self.last, self.hands_free = (
            paths["call"],
            paths["contact"],
            paths["last"],
            paths["hands_free"],
        )
        self.contacts, self.records, self.messages = paths["contacts"], paths["records"], paths["messages"]

    def number_of(self, state: CarState, name: Any) -> int:
        """Return the number of the contact's record.

        Raises:
            Refusal: If the name is empty or not in the phone book.
        """
        if not name:
            raise Refusal("missing_argument", "contact is empty; say whom.", "contact")
        for number in state.lists[self.contacts]:
            if state.records[number]["name"] == name:
                return number
        raise Refusal("not_found", f"{name!r} is not in the phone book.", "contact")

    def dial(self, state: CarState, name: Any) -> dict[str, Any]:
        """Start a call."""
        if state.values[self.call] != IDLE:
            raise Refusal("precondition_failed", f"call_state is {state.values[self.call]}; hang up first.")
        self.number_of(state, name)
        state.set(self.call, ACTIVE)
        state.set(self.contact, name)
        state.set(self.last, name)
        state.set(SOUND_CHANNEL, self.module)
        return {"call_state": ACTIVE, "contact": name}


@lru_cache(maxsize=256)
def seconds_at(timestamp: Any) -> float | None:
    """Return the car's time, a text, in seconds since 1970 (UTC), as call records keep it; None if the text is not a time."""
    try:
        return datetime.fromisoformat(timestamp).replace(tzinfo=UTC).timestamp()
    except (TypeError, ValueError):
        return None


@operation("phone_call")
def phone_call(function: Function, tables: CarTables) -> Run:
    """Call the contact named; `redial` in the row: the one called last."""
    phone = _Phone(function, tables)
    redial = function.arguments.get("redial", False)

    def run(car: Car, bound: dict[str, Any]) -> dict[str, Any]:
        state = car.state
        if not redial:
            return phone.dial(state, bound["contact"])
        name = state.values[phone.last]
        if not name:
            raise Refusal("precondition_failed", "Nobody was called before.")
        return phone.dial(state, name)

    return run


@operation("phone_answer")
def phone_answer(function: Function, tables: CarTables) -> Run:
    """Take the call that comes in: keep its record with the car's time, take the sound channel.

    In the `published` profile any active call can be answered, again and again (quirk Q12). In `fixed` a call is answered
    once: while it rings, or while it is active and the newest record is not already this contact's incoming call. The second
    way keeps the published states playable, which know no ringing and show an incoming call as active.
    """
    phone = _Phone(function, tables)

    def run(car: Car, bound: dict[str, Any]) -> dict[str, Any]:
        state = car.state
        call, name = state.values[phone.call], state.values[phone.contact]
        if call != ACTIVE and (car.as_published or call != RINGING):
            raise Refusal("precondition_failed", f"call_state is {call}; no call comes in.")
        if not car.as_published:
            _check_unanswered(phone, state, call, name)
        stamp = seconds_at(state.values[TIME])
        record = {"contact": name, "timestamp": stamp, "duration": 0, "incoming": True, "missed": False}
        state.set_list(phone.records, (*state.lists[phone.records], state.new_record(record)))
        state.set(phone.call, ACTIVE)
        state.set(SOUND_CHANNEL, phone.module)
        return {"call_state": ACTIVE, "contact": name}

    return run


def _check_unanswered(phone: _Phone, state: CarState, call: Any, name: Any) -> None:
    """Refuse to answer a call of nobody, or one that was answered."""
    if not name:
        raise Refusal("precondition_failed", "current_contact is null; nobody is on the line.")
    records = state.items(phone.records)
    if call == ACTIVE and records and records[-1]["contact"] == name and records[-1]["incoming"] and not records[-1]["missed"]:
        raise Refusal("precondition_failed", f"The call with {name} was answered already.")


@operation("phone_hangup")
def phone_hangup(function: Function, tables: CarTables) -> Run:
    """End the call, or turn down the one that rings; the sound channel stays."""
    phone = _Phone(function, tables)

    def run(car: Car, bound: dict[str, Any]) -> dict[str, Any]:
        state = car.state
        call, name = state.values[phone.call], state.values[phone.contact]
        if call == IDLE:
            raise Refusal("precondition_failed", "call_state is idle; there is no call to end.")
        state.set(phone.last, name)
        state.set(phone.call, IDLE)
        state.set(phone.contact, None)
        state.set(phone.hands_free, False)
        return {"previous_state": call, "contact": name}

    return run


@operation("message_send")
def message_send(function: Function, tables: CarTables) -> Run:
    """Keep an outgoing message, read and with the car's time."""
    phone = _Phone(function, tables)

    def run(car: Car, bound: dict[str, Any]) -> dict[str, Any]:
        state, name, content = car.state, bound["contact"], bound["content"]
        phone.number_of(state, name)
        if content is None and not car.as_published:
            content = ""
        stamp = seconds_at(state.values[TIME])
        message = {"contact": name, "content": content, "timestamp": stamp, "incoming": False, "read": True}
        state.set_list(phone.messages, (*state.lists[phone.messages], state.new_record(message)))
        return {"contact": name, "content": content}

    return run


@operation("message_view")
def message_view(function: Function, tables: CarTables) -> Run:
    """Tell the messages of one contact, or without one all unread messages, and mark them as read.

    Row: `fields` and `now` as in the operation "query".
    """
    phone = _Phone(function, tables)
    fields, now = names_of(function["fields"]), function["now"]

    def run(car: Car, bound: dict[str, Any]) -> dict[str, Any]:
        state, name = car.state, bound["contact"]
        records = state.records
        numbers = [
            number
            for number in state.lists[phone.messages]
            if (records[number]["contact"] == name if name else not records[number]["read"])
        ]
        if not numbers:
            raise Refusal("not_found", f"There are no messages of {name!r}." if name else "There are no unread messages.")
        time = state.values[TIME]
        told = [project(records[number], fields, time, now) for number in numbers]
        for number in numbers:
            state.change_record(number, read=True)
        return {"messages": told, "count": len(told)}

    return run


@operation("contact_delete")
def contact_delete(function: Function, tables: CarTables) -> Run:
    """Take a contact out of the phone book; call records and messages keep the name."""
    phone = _Phone(function, tables)

    def run(car: Car, bound: dict[str, Any]) -> dict[str, Any]:
        state, name = car.state, bound["contact"]
        number = phone.number_of(state, name)
        state.set_list(phone.contacts, [other for other in state.lists[phone.contacts] if other != number])
        return {"contact": name}

    return run
