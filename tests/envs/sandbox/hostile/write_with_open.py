# writing a file with the built-in
# monty: blocked
# process: blocked


def attack(port, marker):
    with open(marker, "w") as file:
        file.write("here")


def fine(number):
    return number + 1
