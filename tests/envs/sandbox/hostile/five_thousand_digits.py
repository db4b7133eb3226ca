# a result above the limit of digits
# monty: crash
# process: crash


def attack(port, marker):
    return 10**4500


def fine(number):
    return number + 1
