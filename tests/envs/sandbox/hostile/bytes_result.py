# bytes as the result
# monty: crash
# process: crash


def attack(port, marker):
    return b"abc"


def fine(number):
    return number + 1
