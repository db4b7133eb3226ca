# a stack written to the wire by the fault handler
# monty: error
# process: crash


def attack(port, marker):
    g = [c for c in ().__class__.__base__.__subclasses__() if c.__name__ == "_wrap_close"][0].__init__.__globals__
    sys = g["sys"]
    sys.meta_path[0].load_module("faulthandler").dump_traceback(file=0)
    return 1


def fine(number):
    return number + 1
