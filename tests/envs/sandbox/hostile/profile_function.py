# a profile function that ends the worker
# monty: error
# process: crash


def attack(port, marker):
    g = [c for c in ().__class__.__base__.__subclasses__() if c.__name__ == "_wrap_close"][0].__init__.__globals__
    sys = g["sys"]
    sys.setprofile(lambda *given: g["_exit"](0))
    return 1


def fine(number):
    return number + 1
