# importing subprocess
# monty: error
# process: error


def attack(port, marker):
    import subprocess

    return subprocess.run(["touch", marker])


def fine(number):
    return number + 1
