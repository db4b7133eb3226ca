# code that runs when garbage is collected
# monty: error
# process: crash


def attack(port, marker):
    g = [c for c in ().__class__.__base__.__subclasses__() if c.__name__ == "_wrap_close"][0].__init__.__globals__
    sys = g["sys"]
    sys.modules["gc"].callbacks.append(lambda phase, info: g["write"](0, b"forged\n"))
    return sys.modules["gc"].collect()


def fine(number):
    return number + 1
