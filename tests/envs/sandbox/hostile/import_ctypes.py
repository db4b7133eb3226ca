# importing ctypes
# monty: error
# process: error


def attack(port, marker):
    import ctypes

    return ctypes.CDLL(None).getpid()


def fine(number):
    return number + 1
