# raising its own limits by the loaded module
# monty: error
# process: error


def attack(port, marker):
    g = [c for c in ().__class__.__base__.__subclasses__() if c.__name__ == "_wrap_close"][0].__init__.__globals__
    r = g["sys"].modules["resource"]
    r.setrlimit(r.RLIMIT_AS, (-1, -1))


def fine(number):
    return number + 1
