"""
A peer that says with pika what a scenario asks for: lines of JSON in, lines of JSON out. See vocabulary.ts for the words.

In:  {"id", "do": "connect" | "open" | "request" | "close" | "drop", "connection", ...}
Out: {"id", "reply"} for each, and {"connection", "channel", "event"} for what a broker says of its own accord
"""
import ast
import base64
import calendar
import datetime
import decimal
import hashlib
import json
import logging
import re
import socket
import sys
import threading

import pika
from pika import spec
from pika.adapters.select_connection import IOLoop

SHOWN_BYTES = 300
logging.disable(logging.CRITICAL)
loop = IOLoop()
connections = {}


def say(**message):
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def value_out(value):
    if isinstance(value, datetime.datetime):
        return {"!timestamp": calendar.timegm(value.utctimetuple())}
    if isinstance(value, decimal.Decimal):
        return {"!decimal": str(value)}
    if isinstance(value, bytes):
        return {"!bytes": base64.b64encode(value).decode()}
    if isinstance(value, dict):
        return {key: value_out(one) for key, one in value.items()}
    if isinstance(value, list):
        return [value_out(one) for one in value]
    return value if value is None or isinstance(value, (bool, str)) else int(value)


def value_in(value):
    if isinstance(value, dict):
        if "!timestamp" in value:
            return datetime.datetime.utcfromtimestamp(value["!timestamp"])
        if "!bytes" in value:
            return base64.b64decode(value["!bytes"])
        return {key: value_in(one) for key, one in value.items()}
    if isinstance(value, list):
        return [value_in(one) for one in value]
    return value


def name_of(method):
    family, word = method.NAME.split(".")
    return family.lower() + "." + re.sub(r"(?<=[a-z])(?=[A-Z])", "-", word).lower()


def frame_of(method, properties=None, body=None):
    frame = {"method": name_of(method)}
    frame.update((key, value_out(value)) for key, value in vars(method).items() if key != "cluster_id")
    if properties is not None:
        given = vars(properties).items()
        frame["properties"] = {key: value_out(value) for key, value in given if value is not None}
        if len(body) <= SHOWN_BYTES:
            frame["body"] = body.decode()
        else:
            frame["body"] = f"<{len(body)} bytes, sha256 {hashlib.sha256(body).hexdigest()}>"
    return frame


def closing(reason):
    """What ended a connection or channel, or None when the peer itself did."""
    if isinstance(reason, (pika.exceptions.ConnectionClosedByClient, pika.exceptions.ChannelClosedByClient)):
        return None
    if isinstance(reason, pika.exceptions.ConnectionClosedByBroker):
        return {"method": "connection.close", "reply_code": reason.reply_code, "reply_text": reason.reply_text}
    if isinstance(reason, pika.exceptions.ChannelClosedByBroker):
        return {"method": "channel.close", "reply_code": reason.reply_code, "reply_text": reason.reply_text}
    return {"method": "lost"}


class Asked:
    """A request that is answered once."""

    def __init__(self, number):
        self.number = number

    def answer(self, frame):
        if self.number is not None:
            say(id=self.number, reply=frame)
            self.number = None


class Connection:
    def __init__(self, label, asked, url, options):
        self.label = label
        self.channels = {}
        self.asked = asked
        parameters = pika.URLParameters(url)
        parameters.heartbeat = options.get("heartbeat", 0)
        parameters.frame_max = options.get("frameMax", parameters.frame_max)
        parameters.channel_max = options.get("channelMax", parameters.channel_max)
        self.pika = pika.SelectConnection(
            parameters,
            on_open_callback=self.opened,
            on_open_error_callback=lambda _, error: self.refused(error),
            on_close_callback=lambda _, reason: self.closed(reason),
            custom_ioloop=loop,
        )
        self.pika.add_on_connection_blocked_callback(lambda _, frame: self.event("", frame_of(frame.method)))
        self.pika.add_on_connection_unblocked_callback(lambda _, frame: self.event("", frame_of(frame.method)))

    def event(self, channel, frame):
        say(connection=self.label, channel=channel, event=frame)

    def opened(self, _):
        self.asked.answer({"method": "connection.open-ok"})

    def refused(self, error):
        # during the handshake pika tells the reason of the broker only as the text of another error
        reason = re.fullmatch(r"ConnectionClosedByBroker: \((\d+)\) (.*)", str(error.args[0]) if error.args else "")
        if reason is None:
            self.asked.answer(closing(error))
        else:
            code, text = int(reason[1]), ast.literal_eval(reason[2])
            self.asked.answer({"method": "connection.close", "reply_code": code, "reply_text": text})

    def closed(self, reason):
        self.asked.answer({"method": "none"})
        frame = closing(reason)
        if frame is not None:
            self.event("", frame)

    def close(self, asked):
        self.asked = asked
        if self.pika.is_open:
            self.pika.close()
        else:
            asked.answer({"method": "none"})

    def drop(self, asked):
        self.pika._transport._sock.shutdown(socket.SHUT_RDWR)
        asked.answer({"method": "none"})


