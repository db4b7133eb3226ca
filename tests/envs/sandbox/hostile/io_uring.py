# a second way into the kernel
# monty: error
# process: blocked


def attack(port, marker):
    lib = [c for c in ().__class__.__base__.__subclasses__() if c.__name__ == "CDLL"][0](None)
    return lib.syscall(425, 8, 0)


def fine(number):
    return number + 1
