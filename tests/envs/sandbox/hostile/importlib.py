# importing by importlib
# monty: error
# process: error


def attack(port, marker):
    import importlib

    return importlib.import_module("subprocess").run(["touch", marker])


def fine(number):
    return number + 1
