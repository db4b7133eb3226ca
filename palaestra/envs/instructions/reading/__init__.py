"""Sentences to typed constraints: numbers and quotes, then one module for each family, and `parse` in front of them."""
