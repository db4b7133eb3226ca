# writing where nothing is
# monty: error
# process: crash


def attack(port, marker):
    lib = [c for c in ().__class__.__base__.__subclasses__() if c.__name__ == "CDLL"][0](None)
    return lib.memset(8, 0, 100)


def fine(number):
    return number + 1
