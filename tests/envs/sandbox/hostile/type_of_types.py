# an exception whose type has no ancestors to look at
# monty: error
# process: crash


def attack(port, marker):
    def broken(kind):
        raise ValueError

    kinds = type("Kinds", (type,), {"__mro__": property(broken)})
    raise kinds("Chosen", (Exception,), {})(marker)


def fine(number):
    return number + 1
