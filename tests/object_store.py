"""A stand-in for Google Cloud Storage: the part of its JSON API that tensorstore and gcsfs use, with faults to order.

Bytes are kept in memory and served on loopback, strongly consistent as the real one is. What would be a rename there
(copyTo, rewriteTo, compose, moveTo) and whatever else is not reading, writing, listing or deleting objects is refused
with 501 and noted. Paths and answers are those of https://cloud.google.com/storage/docs/json_api/v1.
"""

import base64
import hashlib
import itertools
import json
import os
import re
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from email.parser import BytesHeaderParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

PAGE = 5  # names a listing answers with at most, so that every client has to ask for the next page
TIME = "2026-01-01T00:00:00.000Z"


@dataclass
class ObjectStore:
    """Use as a context manager. Objects are named ``bucket/name``; `drop` and `put` do what somebody else might.

    Attributes:
        requests: every request, as "METHOD path?query".
        refused: those of them that asked for something other than to read, write, list or delete an object.
        busy: so many of the coming requests are answered with 503.
        cut: so many of the coming uploads lose their connection when half of the bytes have arrived.
        full: status with which uploads and deletions are refused (403: forbidden, 429: quota); None: they are not.
        on_upload: called with the name when all bytes of an object have arrived, before it is stored or, if the call
            sets `full`, refused.
    """

    buckets: tuple[str, ...] = ("bucket",)
    objects: dict[str, tuple[bytes, int]] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    busy: int = 0
    cut: int = 0
    full: int | None = None
    on_upload: Callable[[str], None] = lambda name: None

    def __enter__(self) -> "ObjectStore":
        self.lock, self.generations, self.sessions = threading.RLock(), itertools.count(1000), {}
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (_Handler,), {"store": self}))
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    @property
    def environment(self) -> dict[str, str]:
        """Variables that send gs:// here, with no look at this machine's credentials or at a metadata server.

        gcsfs asks for the kind of a bucket by gRPC, which nothing here answers: that is switched off.
        """
        return {
            "STORAGE_EMULATOR_HOST": self.url,
            "TENSORSTORE_GCS_HTTP_URL": self.url,
            "GOOGLE_AUTH_TOKEN_FOR_TESTING": "none",
            "FSSPEC_GS_TOKEN": "anon",
            "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",
            "NO_GCE_CHECK": "true",
            "CLOUDSDK_CONFIG": os.devnull,
        }

    def names(self, prefix: str = "") -> list[str]:
        """Names of the objects that begin with a prefix, sorted."""
        with self.lock:
            return sorted(name for name in self.objects if name.startswith(prefix))

    def read(self, name: str) -> bytes:
        return self.objects[name][0]

    def drop(self, name: str) -> None:
        with self.lock:
            del self.objects[name]

    def put(self, name: str, content: bytes) -> int:
        """Store an object; its generation."""
        with self.lock:
            self.objects[name] = (content, next(self.generations))
            return self.objects[name][1]


