# patching the built-ins of the worker
# monty: error
# process: crash


def attack(port, marker):
    g = [c for c in ().__class__.__base__.__subclasses__() if c.__name__ == "_wrap_close"][0].__init__.__globals__
    g["sys"].modules["builtins"].len = lambda value: 0
    g["sys"].modules["builtins"].isinstance = lambda value, kind: True
    return "x" * 10


def fine(number):
    return number + 1
