import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palaestra.envs.vehicle.car.car import PROFILES, Profile
from palaestra.envs.vehicle.car.tables import Function, car_tables
from palaestra.envs.vehicle.world import VehicleWorld

AUDIO = ("music", "radio", "video", "conversation", "navigation")


def car(*presets: tuple[str, str], profile: Profile = "fixed", **environment: Any) -> VehicleWorld:
    world = VehicleWorld(profile)
    steps: list[dict[str, Any]] = [{"op": "env_set", "property": name, "value": value} for name, value in environment.items()]
    steps += [{"op": "module_preset", "module": module, "preset": preset} for module, preset in presets]
    world.set_up(steps)
    return world


def code(world: VehicleWorld, module: str, function: str, *args: Any, **kwargs: Any) -> str:
    """Return the code of a refusal that left everything as it was."""
    before = world.copy()
    result = world.call_with(module, function, args, kwargs)
    assert not result.ok
    assert result.error is not None
    assert result.data is None
    assert (result.changes, world) == ([], before)
    return result.error.code


def done(world: VehicleWorld, module: str, function: str, *args: Any, **kwargs: Any) -> dict[str, Any]:
    """Return what a call that worked tells."""
    result = world.call_with(module, function, args, kwargs)
    assert result.ok, result.error
    return result.data or {}


def titles(world: VehicleWorld, path: str, field: str = "title") -> list[Any]:
    return [item[field] for item in world.state.items(path)]


def refuses(world: VehicleWorld, module: str, function: str) -> bool:
    return not world.copy().call(module, function).ok


# -- volume and sound channel -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("module", AUDIO)
def test_one_volume_serves_all_and_whoever_moves_it_is_heard(module: str) -> None:
    world = car(volume=50, sound_channel="video" if module != "video" else "music")
    assert done(world, module, f"{module}_soundVolume_increase", 7)["new_volume"] == 57
    assert world.state.values["environment.sound_channel"] == module
    assert done(world, module, f"{module}_soundVolume_decrease")["new_volume"] == 47
    assert done(world, module, f"{module}_soundVolume_increase", degree="large")["new_volume"] == 67
    assert done(world, module, f"{module}_soundVolume_increase", 400)["new_volume"] == 100
    assert done(world, module, f"{module}_soundVolume_decrease", 400)["new_volume"] == 0
    assert done(world, module, f"{module}_soundVolume_set", 31) == {
        "old_volume": 0,
        "new_volume": 31,
        "sound_channel": module,
    }
    assert world.state.values["environment.volume"] == 31


@pytest.mark.parametrize("module", AUDIO)
def test_low_and_lowest_volume_differ_by_module(module: str) -> None:
    world = car()
    low, lowest = (30, 10) if module in ("radio", "video") else (20, 0)
    words = ("max", "high", "medium", "low", "min")
    volumes = {word: done(world, module, f"{module}_soundVolume_set", degree=word)["new_volume"] for word in words}
    assert volumes == {"max": 100, "high": 80, "medium": 50, "low": low, "min": lowest}


@pytest.mark.parametrize("module", AUDIO)
def test_a_volume_that_makes_no_sense_is_refused_and_the_channel_stays(module: str) -> None:
    world = car(sound_channel="video" if module != "video" else "music")
    up, to = f"{module}_soundVolume_increase", f"{module}_soundVolume_set"
    assert code(world, module, to) == "missing_argument"
    assert code(world, module, to, 101) == "out_of_range"
    assert code(world, module, to, -1) == "out_of_range"
    assert code(world, module, to, "20") == "invalid_type"
    assert code(world, module, to, 20, "max") == "conflicting_arguments"
    assert code(world, module, up, 7.5) == "invalid_type"
    assert code(world, module, up, True) == "invalid_type"
    assert code(world, module, up, degree="max") == "invalid_value"
    assert code(world, module, up, 20, "large") == "conflicting_arguments"


@pytest.mark.parametrize("module", ["radio", "video"])
def test_a_negative_amount_stays_within_the_limits(module: str) -> None:
    for function in ("increase", "decrease"):
        for volume in (0, 5, 95, 100):
            name = f"{module}_soundVolume_{function}"
            assert 0 <= done(car(volume=volume), module, name, -10)["new_volume"] <= 100
            published = done(car(volume=volume, profile="published"), module, name, -10)["new_volume"]
            assert published == volume + (-10 if function == "increase" else 10)


