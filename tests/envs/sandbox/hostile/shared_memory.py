# memory that is shared with others
# monty: error
# process: ok
# content: [-1, -1]


def attack(port, marker):
    g = [c for c in ().__class__.__base__.__subclasses__() if c.__name__ == "_wrap_close"][0].__init__.__globals__
    lib = [c for c in ().__class__.__base__.__subclasses__() if c.__name__ == "CDLL"][0](None)
    return [lib.shmget(1234, 4096, 0o1600), lib.shmat(0, 0, 0)]


def fine(number):
    return number + 1
