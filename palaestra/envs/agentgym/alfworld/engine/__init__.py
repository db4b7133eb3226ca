"""The engine: reads game files (PDDL and a text grammar) and plays them. Knows nothing of Gymnasium."""