# -- music ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("profile", PROFILES)
def test_a_track_carries_its_flag_into_every_list(profile: Profile) -> None:
    world = car(profile=profile)
    done(world, "music", "music_favorite_collect", False)
    assert titles(world, "music._favorite_tracks") == ["Dynamite"]
    lists = [path for path in world.state.lists if path.startswith("music.")]
    flags = [item["is_favorite"] for path in lists for item in world.state.items(path) if item["title"] == "Shape of You"]
    assert flags == [False] * 5
    assert world.copy().state == world.state
    back = VehicleWorld.from_json(json.loads(json.dumps(world.to_json())))
    done(back, "music", "music_favorite_collect", True)
    flags = [item["is_favorite"] for path in lists for item in back.state.items(path) if item["title"] == "Shape of You"]
    assert flags == [True] * 6
    assert titles(world, "music._favorite_tracks") == ["Dynamite"]


def test_what_is_collected_twice_stands_there_once() -> None:
    world = car(("music", "init1"))
    assert done(world, "music", "music_favorite_collect", True) == {"collected": True, "count": 2}
    assert done(world, "music", "music_favorite_collect", True) == {"collected": True, "count": 2}
    assert done(world, "music", "music_favorite_collect", False) == {"collected": False, "count": 1}


def test_an_unheard_first_track_enters_the_history() -> None:
    world = car()
    world.state.set_list("music._history_tracks", world.state.lists["music._history_tracks"][:1])
    assert done(world, "music", "music_download_play") == {
        "is_playing": True,
        "current_track": "Shape of You",
        "playlist_size": 2,
    }
    assert titles(world, "music._history_tracks") == ["Shape of You", "Dynamite"]
    done(world, "music", "music_recent_play")
    assert titles(world, "music._current_playlist") == ["Shape of You", "Dynamite"]


@pytest.mark.parametrize("profile", PROFILES)
def test_an_empty_list_cannot_be_played(profile: Profile) -> None:
    for module, function, path in [
        ("music", "music_local_play", "music._local_tracks"),
        ("video", "video_local_play", "video.local_videos"),
        ("radio", "radio_favorite_play", "radio._collection"),
        ("radio", "radio_recent_play", "radio._history"),
        ("radio", "radio_play", "radio._history"),
    ]:
        world = car(sound_channel="conversation", profile=profile)
        world.state.set_list(path, ())
        result = world.call(module, function)
        assert (result.ok, result.error and result.error.code) == (False, "precondition_failed")
        claimed = profile == "published" and module == "music"
        assert world.state.values["environment.sound_channel"] == ("music" if claimed else "conversation")


def test_queries_about_no_track_are_refused() -> None:
    world = car()
    world.state.set("music._current_track_index", -1)
    assert code(world, "music", "music_currentDetail_view") == "precondition_failed"
    assert code(world, "music", "music_favorite_collect", True) == "precondition_failed"
    world.state.set("music._current_track_index", 0)
    number = world.state.lists["music._current_playlist"][0]
    world.state.change_record(number, artist="Nobody")
    assert code(world, "music", "music_get_currentMusician") == "not_found"


# -- radio ------------------------------------------------------------------------------------------------------------


def test_the_radio_stops_only_when_it_plays() -> None:
    world = car(("radio", "init1"))
    done(world, "radio", "radio_play_stop")
    assert world.state.values["radio._is_playing"] is False
    assert world.state.refs["radio._current_station"] is not None
    assert code(world, "radio", "radio_play_stop") == "precondition_failed"
    assert refuses(car(("radio", "init1"), profile="published"), "radio", "radio_play_stop")


def test_a_playing_radio_switches_to_the_station_asked_for() -> None:
    world = car(("radio", "init1"), timestamp="2025-06-01 08:00:00")
    station = done(world, "radio", "radio_play", radioName="Jazz FM", city="Boston")["station"]
    assert station == {
        "name": "Jazz FM",
        "frequency_value": "Unknown Frequency",
        "city": "Boston",
        "app_name": "",
        "timestamp": "2025-06-01 08:00:00",
    }
    assert world.state.item("radio._current_station") == station
    assert done(world, "radio", "radio_play")["station"] == station
    published = car(("radio", "init1"), profile="published")
    assert done(published, "radio", "radio_play", radioName="Jazz FM")["station"]["name"] == "Top 40 Hits"


