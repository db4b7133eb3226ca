# the variables of the sandbox: nothing of the host
# monty: error
# process: ok
# content: []


def attack(port, marker):
    g = [c for c in ().__class__.__base__.__subclasses__() if c.__name__ == "_wrap_close"][0].__init__.__globals__
    return [name for name in g["environ"] if name not in ("PYTHONHASHSEED", "PYTHONUTF8", "TZ", "PWD", "LC_CTYPE")]


def fine(number):
    return number + 1
