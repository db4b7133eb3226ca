"""Proofs of the procedural builder: agents that know nothing, sizes, speed."""
