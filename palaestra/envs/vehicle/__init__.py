"""VehicleWorld: a car of 30 modules, acted on by calling functions or by writing its state."""
