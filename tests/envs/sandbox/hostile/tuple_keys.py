# keys that are tuples
# monty: crash
# process: crash


def attack(port, marker):
    return {(1, 2): 3}


def fine(number):
    return number + 1
