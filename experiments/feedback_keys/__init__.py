"""Does every algorithm learn the toy world it has to?"""
