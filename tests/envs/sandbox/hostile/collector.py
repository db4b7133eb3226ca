# what the garbage collector knows
# monty: error
# process: error


def attack(port, marker):
    g = [c for c in ().__class__.__base__.__subclasses__() if c.__name__ == "_wrap_close"][0].__init__.__globals__
    gc = g["sys"].modules["gc"]
    modules = [o for o in gc.get_objects() if getattr(o, "__name__", "") == "posix"]
    return modules[0].listdir("/")


def fine(number):
    return number + 1
