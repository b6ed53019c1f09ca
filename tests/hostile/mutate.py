"""Mutators: from a sound file's bytes and a seeded generator to bytes that are (nearly always) no longer sound."""

import json
import random
import struct
from copy import deepcopy

VALUES = [
    None,
    True,
    0,
    -1,
    2**63,
    10**30,
    1e308,
    float("nan"),
    float("inf"),
    "",
    "\x1b[2J\x07",
    "x" * 100_000,
    "/dev/zero",
    [],
    {},
    [1, "a", None],
    [0] * 10_000,
    "\u202e\ud83d\ude00",
]
TOML = [
    '""',
    "true",
    "0",
    "-1",
    "9223372036854775807",
    "9" * 5000,
    "nan",
    "inf",
    "1e308",
    "[]",
    "{}",
    "[" * 2000,
    "1979-05-27",
    '"\\u001b[2J"',
    "'" + "x" * 50_000 + "'",
    "[1, 'a', {b = 2}]",
    "{ low = nan, high = nan }",
    "\x00",
    "",
]
PARTS = {
    "dtype": ["F8", "F64", "BF16", "BOOL", 1],
    "shape": [[], [0], [2**40, 2**40], [-1], [1.5], [10**30]],
    "data_offsets": [[0, 0], [0, 2**63], [5, 1], [-4, 4], [0, 2**40]],
}
WORDS = [0, 1, 127, 255, 2**16, 2**31 - 1, 2**32 - 1, 2**40, 2**63 - 1, 2**64 - 1]


def binary(content, rng):
    """Wrong bits, bytes and numbers anywhere; cuts; pieces repeated or taken out."""
    out = bytearray(content)
    for _ in range(rng.choice([1, 1, 2, 4, 16])):
        at, kind = rng.randrange(len(out)), rng.random()
        if kind < 0.4:
            out[at] ^= 1 << rng.randrange(8)
        elif kind < 0.6:
            out[at] = rng.choice([0, 1, 127, 128, 255])
        elif kind < 0.8:
            number = struct.pack("<Q", rng.choice([*WORDS, len(content), at]))[: rng.choice([2, 4, 8])]
            out[at : at + len(number)] = number
        elif kind < 0.87:
            del out[at:]
        elif kind < 0.94:
            del out[at : at + rng.choice([1, 8, 512])]
        else:
            out[at:at] = out[at : at + rng.choice([1, 8, 512])]
        if not out:
            break
    return bytes(out)


def head(content, rng):
    """The same in the first bytes, where headers are."""
    return binary(content[:256], rng) + content[256:]


def json_text(content, rng):
    """Another value at a place drawn from the whole, a key gone or renamed; or text that is none."""
    kind = rng.random()
    if kind < 0.1:
        return rng.choice(
            [b"", b"[" * 100_000, b'{"a":' * 50_000, b"\xff\xfe{}", b"nul", b'"x"', b"1" * 5000, b"{}", b"[]"]
        )
    if kind < 0.2:
        return binary(content, rng)
    value = json.loads(content)
    for _ in range(rng.choice([1, 1, 2, 5])):
        value = _replaced(value, rng)
    return json.dumps(value).encode()


def _replaced(value, rng):
    places = list(_places(value))
    if not places:
        return deepcopy(rng.choice(VALUES))
    holder, key = rng.choice(places)
    kind = rng.random()
    if kind < 0.75 or isinstance(holder, list):
        holder[key] = deepcopy(rng.choice(VALUES))
    elif kind < 0.9:
        del holder[key]
    else:
        holder[rng.choice(["x", "", "__class__", "\x1b[2J", "a/../b"])] = holder.pop(key)
    return value


def _places(value):
    """Every place in nested lists and dictionaries; of long lists some."""
    pairs = list(value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ())
    for key, inner in pairs[:50]:
        yield value, key
        yield from _places(inner)


def toml_text(content, rng):
    """Other values, keys twice, tables that are none, lines out of place, bytes that are no text."""
    lines = content.decode().splitlines()
    for _ in range(rng.choice([1, 1, 2, 4])):
        at = rng.randrange(len(lines))
        key, equals, _ = lines[at].partition("=")
        kind = rng.random()
        if kind < 0.7 and equals:
            lines[at] = f"{key}= {rng.choice(TOML)}"
        elif kind < 0.8:
            lines[at:at] = [lines[at]]
        elif kind < 0.87:
            lines[at] = rng.choice(
                ["[a", "[[a]]", "= 1", "a = ", "[callbacks]", "\x00", "a.b.c = 1", "[" + "a." * 900 + "a]"]
            )
        elif kind < 0.94:
            del lines[at]
            lines = lines or [""]
        else:
            return binary("\n".join(lines).encode(), rng)
    return "\n".join(lines).encode()


def safetensors(content, rng):
    """A wrong header, with its length put right, or wrong bytes in the whole."""
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    kind = rng.random()
    if kind < 0.25:
        return head(content, rng)
    if kind < 0.6:
        for _ in range(rng.choice([1, 2])):
            name = rng.choice([name for name in header if name != "__metadata__"])
            part = rng.choice(list(PARTS))
            header[name][part] = rng.choice(PARTS[part])
    elif "freqfast" in header.get("__metadata__", {}):
        header["__metadata__"]["freqfast"] = json_text(header["__metadata__"]["freqfast"].encode(), rng).decode(
            "latin-1"
        )
    else:
        header = _replaced(header, rng)
    return with_header(json.dumps(header).encode(), content[8 + size :])


def with_header(header, data):
    """A safetensors file of any header."""
    return len(header).to_bytes(8, "little") + header + data


def npy(content, rng):
    """Another header, or wrong bytes."""
    if rng.random() < 0.5:
        return head(content, rng)
    shape = rng.choice(
        ["(10,)", "()", "(-1, 8)", "(10**9,)", f"({10**18}, 8, 8, 3)", f"({10**30},)", "None", "(1.5,)", "(True,)"]
    )
    descr = rng.choice(["'|u1'", "'|O'", "'<f8'", "'<U9999999'", "[('a', '|O')]", "None", "'|V0'", "'evil'", "'<i8'"])
    text = f"{{'descr': {descr}, 'fortran_order': {rng.choice([False, True, 7])}, 'shape': {shape}, }}\n".encode()
    start = b"\x93NUMPY" + rng.choice([b"\x01\x00", b"\x02\x00", b"\x03\x00", b"\x09\x00"])
    return start + len(text).to_bytes(2, "little") + text + content[128:]


def setting(rng):
    """A value for ``--set`` of a recipe, or for an option that wants a number."""
    fields = ["epochs", "batch_size", "lr", "precision", "seed", "holdout", "data", "model", "callbacks", "name"]
    arguments = ["proportions", "purity", "bands", "layer", "proportions.low", "purity.x"]
    keys = [*fields, *(f"frequency_proportion.{name}" for name in arguments), "model.width", "", "a.b", "\x1b[2J"]
    return f"{rng.choice(keys)}{rng.choice(['=', '=', '=', '=', ''])}{rng.choice(TOML)}".replace("\x00", "\x01")


def generator(kind, seed):
    """The same generator for the same case, everywhere."""
    return random.Random(f"{kind}-{seed}")
