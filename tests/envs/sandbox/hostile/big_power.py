# a power that takes seconds in one instruction
# monty: ok timeout crash
# process: timeout ok
# timeout_s: 0.5


def attack(port, marker):
    return 9**9**7 % 10


def fine(number):
    return number + 1
