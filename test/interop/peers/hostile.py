"""
Publishes messages with properties and headers that no well-behaved peer would send. hostile.py URL SERVICE [deep]

Each line on its standard input asks for the next one; it tells its name (which is the message_id as well) and whether the
broker took it, or `end`.
"""
import datetime
import decimal
import json
import struct
import sys

import bus
import pika

LOOK = "\x1b[2J\x1b[31m\r\nfaked line\x07\x9b31m\u202e\u0000"
# channel.close on channel 1
CLOSE_CHANNEL = b"\x01\x00\x01\x00\x00\x00\x0b\x00\x14\x00\x28\x01\x40\x00\x00\x00\x00\x00\xce"
MOMENT = datetime.datetime(2020, 1, 1)


class Raw(pika.BasicProperties):
    """Properties with a header table of given bytes."""

    def __init__(self, message_id, table):
        super().__init__(message_id=message_id)
        self.table = table

    def encode(self):
        name = self.message_id.encode()
        table = struct.pack(">I", len(self.table)) + self.table
        return [struct.pack(">H", 0x2080), table, bytes([len(name)]), name]


def short(text):
    return bytes([len(text)]) + text


def long_string(text):
    return b"S" + struct.pack(">I", len(text)) + text


def nested_tables(levels):
    value = b"V"
    for _ in range(levels):
        table = short(b"") + value
        value = b"F" + struct.pack(">I", len(table)) + table
    return value


def nested_arrays(levels):
    value = b"V"
    for _ in range(levels):
        value = b"A" + struct.pack(">I", len(value)) + value
    return value


HAS_ID = short(b"conversation_id") + long_string(b"c1")


def events():
    """name, routing key, properties"""
    values = {
        "string": "text",
        "control characters": LOOK,
        "table": {"a": {"b": [1, {"c": None}]}},
        "array": [1, "two", [3], {"four": 4}, None, True, MOMENT],
        "timestamp": MOMENT,
        "void": None,
        "decimal": decimal.Decimal("-1.25"),
        "bool": True,
        "int": -1,
        "large int": 2**63 - 1,
        "bytes": bytes(range(256)),
        "empty table": {},
        "empty array": [],
        "empty string": "",
        "30 kB": "x" * 30000,
        "100 kB": "y" * 100000,
    }
    for name, value in values.items():
        yield "header " + name, "hostile", dict(headers={"conversation_id": "c1", "header": value})
        yield "conversation_id " + name, "hostile", dict(headers={"conversation_id": value})
    many = {"h%d" % n: n for n in range(8000)}
    odd = {"__proto__": {"conversation_id": "no", "polluted": 1}, "constructor": {"prototype": {"polluted": 1}}}
    for name, headers in {
        "no headers": None,
        "empty headers": {},
        "no conversation_id": {"other": 1},
        "conversation_id in __proto__": {"__proto__": {"conversation_id": "c1"}},
        "odd names": {"conversation_id": "c1", **odd, "": "", "toString": 1, LOOK: LOOK},
        "8000 headers": {**many, "conversation_id": "c1"},
    }.items():
        yield name, "hostile", dict(headers=headers)
    headers = {"conversation_id": "c1"}
    for name, properties in {
        "status on an event": dict(headers={**headers, "status": {"a": 1}}),
        "timestamp of the far future": dict(timestamp=2**63 - 1),
        "negative timestamp": dict(timestamp=2**64 - 1),
        "expiration": dict(expiration="60000"),
        "expiration 0": dict(expiration="0"),
        "all properties": dict(
            content_encoding=LOOK, priority=255, correlation_id=LOOK, reply_to=LOOK, type=LOOK, app_id=LOOK, cluster_id=LOOK
        ),
        "properties of 255 bytes": dict(correlation_id="k" * 255, reply_to="r" * 255, type="t" * 255, app_id="a" * 255),
        "cluster_id that looks like a frame": dict(cluster_id=CLOSE_CHANNEL),
        "bytes that are no text": dict(correlation_id=b"\xff" * 255, reply_to=b"\xff" * 255, app_id=b"\xc3"),
    }.items():
        yield name, "hostile", {"headers": headers, **properties}
    for name, key in {
        "routing key with NUL": "hostile.\x00",
        "routing key with control characters": "hostile." + LOOK,
        "routing key of 255 bytes": "hostile." + "ü" * 123 + "x",
        "routing key of empty words": "hostile......",
        "routing key that is no text": b"hostile.\xff\xfe\xc3",
        "routing key with __proto__": "hostile.__proto__",
    }.items():
        yield name, key, dict(headers=headers)
    yield "content type with control characters", "hostile", dict(headers=headers, content_type=LOOK)
    yield "content type of 255 bytes", "hostile", dict(headers=headers, content_type="application/cbor" + " " * 239)
    yield "empty content type", "hostile", dict(headers=headers, content_type="")
    tables = {
        "header name that is no text": HAS_ID + short(b"\xff\xfe") + b"V",
        "header text that is no text": HAS_ID + short(b"h") + long_string(b"\xff\xfe\xc3"),
        "conversation_id that is no text": short(b"conversation_id") + long_string(b"\xff\x00\xc3"),
        "conversation_id twice": HAS_ID + short(b"conversation_id") + b"V",
        "a field of unknown type": HAS_ID + short(b"h") + b"?",
        "a number that is none": HAS_ID + short(b"f") + b"f\x7f\xc0\x00\x00",
        "a table longer than its frame": HAS_ID + short(b"h") + b"F\xff\xff\xff\xff",
        "numbers of all kinds": HAS_ID
        + short(b"b") + b"b\x80" + short(b"B") + b"B\xff" + short(b"s") + b"s\x80\x00" + short(b"u") + b"u\xff\xff"
        + short(b"i") + b"i\xff\xff\xff\xff" + short(b"f") + b"f\x7f\x7f\xff\xff" + short(b"d") + b"d\xff\xef" + b"\xff" * 6
        + short(b"l") + b"l\x80" + bytes(7) + short(b"D") + b"D\xff\xff\xff\xff\xff" + short(b"T") + b"T" + b"\xff" * 8,
    }
    for name, table in tables.items():
        yield name, "hostile", Raw(name, table)


