# an exception with a name of megabytes
# monty: error
# process: crash timeout


def attack(port, marker):
    raise type("A" * 5_000_000, (Exception,), {"__module__": "builtins"})(marker)


def fine(number):
    return number + 1