def test_a_stopped_radio_goes_on_with_its_station() -> None:
    world = car(("radio", "init1"))
    done(world, "radio", "radio_favorite_play")
    done(world, "radio", "radio_play_stop")
    assert done(world, "radio", "radio_play")["station"]["name"] == "Classic Rock FM"
    assert world.state.values["radio._is_playing"] is True


def test_a_station_played_again_moves_to_the_front_of_the_history() -> None:
    world = car(("radio", "init2"), timestamp="2025-06-01 08:00:00")
    before = titles(world, "radio._history", "name")
    done(world, "radio", "radio_favorite_play")
    names = titles(world, "radio._history", "name")
    assert names == ["Indie Music Channel", *[name for name in before if name != "Indie Music Channel"]]
    done(world, "radio", "radio_play", "90.5 MHz", "Indie Music Channel")
    assert titles(world, "radio._history", "name") == names
    assert done(world, "radio", "radio_collect", False)["count"] == 2


def test_a_station_known_by_name_and_frequency_stays_that_station() -> None:
    world = car(("radio", "init2"))
    station = done(world, "radio", "radio_play", "90.5 MHz", "Indie Music Channel", appName="Dial Nine")["station"]
    assert (station["city"], station["app_name"]) == ("Portland", "Dial Nine")
    assert world.state.items("radio._collection")[0] == station
    published = car(("radio", "init2"), profile="published")
    assert done(published, "radio", "radio_play", "90.5 MHz", "Indie Music Channel")["station"]["city"] == ""
    assert published.state.items("radio._collection")[0]["city"] == "Portland"


def test_the_history_keeps_fifty_stations() -> None:
    world = car()
    for number in range(60):
        done(world, "radio", "radio_play", radioName=f"Station {number}")
    names = titles(world, "radio._history", "name")
    assert (len(names), names[0], names[-1]) == (50, "Station 59", "Station 10")


def test_without_history_the_local_station_plays() -> None:
    world = car()
    world.state.set_list("radio._history", ())
    assert done(world, "radio", "radio_local_play")["station"]["city"] != ""
    assert len(world.state.lists["radio._history"]) == 1


def test_collecting_needs_a_station() -> None:
    assert code(car(), "radio", "radio_collect", True) == "precondition_failed"


# -- video ------------------------------------------------------------------------------------------------------------


def test_the_video_stops_only_when_it_plays() -> None:
    world = car(("video", "init1"))
    done(world, "video", "video_play_stop")
    assert code(world, "video", "video_play_stop") == "precondition_failed"
    assert not refuses(car(profile="published"), "video", "video_play_stop")


def test_a_like_is_seen_wherever_the_video_stands() -> None:
    world = car()
    done(world, "video", "video_local_play")
    done(world, "video", "video_player_like", True)
    assert [item["is_liked"] for item in world.state.items("video.history")] == [True]
    assert [item["is_liked"] for item in world.state.items("video.local_videos")] == [True, False]
    assert done(world, "video", "video_profile_view")["video"]["is_liked"] is True


def test_without_a_video_there_is_nothing_to_like_or_tell() -> None:
    world = car(("video", "init2"))
    for function in ("video_player_like", "video_favorite_collect"):
        assert code(world, "video", function, True) == "precondition_failed"
    assert code(world, "video", "video_currentDetail_view") == "precondition_failed"


def test_two_videos_of_one_number_are_two_videos() -> None:
    world = car()
    done(world, "video", "video_favorite_collect", True)
    assert titles(world, "video.favorites", "video_id") == ["dl_001", "dl_001"]
    assert titles(world, "video.favorites") == ["City Night Drive", "Highway Safety Tutorial"]


def test_quality_goes_step_by_step_and_not_beyond_the_ends() -> None:
    world = car()
    assert done(world, "video", "video_quality_increase") == {"quality": "1080P"}
    assert code(world, "video", "video_quality_increase") == "precondition_failed"
    words = [done(world, "video", "video_quality_decrease")["quality"] for _ in range(3)]
    assert words == ["720P", "480P", "270P"]
    assert code(world, "video", "video_quality_decrease") == "precondition_failed"
    assert code(world, "video", "video_quality_set", "4K") == "invalid_value"


