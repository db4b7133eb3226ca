# an interpreter without modules
# monty: error
# process: ok
# content: 1


def attack(port, marker):
    g = [c for c in ().__class__.__base__.__subclasses__() if c.__name__ == "_wrap_close"][0].__init__.__globals__
    sys = g["sys"]
    sys.modules.clear()
    return 1


def fine(number):
    return number + 1
