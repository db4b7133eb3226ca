# code that runs when an object has ended
# monty: error
# process: crash


def attack(port, marker):
    g = [c for c in ().__class__.__base__.__subclasses__() if c.__name__ == "_wrap_close"][0].__init__.__globals__
    sys = g["sys"]
    made = type("Made", (), {})()
    sys.kept = sys.modules["_weakref"].ref(made, lambda reference: g["write"](0, b"forged\n"))
    return 1


def fine(number):
    return number + 1
