# a result of 100 MB
# monty: crash
# process: crash


def attack(port, marker):
    return "x" * 100_000_000


def fine(number):
    return number + 1
