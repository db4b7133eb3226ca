# an integer that no memory holds
# monty: crash
# process: crash timeout
# timeout_s: 0.5


def attack(port, marker):
    return 9**9**9 % 10


def fine(number):
    return number + 1
