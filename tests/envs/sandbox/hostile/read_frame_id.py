# an answer with the right number and an impossible content
# monty: error
# process: crash


def attack(port, marker):
    g = [c for c in ().__class__.__base__.__subclasses__() if c.__name__ == "_wrap_close"][0].__init__.__globals__
    frame = g["sys"]._getframe()
    while "message" not in frame.f_locals:
        frame = frame.f_back
    number = frame.f_locals["message"]["id"]
    g["write"](0, b'{"id": %d, "status": "ok", "content": "NaN", "kind": "json", "cpu_us": -5}\n' % number)
    g["_exit"](0)


def fine(number):
    return number + 1
