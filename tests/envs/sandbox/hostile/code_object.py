# bytecode that reads outside of its stack
# monty: error
# process: crash


def attack(port, marker):
    code = (lambda: 0).__code__.replace(co_code=b"\x64\xff" * 100, co_stacksize=0)
    return (lambda: 0).__class__(code, {})()


def fine(number):
    return number + 1
