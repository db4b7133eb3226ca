"""Requests of people in the cockpit: how they are said, what they mean, and tasks generated from them."""

from palaestra.envs.vehicle.requests.generator import generate_task, vehicle_tasks

__all__ = ["generate_task", "vehicle_tasks"]
