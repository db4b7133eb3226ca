# recursion without end
# monty: error
# process: error


def attack(port, marker):
    return attack(port, marker)


def fine(number):
    return number + 1
