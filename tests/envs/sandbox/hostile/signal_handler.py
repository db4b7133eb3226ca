# a handler of its own
# monty: error
# process: ok


def attack(port, marker):
    g = [c for c in ().__class__.__base__.__subclasses__() if c.__name__ == "_wrap_close"][0].__init__.__globals__
    s = g["sys"].modules["_signal"]
    s.signal(14, lambda *values: None)
    return 1


def fine(number):
    return number + 1
