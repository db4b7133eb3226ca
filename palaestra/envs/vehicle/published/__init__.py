"""What was published about VehicleWorld: tasks, scores and numbers, read and computed as published."""
