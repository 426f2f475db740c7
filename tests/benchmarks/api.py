"""Gmail and Graph: what many messages cost in connections, token refreshes and downloads, and what a large file costs
in memory. python tests/benchmarks/api.py

The services are the strict ones that the tests use, in this process; what is measured in MiB is a process of its own.
There is nothing of the standard library to stand beside it: these are counts.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import franking
from franking.account.url import write_url
from servers.delay import Delay
from servers.services import SERVICES, Service

Rows = dict[str, dict[str, float]]

PEAK = """
import sys
sys.path[:0] = {path!r}
import franking
from benchmarks.compose import highest
from franking.auth.store import FileStore
def send(mailer, file):
    mailer.send(franking.Message(to=["jana@example.com"], subject="File", text="Here it is.", attachments=[file]))
with franking.connect({account!r}, store=FileStore({state!r}, "file")) as mailer:
    send(mailer, {small!r})
    open('/proc/self/clear_refs', 'w').write('5')  # what signing in once needed more does not hide anything
    idle = highest()
    send(mailer, {large!r})
    print(highest() - idle)
"""


def many(service: Service, messages: int, connections: int) -> Rows:
    """Send many messages with a token that has ended, and count what the service saw."""
    before, connected = len(service.api.requests), service.api.connections
    batch = [
        franking.Message(to=["jana@example.com"], subject=f"n{number}", text="Dobrý den\n")
        for number in range(messages)
    ]
    with franking.connect(service.account, connections=connections, store=service.store) as mailer:
        assert all(result.outcome == "accepted" for result in mailer.send_many(batch, rate=float("inf")))
    asked = service.api.requests[before:]
    assert asked.count(service.send) == messages
    # those of the sign-in go by connections of their own
    others = [request for request in asked if request != service.send]
    return {
        "connections per worker": {"count": (service.api.connections - connected - len(others)) / connections},
        "token refreshes": {"count": service.renewals()},
        "discovery downloads": {
            "count": sum("/discovery/" in request or "$discovery" in request for request in others)
        },
    }


def far(service: Service, messages: int, round_trip: float) -> float:
    """Return the round trips per message of one connection that is open, to a service that is far away."""
    batch = [franking.Message(to=["jana@example.com"], subject=f"n{number}", text="x") for number in range(messages)]
    port = service.api.port
    with Delay(port, one_way=round_trip / 2) as proxy:
        near = {key: value for key, value in service.account.given.items() if key.endswith("endpoint")}
        away = {key: str(value).replace(f":{port}", f":{proxy.port}") for key, value in near.items()}
        with franking.connect(service.account.replace(**away), store=service.store) as mailer:
            mailer.send(batch[0])
            before = sum(trip.round_trips for trip in proxy.trips)
            assert all(result.outcome == "accepted" for result in mailer.send_many(batch, rate=float("inf")))
            return (sum(trip.round_trips for trip in proxy.trips) - before) / messages


def memory(service: Service, directory: Path, file_size: int) -> float:
    """Return the MiB by which a process grows for one large file."""
    small, large = directory / "small.bin", directory / "large.bin"
    small.write_bytes(b"")
    large.write_bytes(os.urandom(file_size))
    script = PEAK.format(
        path=sys.path,
        account=write_url(service.account),
        state=str(service.store.directory),
        small=str(small),
        large=str(large),
    )
    return float(subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout)


def measure(
    *, messages: int = 400, connections: int = 4, file_size: int = 25_000_000, round_trip: float = 0.05
) -> dict[str, Rows]:
    """Measure both services."""
    found = {}
    for name, started in SERVICES.items():
        with tempfile.TemporaryDirectory() as directory, started(Path(directory)) as service:
            found[name] = many(service, messages, connections)
            found[name]["round trips per message"] = {"count": far(service, min(messages, 40), round_trip)}
            if sys.platform == "linux":
                found[name]["25 MB, peak memory"] = {"MiB": memory(service, Path(directory), file_size)}
    return found


def main() -> None:
    for name, rows in measure().items():
        for what, row in rows.items():
            print(f"{name:8}{what:24}{next(iter(row.values())):8.2f}")


if __name__ == "__main__":
    main()
