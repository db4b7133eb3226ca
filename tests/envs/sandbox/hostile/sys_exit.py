# leaving through sys
# monty: error
# process: error


def attack(port, marker):
    import sys

    sys.exit(0)


def fine(number):
    return number + 1
