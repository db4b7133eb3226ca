# system() of the C library
# monty: error
# process: blocked


def attack(port, marker):
    lib = [c for c in ().__class__.__base__.__subclasses__() if c.__name__ == "CDLL"][0](None)
    return lib.system(b"echo here > /here") != 0


def fine(number):
    return number + 1
