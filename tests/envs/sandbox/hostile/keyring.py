# the kernel's keyring
# monty: error
# process: ok
# content: -1


def attack(port, marker):
    lib = [c for c in ().__class__.__base__.__subclasses__() if c.__name__ == "CDLL"][0](None)
    return lib.syscall(250, 0, 0, 0, 0)


def fine(number):
    return number + 1
