"""The stages of the benchmark, each a function from a directory to Markdown."""

import datetime
import json
import os
import pathlib
import shlex
import shutil
import subprocess
import tempfile

import s3
import servers
import snapshot_source
from measure import MIB, ROUNDS, Run, clocked, cpu, interleaved, peak, rate, ratio, seconds, table, timed

TOOL = os.environ["VAULT_BACKUP_BIN"]
BARE_PRUNE = os.environ.get("BARE_PRUNE_BIN")
VAULT_BYTES = 300_000_000
SIZES = {"256 MB": 256 * MIB, "1 GB": 1024 * MIB, "4 GB": 4096 * MIB}
TIMES = "seconds: min / median / max"
# The steps of a drill without those that wait for the server to unseal or to apply the restore.
OWN_STEPS = ["pick", "peek", "restore", "canary"]


class Backup:
    """vault-backup with a new key and configuration."""

    def __init__(self, directory, endpoint=None):
        self.key = directory / "key"
        subprocess.run([TOOL, "keygen", "-o", self.key], check=True, stdout=subprocess.DEVNULL)
        config = directory / "config.toml"
        text = f'[encryption]\nkey = "{self.key}"\n[run]\nlock_file = "{directory}/lock"\n'
        if endpoint:
            text += f'[store]\nendpoint = "{endpoint}"\nregion = "{servers.REGION}"\n'
        config.write_text(text)
        self.env = s3_environment() | {"VAULT_BACKUP_CONFIG": str(config)}

    def run(self, source, store, verify, stdout=subprocess.DEVNULL):
        """Backs up the Vault `source` = (address, token) into `store`; writes the JSON to `stdout`."""
        address, token = source
        env = self.env | {"VAULT_ADDR": address, "VAULT_TOKEN": token}
        return timed([TOOL, "backup", "--kind", "daily", "--verify", verify, "--store", store, "--json"], env, stdout)


