"""``tracecore serve``: how it starts, what it says, and how it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from pathlib import Path

import pytest

from tests.faults.processes import HANG_SECONDS, Program, running
from tests.postgres_server import Database
from tests.server.serving import AUTH, KEY, asked, serving
from tracecore.server.connections import LARGEST_HEAD
from tracecore.testing.samples import span
from tracecore.wire import BASE, encode


def ended(folder: Path, *arguments: str, environment: dict[str, str] | None = None) -> Program:
    """Return a server that was started and has ended."""
    with running("-m", "tracecore", "serve", *arguments, folder=folder, environment=environment or {}) as program:
        program.wait()
    return program


def variables(text: str) -> dict[str, str]:
    """Return what a server tells people to export."""
    return dict(re.findall(r"export (\w+)=(\S+)", text))


def test_the_first_start_prints_a_key_once(tmp_path: Path) -> None:
    """An empty folder: a file, a project and a key that works; the second start prints no secret."""
    with serving(tmp_path, environment={}) as served:
        said = variables(served.program.out)
        assert said["LANGFUSE_BASE_URL"] == served.url
        assert "project 'default'" in served.program.out
    with serving(tmp_path, environment={}) as served:
        assert "sk-tc-" not in served.program.out
        basic = re.sub("^Authorization=Basic%20", "Basic ", said["OTEL_EXPORTER_OTLP_HEADERS"]).replace("%3D", "=")
        connection = served.connection()
        connection.request("GET", "/api/public/projects", headers={"authorization": basic})
        answer = connection.getresponse()
        assert answer.status == 200
        assert json.loads(answer.read())["data"][0]["id"] == "default"
        connection.close()


def test_json_says_it_to_programs(tmp_path: Path) -> None:
    """With --json the first line is one object with the address and the variables."""
    with running("-m", "tracecore", "serve", "--port", "0", "--json", folder=tmp_path, environment={}) as program:
        program.wait_for_word("LANGFUSE_SECRET_KEY")
        said = json.loads(program.out.splitlines()[0])
    assert said["environment"]["LANGFUSE_BASE_URL"] == said["url"]
    assert said["backend"] == "sqlite:///tracecore.db"


def test_a_named_key_is_not_repeated(tmp_path: Path) -> None:
    """A key from the environment works at once, and is neither printed nor in the file."""
    with serving(tmp_path) as served:
        assert asked(served, "/api/public/projects")["data"][0]["id"] == "p"
        assert KEY[1] not in served.program.out + served.program.errors
    for file in tmp_path.glob("traces.db*"):
        assert KEY[1].encode() not in file.read_bytes()


@pytest.mark.parametrize(
    ("arguments", "environment", "says"),
    [
        (("--workers", "2"), {}, "workers = 2 (from the command line): expected 1, unless the backend is PostgreSQL"),
        (("--host", "203.0.113.7"), {}, "cannot listen at 203.0.113.7"),
        (("--host", "no such host"), {}, "host = 'no such host'"),
        (("--backend", "sqlite:///a.db+sqlite:///b.db"), {}, "a server keeps in one place"),
        (("--backend", "jsonl:a.jsonl"), {}, "keeps no catalog"),
        ((), {"TRACECORE_BACKEND": "http://pk:sk@127.0.0.1:4318"}, "such as --backend sqlite:///tracecore.db"),
        (("--backend", "nowhere:"), {}, "backend"),
        ((), {"TRACECORE_INIT_PUBLIC_KEY": "pk-tc-a-key"}, "TRACECORE_INIT_SECRET_KEY"),
        ((), {"TRACECORE_INIT_PUBLIC_KEY": "k", "TRACECORE_INIT_SECRET_KEY": "s"}, "public key"),
    ],
)
def test_what_cannot_be_served_is_said(
    tmp_path: Path, arguments: tuple[str, ...], environment: dict[str, str], says: str
) -> None:
    """Each mistake is one sentence on standard error, and an exit code."""
    program = ended(tmp_path, "--port", "0", *arguments, environment=environment)
    assert says in program.errors
    assert "Traceback" not in program.errors
    assert len(program.errors.splitlines()) == 1


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    """A second server at the same port says so and ends."""
    with serving(tmp_path) as served:
        folder = tmp_path / "second"
        folder.mkdir()
        program = ended(folder, "--port", str(served.port))
        assert f"cannot listen at 127.0.0.1:{served.port}" in program.errors


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_gracefully(tmp_path: Path, number: signal.Signals) -> None:
    """A signal in the middle of a request: the request is answered, what it sent is stored, and the process is gone."""
    with serving(tmp_path) as served:
        connection = served.socket()
        body = encode([span(1)])
        head = f"POST {BASE}/batch HTTP/1.1\r\nhost: x\r\nauthorization: {AUTH}\r\ncontent-length: {len(body)}\r\n\r\n"
        connection.sendall(head.encode() + body[:10])
        asked(served, "/api/public/health")  # it has read that much by now
        served.program.send(number)
        time.sleep(0.2)
        connection.sendall(body[10:])
        assert b"200 OK" in connection.recv(1000)
        connection.close()
        served.program.wait()
        assert "Traceback" not in served.program.errors
    with serving(tmp_path) as served:
        found = asked(served, f"{BASE}/observations/find", {"project": "", "query": {}})
        assert [item["span_id"] for item in found["items"]] == [span(1).span_id]


def test_the_access_log_has_no_secrets(tmp_path: Path) -> None:
    """One line of JSON per request: what was asked, by which key, and how long it took; no query, header or body."""
    with serving(tmp_path, "--access-log") as served:
        asked(served, "/api/public/projects?name=hidden-in-the-query")
        served.program.wait_for_word('"path":"/api/public/projects"')
        line = json.loads(served.program.out.splitlines()[-1])
        assert (line["method"], line["status"], line["key"]) == ("GET", 200, KEY[0])
        assert set(line) == {"method", "path", "status", "ms", "key", "client"}
        assert "hidden-in-the-query" not in served.program.out
        assert AUTH.split()[1] not in served.program.out


def test_counts_for_prometheus(tmp_path: Path) -> None:
    """Counts of answers by declared route: what was asked for is no label, however many paths are tried."""
    with serving(tmp_path) as served:
        asked(served, f"{BASE}/batch", json.loads(encode([span(1), span(2)])))
        connection = served.connection()
        for number in range(20):
            connection.request("GET", f"/no/such/path/{number}")
            connection.getresponse().read()
        connection.request("GET", "/metrics", headers={"authorization": AUTH})
        text = connection.getresponse().read().decode()
        connection.close()
    assert re.search(r'tracecore_records_written_total\{pid="\d+"\} 2\n', text)
    assert re.search(r'_count\{pid="\d+",method="GET",route="\(none\)",status="404"\} 20\n', text)
    assert "/no/such/path" not in text
    for line in text.splitlines():
        assert re.fullmatch(r'# (HELP|TYPE) \w+ .+|\w+(\{(\w+="[^"]*",?)*\})? [0-9.e+-]+', line), line


def test_workers_share_one_postgres(tmp_path: Path, postgres: Database) -> None:
    """Two processes on one socket: what one has answered the other shows; SIGTERM ends both."""
    with serving(tmp_path, "--workers", "2", backend=postgres.url()) as served:
        pids: set[str] = set()
        deadline = time.monotonic() + HANG_SECONDS
        number = 0
        while len(pids) < 2 and time.monotonic() < deadline:
            number += 1
            asked(served, f"{BASE}/batch", json.loads(encode([span(number)])))
            connection = served.connection()  # another connection, perhaps of the other process
            connection.request("GET", "/metrics", headers={"authorization": AUTH})
            pids.update(re.findall(r'build_info\{pid="(\d+)"', connection.getresponse().read().decode()))
            connection.close()
            found = asked(served, f"{BASE}/observations/find", {"project": "", "query": {"limit": 1000}})
            assert len(found["items"]) == min(number, 1000)
        assert len(pids) == 2
        served.program.send(signal.SIGTERM)
        served.program.wait()
        for pid in pids:
            with pytest.raises(ProcessLookupError):
                os.kill(int(pid), 0)


def test_a_head_without_end_is_refused(tmp_path: Path) -> None:
    """T39: headers that do not end are 431 as soon as they are too many; the server goes on."""
    with serving(tmp_path) as served:
        for piece in (b"x: " + b"a" * 1000 + b"\r\n", b"a" * 1000):
            connection = served.socket()
            connection.sendall(b"GET / HTTP/1.1\r\nhost: x\r\nx: ")
            answer = b""
            try:
                for _ in range(2 * LARGEST_HEAD // 1000 + 600):
                    connection.sendall(piece)
                answer = connection.recv(1000)
            except OSError:  # it was closed while there was more to send
                answer = answer or b"431"
            assert b"431" in answer
            connection.close()
        assert asked(served, "/api/public/health")["status"] == "OK"


def test_whole_requests_at_once(tmp_path: Path) -> None:
    """Two requests whose bodies are longer than a head may be, sent in one piece: each is answered."""
    body = encode([span(number) for number in range(400)])
    assert len(body) > LARGEST_HEAD
    head = f"POST {BASE}/batch HTTP/1.1\r\nhost: x\r\nauthorization: {AUTH}\r\ncontent-length: {len(body)}\r\n\r\n"
    with serving(tmp_path) as served, served.socket() as connection:
        connection.sendall((head.encode() + body) * 2)
        answer = b""
        while answer.count(b'"accepted":400') < 2:
            answer += connection.recv(1000) or pytest.fail(f"closed after {answer!r}")


def memory_of(program: Program) -> int:
    """Return the resident memory of a process in bytes."""
    pages = int(Path(f"/proc/{program.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def test_idle_it_is_small(tmp_path: Path) -> None:
    """R-19: less than 150 MB of memory once it has done everything there is to do."""
    with serving(tmp_path) as served:
        asked(served, f"{BASE}/batch", json.loads(encode([span(number) for number in range(100)])))
        asked(served, "/openapi.json")
        assert memory_of(served.program) < 150 << 20
