# patching a class of the standard library
# monty: error
# process: ok


def attack(port, marker):
    import datetime

    datetime.datetime.now = classmethod(lambda cls: "patched")
    return 1


def fine(number):
    return number + 1
