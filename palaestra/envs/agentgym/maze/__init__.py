"""Maze: walk to a goal through walls that are only felt next to oneself, by text commands."""
