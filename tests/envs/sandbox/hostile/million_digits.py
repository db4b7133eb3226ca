# a result of a million digits
# monty: crash
# process: crash


def attack(port, marker):
    return 10**1_000_000


def fine(number):
    return number + 1
