"""What happens in a process of its own: one system, opened once, and the stages that it is put through.

    python -m benchmarks.peers.work FILE

The file is an `Order` as JSON. What is measured is the only thing on standard output; what libraries print there goes to
standard error.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

from benchmarks.peers.data import DIMENSIONS, Data, person
from benchmarks.peers.port import Fillable, Item, Port, Settles
from benchmarks.peers.systems import System

K = 10
SMALL = 5
SAMPLE = 10
"""Items in one bulk add of a system that is too slow to be filled that way."""
BLOCK = 10
"""Operations between two systems' turns."""
ERASING = 4
"""How much longer than another measure erasing one person may take."""
CANARIES = ("quokkastrudel", "zephyrmarmalade", "wombatsonata", "gherkinparade")
"""Words that stand in no other text."""


@dataclass(frozen=True, slots=True)
class Order:
    """What one process has to do."""

    stages: tuple[str, ...]
    place: str
    """The adapter, `module:class`."""
    folder: str
    """The system's own."""
    data: str
    asked: tuple[tuple[int, int], ...]
    """Numbers of the people who are asked, with how many items each has."""
    begun: float
    """`time.monotonic()` before this process was started; on Linux that is one clock for all processes."""
    seconds: float
    """How long one measure may take; the sample is smaller then."""
    server: int | None = None
    """Process id of the system's server."""


