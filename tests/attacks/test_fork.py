"""A forked child gets a clear error instead of the parent's connections and keys; the parent goes on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SCRIPT = """
import os, sys
from tacita import ConfigError, Memory
memory = Memory(sys.argv[1], embedder="none")
view = memory.bind(user_id="alice")
item = memory.add("before the fork", user_id="alice").results[0].id
child = os.fork()
if child == 0:
    calls = [
        lambda: memory.add("from the child", user_id="alice"), lambda: memory.search("fork", user_id="alice"),
        lambda: memory.get(item, user_id="alice"), lambda: memory.erase(user_id="alice"),
        lambda: memory.get_all(user_id="alice"), lambda: memory.bind(user_id="alice"), view.get_all, memory.verify,
        memory.stats, memory.describe, memory.__enter__, lambda: list(memory.export(user_id="alice")),
    ]
    refused = 0
    for call in calls:
        try:
            call()
        except ConfigError as error:
            refused += "fork" in str(error)
    memory.close()
    own = Memory(sys.argv[1], embedder="none")
    own.add("from the child's own", user_id="alice")
    own.close()
    os._exit(0 if refused == len(calls) else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
memory.add("after the fork", user_id="alice")
texts = [one.text for one in memory.get_all(user_id="alice", order="oldest").items]
assert texts == ["before the fork", "from the child's own", "after the fork"], texts
assert memory.verify().ok
memory.close()
again = Memory(sys.argv[1], embedder="none")
assert again.get_all(user_id="alice").total == 3
again.close()
print("fine")
"""


def test_child_is_refused_and_parent_goes_on(tmp_path: Path) -> None:
    # In a process of its own: forking the test runner would take its threads' locks along.
    ran = subprocess.run(
        [
            sys.executable,
            "-W",
            "error",
            "-W",
            "ignore::DeprecationWarning",
            "-c",
            SCRIPT,
            str(tmp_path / "home"),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=os.environ,
    )
    assert (ran.returncode, ran.stdout) == (0, "fine\n"), ran.stderr
