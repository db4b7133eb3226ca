"""Four algorithms from the same clone on TextCraft."""
