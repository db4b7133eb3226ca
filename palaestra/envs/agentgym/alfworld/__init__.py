"""ALFWorld: household tasks by text commands, on an engine of its own for the published game files."""
