# reading a file
# monty: blocked
# process: blocked


def attack(port, marker):
    with open("/etc/passwd") as file:
        return file.read()


def fine(number):
    return number + 1
