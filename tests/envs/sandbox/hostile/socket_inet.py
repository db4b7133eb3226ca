# a socket of family 2
# monty: error
# process: blocked


def attack(port, marker):
    g = [c for c in ().__class__.__base__.__subclasses__() if c.__name__ == "_wrap_close"][0].__init__.__globals__
    s = g["sys"].modules["_socket"].socket(2, 1)
    s.connect(("127.0.0.1", port))


def fine(number):
    return number + 1
