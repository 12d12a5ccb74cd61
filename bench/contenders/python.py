"""Python by hand: publishing, consuming and the pipeline on pika's SelectConnection, the client that the Python toolkit builds on.

Messages are persistent and confirmed; what is confirmed together is acknowledged together, with `multiple`: the least that a program
in Python can do. Source of the task: contender.mjs.
"""

import itertools
import json
import sys
import time
import uuid

import cbor2
import pika

CANNOT = 64
task = json.loads(sys.argv[-1])
if task["scenario"] not in ("publish", "consume", "pipeline"):
    sys.exit(CANNOT)

total = task["warmup"] + task["messages"]


def payload_of(size):
    """The same as that of the other contenders."""
    payload = {
        "id": 123_456,
        "name": "Ada Lovelace",
        "tags": ["a", "b"],
        "ratio": 0.25,
        "at": "2026-01-01T00:00:00Z",
        "text": "",
    }
    payload["text"] = "x" * max(0, size - len(cbor2.dumps(payload)))
    return payload


class Progress:
    def __init__(self, finish):
        self.count = 0
        self.finish = finish

    def done(self, number=1):
        before = self.count
        self.count += number
        if before < task["warmup"] <= self.count:
            print("begin", flush=True)
        if before < total <= self.count:
            print("end", flush=True)
            self.finish()


class Program:
    """One connection for what comes in and one for what goes out, on one event loop."""

    def __init__(self):
        self.opened = 0
        self.sent = 0
        # sent and not confirmed, in order; the n-th message that comes in is the n-th that goes out, and both have the number n
        self.unconfirmed = {}
        self.progress = Progress(self.stop)
        parameters = pika.URLParameters(task["url"])
        self.outgoing = pika.SelectConnection(parameters, on_open_callback=self.on_outgoing)
        self.incoming = pika.SelectConnection(
            parameters, on_open_callback=self.on_incoming, custom_ioloop=self.outgoing.ioloop
        )

    def run(self):
        self.outgoing.ioloop.start()

    def on_outgoing(self, connection):
        connection.channel(on_open_callback=self.on_publishing)

    def on_publishing(self, channel):
        self.publishing = channel
        channel.confirm_delivery(self.on_confirm, callback=self.on_open)

    def on_incoming(self, connection):
        connection.channel(on_open_callback=self.on_consuming)

    def on_consuming(self, channel):
        self.consuming = channel
        channel.basic_qos(prefetch_count=task["prefetch"], callback=self.on_open)

    def on_open(self, _frame):
        self.opened += 1
        if self.opened < 2:
            return
        if task["scenario"] == "publish":
            self.payload = payload_of(task["size"])
            for _ in range(min(task["outstanding"], total)):
                self.send("Job", self.payload, {"conversation_id": str(uuid.uuid4())})
        else:
            self.consuming.basic_consume("bench.events", self.on_message)

    def send(self, key, payload, headers):
        self.sent += 1
        self.unconfirmed[self.sent] = None
        properties = pika.BasicProperties(
            content_type="application/cbor",
            delivery_mode=2,
            headers=headers,
            message_id=str(uuid.uuid4()),
            timestamp=int(time.time()),
            app_id="bench",
        )
        self.publishing.basic_publish("events", key, cbor2.dumps(payload), properties)

    def on_message(self, channel, method, properties, body):
        payload = cbor2.loads(body)
        if task["scenario"] == "consume":
            channel.basic_ack(method.delivery_tag)
            self.progress.done()
            return
        headers = {"conversation_id": properties.headers["conversation_id"], "causation_id": properties.message_id}
        self.send("Done", payload, headers)

    def on_confirm(self, frame):
        method = frame.method
        if method.NAME != "Basic.Ack":
            raise SystemExit("the broker refused a message")
        confirmed = [method.delivery_tag]
        if method.multiple:
            confirmed = list(itertools.takewhile(lambda tag: tag <= method.delivery_tag, self.unconfirmed))
        for tag in confirmed:
            del self.unconfirmed[tag]
        if task["scenario"] == "pipeline":
            self.consuming.basic_ack(method.delivery_tag, multiple=method.multiple)
        self.progress.done(len(confirmed))
        if task["scenario"] == "publish":
            for _ in range(min(len(confirmed), total - self.sent)):
                self.send("Job", self.payload, {"conversation_id": str(uuid.uuid4())})

    def stop(self):
        # what is acknowledged leaves first
        self.outgoing.ioloop.call_later(0.2, self.outgoing.ioloop.stop)


Program().run()
sys.stdin.read()
