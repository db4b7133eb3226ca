"""Function calls against state writes, with tiny policies cloned from the same requests."""
