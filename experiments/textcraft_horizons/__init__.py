"""A growing horizon against fixed ones, on TextCraft."""
