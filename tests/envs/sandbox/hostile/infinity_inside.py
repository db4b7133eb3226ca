# an infinity inside of the result
# monty: crash
# process: crash


def attack(port, marker):
    return {"a": [1, float("-inf")]}


def fine(number):
    return number + 1
