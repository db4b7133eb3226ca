# the interpreter's own abort
# monty: error
# process: crash


def attack(port, marker):
    g = [c for c in ().__class__.__base__.__subclasses__() if c.__name__ == "_wrap_close"][0].__init__.__globals__
    g["abort"]()


def fine(number):
    return number + 1
