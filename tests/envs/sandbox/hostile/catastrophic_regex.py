# a regular expression of exponential time
# monty: ok
# process: timeout
# timeout_s: 0.5

import re


def attack(port, marker):
    return re.match("(a+)+$", "a" * 40 + "b")


def fine(number):
    return number + 1
