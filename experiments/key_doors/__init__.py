"""Does a growing horizon help where depth has to be reached?"""
