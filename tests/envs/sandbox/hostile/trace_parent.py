# attaching a debugger
# monty: error
# process: blocked


def attack(port, marker):
    lib = [c for c in ().__class__.__base__.__subclasses__() if c.__name__ == "CDLL"][0](None)
    return lib.ptrace(16, 1, 0, 0)


def fine(number):
    return number + 1
