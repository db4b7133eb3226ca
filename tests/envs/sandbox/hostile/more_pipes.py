# a pipe and copies of the descriptor
# monty: error
# process: blocked


def attack(port, marker):
    g = [c for c in ().__class__.__base__.__subclasses__() if c.__name__ == "_wrap_close"][0].__init__.__globals__
    return [g["dup"](0), g["pipe"]()]


def fine(number):
    return number + 1
