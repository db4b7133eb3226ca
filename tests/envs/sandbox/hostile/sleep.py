# sleeping: no time passes
# monty: ok
# process: ok
# content: 1


def attack(port, marker):
    import time

    time.sleep(100)
    return 1


def fine(number):
    return number + 1
