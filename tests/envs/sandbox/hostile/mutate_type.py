# patching a class of the standard library
# monty: error
# process: ok error


def attack(port, marker):
    import datetime

    datetime.datetime.now = classmethod(lambda cls: "patched")
    return 1


def fine(number):
    return number + 1
