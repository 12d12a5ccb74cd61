"""
Resurrects the dead letters of a queue: each is published again where it came from, with its own properties and headers,
and acknowledged once that is confirmed. resurrect.py URL QUEUE
"""
import sys

import bus

connection, channel = bus.connect(sys.argv[1])
while True:
    method, properties, body = channel.basic_get(sys.argv[2])
    if method is None:
        break
    exchange = properties.headers["x-first-death-exchange"]
    own = {key: value for key, value in properties.headers.items() if not key.startswith(("x-first-death-", "x-death"))}
    tombstone = {key: value for key, value in properties.headers.items() if key not in own}
    properties.headers = own
    channel.basic_publish(exchange, method.routing_key, body, properties, mandatory=True)
    channel.basic_ack(method.delivery_tag)
    bus.tell(resurrected=method.routing_key, exchange=exchange, tombstone=tombstone)
connection.close()
