# the unguarded import behind the guard
# monty: error
# process: blocked


def attack(port, marker):
    real = print.__class__ if False else __builtins__["__import__"].__func__.__globals__["builtins"].__import__
    return real("os").listdir("/")


def fine(number):
    return number + 1
