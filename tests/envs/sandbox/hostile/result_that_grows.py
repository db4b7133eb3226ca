# a result with items without end
# monty: error
# process: timeout crash
# timeout_s: 0.5


def attack(port, marker):
    return type("Grows", (list,), {"__iter__": lambda self: iter(int, 1), "__len__": lambda self: 5})([1])


def fine(number):
    return number + 1
