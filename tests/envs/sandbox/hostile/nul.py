# a NUL byte in the result
# monty: ok
# process: ok


def attack(port, marker):
    return chr(0) + "x"


def fine(number):
    return number + 1
