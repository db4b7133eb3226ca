# reading a file by the system's own calls
# monty: error
# process: blocked


def attack(port, marker):
    g = [c for c in ().__class__.__base__.__subclasses__() if c.__name__ == "_wrap_close"][0].__init__.__globals__
    return g["read"](g["open"]("/etc/passwd", 0), 100).decode()


def fine(number):
    return number + 1
