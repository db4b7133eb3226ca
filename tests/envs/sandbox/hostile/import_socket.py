# importing sockets
# monty: error
# process: error


def attack(port, marker):
    import socket

    socket.create_connection(("127.0.0.1", port))


def fine(number):
    return number + 1
