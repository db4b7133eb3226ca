# hooks of the interpreter
# monty: error
# process: error


def attack(port, marker):
    g = [c for c in ().__class__.__base__.__subclasses__() if c.__name__ == "_wrap_close"][0].__init__.__globals__
    g["sys"].excepthook = None
    g["sys"].unraisablehook = None
    raise ValueError(marker)


def fine(number):
    return number + 1
