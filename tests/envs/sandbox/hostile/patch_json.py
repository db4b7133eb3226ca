# patching what the worker encodes with
# monty: error
# process: ok
# content: {"a": 1}


def attack(port, marker):
    import json

    json.dumps = lambda *values, **options: "patched"
    json.JSONEncoder.encode = lambda self, value: "patched"
    return {"a": 1}


def fine(number):
    return number + 1
