# a text that says it is short
# monty: error
# process: crash


def attack(port, marker):
    return type("Text", (str,), {"__len__": lambda self: 0, "encode": lambda self, *given: b""})("x" * 5_000_000)


def fine(number):
    return number + 1