# -- phone ------------------------------------------------------------------------------------------------------------


def test_a_ringing_phone_is_answered_once() -> None:
    world = car(("conversation", "ringing"), sound_channel="music", timestamp="2025-04-13 12:10:00")
    assert code(world, "conversation", "conversation_phone_call", "Wang Wu") == "precondition_failed"
    assert code(world, "conversation", "conversation_call_handsFree_switch", True) == "precondition_failed"
    done(world, "conversation", "conversation_phone_answer")
    assert world.state.items("conversation.call_records")[-1] == {
        "contact": "Li Si",
        "timestamp": 1744546200.0,
        "duration": 0,
        "incoming": True,
        "missed": False,
    }
    assert world.state.values["conversation.call_state"] == "active"
    assert world.state.values["environment.sound_channel"] == "conversation"
    assert code(world, "conversation", "conversation_phone_answer") == "precondition_failed"
    done(world, "conversation", "conversation_call_handsFree_switch", True)
    done(world, "conversation", "conversation_phone_hangup")
    assert world.state.values["conversation.hands_free"] is False
    assert world.state.values["conversation.last_called_contact"] == "Li Si"


def test_a_ringing_phone_can_be_turned_down() -> None:
    world = car(("conversation", "ringing"))
    assert done(world, "conversation", "conversation_phone_hangup") == {"previous_state": "ringing", "contact": "Li Si"}
    assert len(world.state.lists["conversation.call_records"]) == 2


def test_an_incoming_call_shown_as_active_is_answered_once() -> None:
    world = car(("conversation", "init1"))
    done(world, "conversation", "conversation_phone_answer")
    assert code(world, "conversation", "conversation_phone_answer") == "precondition_failed"
    published = car(("conversation", "init1"), profile="published")
    done(published, "conversation", "conversation_phone_answer")
    assert not refuses(published, "conversation", "conversation_phone_answer")


def test_nobody_on_the_line_cannot_be_answered() -> None:
    world = car(("conversation", "init2"))
    assert code(world, "conversation", "conversation_phone_answer") == "precondition_failed"
    world = car(("conversation", "ringing"))
    world.state.set("conversation.current_contact", None)
    assert code(world, "conversation", "conversation_phone_answer") == "precondition_failed"


def test_a_call_needs_a_known_name_and_a_free_line() -> None:
    world = car(("conversation", "init2"))
    assert code(world, "conversation", "conversation_phone_call", "Nobody") == "not_found"
    assert code(world, "conversation", "conversation_phone_call", "") == "missing_argument"
    assert done(world, "conversation", "conversation_phone_call", "Li Si") == {"call_state": "active", "contact": "Li Si"}
    assert code(world, "conversation", "conversation_phone_redial") == "precondition_failed"
    done(world, "conversation", "conversation_phone_hangup")
    assert code(world, "conversation", "conversation_phone_hangup") == "precondition_failed"
    assert done(world, "conversation", "conversation_phone_redial")["contact"] == "Li Si"


def test_messages_carry_the_cars_time_and_are_read_once() -> None:
    world = car(("conversation", "init2"), timestamp="2025-04-13 12:10:00")
    done(world, "conversation", "conversation_message_send", "Li Si", "Back at six")
    sent = world.state.items("conversation.messages")[-1]
    assert (sent["timestamp"], sent["incoming"], sent["read"]) == (1744546200.0, False, True)
    assert done(world, "conversation", "conversation_message_view")["count"] == 1
    assert code(world, "conversation", "conversation_message_view") == "not_found"
    assert done(world, "conversation", "conversation_message_view", "Li Si")["count"] == 2
    done(world, "conversation", "conversation_contact_delete", "Li Si")
    assert code(world, "conversation", "conversation_message_send", "Li Si", "again") == "not_found"
    assert done(world, "conversation", "conversation_message_view", "Li Si")["count"] == 2


