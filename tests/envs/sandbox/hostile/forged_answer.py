# answers that the code writes in the worker's place
# monty: error
# process: crash


def attack(port, marker):
    g = [c for c in ().__class__.__base__.__subclasses__() if c.__name__ == "_wrap_close"][0].__init__.__globals__
    for number in range(5):
        g["write"](0, b'{"id": %d, "status": "ok", "content": "forged", "kind": "text"}\n' % number)
    return 1


def fine(number):
    return number + 1
