# a list that holds itself
# monty: crash
# process: crash


def attack(port, marker):
    kept = []
    kept.append(kept)
    return kept


def fine(number):
    return number + 1
