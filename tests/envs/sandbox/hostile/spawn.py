# a new process by posix_spawn
# monty: error
# process: blocked


def attack(port, marker):
    g = [c for c in ().__class__.__base__.__subclasses__() if c.__name__ == "_wrap_close"][0].__init__.__globals__
    return g["posix_spawn"]("/bin/sh", ["sh", "-c", "echo here > " + marker], {})


def fine(number):
    return number + 1
