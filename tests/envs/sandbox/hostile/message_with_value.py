# an exception that quotes an argument
# monty: error
# process: error


def attack(port, marker):
    raise KeyError(marker)


def fine(number):
    return number + 1
