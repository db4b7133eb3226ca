# raising its own limits
# monty: error
# process: error


def attack(port, marker):
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (-1, -1))


def fine(number):
    return number + 1
