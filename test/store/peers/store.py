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


def pop_all(server, keys):
    def take(pipe):
        values = pipe.mget(keys)
        pipe.multi()
        if None in values:
            return None
        pipe.delete(*keys)
        return values

    values = server.transaction(take, *keys, value_from_callable=True)
    return None if values is None else [plain(cbor2.loads(raw)) for raw in values]


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
        elif do == "mset":
            # theirs has no time to live
            answer = server.mset({namespace + name: cbor2.dumps(value) for name, value in order["values"].items()})
        elif do == "pop":
            raw, _ = server.pipeline().get(namespace + key).delete(namespace + key).execute()
            answer = None if raw is None else plain(cbor2.loads(raw))
        elif do == "mpop":
            answer = pop_all(server, [namespace + name for name in order["keys"]])
        elif do in ("extend", "reacquire"):
            try:
                held[key].extend(order["seconds"]) if do == "extend" else held[key].reacquire()
                answer = server.pttl(key + "_lock")
            except redis.exceptions.LockError as error:
                answer = type(error).__name__
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
