# a result that is nested 200,000 deep
# monty: crash
# process: crash


def attack(port, marker):
    kept = []
    for _ in range(200_000):
        kept = [kept]
    return kept


def fine(number):
    return number + 1
