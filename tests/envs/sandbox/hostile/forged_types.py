# an answer whose fields have other types
# monty: error
# process: crash


def attack(port, marker):
    g = [c for c in ().__class__.__base__.__subclasses__() if c.__name__ == "_wrap_close"][0].__init__.__globals__
    g["write"](0, b'{"id": true, "status": [], "kind": {}}\n')
    g["_exit"](0)


def fine(number):
    return number + 1
