# reading the wire in the worker's place
# monty: error
# process: timeout
# timeout_s: 0.5


def attack(port, marker):
    g = [c for c in ().__class__.__base__.__subclasses__() if c.__name__ == "_wrap_close"][0].__init__.__globals__
    while True:
        g["read"](0, 1000)


def fine(number):
    return number + 1
