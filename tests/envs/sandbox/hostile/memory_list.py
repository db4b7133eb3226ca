# a list that grows without end
# monty: crash
# process: crash


def attack(port, marker):
    kept = []
    while True:
        kept.append("x" * 10**6 + str(len(kept)))


def fine(number):
    return number + 1
