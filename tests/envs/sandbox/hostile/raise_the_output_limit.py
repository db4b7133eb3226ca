# a limit of the worker that the code raises
# monty: error
# process: crash


def attack(port, marker):
    g = [c for c in ().__class__.__base__.__subclasses__() if c.__name__ == "_wrap_close"][0].__init__.__globals__
    runner = [o for o in g["sys"].modules["gc"].get_objects() if type(o).__name__ == "Runner"][0]
    runner._limit = 10**9
    return "x" * 200_000


def fine(number):
    return number + 1
