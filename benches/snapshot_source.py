"""A synthetic Vault that serves one snapshot as fast as loopback allows.

    snapshot_source.py make BYTES FILE     writes a snapshot with a state.bin of BYTES bytes
    snapshot_source.py serve FILE          prints the URL, then serves FILE until it is killed

The snapshot has the form of a real one: a gzip'd tar of meta.json, state.bin, SHA256SUMS and
SHA256SUMS.sealed with correct hashes. state.bin is random, like Vault's ciphertext, so gzip stores
it uncompressed. The file contains the complete body of an HTTP response, in chunks of Vault's
sizes, so that sendfile(2) can send it unchanged and the source uses almost no CPU time. The other
responses are those of a real Vault 1.21.4, reduced to the fields that a backup reads.
"""

import gzip
import hashlib
import http.server
import json
import os
import sys
import tarfile

# Observed on a real Vault 1.21.4: the chunks of a snapshot alternate between these sizes.
CHUNKS = (2048, 14341)
# Period of the random data in state.bin, larger than deflate's window of 32 KiB.
BLOCK = 16 << 20

CLUSTER = {"cluster_name": "vault-cluster-synthetic", "cluster_id": "5e0c1e62-0000-4000-8000-000000000001"}
VERSION = "1.21.4"
STATE = {"initialized": True, "sealed": False, "version": VERSION, **CLUSTER}
ANSWERS = {
    "/v1/sys/health": {**STATE, "standby": False},
    # No address: this node is the leader.
    "/v1/sys/leader": {"ha_enabled": True, "is_self": True, "leader_address": "", "performance_standby": False},
    "/v1/sys/seal-status": {**STATE, "type": "shamir", "t": 2, "n": 3, "progress": 0, "storage_type": "raft"},
    "/v1/auth/token/lookup-self": {"data": {"policies": ["backup"], "ttl": 3600, "renewable": False}},
}


class Chunked:
    """Writes to `out` with HTTP's chunked transfer coding."""

    def __init__(self, out):
        self.out, self.rest = out, b""

    def write(self, data):
        data = memoryview(self.rest + bytes(data))
        pieces, start = [], 0
        while len(data) - start >= sum(CHUNKS):
            for size in CHUNKS:
                pieces += (b"%x\r\n" % size, data[start : start + size], b"\r\n")
                start += size
        self.out.writelines(pieces)
        self.rest = bytes(data[start:])

    def flush(self):
        pass

    def finish(self):
        if self.rest:
            self.out.write(b"%x\r\n%b\r\n" % (len(self.rest), self.rest))
        self.out.write(b"0\r\n\r\n")


def make(size, path):
    """Writes an HTTP response body: a snapshot with a state.bin of `size` bytes."""
    block = os.urandom(BLOCK)
    pieces = [block] * (size // BLOCK) + [block[: size % BLOCK]]
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    servers = [{"Suffrage": 0, "ID": "synthetic-1", "Address": "127.0.0.1:8201"}]
    meta = {
        "Version": 1, "ID": "bolt-snapshot", "Index": 1000, "Term": 3, "Peers": None,
        "Configuration": {"Servers": servers}, "ConfigurationIndex": 1, "Size": size,
    }  # fmt: skip
    meta = json.dumps(meta, separators=(",", ":")).encode() + b"\n"
    sums = f"{hashlib.sha256(meta).hexdigest()}  meta.json\n{digest.hexdigest()}  state.bin\n".encode()
    entries = {
        "meta.json": [meta],
        "state.bin": pieces,
        "SHA256SUMS": [sums],
        "SHA256SUMS.sealed": [os.urandom(187)],
    }
    with open(path, "wb") as file:
        body = Chunked(file)
        with gzip.GzipFile("", "wb", compresslevel=0, fileobj=body) as archive:
            for name, content in entries.items():
                entry = tarfile.TarInfo(name)
                entry.size, entry.mode = sum(map(len, content)), 0o600
                archive.write(entry.tobuf(tarfile.USTAR_FORMAT))
                archive.writelines(content)
                archive.write(bytes(-entry.size % tarfile.BLOCKSIZE))
            # Two blocks of zeros at the end, like Go's writer; Python's would add more.
            archive.write(bytes(2 * tarfile.BLOCKSIZE))
        body.finish()


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers the requests of a backup, with any token."""

    protocol_version = "HTTP/1.1"
    snapshot = ""

    def do_GET(self):
        path = self.path.partition("?")[0]
        if path == "/v1/sys/storage/raft/snapshot":
            self.send_snapshot()
        elif path in ANSWERS:
            self.send_json(ANSWERS[path])
        else:
            self.send_json({"errors": []}, status=404)

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(204)
        self.end_headers()

    do_PUT = do_POST

    def send_json(self, value, status=200):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def send_snapshot(self):
        self.send_response(200)
        self.send_header("Content-Type", "application/gzip")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.flush()
        with open(self.snapshot, "rb") as file:
            self.connection.sendfile(file)

    def log_message(self, *_):
        pass


def serve(path):
    """Serves `path` on a free loopback port; never returns."""
    Handler.snapshot = path
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["make", size, path]:
            make(int(size), path)
        case ["serve", path]:
            serve(path)
        case _:
            sys.exit(__doc__)
