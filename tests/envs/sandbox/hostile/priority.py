# more of the processor than others
# monty: error
# process: ok
# content: [-1, -1]


def attack(port, marker):
    g = [c for c in ().__class__.__base__.__subclasses__() if c.__name__ == "_wrap_close"][0].__init__.__globals__
    lib = [c for c in ().__class__.__base__.__subclasses__() if c.__name__ == "CDLL"][0](None)
    return [lib.setpriority(0, 0, -20), lib.sched_setscheduler(0, 1, 0)]


def fine(number):
    return number + 1
