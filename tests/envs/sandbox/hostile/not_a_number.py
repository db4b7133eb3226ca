# NaN as the result
# monty: crash
# process: crash


def attack(port, marker):
    return float("nan")


def fine(number):
    return number + 1
