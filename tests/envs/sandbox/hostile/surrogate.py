# half a surrogate pair in the result
# monty: error
# process: crash


def attack(port, marker):
    return chr(0xD800)


def fine(number):
    return number + 1
