# leaving through an exception
# monty: error
# process: error


def attack(port, marker):
    raise SystemExit(3)


def fine(number):
    return number + 1
