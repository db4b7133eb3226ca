# one huge text
# monty: crash
# process: crash


def attack(port, marker):
    return len("x" * 10**10)


def fine(number):
    return number + 1
