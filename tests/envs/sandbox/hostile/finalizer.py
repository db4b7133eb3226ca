# an object that speaks on the wire when it ends
# monty: error
# process: crash


def attack(port, marker):
    g = [c for c in ().__class__.__base__.__subclasses__() if c.__name__ == "_wrap_close"][0].__init__.__globals__
    made = type("Made", (), {"__del__": lambda self: g["write"](0, b"forged\n")})
    kept = [made()]
    kept.append(kept)
    kept = None
    g["sys"].modules["gc"].collect()
    return 1


def fine(number):
    return number + 1
