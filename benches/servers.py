"""The servers of the benchmark: a real Vault, versitygw, the synthetic source."""

import contextlib
import http.client
import json
import os
import pathlib
import socket
import subprocess
import sys
import threading
import time
import urllib.parse

HERE = pathlib.Path(__file__).resolve().parent
ACCESS_KEY, SECRET_KEY, REGION, BUCKET = "benchmark", "benchmark-secret", "us-east-1", "bench"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def listens(port):
    socket.create_connection(("127.0.0.1", port), 1).close()
    return True


@contextlib.contextmanager
def process(argv, log, env=None, stdout=None):
    """A child process that is killed at the end of the block."""
    with open(log, "ab") as out:
        child = subprocess.Popen(argv, env=env, stdin=subprocess.DEVNULL, stdout=stdout or out, stderr=out)
    try:
        yield child
    finally:
        child.kill()
        child.wait()


def until(what, probe, log):
    """Polls until `probe` returns a true value."""
    deadline = time.monotonic() + 60
    while True:
        with contextlib.suppress(OSError):
            if value := probe():
                return value
        if time.monotonic() > deadline:
            raise SystemExit(f"bench: timeout waiting for {what}:\n{pathlib.Path(log).read_text()[-2000:]}")
        time.sleep(0.05)


class Vault:
    """A single-node Vault on Raft storage, with one unseal share."""

    def __init__(self, address):
        self.address, self.token, self.share = address, "", ""

    def call(self, method, path, body=None, connection=None):
        """Sends one request; returns status and body."""
        connection = connection or http.client.HTTPConnection(urllib.parse.urlsplit(self.address).netloc, timeout=120)
        payload = None if body is None else json.dumps(body)
        connection.request(method, f"/v1/{path}", payload, {"X-Vault-Token": self.token})
        answer = connection.getresponse()
        text = answer.read()
        return answer.status, json.loads(text) if text else None

    def must(self, method, path, body=None, connection=None):
        """Sends a request that must succeed; returns the body."""
        status, answer = self.call(method, path, body, connection)
        if status >= 300:
            raise SystemExit(f"bench: {method} {path}: {status} {answer}")
        return answer

    def unseal(self, share):
        self.must("PUT", "sys/unseal", {"key": share})


@contextlib.contextmanager
def vault(directory, name):
    """A new Vault, initialised and unsealed."""
    api, cluster = free_port(), free_port()
    home = directory / name
    (home / "data").mkdir(parents=True)
    config = home / "vault.hcl"
    config.write_text(f"""
storage "raft" {{
  path    = "{home}/data"
  node_id = "{name}"
}}
listener "tcp" {{
  address           = "127.0.0.1:{api}"
  cluster_address   = "127.0.0.1:{cluster}"
  tls_disable       = true
  http_read_timeout = "10m"
}}
api_addr      = "http://127.0.0.1:{api}"
cluster_addr  = "http://127.0.0.1:{cluster}"
disable_mlock = true
""")
    log = home / "log"
    with process([os.environ["VAULT_BIN"], "server", f"-config={config}"], log):
        node = Vault(f"http://127.0.0.1:{api}")
        until("Vault", lambda: node.call("GET", "sys/seal-status"), log)
        keys = node.must("PUT", "sys/init", {"secret_shares": 1, "secret_threshold": 1})
        node.token, node.share = keys["root_token"], keys["keys_base64"][0]
        node.unseal(node.share)
        until("an active Vault", lambda: node.call("GET", "sys/health")[0] == 200, log)
        node.log = log
        yield node


@contextlib.contextmanager
def replaced(node, source):
    """Waits at the end of the block until `node` has the data of `source`, which invalidates a token of its old state."""
    old = Vault(node.address)
    old.token = node.must("POST", "auth/token/create", {"ttl": "1h"})["auth"]["client_token"]
    yield

    def applied():
        if node.call("GET", "sys/seal-status")[1]["sealed"]:
            node.unseal(source.share)
        return old.call("GET", "auth/token/lookup-self")[0] == 403

    until("the restore to be applied", applied, node.log)
    until("an active Vault", lambda: node.call("GET", "sys/health")[0] == 200, node.log)
    node.token, node.share = source.token, source.share


def fill(node, size, each=512 << 10, threads=4):
    """Writes the canary, and random KV v2 secrets of `each` bytes, `size` bytes in total."""
    node.must("POST", "sys/mounts/smtp", {"type": "kv", "options": {"version": "2"}})
    canary = ("POST", "smtp/data/test-tenant-id/admin", {"data": {"password": "benchmark"}})
    until("KV v2", lambda: node.call(*canary)[0] == 200, node.log)
    failures = []

    def work(numbers):
        connection = http.client.HTTPConnection(urllib.parse.urlsplit(node.address).netloc, timeout=120)
        try:
            for i in numbers:
                node.must("POST", f"smtp/data/tenant-{i}", {"data": {"blob": os.urandom(each // 2).hex()}}, connection)
        except BaseException as failure:
            failures.append(failure)

    workers = [threading.Thread(target=work, args=(range(n, size // each, threads),)) for n in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if failures:
        raise failures[0]


@contextlib.contextmanager
def s3(directory):
    """Runs versitygw with one bucket; yields its URL."""
    data, log = directory / "s3", directory / "s3.log"
    (data / BUCKET).mkdir(parents=True)
    port = free_port()
    env = os.environ | {"ROOT_ACCESS_KEY": ACCESS_KEY, "ROOT_SECRET_KEY": SECRET_KEY}
    argv = ["versitygw", "--port", f"127.0.0.1:{port}", "--region", REGION, "--keep-alive", "--quiet", "posix", data]
    with process(argv, log, env):
        until("versitygw", lambda: listens(port), log)
        yield f"http://127.0.0.1:{port}"


@contextlib.contextmanager
def synthetic(directory, snapshot):
    """Runs the synthetic source with the file `snapshot`; yields its URL."""
    argv = [sys.executable, HERE / "snapshot_source.py", "serve", snapshot]
    with process(argv, directory / "source.log", stdout=subprocess.PIPE) as child:
        yield child.stdout.readline().decode().strip()
