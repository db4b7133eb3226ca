"""SciWorld: the expert on many variations, and the memory of a JVM over many episodes."""
