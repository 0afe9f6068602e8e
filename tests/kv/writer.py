"""Appends numbered events to one vault, racing with others; prints each number when it is acknowledged."""

from __future__ import annotations

import sys

from tests.kv.servers import secret

from tacita import registry
from tacita.errors import HeadMoved
from tacita.testing.log_contract import A, E, event

uri, first, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
store = registry.lookup("stores", registry.split(uri)[0])(uri, secret)
for number in range(first, first + count):
    while True:
        head = store.head(A)
        try:
            store.append(A, head.seq if head else 0, [event(number)], epoch=E)
            break
        except HeadMoved:
            continue
    print(number, flush=True)
store.close()
