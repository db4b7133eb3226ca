"""Toys for Palaestra, added from outside."""
