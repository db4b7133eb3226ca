# an exception whose text takes forever
# monty: error
# process: timeout
# timeout_s: 0.5


def attack(port, marker):
    def text(self):
        while True:
            pass

    raise type("Chosen", (Exception,), {"__str__": text})(marker)


def fine(number):
    return number + 1
