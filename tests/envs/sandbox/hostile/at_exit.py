# code that is to run at the end of the interpreter
# monty: error
# process: ok
# content: 1


def attack(port, marker):
    g = [c for c in ().__class__.__base__.__subclasses__() if c.__name__ == "_wrap_close"][0].__init__.__globals__
    sys = g["sys"]
    sys.meta_path[0].load_module("atexit").register(lambda: g["write"](0, b"forged\n"))
    return 1


def fine(number):
    return number + 1
