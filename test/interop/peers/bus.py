"""The bus as services written in Python use it: pika's blocking connection, CBOR by cbor2, and the protocol by hand."""
import datetime
import decimal
import json
import sys
import threading

import cbor2
import pika

EXCHANGES = ("events", "commands", "configurations", "logs")
PROPERTIES = (
    "content_type content_encoding delivery_mode priority correlation_id reply_to expiration message_id timestamp type"
    " user_id app_id cluster_id"
).split()


def connect(url):
    """A channel with confirms on a bus with its exchanges. @return connection, channel"""
    connection = pika.BlockingConnection(pika.URLParameters(url))
    channel = connection.channel()
    channel.confirm_delivery()
    channel.basic_qos(prefetch_count=3)
    for exchange in EXCHANGES:
        channel.exchange_declare(exchange, exchange_type="topic", durable=True)
    return connection, channel


def encode(payload, form):
    if form == "json":
        return "application/json", json.dumps(payload, ensure_ascii=False).encode("utf-8")
    return "application/cbor", cbor2.dumps(payload)


def decode(body, content_type):
    if not body:
        return None
    return cbor2.loads(body) if content_type == "application/cbor" else json.loads(body.decode("utf-8"))


def publish(channel, exchange, key, payload, form, headers, reply_to="", correlation_id="", mandatory=False, **properties):
    """Publishes, and returns when the broker has confirmed it. What is absent is sent as an empty string."""
    content_type, body = encode(payload, form)
    own = dict(delivery_mode=2, content_type=content_type, reply_to=reply_to, correlation_id=correlation_id)
    channel.basic_publish(
        exchange, key, body, pika.BasicProperties(headers=headers, **{**own, **properties}), mandatory=mandatory
    )


def described(properties):
    """The properties that a message has, as pika shows them."""
    shown = {name: getattr(properties, name) for name in PROPERTIES}
    return {name: value for name, value in shown.items() if value is not None}


def plain(value):
    if isinstance(value, bytes):
        return {"$bytes": value.hex()}
    if isinstance(value, (datetime.datetime, decimal.Decimal)):
        return str(value)
    raise TypeError(type(value).__name__)


def tell(**line):
    """One line of JSON to whoever started this."""
    print(json.dumps(line, default=plain), flush=True)


def listen(connection, on_line):
    """Calls back in the thread of the connection for each line that comes in, and with None after the last."""

    def read():
        for line in sys.stdin:
            connection.add_callback_threadsafe(lambda line=line: on_line(json.loads(line)))
        connection.add_callback_threadsafe(lambda: on_line(None))

    threading.Thread(target=read, daemon=True).start()
