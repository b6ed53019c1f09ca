"""Hostile files made by hand, each to be refused: how cases are named, and the commands that they are given to."""

PTH = ("spectra", "torchvision:squeezenet1_1", "-o", "s.h5", "--weights", "{}")
MODEL = ("quality", "{}")
CORRUPT = ("corrupt", "{}", "--corruption", "contrast", "--out", "out", "--limit", "1")
SHOW = ("show", "{}")
ARCHIVE = ("evaluate", "{model}", "--cifar10c", "{}")
MERGE = ("evaluate", "--merge", "{}")
STUDY = ("study", "{}", "--table")

CASES = {}


def case(name, words):
    """Register what makes a case's file: a function of the world that returns its path."""

    def register(make):
        CASES[name] = (make, words)
        return make

    return register


class Payload:
    """Wakes the canary when it is unpickled."""

    def __init__(self, canary):
        self.canary = canary

    def __reduce__(self):
        return (exec, (f"open({str(self.canary)!r}, 'w').close()",))


def write(world, name, content):
    path = world.place / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path
