"""
A worker of a service written in Python. worker.py URL OPTIONS

OPTIONS is JSON: `service`, and `events`, `commands`, `configurations`, `logs` (routing keys to consume, all optional),
`format`. It tells each message that it handles, and publishes what it is told to on its standard input.
"""
import json
import os
import sys

import bus
import values


class Failure(Exception):
    """A bug in a handler."""


class Worker:
    def __init__(self, url, service, events=(), commands=(), configurations=(), logs=(), format="cbor"):
        self.service = service
        self.format = format
        self.connection, self.channel = bus.connect(url)
        self.tags = []
        for kind, keys in (("events", events), ("commands", commands)):
            if keys:
                queue = service + "." + kind
                self.channel.queue_declare(queue, durable=True)
                self.consume(queue, kind, keys)
        for exchange, keys in (("configurations", configurations), ("logs", logs)):
            if keys:
                queue = self.channel.queue_declare("", exclusive=True).method.queue
                self.consume(queue, exchange, keys)
        bus.listen(self.connection, self.on_line)

    def consume(self, queue, exchange, keys):
        for key in keys:
            self.channel.queue_bind(queue, exchange, key)
        self.tags.append(self.channel.basic_consume(queue, self.on_message))

    def run(self):
        bus.tell(ready=True)
        while self.connection.is_open and self.channel.is_open:
            self.connection.process_data_events(time_limit=None)

    def on_message(self, channel, method, properties, body):
        headers = properties.headers or {}
        payload = bus.decode(body, properties.content_type)
        bus.tell(
            exchange=method.exchange,
            key=method.routing_key,
            payload=None if method.routing_key.endswith(".Check") else payload,
            redelivered=method.redelivered,
            headers=properties.headers,
            properties=bus.described(properties),
        )
        try:
            self.handle(method, headers, properties, payload)
        except Failure:
            channel.basic_nack(method.delivery_tag, requeue=not method.redelivered)
            return
        channel.basic_ack(method.delivery_tag)

    def handle(self, method, headers, properties, payload):
        name = method.routing_key.split(".")[-1]
        if name == "Crash":
            os._exit(1)
        if name == "FailHere" and not method.redelivered:
            self.cancel()
            raise Failure()
        if name == "Flaky" and not method.redelivered or name == "Poison":
            raise Failure()
        if name == "Worked":
            own = {"conversation_id": headers["conversation_id"]}
            self.publish("events", "Done", {"by": "python", "n": payload["n"]}, own)
        elif method.exchange == "commands" and properties.reply_to:
            status, result = self.answer(name, payload)
            result_headers = {"conversation_id": headers["conversation_id"], "status": status}
            self.publish(
                "commands", properties.reply_to, result, result_headers, correlation_id=properties.correlation_id, mandatory=True
            )

    def answer(self, name, payload):
        if name == "Refuse":
            return "error", {"reason": "not today", "asked": payload}
        if name == "Check":
            return values.checked(payload["name"], payload["value"], self.format)
        return "success", {"by": "python", "was": payload}

    def publish(self, exchange, key, payload, headers, form=None, **properties):
        bus.publish(self.channel, exchange, key, payload, form or self.format, headers, **properties)

    def on_line(self, line):
        if line is None:
            self.cancel()
            self.connection.close()
            return
        self.publish(**line)
        bus.tell(published=line["key"])

    def cancel(self):
        for tag in self.tags:
            self.channel.basic_cancel(tag)
        self.tags = []


if __name__ == "__main__":
    Worker(sys.argv[1], **json.loads(sys.argv[2])).run()
