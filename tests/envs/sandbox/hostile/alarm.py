# an alarm in the worker
# monty: error
# process: error


def attack(port, marker):
    g = [c for c in ().__class__.__base__.__subclasses__() if c.__name__ == "_wrap_close"][0].__init__.__globals__
    s = g["sys"].modules["_signal"]
    s.setitimer(0, 0.001)
    return 1


def fine(number):
    return number + 1