def quietest(times: Sequence[float]) -> tuple[float, float]:
    """Median and 95th percentile of the quietest of four stretches: others on the machine only make a stretch slower."""
    size = max(1, len(times) // 4)
    stretches = [sorted(times[at : at + size]) for at in range(0, len(times) - size + 1, size)]
    best = min(stretches, key=statistics.median)
    return statistics.median(best), best[min(len(best) - 1, int(0.95 * len(best)))]


def timed(actions: Iterable[Callable[[], object]], seconds: float) -> list[float]:
    """Seconds of each action, until all are done or the time is over; at least one."""
    times: list[float] = []
    ends = time.perf_counter() + seconds
    for action in actions:
        start = time.perf_counter()
        action()
        done = time.perf_counter()
        times.append(done - start)
        if done > ends:
            break
    return times


class TooLong(BaseException):
    """The time is over. Not an `Exception`: libraries that go on after any of these must not go on after this."""


@contextlib.contextmanager
def within(seconds: float) -> Iterator[None]:
    """Raises TooLong in what runs inside when the time is over."""

    def over(_number: int, _frame: FrameType | None) -> None:
        raise TooLong

    before = signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


class Worker:
    """One order on one open system. Each stage is a method."""

    def __init__(self, order: Order, system: Port, out: int) -> None:
        self.order, self.system, self.out = order, system, out
        self.data = Data(Path(order.data))
        self.asked = {person(number): size for number, size in order.asked}
        self.people = list(self.asked)
        self.kept = Path(order.data) / "ids.json"
        """Ids of the asked people's first items, for the process that deletes them."""
        self.found: list[dict[str, Any]] = []

    def tell(self, measure: str, value: float | None, unit: str, n: int = 1, note: str = "") -> None:
        """Write down what was measured."""
        self.found.append({"measure": measure, "value": value, "unit": unit, "n": n, "note": note})

    def fill(self) -> None:
        """Everybody's items in bulk."""
        ids: dict[str, list[str]] = {}
        took, count = 0.0, 0
        add = self.system.fill if isinstance(self.system, Fillable) else self.system.add_many
        for who, items in self.data.people():
            start = time.perf_counter()
            got = add(who, items)
            took += time.perf_counter() - start
            count += len(items)
            if who in self.asked:
                ids[who] = got[:100]
        if isinstance(self.system, Settles):
            start = time.perf_counter()
            self.system.settle()
            took += time.perf_counter() - start
        self.kept.write_text(json.dumps(ids))
        note = ""
        if isinstance(self.system, Fillable):
            spare = self.data.spare[: len(self.data.spare) // 2]
            batches = [spare[at : at + SAMPLE] for at in range(0, len(spare), SAMPLE)]
            times = timed([partial(self.system.add_many, self.people[0], part) for part in batches], self.order.seconds)
            took, count = sum(times), SAMPLE * len(times)
            note = "a sample on top of the case, which was written straight into its vector store"
        self.tell("bulk_per_s", count / took, "items/s", count, note)

    def cold(self) -> None:
        """The first result of this process."""
        self.system.search(self.people[0], *self.data.queries[0], K)
        self.tell("cold_ms", 1000 * (time.monotonic() - self.order.begun), "ms")

    def read(self) -> None:
        """Searches, warm."""
        queries, people = self.data.queries, self.people
        short = set()
        for number in range(max(1, 20 // len(people))):
            for who, size in self.asked.items():
                if len(self.system.search(who, *queries[number % len(queries)], K)) < min(K, size):
                    short.add(who)

        def ask(number: int) -> Callable[[], object]:
            return partial(self.system.search, people[number % len(people)], *queries[number % len(queries)], K)

        times = timed((ask(number) for number in range(1_000)), self.order.seconds)
        p50, p95 = quietest(times)
        note = f"fewer hits than there are for {len(short)} of {len(people)} people" if short else ""
        self.tell("search_p50", 1000 * p50, "ms", len(times), note)
        self.tell("search_p95", 1000 * p95, "ms", len(times), note)
        self.tell("rss_mb", (_rss() + _of_server(self.order.server)) / 1e6, "MB")

    def write(self) -> None:
        """Single adds, a mixed load, deletions, and the end of some people."""
        limit, people, queries = self.order.seconds, self.people, self.data.queries
        # The first half may have been added in bulk.
        spare = self.data.spare[len(self.data.spare) // 2 :]
        single, mixed = spare[: len(spare) // 2], spare[len(spare) // 2 :]

        def add(number: int) -> Callable[[], object]:
            return partial(self.system.add_one, people[number % len(people)], single[number])

        def either(number: int) -> Callable[[], object]:
            who = people[number % len(people)]
            if number % 5 == 4:
                return partial(self.system.add_one, who, mixed[number // 5])
            return partial(self.system.search, who, *queries[number % len(queries)], K)

        # Some open everything when they start, and some a person at the first use: neither is part of an add.
        for who in people:
            self.system.search(who, *queries[0], K)
        times = timed(map(add, range(len(single))), limit)
        self.tell("add_per_s", len(times) / sum(times), "items/s", len(times))
        times = timed(map(either, range(5 * len(mixed))), limit)
        self.tell("mixed_per_s", len(times) / sum(times), "operations/s", len(times), "80 % search, 20 % add")
        ids: dict[str, list[str]] = json.loads(self.kept.read_text())
        gone = [(who, each) for at in range(100) for who, of in ids.items() for each in of[at : at + 1]][:100]
        times = timed([partial(self.system.delete, who, each) for who, each in gone], limit)
        self.tell("delete_p50", 1000 * quietest(times)[0], "ms", len(times))
        try:
            with within(ERASING * limit):
                times = timed([partial(self.system.erase, who) for who in people[:3]], limit)
        except TooLong:
            note = f"all of one person: took longer than {ERASING * limit:.0f} s"
            self.tell("erase_ms", None, "ms", 0, note)
        else:
            self.tell("erase_ms", 1000 * statistics.median(times), "ms", len(times), "all of one person")

    def blocks(self) -> None:
        """Answers each line on standard input, `search` or `add`, with the median milliseconds of a block of them."""
        people, queries, spare = self.people, self.data.queries, iter(self.data.spare)
        for who in people:
            self.system.search(who, *queries[0], K)
        os.write(self.out, b"ready\n")
        count = 0
        for line in iter(sys.stdin.readline, ""):
            actions: list[Callable[[], object]] = []
            for number in range(count, count + BLOCK):
                who = people[number % len(people)]
                if line.strip() == "add":
                    actions.append(partial(self.system.add_one, who, next(spare)))
                else:
                    actions.append(partial(self.system.search, who, *queries[number % len(queries)], K))
            count += BLOCK
            os.write(self.out, f"{1000 * statistics.median(timed(actions, self.order.seconds))}\n".encode())

    def add_until_killed(self) -> None:
        """Single adds; each is acknowledged on standard output once the system says that it is kept."""
        os.write(self.out, b"ready\n")
        done = (Path(self.order.data) / "acknowledged.json").read_text()
        # The one after the last may be there, too: the kill may have come between the keeping and the word of it.
        begin = 2 + max((number for number, _ in json.loads(done)), default=-2)
        for number in range(begin, len(self.data.spare)):
            got = self.system.add_one(self.people[0], self.data.spare[number])
            os.write(self.out, f"{number} {got}\n".encode())
        # More than it can add; if not, it waits for its end all the same.
        time.sleep(60)

    def check(self) -> None:
        """How many of the acknowledged items are not found by their own text and vector."""
        acknowledged = json.loads((Path(self.order.data) / "acknowledged.json").read_text())
        lost = 0
        for number, key in acknowledged:
            item = self.data.spare[number]
            lost += key not in self.system.search(self.people[0], item.text, item.vector, K)
        self.tell("lost_of_kills", lost, "items", len(acknowledged))
        self.tell("acknowledged", len(acknowledged), "items")

    def plant(self) -> None:
        """Add items with words of their own, singly and in bulk, search for them, and delete them again."""
        who, items = next(self.data.people())
        marked = [
            Item(f"canary-{at}", f"the word of {word} is {word}, they said", self.data.spare[at].vector)
            for at, word in enumerate(CANARIES)
        ]
        half = len(marked) // 2
        self.system.add_many(who, items)
        ids = self.system.add_many(who, marked[:half]) + [self.system.add_one(who, each) for each in marked[half:]]
        for key, each in zip(ids, marked, strict=True):
            self.system.search(who, "the word", each.vector, K)
            self.system.delete(who, key)

    def beside(self) -> None:
        """How many of a small person's items come back beside a large one's: the last person's are few."""
        add = self.system.fill if isinstance(self.system, Fillable) else self.system.add_many
        small, hers = "", set[str]()
        for who, items in self.data.people():
            small, hers = who, set(add(who, items))
        hits = [len(set(self.system.search(small, *query, SMALL)) & hers) for query in self.data.queries[:20]]
        note = f"the mean of {len(hits)} questions; the least is {min(hits)}"
        self.tell("small_beside_large", statistics.mean(hits), f"of {SMALL}", len(hits), note)


def _rss() -> int:
    """Bytes of RAM of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _of_server(process_id: int | None) -> int:
    """Bytes of RAM of a server and its processes, each shared page counted once."""
    if process_id is None:
        return 0
    import psutil

    server = psutil.Process(process_id)
    return sum(each.memory_full_info().pss for each in [server, *server.children(recursive=True)])


def main() -> None:
    """Carry an order out."""
    out = os.dup(1)
    os.dup2(2, 1)
    given = json.loads(Path(sys.argv[1]).read_text())
    order = Order(**{**given, "asked": tuple(map(tuple, given["asked"]))})
    system = System("", order.place).adapter().open(Path(order.folder), DIMENSIONS)
    worker = Worker(order, system, out)
    for stage in order.stages:
        getattr(worker, stage)()
    system.close()
    used = [resource.getrusage(which) for which in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    cpu = sum(each.ru_utime + each.ru_stime for each in used)
    os.write(out, json.dumps({"found": worker.found, "cpu": cpu}).encode())


if __name__ == "__main__":
    main()
