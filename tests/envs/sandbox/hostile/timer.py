# a timer of the system
# monty: error
# process: error


def attack(port, marker):
    g = [c for c in ().__class__.__base__.__subclasses__() if c.__name__ == "_wrap_close"][0].__init__.__globals__
    sys = g["sys"]
    return sys.modules["_signal"].setitimer(0, 0.001, 0.001)


def fine(number):
    return number + 1