class _Handler(BaseHTTPRequestHandler):
    store: ObjectStore
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_: object) -> None: ...

    def handle(self) -> None:
        with suppress(ConnectionError):  # of a client that was killed
            super().handle()

    def _serve(self) -> None:
        store, length = self.store, int(self.headers.get("Content-Length") or 0)
        address = urlsplit(self.path)
        self.query = {key: values[-1] for key, values in parse_qs(address.query, keep_blank_values=True).items()}
        upload = address.path.startswith("/upload/")
        with store.lock:
            store.requests.append(f"{self.command} {self.path}")
            busy, store.busy = store.busy > 0, max(store.busy - 1, 0)
            cut = upload and length > 0 and store.cut > 0
            store.cut -= cut
        if cut:
            self.rfile.read(length // 2)
            self.close_connection = True
            with suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)
            return None
        body = self.rfile.read(length)
        if busy:
            return self._fail(503, "Service Unavailable: backendError")
        place = re.fullmatch(r"(?:/upload|/download)?/storage/v1/b/([^/]+)(/o)?(?:/([^/]+))?", address.path)
        if not place or self.command not in ("GET", "POST", "PUT", "DELETE"):
            return self._refuse()
        bucket, objects, name = unquote(place[1]), place[2], unquote(place[3] or "")
        if bucket not in store.buckets:
            return self._fail(404, "The specified bucket does not exist.")
        if self.command != "GET" and store.full:
            return self._full()
        if upload and self.command in ("POST", "PUT"):
            return self._upload(bucket, body)
        match self.command, bool(objects), bool(name):
            case "GET", False, False:
                return self._send(200, {"kind": "storage#bucket", "name": bucket, "id": bucket})
            case "GET", True, False:
                return self._list(bucket)
            case "GET", True, True:
                return self._get(bucket, name)
            case "DELETE", True, True:
                return self._delete(bucket, name)
        return self._refuse()

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = _serve  # noqa: N815

    def _list(self, bucket: str) -> None:
        ask, root = self.query, f"{bucket}/"
        prefix, delimiter, found = ask.get("prefix", ""), ask.get("delimiter"), {}
        for name in (full.removeprefix(root) for full in self.store.names(root + prefix)):
            cut = name.find(delimiter, len(prefix)) + 1 if delimiter else 0
            if name >= ask.get("startOffset", "") and (not ask.get("endOffset") or name < ask["endOffset"]):
                found[name[:cut] if cut else name] = bool(cut)
        keys = [key for key in found if key > ask.get("pageToken", "")]
        page = keys[: min(PAGE, int(ask.get("maxResults", PAGE)))]
        answer: dict = {"kind": "storage#objects"}
        if items := [self._about(bucket, key) for key in page if not found[key]]:
            answer["items"] = items
        if folders := [key for key in page if found[key]]:
            answer["prefixes"] = folders
        self._send(200, answer | ({"nextPageToken": page[-1]} if len(page) < len(keys) else {}))

    def _get(self, bucket: str, name: str) -> None:
        if not self._expected(bucket, name, missing=404):
            return None
        if self.query.get("alt") != "media":
            return self._send(200, self._about(bucket, name))
        content, generation = self.store.objects[f"{bucket}/{name}"]
        status, headers = 200, {"x-goog-generation": str(generation), "x-goog-metageneration": "1"}
        if asked := re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", "")):
            size = len(content)
            first = int(asked[1]) if asked[1] else max(size - int(asked[2]), 0)
            last = min(int(asked[2]), size - 1) if asked[1] and asked[2] else size - 1
            if first >= size:
                return self._fail(416, f"bytes {first}- of {size}")
            status, headers["Content-Range"] = 206, f"bytes {first}-{last}/{size}"
            content = content[first : last + 1]
        return self._send(status, content, headers)

    def _delete(self, bucket: str, name: str) -> None:
        with self.store.lock:
            if self._expected(bucket, name, missing=404):
                self.store.drop(f"{bucket}/{name}")
                self._send(204, b"")

    def _upload(self, bucket: str, body: bytes) -> None:
        kind, name = self.query.get("uploadType"), self.query.get("name", "")
        if session := self.query.get("upload_id"):  # a part of a resumable upload
            name, held, condition = self.store.sessions[session]
            first, total = re.fullmatch(r"bytes (\*|\d+)(?:-\d+)?/(\*|\d+)", self.headers["Content-Range"]).groups()
            if first != "*":
                held[int(first) :] = body
            if total == "*" or len(held) < int(total):
                return self._send(308, b"", {"Range": f"bytes=0-{len(held) - 1}"} if held else {})
            body = bytes(held)
            self.query |= condition
        elif kind == "resumable":
            name = name or json.loads(body)["name"]
            session = str(next(self.store.generations))
            self.store.sessions[session] = name, bytearray(), {k: v for k, v in self.query.items() if k[:2] == "if"}
            where = f"{self.store.url}/upload/storage/v1/b/{bucket}/o?uploadType=resumable&upload_id={session}"
            return self._send(200, b"", {"Location": where})
        elif kind == "multipart":
            mark = BytesHeaderParser().parsebytes(b"Content-Type: " + self.headers["Content-Type"].encode())
            _, about, rest = body.split(b"--" + mark.get_boundary().encode(), 2)
            name = name or json.loads(re.split(rb"\r?\n\r?\n", about, maxsplit=1)[1])["name"]
            body = re.split(rb"\r?\n\r?\n", rest, maxsplit=1)[1]
            body = re.sub(rb"\r?\n\Z", b"", body[: body.rindex(b"--" + mark.get_boundary().encode())])
        self.store.on_upload(f"{bucket}/{name}")
        if self.store.full:
            return self._full()
        with self.store.lock:
            if self._expected(bucket, name):
                self.store.put(f"{bucket}/{name}", body)
                self._send(200, self._about(bucket, name))
        return None

    def _expected(self, bucket: str, name: str, *, missing: int = 0) -> bool:
        """Whether the object's generation (0: none) is as the request says; if not, the request is answered."""
        found = self.store.objects.get(f"{bucket}/{name}", (b"", 0))[1]
        wanted, unwanted = self.query.get("ifGenerationMatch"), self.query.get("ifGenerationNotMatch")
        if wanted not in (None, str(found)):
            self._fail(412, "At least one of the pre-conditions you specified did not hold.")
        elif not found and missing:
            self._fail(missing, f"No such object: {bucket}/{name}")
        elif unwanted == str(found):
            self._send(304, b"")
        else:
            return True
        return False

    def _about(self, bucket: str, name: str) -> dict[str, str]:
        content, generation = self.store.objects[f"{bucket}/{name}"]
        about = {"kind": "storage#object", "bucket": bucket, "name": name, "id": f"{bucket}/{name}/{generation}"}
        digest = base64.b64encode(hashlib.md5(content).digest()).decode()
        about |= {"size": str(len(content)), "generation": str(generation), "metageneration": "1", "md5Hash": digest}
        return about | {"timeCreated": TIME, "updated": TIME, "contentType": "application/octet-stream"}

    def _full(self) -> None:
        self._fail(self.store.full, "the caller may not write here, or has written all that it may")

    def _refuse(self) -> None:
        self.store.refused.append(f"{self.command} {self.path}")
        self._fail(501, f"{self.command} {self.path} is refused")

    def _fail(self, status: int, text: str) -> None:
        self._send(status, {"error": {"code": status, "message": text, "errors": []}})

    def _send(self, status: int, content: bytes | dict, headers: dict[str, str] | None = None) -> None:
        body = json.dumps(content).encode() if isinstance(content, dict) else content
        bare = status in (204, 304)
        self.send_response(status)
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        if not bare:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(b"" if bare else body)
