"""BabyAI: reach goals told in plain English in rooms of objects and doors, by text commands over minigrid's levels."""
