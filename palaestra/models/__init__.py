"""Torch modules and model recipes that stand alone."""
