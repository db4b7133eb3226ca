"""SciWorld: experiments of elementary school science, in the simulator ScienceWorld."""
