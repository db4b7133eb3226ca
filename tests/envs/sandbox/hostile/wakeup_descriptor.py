# signals that write to the wire
# monty: error
# process: blocked


def attack(port, marker):
    g = [c for c in ().__class__.__base__.__subclasses__() if c.__name__ == "_wrap_close"][0].__init__.__globals__
    sys = g["sys"]
    number = sys.modules["_signal"]
    number.set_wakeup_fd(0, warn_on_full_buffer=False)
    number.signal(10, lambda *given: None)
    return number.raise_signal(10)


def fine(number):
    return number + 1
