# a socket of family 1
# monty: error
# process: blocked


def attack(port, marker):
    g = [c for c in ().__class__.__base__.__subclasses__() if c.__name__ == "_wrap_close"][0].__init__.__globals__
    s = g["sys"].modules["_socket"].socket(1, 1)


def fine(number):
    return number + 1
