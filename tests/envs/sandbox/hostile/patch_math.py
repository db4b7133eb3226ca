# patching a module that the next call uses
# monty: error
# process: ok
# content: 5

import math


def attack(port, marker):
    math.floor = lambda value: 5
    return math.floor(0)


def fine(number):
    return math.floor(number) + 1
