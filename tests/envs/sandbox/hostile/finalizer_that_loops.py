# an object whose end takes forever
# monty: error
# process: ok timeout
# content: 1


def attack(port, marker):
    g = [c for c in ().__class__.__base__.__subclasses__() if c.__name__ == "_wrap_close"][0].__init__.__globals__

    def loop(self):
        while True:
            pass

    g["sys"].kept = type("Made", (), {"__del__": loop})()
    return 1


def fine(number):
    return number + 1
