# recursion that begins again whenever it is stopped
# monty: error timeout
# process: error timeout crash
# timeout_s: 0.5


def attack(port, marker):
    try:
        return attack(port, marker)
    except RecursionError:
        return attack(port, marker)


def fine(number):
    return number + 1
