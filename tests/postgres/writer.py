"""A process that appends to one vault of a PostgreSQL log until it is told to stop by the end of its standard input.

`writer.py URI FIRST`: lines are `ready`, then the number of each event that was acknowledged, or `lost N` for one that was
refused as not written.
"""

from __future__ import annotations

import os
import sys
import threading

from tacita.credentials import Credential
from tacita.errors import HeadMoved, StoreError
from tacita.stores.postgres import PostgresLogStore
from tacita.testing.log_contract import A, E, event


def main() -> None:
    uri, first = sys.argv[1], int(sys.argv[2])
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    store = PostgresLogStore(uri, lambda option: Credential("env:x", lambda _: os.environ["TACITA_TEST_PASSWORD"]))
    os.write(1, b"ready\n")
    number = first
    while not ended.is_set():
        try:
            head = store.head(A)
            store.append(A, head.seq if head else 0, [event(number)], epoch=E)
            os.write(1, b"%d\n" % number)
        except HeadMoved:
            continue
        except StoreError as error:
            if not error.retryable:
                os.write(1, b"unknown %d\n" % number)
            else:
                os.write(1, b"lost %d\n" % number)
        number += 1
    store.close()


if __name__ == "__main__":
    main()
