"""
A stage of the pipeline written in Python, on pika and the protocol by hand: stage.py OPTIONS

It shares its queue with services of the toolkit, and connects again whenever it lost its connection.
"""
import json
import os
import signal
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../interop/peers"))
import bus  # noqa: E402
import pika  # noqa: E402

stopping = False


def stop(*_):
    global stopping
    stopping = True


def work(url, service, source, target, prefetch):
    connection, channel = bus.connect(url)
    channel.basic_qos(prefetch_count=prefetch)
    queue = service + ".events"
    channel.queue_declare(queue, durable=True)
    channel.queue_bind(queue, "events", source)

    def handle(_channel, method, properties, body):
        payload = bus.decode(body, properties.content_type)
        headers = {"conversation_id": properties.headers["conversation_id"]}
        bus.publish(channel, "events", target, payload, "cbor", headers)
        channel.basic_ack(method.delivery_tag)

    tag = channel.basic_consume(queue, handle)
    while not stopping:
        connection.process_data_events(time_limit=0.2)
    channel.basic_cancel(tag)
    connection.close()


def main(urls, service, prefetch, to, **options):
    signal.signal(signal.SIGTERM, stop)
    tries = 0
    while not stopping:
        try:
            work(urls[tries % len(urls)], service, options["from"], to, prefetch)
        except (pika.exceptions.AMQPError, OSError) as error:
            print(f"connection lost: {error!r}", file=sys.stderr)
            tries += 1
            time.sleep(0.5)
    print(json.dumps({"pending": 0}), flush=True)


main(**json.loads(sys.argv[1]))
