"""A whole run: recipe, phases, the outer loop, checkpoints, metrics, alarms, the registry of algorithms."""
