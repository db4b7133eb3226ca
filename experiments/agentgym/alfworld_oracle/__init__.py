"""Our ALFWorld engine against the original one, text for text."""
