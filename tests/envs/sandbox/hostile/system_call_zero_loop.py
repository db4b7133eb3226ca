# all the newer system calls, one after the other
# monty: error
# process: ok


def attack(port, marker):
    lib = [c for c in ().__class__.__base__.__subclasses__() if c.__name__ == "CDLL"][0](None)
    for number in range(337, 470):  # 335 and 336 end a process by themselves, past any filter
        if number not in (425, 435, 424, 434):
            lib.syscall(number, -1, 0, 0, 0, 0, 0)
    return 1


def fine(number):
    return number + 1
