# a generator as the result; in monty it is a list, so that `auto` sends it to CPython
# monty: ok
# process: crash


def attack(port, marker):
    return (n for n in range(3))


def fine(number):
    return number + 1
