"""The other side of cbor-python.test.ts: Python's cbor2, as the peers on the bus use it.

Standard input: a JSON list of {"hex", "value"}: a body of ours and the tagged value that it must be.
Standard output: JSON, "different" with the bodies that were not, and "written" with {"hex", "value"} of Python's own.
"""

import json
import random
import struct
import sys

import cbor2

WRITTEN = 2000
INTS = [0, 23, 24, 255, 256, 65535, 65536, 2**32 - 1, 2**32, 2**53 - 1, 2**53, 2**53 + 1, 2**63, 2**64 - 1, 2**64, 2**70]
FLOATS = [0.0, -0.0, 1.0, 0.1, 1.5, 1e300, 5e-324, 2.0**53, float("inf"), float("-inf"), float("nan")]
TEXTS = ["", "a", "é", "😀", "\x00", "\ufeffx", "\ufffd", "x" * 23, "ü" * 30, "y" * 300, "__proto__", "toString"]


def untagged(value):
    if isinstance(value, list):
        return [untagged(item) for item in value]
    if not isinstance(value, dict):
        return value
    ((tag, content),) = value.items()
    if tag == "$int":
        return int(content)
    if tag == "$float":
        return float(content)
    if tag == "$bytes":
        return bytes.fromhex(content)
    return {key: untagged(item) for key, item in content}


def tagged(value):
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        return {"$int": str(value)}
    if isinstance(value, float):
        return {"$float": repr(value)}
    if isinstance(value, bytes):
        return {"$bytes": value.hex()}
    if isinstance(value, list):
        return [tagged(item) for item in value]
    return {"$map": [[key, tagged(item)] for key, item in value.items()]}


def same(a, b):
    if type(a) is not type(b):
        return False
    if isinstance(a, float):
        return (a != a and b != b) or struct.pack(">d", a) == struct.pack(">d", b)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(item, b[key]) for key, item in a.items())
    return a == b


def generated(source, level=0):
    kind = source.randrange(7 if level > 3 else 10)
    if kind == 0:
        return source.choice([None, True, False])
    if kind == 1:
        return source.choice([1, -1]) * source.choice(INTS)
    if kind == 2:
        return source.choice(FLOATS)
    if kind == 3:
        return source.uniform(-1e9, 1e9)
    if kind == 4:
        return source.getrandbits(source.choice([8, 31, 53, 64, 2048])) * source.choice([1, -1])
    if kind == 5:
        return source.choice(TEXTS)
    if kind == 6:
        return bytes(source.getrandbits(8) for _ in range(source.randrange(300)))
    if kind == 7:
        return [generated(source, level + 1) for _ in range(source.randrange(30))]
    return {source.choice(TEXTS) + str(source.randrange(3)): generated(source, level + 1) for _ in range(source.randrange(8))}


def main():
    different = []
    for case in json.load(sys.stdin):
        value = cbor2.loads(bytes.fromhex(case["hex"]))
        if not same(value, untagged(case["value"])):
            different.append({"hex": case["hex"], "python": repr(value)})
    source = random.Random(3)
    values = [generated(source) for _ in range(WRITTEN)]
    written = [{"hex": cbor2.dumps(value).hex(), "value": tagged(value)} for value in values]
    json.dump({"different": different, "written": written}, sys.stdout)


main()
