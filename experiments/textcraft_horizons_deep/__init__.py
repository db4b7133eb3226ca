"""A growing horizon against fixed ones, on TextCraft, from better clones."""
