# a set as the result
# monty: crash
# process: crash


def attack(port, marker):
    return {1, 2}


def fine(number):
    return number + 1
