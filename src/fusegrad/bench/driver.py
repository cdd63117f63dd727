"""The parent's end of a worker process.

In: a `Peer` and a number of threads. Out: `WorkerProcess`, whose `ask` sends one request to
``worker.py`` and waits for the answer. A worker that dies or is silent too long becomes a
`WorkerError` with the end of its standard error; it never takes the run down.
"""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from types import TracebackType
from typing import Any

from .peers import Peer

BOOT = Path(__file__).with_name("boot.py")


class WorkerError(Exception):
    """A worker failed, died or timed out; the message says which.

    Attributes:
        detail: traceback or standard error of the worker, possibly empty.
    """

    def __init__(self, message: str, detail: str = "") -> None:
        super().__init__(message)
        self.detail = detail


class WorkerProcess:
    """A worker process of one peer; use as a context manager."""

    def __init__(self, peer: Peer, threads: int, environment: dict[str, str] | None = None) -> None:
        self.peer = peer
        self.errors = tempfile.TemporaryFile()
        variables = peer.worker_environment(threads) | (environment or {})
        self.process = subprocess.Popen(
            [sys.executable, str(BOOT), peer.name, peer.module, str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            env=variables,
            text=True,
            encoding="utf-8",
        )
        self.answers: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._collect, daemon=True).start()

    def _collect(self) -> None:
        if self.process.stdout is not None:
            for line in self.process.stdout:
                self.answers.put(line)
        self.answers.put("")

    def ask(self, do: str, timeout: float = 600.0, **arguments: Any) -> dict[str, Any]:
        """Send a request and return its answer."""
        request = json.dumps({"do": do, **arguments})
        try:
            if self.process.stdin is None:
                raise WorkerError(f"{self.peer.label}: no pipe to the worker")
            self.process.stdin.write(request + "\n")
            self.process.stdin.flush()
            line = self.answers.get(timeout=timeout)
        except queue.Empty:
            self.process.kill()
            raise WorkerError(f"no answer to {do!r} within {timeout:.0f} s") from None
        except OSError:
            line = ""
        if not line:
            code = self.process.wait()
            raise WorkerError(f"worker ended with code {code} in {do!r}", self.error_tail())
        reply: dict[str, Any] = json.loads(line)
        if "error" in reply:
            raise WorkerError(reply["error"], reply.get("detail", ""))
        return reply

    def error_tail(self, size: int = 4000) -> str:
        """Return the end of what the worker wrote to standard error."""
        self.errors.seek(0, 2)
        self.errors.seek(max(0, self.errors.tell() - size))
        return self.errors.read().decode(errors="replace").strip()

    def close(self) -> None:
        """End the process: its standard input ends, so it leaves its loop. May be called twice."""
        if self.errors.closed:
            return
        if self.process.stdin is not None:
            try:
                self.process.stdin.close()
            except OSError:
                pass
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()
        self.errors.close()

    def __enter__(self) -> WorkerProcess:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
