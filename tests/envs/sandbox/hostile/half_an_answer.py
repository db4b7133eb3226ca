# half an answer, then silence
# monty: error
# process: timeout
# timeout_s: 0.5


def attack(port, marker):
    g = [c for c in ().__class__.__base__.__subclasses__() if c.__name__ == "_wrap_close"][0].__init__.__globals__
    g["write"](0, b'{"id": 1, ')
    while True:
        pass


def fine(number):
    return number + 1
