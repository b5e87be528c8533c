"""The journal: a file of JSON lines that is only ever added to, and that holds every request and raw response.

A line is on the disk before anything follows from it: a request before it is sent, a response before it is read. So
after a kill at any moment nothing is lost but the responses that were on their way. Many lines that wait at once share
one sync. Lines: ``journal`` (version), ``sent``, ``response``, ``fault``, ``outcome`` (given up for good), ``reopened``
(it was an outage), ``structured`` (what a server takes), ``batch``, ``uploaded``, ``submitted``, ``finished``.
"""

import fcntl
import json
import os
import re
import tempfile
import threading
from asyncio import CancelledError, wrap_future
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Self

from bioinstruct_jax import files
from bioinstruct_jax.api.answers import Verdict
from bioinstruct_jax.api.ledger import VERSION, LaterError, Ledger, Line
from bioinstruct_jax.api.request import Reply

_SURROGATE = re.compile("[\ud800-\udfff]")


class Journal:
    """An open journal; one process at a time has it.

    Attributes:
        ledger: what its lines say.
        damaged: numbers of lines that cannot be read, and were left out.
        torn: bytes of a last line that was cut off while it was written; they are gone from the file.
        redact: what every line goes through before it is written.
    """

    def __init__(self, place: str, descriptor: int) -> None:
        self.place = place
        self.ledger = Ledger()
        self.damaged: list[int] = []
        self.torn = 0
        self.redact: Callable[[str], str] = str
        self._file = descriptor
        self._waiting: list[tuple[bytes, Future[None]]] = []
        self._wake = threading.Condition()
        self._closed = False
        self._failed: OSError | None = None
        self._writer = threading.Thread(target=self._write_all, name="journal", daemon=True)

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Self:
        """Opens a journal, and makes it where it is not there.

        Raises:
            ValueError: another process has it; it is of a later version, no journal, or not on a local disk.
            OSError: as ``open`` does.
        """
        file = files.path(path)
        if not files.is_local(file):
            raise ValueError(f"{file}: a journal is synced line by line, which a bucket cannot do; give a local path")
        files.make_folder(file.parent)
        descriptor = os.open(file.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        journal = cls(str(file), descriptor)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ValueError(f"{file}: another process is writing to it; wait for it, or end it") from None
            files.settle(file)
            journal._read()
        except BaseException:
            os.close(descriptor)
            raise
        journal._writer.start()
        if not os.fstat(descriptor).st_size:
            journal.put({"kind": "journal", "version": VERSION})
        return journal

    @classmethod
    def unnamed(cls) -> Self:
        """A journal that ends with the process: its file has left its folder before anything is written to it."""
        with tempfile.TemporaryDirectory() as folder:
            return cls.open(Path(folder) / "journal.jsonl")

    def reply(self, key: str, fingerprint: str) -> Reply | None:
        """What a request was answered with, also where for good with nothing; None: it is still to be asked."""
        return self.ledger.replies.get((key, fingerprint))

    def notes(self) -> list[str]:
        """What a person should know of how it was found, a sentence each."""
        found = []
        if self.damaged:
            shown = ", ".join(map(str, self.damaged[:10])) + (" and more" if len(self.damaged) > 10 else "")
            found.append(
                f"{self.place}: line {shown} cannot be read; what it said is asked again, or counts as uncertain"
            )
        if self.torn:
            found.append(
                f"{self.place}: the last line was cut off while it was written; its {self.torn} bytes are gone"
            )
        if self.ledger.lost:
            found.append(
                f"{self.place}: {self.ledger.lost} requests were on their way when a process ended; they are asked "
                "again where still needed, and count as uncertain spending"
            )
        return found

    def put(self, *lines: Line) -> Future[None]:
        """Hand over lines to be written, one behind the other; the future is done when they are on the disk."""
        return self._put("".join(map(self._text, lines)))

    def note(self, line: Line) -> None:
        """Hand over a line, and take in what it says at once: for whoever cannot wait."""
        self.put(line)
        self.ledger.take(line)

    async def send(self, *lines: Line) -> None:
        """Write lines, whose spending counts as reserved from now on; return when they are on the disk."""
        for line in lines:
            self.ledger.take(line)
        await wrap_future(self.put(*lines))

    async def add(self, *lines: Line) -> list[Verdict | None]:
        """Write lines; once they are on the disk, take in what each says, as it was written."""
        texts = [self._text(line) for line in lines]
        try:
            await wrap_future(self._put("".join(texts)))
        except CancelledError:  # they are written all the same
            for text in texts:
                self.ledger.take(json.loads(text))
            raise
        return [self.ledger.take(json.loads(text)) for text in texts]

    def close(self) -> None:
        """Write what waits, and let go of the file. Raises OSError where that fails."""
        if not self._closed:
            with self._wake:
                self._closed = True
                self._wake.notify()
            self._writer.join()
            os.close(self._file)
            if self._failed:
                raise self._failed

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _text(self, line: Line) -> str:
        text = json.dumps(line, ensure_ascii=False, separators=(",", ":"))
        return self.redact(_SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)) + "\n"

    def _put(self, text: str) -> Future[None]:
        future: Future[None] = Future()
        with self._wake:
            if self._closed or self._failed:
                raise self._failed or ValueError(f"{self.place} is closed")
            self._waiting.append((text.encode(), future))
            self._wake.notify()
        return future

    def _write_all(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._waiting or self._closed)
                waiting, self._waiting = self._waiting, []
            if not waiting:
                return
            try:
                if self._failed:
                    raise self._failed
                rest = memoryview(b"".join(data for data, _ in waiting))
                while rest:
                    rest = rest[os.write(self._file, rest) :]
                os.fsync(self._file)
            except OSError as error:  # a full disk: a line may be torn, and no other may follow it
                self._failed = error
            for _, future in waiting:
                if future.set_running_or_notify_cancel():
                    if self._failed:
                        future.set_exception(OSError(self._failed.errno, f"{self.place}: {self._failed.strerror}"))
                    else:
                        future.set_result(None)

    def _read(self) -> None:
        place, readable_lines = 0, 0
        with os.fdopen(os.dup(self._file), "rb") as stream:
            for number, line in enumerate(stream, 1):
                whole = line.endswith(b"\n")
                readable = self._take(line)
                readable_lines += readable
                if not readable and not whole:
                    self.torn = len(line)
                    os.ftruncate(self._file, place)
                    break
                if not readable and line.strip():
                    self.damaged.append(number)
                if not whole:  # somebody's editor took the line end away
                    os.write(self._file, b"\n")
                place += len(line)
        if self.damaged and not readable_lines:
            raise ValueError(f"{self.place} is no journal: it has no line of one; name another file")
        self.ledger.abandon()

    def _take(self, line: bytes) -> bool:
        try:
            self.ledger.take(json.loads(line))
        except LaterError:
            raise ValueError(f"{self.place}: a later version of this program wrote it; use that one") from None
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return False
        return True
