# printing without measure
# monty: ok
# process: ok
# content: 1


def attack(port, marker):
    for _ in range(100_000):
        print("x" * 100)
    return 1


def fine(number):
    return number + 1
