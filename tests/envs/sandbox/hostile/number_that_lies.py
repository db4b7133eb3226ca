# a number that writes itself as something else
# monty: error
# process: ok
# content: [3]


def attack(port, marker):
    return [type("Number", (int,), {"__repr__": lambda self: "0, " * 1_000_000})(3)]


def fine(number):
    return number + 1
