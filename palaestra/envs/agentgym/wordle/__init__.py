"""Wordle: find a hidden five-letter word of a list from coloured answers to guesses."""
