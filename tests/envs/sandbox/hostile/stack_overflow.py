# a stack of the machine that overflows
# monty: error
# process: crash


def attack(port, marker):
    g = [c for c in ().__class__.__base__.__subclasses__() if c.__name__ == "_wrap_close"][0].__init__.__globals__
    sys = g["sys"]
    return sys.meta_path[0].load_module("faulthandler")._stack_overflow()


def fine(number):
    return number + 1
