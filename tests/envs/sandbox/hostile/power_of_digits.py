# a power that the interpreter does not interrupt
# monty: timeout crash ok
# process: timeout crash ok
# timeout_s: 0.5


def attack(port, marker):
    return len(str(int("9" * 4000) ** 2000 % 7))


def fine(number):
    return number + 1
