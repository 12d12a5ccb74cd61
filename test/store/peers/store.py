"""
The temporary store as the Python toolkit works it, on redis-py and cbor2. store.py URL NAMESPACE

Takes one order a line, as JSON, and answers it with one line.
"""
import base64
import json
import sys
import time

import cbor2
import redis


def plain(value):
    if isinstance(value, bytes):
        return {"$bytes": base64.b64encode(value).decode()}
    return value


def main(url, namespace):
    server = redis.Redis.from_url(url)
    held = {}
    for line in sys.stdin:
        order = json.loads(line)
        do, key = order["do"], order.get("key")
        if do == "set":
            value = base64.b64decode(order["base64"]) if "base64" in order else order["value"]
            answer = bool(server.set(namespace + key, cbor2.dumps(value), ex=order.get("ttl", 270000)))
        elif do == "get":
            raw = server.get(namespace + key)
            answer = {"raw": None if raw is None else raw.hex(), "value": None if raw is None else plain(cbor2.loads(raw)), "ttl": server.ttl(namespace + key)}
        elif do == "lock":
            lock = server.lock(key + "_lock", timeout=order["timeout"])
            held[key] = lock
            answer = lock.acquire(blocking=order.get("blocking", False))
        elif do == "release":
            try:
                held.pop(key).release()
                answer = "released"
            except redis.exceptions.LockError as error:
                answer = type(error).__name__
        elif do == "peek_or_create":
            with server.lock(key + "_lock", timeout=order["timeout"]):
                raw = server.get(namespace + key)
                if raw is None:
                    time.sleep(order.get("sleep", 0))
                    raw = cbor2.dumps(order["value"])
                    server.set(namespace + key, raw, ex=270000)
            answer = plain(cbor2.loads(raw))
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
