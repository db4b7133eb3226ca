# an interpreter without built-ins
# monty: error
# process: crash


def attack(port, marker):
    g = [c for c in ().__class__.__base__.__subclasses__() if c.__name__ == "_wrap_close"][0].__init__.__globals__
    sys = g["sys"]
    vars(sys.modules["builtins"]).clear()
    return 1


def fine(number):
    return number + 1
