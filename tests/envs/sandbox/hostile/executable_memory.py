# memory that is written and run
# monty: error
# process: ok
# content: -1


def attack(port, marker):
    lib = [c for c in ().__class__.__base__.__subclasses__() if c.__name__ == "CDLL"][0](None)
    lib.mmap.restype = lib.memset.restype.__class__ if False else None
    return lib.mprotect(0, 4096, 7)


def fine(number):
    return number + 1
