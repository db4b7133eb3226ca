"""Two views of a car for people: `cockpit_text` in characters and `car_picture` as an image."""

from __future__ import annotations

from palaestra.envs.vehicle.cockpit import cockpit_text
from palaestra.envs.vehicle.picture.car import car_picture

__all__ = ["car_picture", "cockpit_text"]
