# an exception whose text raises
# monty: error
# process: error


def attack(port, marker):
    raise type("Chosen", (Exception,), {"__str__": lambda self: 1 / 0})(marker)


def fine(number):
    return number + 1