def s3_environment():
    """Returns the environment without the caller's Vault, AWS and proxy variables, with versitygw's credentials."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("VAULT_", "AWS_")) and "proxy" not in k.lower()}
    keys = {"AWS_ACCESS_KEY_ID": servers.ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": servers.SECRET_KEY}
    return kept | keys | {"AWS_DEFAULT_REGION": servers.REGION, "AWS_EC2_METADATA_DISABLED": "true"}


def download(address, token="any", to="/dev/null"):
    """Returns the curl command that downloads the snapshot, the lower bound of a backup."""
    url = f"{address}/v1/sys/storage/raft/snapshot"
    return ["curl", "-sSf", "-H", f"X-Vault-Token: {token}", "-o", to, url]


def into_s3(directory, action):
    """Returns a contestant that uploads to a new prefix each round and removes it afterwards."""

    def contestant(number):
        run = action(f"run-{number}")
        shutil.rmtree(directory / "s3" / servers.BUCKET / f"run-{number}")
        return run

    return contestant


def rows_against(runs, base, size):
    """Returns one row per contestant: time, rate, ratio to `base`, peak memory, CPU time."""
    return [[name, seconds(r), rate(r, size), ratio(r, runs[base]), peak(r), cpu(r)] for name, r in runs.items()]


def stage_vault(directory):
    """A real Vault of ~300 MB."""
    with servers.vault(directory, "source") as source, servers.s3(directory) as url:
        print("  filling Vault", flush=True)
        servers.fill(source, VAULT_BYTES)
        plain = directory / "plain.snap"
        subprocess.run(download(source.address, source.token, plain), check=True)
        size = plain.stat().st_size
        backup = Backup(directory, url)
        password = directory / "password"
        password.write_text("benchmark\n")
        curl = shlex.join(download(source.address, source.token, "-"))

        def ours(verify):
            store = f"s3://{servers.BUCKET}"
            return lambda prefix: backup.run((source.address, source.token), f"{store}/{prefix}", verify)

        def pipeline(prefix):
            encrypt = f"openssl enc -aes-256-ctr -pbkdf2 -pass 'file:{password}'"
            upload = f"aws --endpoint-url {url} s3 cp --only-show-errors - s3://{servers.BUCKET}/{prefix}/vault.enc"
            script = f"set -o pipefail; {curl} | {encrypt} | {upload}"
            return timed(["bash", "-c", script], s3_environment())

        base = "`curl` of the snapshot to /dev/null"
        contestants = {base: lambda _: timed(download(source.address, source.token))}
        contestants["`vault-backup backup --verify full`"] = into_s3(directory, ours("full"))
        contestants["`vault-backup backup --verify head`"] = into_s3(directory, ours("head"))
        if shutil.which("aws"):
            contestants["`curl \\| openssl enc \\| aws s3 cp -`"] = into_s3(directory, pipeline)
        runs = interleaved(contestants)
    header = ["", TIMES, "MB/s", "÷ plain download", "peak RSS, MiB", "CPU, s"]
    return f"A snapshot of {size / 1e6:.0f} MB.\n\n{table(header, rows_against(runs, base, size))}"


def stage_synthetic(directory):
    """A source as fast as loopback allows."""
    snapshot, limit, rows = directory / "snapshot", "S3 server alone (plain parts, no checksum)", []
    with servers.s3(directory) as url:
        backup = Backup(directory, url)

        def contestants(source):
            def plain(prefix):
                return clocked(lambda: s3.upload(url, f"{prefix}/plain", snapshot))

            def ours(prefix):
                return backup.run((source, "any"), f"s3://{servers.BUCKET}/{prefix}", "head")

            def local(_):
                with tempfile.TemporaryDirectory(dir=directory) as store:
                    return backup.run((source, "any"), f"file://{store}", "head")

            return {
                "source alone (`curl`)": lambda _: timed(download(source)),
                limit: into_s3(directory, plain),
                "`vault-backup backup --verify head`": into_s3(directory, ours),
                "the same to a local directory, without an S3 server": local,
            }

        for label, size in SIZES.items():
            print(f"  {label}", flush=True)
            snapshot_source.make(size, snapshot)
            with servers.synthetic(directory, snapshot) as source:
                runs = interleaved(contestants(source))
            for name, r in runs.items():
                rows.append([label, name, seconds(r), rate(r, size), ratio(r, runs[limit]), peak(r), cpu(r)])
    header = ["size", "", TIMES, "MB/s", "÷ S3 server alone", "peak RSS, MiB", "CPU, s"]
    return table(header, rows)


def stage_decrypt(directory):
    """From a file to /dev/null."""
    backup = Backup(directory)

    def encrypted(size):
        snapshot, store = directory / "snapshot", directory / "store"
        shutil.rmtree(store, ignore_errors=True)
        store.mkdir()
        snapshot_source.make(size, snapshot)
        with servers.synthetic(directory, snapshot) as source:
            backup.run((source, "any"), f"file://{store}", "head")
        return snapshot, next(store.rglob("*.enc"))

    def ours(path):
        return lambda _: timed([TOOL, "decrypt", path, "--key", backup.key, "-o", "-"], backup.env)

    name = "`vault-backup decrypt`"
    snapshot, object_path = encrypted(SIZES["1 GB"])
    openssl = ["openssl", "enc", "-d", "-aes-256-ctr", "-K", "00" * 32, "-iv", "00" * 16, "-in", object_path]
    contestants = {name: ours(object_path), "`openssl enc -d -aes-256-ctr`": lambda _: timed(openssl)}
    if shutil.which("age"):
        identity, aged = directory / "age.key", directory / "snapshot.age"
        subprocess.run(["age-keygen", "-o", identity], check=True, stderr=subprocess.DEVNULL)
        recipient = subprocess.check_output(["age-keygen", "-y", identity], text=True).strip()
        subprocess.run(["age", "-r", recipient, "-o", aged, snapshot], check=True)
        contestants["`age -d`"] = lambda _: timed(["age", "-d", "-i", identity, aged])
    runs = interleaved(contestants)
    size = SIZES["1 GB"]
    rows = [["1 GB", n, seconds(r), rate(r, size), ratio(runs[name], r), peak(r), cpu(r)] for n, r in runs.items()]
    for label in ("256 MB", "4 GB"):
        print(f"  {label}", flush=True)
        _, object_path = encrypted(SIZES[label])
        r = interleaved({name: ours(object_path)})[name]
        rows.append([label, name, seconds(r), rate(r, SIZES[label]), "", peak(r), cpu(r)])
    return table(["size", "", TIMES, "MB/s", "`vault-backup` ÷ this", "peak RSS, MiB", "CPU, s"], rows)


def stage_prune(directory):
    """10,000 objects, of which 9,000 are deleted: backups and their manifests."""
    backups, due = 5_000, 4_500
    before = (datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=35)).strftime("%Y-%m-%d")
    with servers.s3(directory) as url:
        backup = Backup(directory, url)
        bucket = directory / "s3" / servers.BUCKET
        fill = [BARE_PRUNE, "fill", url, servers.BUCKET, "full", backup.key, str(backups), str(due)]
        print("  filling the bucket", flush=True)
        subprocess.run(fill, env=s3_environment(), check=True)

        def contestant(command):
            def round(number):
                # Includes the extended attributes in which the server stores metadata.
                subprocess.run(["cp", "-a", bucket / "full", bucket / f"run-{number}"], check=True)
                run = timed(command(f"run-{number}"), backup.env)
                left = sum(len(files) for _, _, files in os.walk(bucket / f"run-{number}"))
                if left != 2 * (backups - due):
                    raise SystemExit(f"bench: {left} objects left, expected {2 * (backups - due)}")
                shutil.rmtree(bucket / f"run-{number}")
                return run

            return round

        base = "only the list and delete calls"
        store = f"s3://{servers.BUCKET}"
        contestants = {
            base: contestant(lambda prefix: [BARE_PRUNE, "prune", url, servers.BUCKET, prefix, before]),
            "`vault-backup prune`": contestant(lambda prefix: [TOOL, "prune", "--store", f"{store}/{prefix}"]),
        }
        runs = interleaved(contestants)
    rows = [[name, seconds(r), ratio(r, runs[base]), peak(r), cpu(r)] for name, r in runs.items()]
    return table(["", TIMES, "÷ only the calls", "peak RSS, MiB", "CPU, s"], rows)


def stage_start(_directory):
    """Size and start time."""
    runs = interleaved(
        {
            "`vault-backup --version`": lambda _: clocked(lambda: spawn([TOOL, "--version"])),
            "`true`, for comparison": lambda _: clocked(lambda: spawn(["/bin/true"])),
        },
        rounds=max(ROUNDS, 20),
    )
    milliseconds = {n: [r.seconds * 1e3 for r in rs] for n, rs in runs.items()}
    rows = [[n, " / ".join(f"{x:.1f}" for x in spread(ms))] for n, ms in milliseconds.items()]
    size = pathlib.Path(TOOL).stat().st_size
    return f"The binary is {size / 1e6:.1f} MB.\n\n{table(['', 'ms: min / median / max'], rows)}"


def spread(values):
    ordered = sorted(values)
    return ordered[0], ordered[len(ordered) // 2], ordered[-1]


def spawn(argv):
    subprocess.run(argv, stdout=subprocess.DEVNULL, check=True)


def stage_drill(directory):
    """A restore of ~300 MB into a staging Vault."""
    with (
        servers.vault(directory, "source") as source,
        servers.vault(directory, "drilled") as drilled,
        servers.vault(directory, "forced") as forced,
        servers.s3(directory) as url,
    ):
        print("  filling Vault", flush=True)
        servers.fill(source, VAULT_BYTES)
        plain = directory / "plain.snap"
        subprocess.run(download(source.address, source.token, plain), check=True)
        backup = Backup(directory, url)
        store = f"s3://{servers.BUCKET}/drill"
        backup.run((source.address, source.token), store, "full")
        with open(directory / "config.toml", "a") as config:
            config.write(f"""
