"""The table of values of interop tests, as Python sees them: what must arrive, and what is sent back."""
import math

DEEP = []
for _ in range(100):
    DEEP = [DEEP]

BOTH = {
    "null": None,
    "true": True,
    "false": False,
    "zero": 0,
    "small": 42,
    "negative": -12345,
    "largest safe": 2**53 - 1,
    "smallest safe": -(2**53) + 1,
    "float": 0.1,
    "negative float": -2.5e-300,
    "large float": 1.7976931348623157e308,
    "empty string": "",
    "unicode": "Ünïcödé 漢字 😀 \u202e\u0000\u001b[31m",
    "long string": "ü" * 100000,
    "empty array": [],
    "empty object": {},
    "nested": {"a": [1, [2.5, {"b": None}], "x"], "": {"": [{}]}, "ключ": True},
    "deep": DEEP,
    "odd keys": {"__proto__": 1, "constructor": 2, "toString": [], "a.b": 3, "1": 4},
    "many": list(range(10000)),
}
CBOR = {
    "largest": 2**64 - 1,
    "smallest": -(2**64),
    "signed 64 bits": -(2**63),
    "beyond safe": 2**53,
    "infinity": math.inf,
    "negative zero": -0.0,
    "empty bytes": b"",
    "bytes": bytes(range(256)),
    "bytes inside": {"audio": [b"\x00\xff", b"RIFF"]},
    "5 MB": b"\xa5\x00\xff\x5a\x01" * 1000000,
}
# a number of JavaScript has no type: a whole one arrives as an int; as a float it is sent back
WHOLE = {"whole float": (1, 1.0), "large whole float": (10**15, 1e15)}


def same(a, b):
    if type(a) is not type(b):
        return False
    if isinstance(a, float):
        return a == b and math.copysign(1, a) == math.copysign(1, b)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(item, b[key]) for key, item in a.items())
    return a == b


def checked(name, value, form):
    """@return status and payload of the result: the value, or what it was here when it is not what it should be"""
    table = {key: (item, item) for key, item in (BOTH if form == "json" else {**BOTH, **CBOR}).items()}
    table.update(WHOLE)
    expected, reply = table[name]
    return ("success", reply) if same(value, expected) else ("error", {"got": repr(value)[:200]})
