# the frames below the call
# monty: error
# process: blocked


def attack(port, marker):
    try:
        1 / 0
    except ZeroDivisionError as error:
        frame = error.__traceback__.tb_frame
        while frame.f_back:
            frame = frame.f_back
        return frame.f_globals["os"].listdir("/")


def fine(number):
    return number + 1
