# types that are made at run time
# monty: error
# process: error


def attack(port, marker):
    return type("X", (), {"__init__": lambda self: None})().__class__.__mro__[1].__subclasses__()[0].__name__.open(marker)


def fine(number):
    return number + 1