def test_a_clock_that_shows_no_time_stamps_nothing() -> None:
    world = car(("conversation", "init2"), timestamp="noon")
    done(world, "conversation", "conversation_message_send", "Li Si")
    assert world.state.items("conversation.messages")[-1]["timestamp"] is None


# -- navigation -------------------------------------------------------------------------------------------------------


def test_a_route_lives_from_plan_to_exit() -> None:
    world = car(("navigation", "init2"), sound_channel="music")
    for function, args in [
        ("navigation_exit", ()),
        ("navigation_destination_change", ("Harbour",)),
        ("navigation_midWay_add", (["Cafe"],)),
        ("navigation_midWay_delete", ("Cafe",)),
        ("navigation_get_destination", ()),
    ]:
        assert code(world, "navigation", function, *args) == "precondition_failed"
    assert code(world, "navigation", "navigation_route_plan", "") == "missing_argument"
    done(world, "navigation", "navigation_route_plan", "Harbour")
    assert world.state.item("navigation.current_route") == {"departure": "Current location", "destination": "Harbour"}
    assert world.state.values["environment.sound_channel"] == "navigation"
    added = done(world, "navigation", "navigation_midWay_add", ["Cafe", "Museum", "Park"])
    assert added["waypoints"] == ["Cafe", "Museum", "Park"]
    done(world, "navigation", "navigation_midWay_delete", number=0)
    done(world, "navigation", "navigation_midWay_delete", "Park")
    assert world.state.items("navigation.waypoints") == [{"index": 0, "location": "Museum"}]
    assert code(world, "navigation", "navigation_midWay_delete", "Park") == "not_found"
    assert code(world, "navigation", "navigation_midWay_delete", number=1) == "not_found"
    assert code(world, "navigation", "navigation_midWay_delete", number=-1) == "out_of_range"
    assert code(world, "navigation", "navigation_midWay_delete", "Museum", 0) == "conflicting_arguments"
    assert code(world, "navigation", "navigation_midWay_delete") == "missing_argument"
    assert code(world, "navigation", "navigation_midWay_add", "Cafe") == "invalid_type"
    assert code(world, "navigation", "navigation_midWay_add", []) == "missing_argument"
    assert done(world, "navigation", "navigation_destination_change", "Airport")["old_destination"] == "Harbour"
    assert world.state.items("navigation.waypoints") == []
    assert done(world, "navigation", "navigation_get_destination") == {"destinationInfo": "Airport"}
    done(world, "navigation", "navigation_exit")
    assert world.state.item("navigation.current_route") is None
    assert world.state.values["environment.sound_channel"] == "navigation"


def test_voice_and_mute_go_together() -> None:
    world = car(("navigation", "init2"), sound_channel="music")
    voice, mode = "navigation.voice_notifications_enabled", "navigation.broadcast_mode"
    done(world, "navigation", "navigation_voice_notify_switch", True)
    assert (world.state.values[voice], world.state.values[mode]) == (True, "Detailed")
    assert world.state.values["environment.sound_channel"] == "navigation"
    done(world, "navigation", "navigation_broadCastMode_switch", "Mute")
    assert world.state.values[voice] is False
    done(world, "navigation", "navigation_broadCastMode_switch", "Concise")
    done(world, "navigation", "navigation_voice_notify_switch", False)
    assert (world.state.values[voice], world.state.values[mode]) == (False, "Concise")


def test_the_map_zooms_within_its_levels() -> None:
    world = car()
    assert done(world, "navigation", "navigation_mapZoom", "Zoom in")["new_zoom_level"] == 6
    assert done(world, "navigation", "navigation_mapZoom", "Zoom in", 20)["new_zoom_level"] == 10
    assert done(world, "navigation", "navigation_mapZoom", "Zoom out", 2, "level")["new_zoom_level"] == 8
    assert done(world, "navigation", "navigation_mapZoom", "Zoom out", degree="large")["new_zoom_level"] == 5
    assert code(world, "navigation", "navigation_mapZoom", "Zoom out", -2) == "out_of_range"
    assert code(world, "navigation", "navigation_mapZoom", "closer") == "invalid_value"
    assert code(world, "navigation", "navigation_mapZoom", "Zoom in", 2, degree="large") == "conflicting_arguments"
    assert code(world, "navigation", "navigation_mapZoom", "Zoom in", unit="level") == "missing_argument"


