# an endless loop that catches whatever is raised in it
# monty: timeout
# process: timeout
# timeout_s: 0.5


def attack(port, marker):
    while True:
        try:
            while True:
                pass
        except BaseException:
            pass


def fine(number):
    return number + 1
