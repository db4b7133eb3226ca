# an endless loop
# monty: timeout
# process: timeout
# timeout_s: 0.5


def attack(port, marker):
    while True:
        pass


def fine(number):
    return number + 1
