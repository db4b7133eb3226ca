# a loader of the interpreter that reads any file
# monty: error
# process: blocked


def attack(port, marker):
    g = [c for c in ().__class__.__base__.__subclasses__() if c.__name__ == "_wrap_close"][0].__init__.__globals__
    sys = g["sys"]
    return sys.modules["importlib._bootstrap_external"].SourceFileLoader("x", marker).get_data("/etc/passwd")


def fine(number):
    return number + 1