class Channel:
    def __init__(self, connection, label, asked, confirm):
        self.connection = connection
        self.label = label
        self.asked = asked
        self.confirm = confirm
        self.pika = connection.pika.channel(on_open_callback=self.opened)
        connection.channels[label] = self

    def event(self, frame):
        self.connection.event(self.label, frame)

    def opened(self, channel):
        channel.add_on_close_callback(lambda _, reason: self.closed(reason))
        channel.add_on_cancel_callback(lambda frame: self.event(frame_of(frame.method)))
        channel.add_on_return_callback(
            lambda _, method, properties, body: self.event(frame_of(method, properties, body))
        )
        channel.add_callback(self.answered, [spec.Basic.GetEmpty], one_shot=False)
        if self.confirm:
            channel.confirm_delivery(lambda frame: self.event(frame_of(frame.method)), self.answered)
        else:
            self.asked.answer({"method": "channel.open-ok"})

    def closed(self, reason):
        frame = closing(reason)
        by_us = frame is None
        if not by_us and frame["method"] == "channel.close":
            self.event(frame)
        self.asked.answer({"method": "channel.close-ok" if by_us else "closed"})

    def answered(self, frame):
        self.asked.answer(frame_of(frame.method))

    def request(self, asked, method, fields):
        self.asked = asked
        fields = {key: value_in(value) for key, value in fields.items()}
        has_answer = getattr(self, method.replace(".", "_"))(**fields)
        if has_answer is False:
            asked.answer({"method": "none"})

    def channel_close(self):
        self.pika.close()

    def channel_flow(self, active):
        self.pika.flow(active, callback=lambda now: self.asked.answer({"method": "channel.flow-ok", "active": now}))

    def exchange_declare(self, exchange, type="", **fields):
        self.pika.exchange_declare(exchange, exchange_type=type, callback=self.answered, **fields)

    def exchange_delete(self, **fields):
        self.pika.exchange_delete(callback=self.answered, **fields)

    def exchange_bind(self, **fields):
        self.pika.exchange_bind(callback=self.answered, **fields)

    def exchange_unbind(self, **fields):
        self.pika.exchange_unbind(callback=self.answered, **fields)

    def queue_declare(self, queue="", **fields):
        self.pika.queue_declare(queue, callback=self.answered, **fields)

    def queue_bind(self, queue, exchange, routing_key="", **fields):
        self.pika.queue_bind(queue, exchange, routing_key, callback=self.answered, **fields)

    def queue_unbind(self, queue, exchange, routing_key="", **fields):
        self.pika.queue_unbind(queue, exchange, routing_key, callback=self.answered, **fields)

    def queue_purge(self, queue):
        self.pika.queue_purge(queue, callback=self.answered)

    def queue_delete(self, queue, **fields):
        self.pika.queue_delete(queue, callback=self.answered, **fields)

    def basic_qos(self, prefetch_count, **fields):
        self.pika.basic_qos(prefetch_count=prefetch_count, global_qos=fields.get("global", False), callback=self.answered)

    def basic_consume(self, queue, consumer_tag, no_ack=False, **fields):
        self.pika.basic_consume(
            queue,
            lambda _, method, properties, body: self.event(frame_of(method, properties, body)),
            auto_ack=no_ack,
            consumer_tag=consumer_tag,
            callback=self.answered,
            **fields,
        )

    def basic_cancel(self, consumer_tag):
        self.pika.basic_cancel(consumer_tag, callback=self.answered)

    def basic_publish(self, exchange="", routing_key="", mandatory=False, properties=None, body=""):
        properties = spec.BasicProperties(**(properties or {}))
        self.pika.basic_publish(exchange, routing_key, body.encode(), properties, mandatory)
        return False

    def basic_get(self, queue, no_ack=False):
        def got(_, method, properties, body):
            self.asked.answer(frame_of(method, properties, body))

        self.pika.basic_get(queue, got, auto_ack=no_ack)

    def basic_ack(self, **fields):
        self.pika.basic_ack(**fields)
        return False

    def basic_nack(self, **fields):
        self.pika.basic_nack(**fields)
        return False

    def basic_reject(self, **fields):
        self.pika.basic_reject(**fields)
        return False

    def basic_recover(self, requeue):
        self.pika.basic_recover(requeue, callback=self.answered)

    def tx_select(self):
        self.pika.tx_select(callback=self.answered)


def perform(order):
    asked = Asked(order["id"])
    try:
        if order["do"] == "connect":
            options = order["options"]
            connections[order["connection"]] = Connection(order["connection"], asked, options["url"], options)
            return
        connection = connections[order["connection"]]
        if order["do"] == "close":
            connection.close(asked)
        elif order["do"] == "drop":
            connection.drop(asked)
        elif order["do"] == "open":
            Channel(connection, order["channel"], asked, order["confirm"])
        else:
            connection.channels[order["channel"]].request(asked, order["method"], order["fields"])
    except (pika.exceptions.ChannelWrongStateError, pika.exceptions.ConnectionWrongStateError):
        asked.answer({"method": "closed"})
    except Exception as error:  # the scenario shall show it, and the others go on
        asked.answer({"method": "error", "reply_text": repr(error)})


def read():
    for line in sys.stdin:
        order = json.loads(line)
        loop.add_callback_threadsafe(lambda order=order: perform(order))
    loop.add_callback_threadsafe(loop.stop)


threading.Thread(target=read, daemon=True).start()
loop.start()