[staging]
address = "{drilled.address}"
token = "env:STAGING_TOKEN"
unseal_keys = ["env:SHARE"]
[staging.auth]
token = "env:SOURCE_TOKEN"
""")
        secrets = {"STAGING_TOKEN": drilled.token, "SHARE": source.share, "SOURCE_TOKEN": source.token}
        env = backup.env | secrets | {"VAULT_ADDR": source.address}
        steps = {name: [] for name in ("the restore alone", "without the server's own waits")}

        def drill(number):
            with tempfile.TemporaryFile("w+") as stdout:
                run = timed([TOOL, "verify-restore", "--store", store, "--json"], env, stdout)
                stdout.seek(0)
                took = json.load(stdout)["durations_ms"]
            own = {"the restore alone": ["restore"], "without the server's own waits": OWN_STEPS}
            for name, parts in own.items():
                steps[name] += [Run(sum(took[part] for part in parts) / 1e3)] * (number > 0)
            return run

        def force(_):
            url = f"{forced.address}/v1/sys/storage/raft/snapshot-force"
            token = f"X-Vault-Token: {forced.token}"
            with servers.replaced(forced, source):
                return timed(["curl", "-sSf", "-H", token, "--data-binary", f"@{plain}", url])

        base = "`curl --data-binary @plain.snap …/snapshot-force`"
        runs = interleaved({base: force, "`vault-backup verify-restore`, whole": drill})
        runs |= {f"`vault-backup verify-restore`, {name}": r for name, r in steps.items()}
    header = ["", TIMES, "MB/s", "÷ curl", "peak RSS, MiB", "CPU, s"]
    return table(header, rows_against(runs, base, plain.stat().st_size))


def stage_offline(directory):
    """An offline drill of ~300 MB, compared with `decrypt` of the same object to /dev/null."""
    header, rows = ["store", "", TIMES, "MB/s", "÷ `decrypt`", "peak RSS, MiB", "CPU, s"], []
    with servers.vault(directory, "source") as source, servers.s3(directory) as url:
        print("  filling Vault", flush=True)
        servers.fill(source, VAULT_BYTES)
        backup = Backup(directory, url)
        with open(directory / "config.toml", "a") as config:
            config.write('[staging]\nunseal_keys = ["env:SHARE"]\n')
        env = backup.env | {"SHARE": source.share}
        (directory / "store").mkdir()
        for name, store in {"S3": f"s3://{servers.BUCKET}/offline", "directory": f"file://{directory}/store"}.items():
            with tempfile.TemporaryFile("w+") as stdout:
                backup.run((source.address, source.token), store, "full", stdout)
                stdout.seek(0)
                made = json.load(stdout)
            commands = {
                "`decrypt`": ["decrypt", made["object"], "-o", "-"],
                "`verify-restore --offline`": ["verify-restore", "--offline", made["object"]],
            }
            runs = interleaved(
                {n: lambda _, argv=argv: timed([TOOL, *argv, "--store", store], env) for n, argv in commands.items()}
            )
            rows += [[name, *row] for row in rows_against(runs, "`decrypt`", made["size_bytes"])]
    return table(header, rows)


STAGES = {
    "vault": stage_vault,
    "synthetic": stage_synthetic,
    "decrypt": stage_decrypt,
    "prune": stage_prune,
    "start": stage_start,
    "drill": stage_drill,
    "offline": stage_offline,
}
