"""Measures the parameters of `benchmarks.capacity` on a PostgreSQL server of its own, and holds the model to a run.

    python -m benchmarks.capacity_run --folder DIR [--vaults 100000] [--items 5000000] [--requests 20000] [--keep]

Needs PostgreSQL's programs (Debian: apt-get install postgresql) and about 4 KB of disk for an item. Every step can be repeated:
vaults that are filled are not filled again. Commits are durable. Vectors are random and cost nothing to make; texts are as
long as those of LoCoMo. At the end `capacity.json` in DIR holds parameters and the comparison; `--write` copies it here.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import pwd
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
from benchmarks.capacity import PARAMETERS, Crowd, Parameters, ranks, steady
from benchmarks.speed import FreeEmbedder, make_queries, make_texts
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from tacita import Memory
from tacita.config import Settings
from tacita.stores.postgres_setup import DATA, RING, migration_sql, roles_sql

BATCH = 2_000
PASSWORD = "capacity"
PORT = 5599
SERVER = """
port = {port}
listen_addresses = '127.0.0.1'
unix_socket_directories = '{folder}'
max_connections = 60
shared_buffers = 1GB
max_wal_size = 4GB
checkpoint_timeout = 15min
"""


# --------------------------------------------------------------------------- the server


def programs() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    on_path = shutil.which("postgres")
    if not found and not on_path:
        sys.exit("PostgreSQL's programs are missing: apt-get install postgresql")
    return found[-1].parent if found else Path(str(on_path)).resolve().parent


@contextmanager
def server(folder: Path) -> Iterator[None]:
    """A server in the folder, made at the first time."""
    who: dict[str, Any] = {}
    if os.getuid() == 0:
        entry = pwd.getpwnam("postgres")
        who = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    place = folder / "postgres"

    def run(program: str, *arguments: str) -> None:
        command = [programs() / program, *arguments]
        subprocess.run(command, check=True, cwd=place, stdout=subprocess.DEVNULL, **who)

    fresh = not (place / "data" / "PG_VERSION").exists()
    if fresh:
        place.mkdir(parents=True, exist_ok=True)
        if who:
            os.chown(place, who["user"], who["group"])
        run("initdb", "-D", "data", "-U", "postgres", "--auth-local=trust", "--auth-host=scram-sha-256", "-E", "UTF8")
        with (place / "data" / "postgresql.conf").open("a") as file:
            file.write(SERVER.format(port=PORT, folder=place))
    run("pg_ctl", "start", "-w", "-t", "600", "-D", "data", "-l", "log")
    try:
        if fresh:
            with admin(folder, "postgres") as db:
                for layout, name in ((DATA, "tacita"), (RING, "tacita_keys")):
                    db.execute(f"CREATE DATABASE {name}")
                    with admin(folder, name) as inside:
                        inside.execute(roles_sql(layout))
                        inside.execute(migration_sql(layout))
                        inside.execute(f"ALTER ROLE {layout.role} PASSWORD '{PASSWORD}'")
        yield
    finally:
        run("pg_ctl", "stop", "-w", "-m", "fast", "-D", "data")


def admin(folder: Path, database: str) -> psycopg.Connection[tuple[Any, ...]]:
    return psycopg.connect(host=str(folder / "postgres"), port=PORT, user="postgres", dbname=database, autocommit=True)


def memory(folder: Path, cache_bytes: int) -> Memory:
    os.environ["TACITA_CAPACITY_PASSWORD"] = PASSWORD
    address = f"@127.0.0.1:{PORT}/"
    config = {
        "home": str(folder / "home"),
        "store": f"postgres://{DATA.role}{address}tacita?password=env:TACITA_CAPACITY_PASSWORD",
        "ring": f"postgres://{RING.role}{address}tacita_keys?password=env:TACITA_CAPACITY_PASSWORD",
        "cache_bytes": cache_bytes,
    }
    return Memory(settings=Settings.load(config=config), embedder=FreeEmbedder())


# --------------------------------------------------------------------------- filling


def fill(folder: Path, sizes: list[tuple[int, int]]) -> int:
    """Fill vaults given as (rank, items). Returns how many items were written."""
    texts = make_texts(4_000, 3)
    written = 0
    with memory(folder, 64 << 20) as held:
        for rank, items in sizes:
            for at in range(0, items, BATCH):
                count = min(BATCH, items - at)
                start = (rank * 37 + at) % len(texts)
                chosen = [texts[(start + number) % len(texts)] for number in range(count)]
                held.add([{"role": "user", "content": text} for text in chosen], user_id=f"user-{rank}")
                written += count
    return written


def fill_all(folder: Path, sizes: np.ndarray[Any, Any], jobs: int) -> dict[str, float]:
    done_file = folder / "filled.json"
    done: list[int] = json.loads(done_file.read_text()) if done_file.exists() else []
    blocks = [list(range(start, min(start + 500, len(sizes)))) for start in range(0, len(sizes), 500)]
    missing = [number for number in range(len(blocks)) if number not in set(done)]
    began, written = time.monotonic(), 0
    columns = (TextColumn("filling"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with ProcessPoolExecutor(jobs) as pool, Progress(*columns) as progress:
        task = progress.add_task("filling", total=len(blocks), completed=len(done))
        work = {
            number: pool.submit(fill, folder, [(rank, int(sizes[rank])) for rank in blocks[number]])
            for number in missing
        }
        for number, future in work.items():
            written += future.result()
            done.append(number)
            done_file.write_text(json.dumps(done))
            progress.advance(task)
            if not sys.stdout.isatty():
                print(f"filled {len(done)}/{len(blocks)}", flush=True)
    return {"items": written, "seconds": round(time.monotonic() - began, 1)}


# --------------------------------------------------------------------------- measuring


def stored(folder: Path) -> dict[str, float]:
    """Bytes of both halves, with indexes."""
    found = {}
    for name, schema in (("tacita", "tacita"), ("tacita_keys", "tacita_keys")):
        with admin(folder, name) as db:
            rows = db.execute(
                "SELECT relname, pg_total_relation_size(c.oid) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace "
                "WHERE nspname = %s AND relkind = 'r'",
                (schema,),
            ).fetchall()
            found |= {f"{schema}.{relation}": float(size) for relation, size in rows}
    return found


def line(sizes: list[float], values: list[float]) -> tuple[float, float]:
    """Intercept and slope with the least relative errors; neither is negative."""
    x, y = np.asarray(sizes), np.asarray(values)
    (base, slope), *_ = np.linalg.lstsq(np.stack([1 / y, x / y], axis=1), np.ones_like(y), rcond=None)
    if base < 0:
        return 0.0, float(np.sum(x * y / y**2) / np.sum(x * x / y**2))
    return float(base), float(max(0.0, slope))


def measure(folder: Path, sizes: np.ndarray[Any, Any], repeats: int = 7) -> dict[str, Any]:
    """Times and RAM of vaults of many sizes, one after the other, with nothing else open."""
    wanted = [size for size in (4, 16, 64, 256, 1_000, 4_000, 16_000) if sizes.min() <= size <= sizes.max()]
    queries = make_queries(64, 5)
    seen: dict[str, list[float]] = {name: [] for name in ("items", "cold", "warm", "bytes", "add")}
    for size in wanted:
        nearest = np.argsort(np.abs(sizes - size), kind="stable")[:repeats]
        cold, warm, held_bytes, adds = [], [], [], []
        for rank in nearest:
            user = f"user-{rank}"
            with memory(folder, 8 << 30) as held:
                held.search(queries[0], user_id="nobody")  # connections and the catalog
                start = time.perf_counter()
                held.search(queries[1], user_id=user)
                cold.append(1000 * (time.perf_counter() - start))
                held_bytes.append(held._engine.vaults.open_bytes()[1])
                times = []
                for query in queries[2:]:
                    start = time.perf_counter()
                    held.search(query, user_id=user)
                    times.append(1000 * (time.perf_counter() - start))
                warm.append(statistics.median(times))
                start = time.perf_counter()
                held.add("one more thing that was said", user_id=user)
                adds.append(1000 * (time.perf_counter() - start))
        seen["items"].append(float(np.mean(sizes[nearest])))
        for name, values in (("cold", cold), ("warm", warm), ("bytes", held_bytes), ("add", adds)):
            seen[name].append(statistics.median(values))
        print(
            f"{seen['items'][-1]:8.0f} items: cold {seen['cold'][-1]:7.1f} ms  warm {seen['warm'][-1]:6.2f} ms  "
            f"add {seen['add'][-1]:5.1f} ms  {seen['bytes'][-1] / 1e6:7.2f} MB",
            flush=True,
        )
    return dict(seen)


# --------------------------------------------------------------------------- driving


def drive(folder: Path, crowd: Crowd, cache_bytes: int, requests: int) -> dict[str, float]:
    """Requests one after the other, drawn as the model draws them. They count when as many, and at least as many as it took
    to fill the cache, went before."""
    chance = np.random.default_rng(17)
    of = ranks(crowd)
    queries = make_queries(64, 5)
    opened = opened_before = number = 0
    first: int | None = None
    times: list[float] = []
    with memory(folder, cache_bytes) as held:
        told = held._engine.vaults.on_open

        def count(vault_id: bytes) -> None:
            nonlocal opened
            opened += 1
            told(vault_id)

        held._engine.vaults.on_open = count
        while first is None or number < first + requests:
            users = chance.choice(len(of.use), size=requests, p=of.use / of.use.sum())
            for user, is_add in zip(users.tolist(), (chance.random(requests) < crowd.adds).tolist(), strict=True):
                start = time.perf_counter()
                if is_add:
                    held.add("one more thing that was said", user_id=f"user-{user}")
                else:
                    held.search(queries[number % len(queries)], user_id=f"user-{user}")
                if first is not None:
                    times.append(1000 * (time.perf_counter() - start))
                number += 1
            if first is None and held._engine.vaults.open_bytes()[1] > 0.97 * cache_bytes:
                first, opened_before = number, opened
        vaults_open, bytes_open = held._engine.vaults.open_bytes()
    return {
        "hit": 1 - (opened - opened_before) / requests,
        "mean_ms": statistics.fmean(times),
        "p50_ms": statistics.median(times),
        "p99_ms": float(np.quantile(times, 0.99)),
        "per_second": 1000 / statistics.fmean(times),
        "open_bytes": bytes_open,
        "open_vaults": vaults_open,
    }


def main() -> None:
    """Fill, measure, drive, compare."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--folder", type=Path, required=True, help="of the server and the home; on a real disk")
    parser.add_argument("--vaults", type=int, default=100_000)
    parser.add_argument("--items", type=int, default=5_000_000)
    parser.add_argument("--requests", type=int, default=10_000, help="counted ones, for each size of the cache")
    parser.add_argument(
        "--parts", type=float, nargs="+", default=[0.02, 0.1, 0.3], help="cache, in parts of all vaults' RAM"
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--steps", default="fill,measure,drive", help="which of fill, measure and drive")
    parser.add_argument("--write", action="store_true", help=f"write {PARAMETERS.name}, which the model reads")
    chosen = parser.parse_args()
    folder = chosen.folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    crowd = Crowd(chosen.vaults, chosen.items)
    of = ranks(crowd)
    sizes = of.items.astype(int)
    report = folder / "capacity.json"
    kept: dict[str, Any] = json.loads(report.read_text()) if report.exists() else {}
    print(f"{len(sizes):,} vaults, {sizes.sum():,} items, largest {sizes.max():,}, median {int(np.median(sizes))}")
    with server(folder):
        if "fill" in chosen.steps:
            with memory(folder, 1 << 20) as held:
                held.search("makes the home and its key", user_id="nobody")
            filled = fill_all(folder, sizes, chosen.jobs)
            if filled["items"]:
                kept["fill"] = filled
            with admin(folder, "tacita") as db:
                db.execute("VACUUM ANALYZE")
            kept["crowd"] = {**asdict(crowd), "filled": int(sizes.sum())}
            kept["stored"] = stored(folder)
            report.write_text(json.dumps(kept, indent=1) + "\n")
        if "measure" in chosen.steps:
            kept["measured"] = measure(folder, sizes)
            kept["machine"] = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
            kept["parameters"] = asdict(parameters(kept))
            report.write_text(json.dumps(kept, indent=1) + "\n")
        if "drive" in chosen.steps:
            given = Parameters(**kept["parameters"])
            whole = float((given.open_vault_bytes + given.open_item_bytes * of.items).sum())
            before = [each for each in kept.get("checks", []) if each["part"] not in chosen.parts]
            kept["checks"] = before if "measure" not in chosen.steps else []
            for part in chosen.parts:
                cache = int(part * whole)
                seen = drive(folder, crowd, cache, chosen.requests)
                said = asdict(steady(given, of, cache, crowd.adds))
                kept["checks"].append({"cache_bytes": cache, "part": part, "measured": seen, "predicted": said})
                print(
                    f"cache {cache / 1e6:8.0f} MB: hit {seen['hit']:.3f} (model {said['hit']:.3f})  "
                    f"mean {seen['mean_ms']:.2f} ms (model {said['mean_ms']:.2f})  "
                    f"open {seen['open_vaults']:,} (model {said['open_vaults']:,.0f})",
                    flush=True,
                )
            kept["checks"].sort(key=lambda each: each["part"])
        report.write_text(json.dumps(kept, indent=1) + "\n")
        if chosen.write:
            shutil.copy(report, PARAMETERS)


def parameters(kept: dict[str, Any]) -> Parameters:
    measured, held = kept["measured"], kept["stored"]
    vaults, items = kept["crowd"]["vaults"], kept["crowd"]["filled"]
    cold, cold_item = line(measured["items"], measured["cold"])
    warm, warm_item = line(measured["items"], measured["warm"])
    ram, ram_item = line(measured["items"], measured["bytes"])
    return Parameters(
        item_bytes=(held["tacita.log"] + held["tacita.snapshots"]) / items,
        vault_bytes=held["tacita.vaults"] / vaults,
        ring_bytes=sum(size for name, size in held.items() if name.startswith("tacita_keys.")) / vaults,
        open_item_bytes=ram_item,
        open_vault_bytes=ram,
        cold_ms=cold,
        cold_item_ms=cold_item,
        warm_ms=warm,
        warm_item_ms=warm_item,
        add_ms=statistics.median(measured["add"]),
    )


if __name__ == "__main__":
    main()
