# handing a descriptor over the wire
# monty: error
# process: blocked


def attack(port, marker):
    g = [c for c in ().__class__.__base__.__subclasses__() if c.__name__ == "_wrap_close"][0].__init__.__globals__
    s = g["sys"].modules["socket"].socket(fileno=0)
    g["sys"].modules["socket"].send_fds(s, [b"x"], [0])


def fine(number):
    return number + 1
