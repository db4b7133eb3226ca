# writing to its own memory through the system
# monty: error
# process: blocked


def attack(port, marker):
    g = [c for c in ().__class__.__base__.__subclasses__() if c.__name__ == "_wrap_close"][0].__init__.__globals__
    return g["open"]("/proc/self/mem", 2)


def fine(number):
    return number + 1
