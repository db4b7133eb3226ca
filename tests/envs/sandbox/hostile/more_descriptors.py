# descriptors made without opening a file
# monty: error
# process: ok
# content: [-1, -1, -1, -1]


def attack(port, marker):
    g = [c for c in ().__class__.__base__.__subclasses__() if c.__name__ == "_wrap_close"][0].__init__.__globals__
    lib = [c for c in ().__class__.__base__.__subclasses__() if c.__name__ == "CDLL"][0](None)
    return [lib.dup(0), lib.dup2(0, 5), lib.eventfd(0, 0), lib.epoll_create(1)]


def fine(number):
    return number + 1
