# exceptions that hold on to one another
# monty: crash error timeout
# process: crash timeout
# timeout_s: 3


def attack(port, marker):
    error = None
    while True:
        try:
            raise ValueError("x" * 10**6) from error
        except ValueError as caught:
            error = caught


def fine(number):
    return number + 1