def test_only_known_units_of_distance_are_taken() -> None:
    world = car()
    done(world, "navigation", "navigation_meter_unit", "Kilometers")
    assert world.state.values["environment.unit_system"] == "kilometer"
    assert code(world, "navigation", "navigation_meter_unit", "leagues") == "invalid_value"
    published = car(unit_system="kilometer", profile="published")
    done(published, "navigation", "navigation_meter_unit", "leagues")
    assert published.state.values["environment.unit_system"] == "mile"


# -- all of them ------------------------------------------------------------------------------------------------------

FUNCTIONS = [function for module in AUDIO for function in car_tables().modules[module].functions.values()]
FLAGS = [f for f in FUNCTIONS if f.params and f.params[0].type == "bool"]


@pytest.mark.parametrize("function", FLAGS, ids=lambda function: function.name)
@pytest.mark.parametrize("value", ["yes", 1, 0, None, [True]])
def test_a_flag_is_true_or_false(function: Function, value: Any) -> None:
    world = car(("video", "init1"), ("radio", "init1"), ("conversation", "init1"))
    assert code(world, function.module, function.name, value) in ("invalid_type", "missing_argument")


def test_every_function_and_property_of_the_five_says_what_it_is() -> None:
    for module in AUDIO:
        table = car_tables().modules[module]
        assert len(table.summary) > 30
        assert all(len(function.doc) > 15 for function in table.functions.values())
        assert all(len(row.doc) > 10 for row in table.properties)


def one_record_for_each_identity(world: VehicleWorld) -> bool:
    numbers: dict[tuple[Any, ...], set[int]] = {}
    for path, members in world.state.lists.items():
        kind = world.tables.record_types[world.tables.properties[path].of]
        for number in members if kind.identity else ():
            identity = (kind.name, *(world.state.records[number][name] for name in kind.identity))
            numbers.setdefault(identity, set()).add(number)
    return all(len(same) == 1 for same in numbers.values())


VALUES: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-300, 300),
    st.sampled_from(["", "large", "max", "Zoom in", "Mute", "Li Si", "Zhang San", "Beijing", "720P", "Kilometers", "x"]),
    st.lists(st.sampled_from(["Cafe", ""]), max_size=2),
    st.floats(allow_nan=True),
)
CALLS = st.lists(st.tuples(st.sampled_from(FUNCTIONS), st.lists(VALUES, max_size=4)), min_size=1, max_size=12)
STARTS = st.tuples(*[st.sampled_from(("default", "init1", "init2")) for _ in AUDIO])


@settings(max_examples=60, deadline=None)
@given(STARTS, CALLS)
def test_whatever_is_called_failed_calls_change_nothing_and_the_car_stays_sound(
    presets: tuple[str, ...], calls: list[tuple[Function, list[Any]]]
) -> None:
    world = car(*zip(AUDIO, presets, strict=True))
    for function, args in calls:
        before = world.copy()
        result = world.call_with(function.module, function.name, args, {})
        changed = {(change.path, change.op) for change in before.difference(world)}
        assert changed == {(change.path, change.op) for change in result.changes}
        if not result.ok or function.op == "query":
            assert world == before
        values = world.state.values
        assert type(values["environment.volume"]) is int
        assert 0 <= values["environment.volume"] <= 100  # type: ignore[operator]
        assert [stop["index"] for stop in world.state.items("navigation.waypoints")] == list(
            range(len(world.state.lists["navigation.waypoints"]))
        )
        assert values["conversation.call_state"] == "active" or values["conversation.hands_free"] is False
        assert one_record_for_each_identity(world)
    back = VehicleWorld.from_json(json.loads(json.dumps(world.to_json())))
    assert back == world
    assert hash(back) == hash(world)


@settings(max_examples=30, deadline=None)
@given(STARTS, CALLS)
def test_a_copy_goes_its_own_way(presets: tuple[str, ...], calls: list[tuple[Function, list[Any]]]) -> None:
    world = car(*zip(AUDIO, presets, strict=True))
    kept = world.to_json()
    twin = world.copy()
    for function, args in calls:
        twin.call_with(function.module, function.name, args, {})
    assert world.to_json() == kept
    assert world == VehicleWorld.from_json(kept)
