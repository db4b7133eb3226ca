# importing by the function
# monty: error
# process: error


def attack(port, marker):
    return __import__("subprocess").run(["touch", marker])


def fine(number):
    return number + 1