def deep():
    """Headers that no reader that calls itself for each level survives, pika's neither."""
    for levels in (100, 1000, 4000, 10000, 20000):
        for name, value in (("tables", nested_tables(levels)), ("arrays", nested_arrays(levels))):
            for header, table in (
                ("header", HAS_ID + short(b"h") + value),
                ("conversation_id", short(b"conversation_id") + value),
            ):
                label = "%s of %s, %d deep" % (header, name, levels)
                yield label, "hostile", Raw(label, table)


def commands(service):
    headers = {"conversation_id": "c1"}
    texts = {
        "control characters": LOOK,
        "255 bytes": "r" * 255,
        "255 bytes of multi-byte text": "ü" * 127,
        "bytes that are no text": b"\xff" * 255,
        "patterns": "#.*.#",
        "dots": "...",
        "a queue": "amq.rabbitmq.reply-to",
        "__proto__": "__proto__",
        "one word": "nobody",
    }
    for name, text in texts.items():
        yield "reply_to " + name, service + ".Do", dict(headers=headers, reply_to=text)
        yield "correlation_id " + name, service + ".Do", dict(headers=headers, reply_to=service + ".Did", correlation_id=text)
        yield "status " + name, service + ".Did", dict(headers={**headers, "status": text}, correlation_id=text)
    for name, status in {"table": {"success": 1}, "array": ["success"], "int": 1, "void": None, "bool": True}.items():
        yield "status " + name, service + ".Did", dict(headers={**headers, "status": status})
    yield "neither command nor result", service + ".Do", dict(headers=headers)
    yield "command without conversation_id", service + ".Do", dict(reply_to=service + ".Did")
    verbs = {"__proto__": "__proto__", "constructor": "constructor", "of no letters": "", "NUL": "\0", "control characters": LOOK}
    for name, verb in verbs.items():
        yield "verb " + name, service + "." + verb, dict(headers=headers, reply_to=service + ".Did")


def main(url, service, only_deep=False):
    connection, channel = bus.connect(url)
    messages = [("events", *message) for message in (deep() if only_deep else events())]
    if not only_deep:
        messages += [("commands", *message) for message in commands(service)]
    for exchange, name, key, properties in messages:
        sys.stdin.readline()
        message_id = exchange + ": " + name
        if isinstance(properties, Raw):
            properties.message_id = message_id
        else:
            properties = pika.BasicProperties(**{"content_type": "application/json", **properties, "message_id": message_id})
        taken = True
        try:
            channel.basic_publish(exchange, key, json.dumps({"hostile": True}).encode(), properties, mandatory=True)
        except pika.exceptions.UnroutableError:
            taken = False
        except (pika.exceptions.ConnectionClosedByBroker, pika.exceptions.ChannelClosedByBroker):
            taken = False
            connection, channel = bus.connect(url)
        bus.tell(name=message_id, taken=taken)
    sys.stdin.readline()
    bus.tell(name="end")
    connection.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
