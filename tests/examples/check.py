"""Checks examples with other people's knowledge of their formats.

Usage: check.py kubernetes|alerts|iam|bucket, from the repository's root. Ends with an
error that says what is wrong.
"""

import copy
import json
import os
import subprocess
import sys
from pathlib import Path

EXAMPLES = Path("examples")


def must_fail(check, what):
    """A checker that accepts anything is none."""
    try:
        check()
    except Exception:
        return
    raise AssertionError(f"{what} was accepted")


def kubernetes():
    import kubernetes_validate
    import yaml

    def check(document):
        kubernetes_validate.validate(document, "1.33", strict=True)

    documents = list(yaml.safe_load_all((EXAMPLES / "kubernetes/cronjob.yaml").read_text()))
    kinds = [document["kind"] for document in documents]
    assert kinds == ["Namespace", "ServiceAccount", "ConfigMap", "CronJob"], kinds
    for document in documents:
        check(document)
    wrong = copy.deepcopy(documents[-1])
    wrong["spec"]["timezone"] = "UTC"
    must_fail(lambda: check(wrong), "an unknown key")

    pod = documents[-1]["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    mounted = {mount["name"] for container in pod["containers"] for mount in container["volumeMounts"]}
    assert mounted == {volume["name"] for volume in pod["volumes"]}, mounted
    # The configuration, for the caller to read with the real parser.
    print(documents[2]["data"]["config.toml"])


def alerts():
    import promql_parser
    import yaml

    must_fail(lambda: promql_parser.parse("time() -"), "half an expression")
    groups = yaml.safe_load((EXAMPLES / "alerts.yml").read_text())["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert len(rules) == len({rule["alert"] for rule in rules}) > 0
    for rule in rules:
        promql_parser.parse(rule["expr"])
        assert rule["labels"]["severity"] in ("critical", "high", "warning"), rule
        assert rule["annotations"].keys() == {"summary", "description"}, rule
        # The metrics, for the caller to compare with those that are written.
        print(rule["expr"])


def iam():
    import parliament

    def findings(text):
        return [str(finding) for finding in parliament.analyze_policy_string(text).findings]

    roles = {path.stem: path.read_text() for path in sorted((EXAMPLES / "iam").glob("*.json"))}
    assert list(roles) == ["backup", "drill", "prune", "restore"], list(roles)
    for role, text in roles.items():
        assert not findings(text), (role, findings(text))
    assert findings(roles["backup"].replace("s3:PutObject", "s3:PutObjekt"))
    actions = {
        role: {action for statement in json.loads(text)["Statement"] for action in statement["Action"]}
        for role, text in roles.items()
    }
    for role, allowed in actions.items():
        assert ("s3:DeleteObject" in allowed) == (role == "prune"), role
        assert not allowed & {"s3:DeleteObjectVersion", "s3:BypassGovernanceRetention", "s3:*", "*"}, role
    assert not any("Put" in action for action in actions["restore"] | actions["prune"])


def bucket():
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
        where = {"ENDPOINT": f"http://{host}:{port}", "BUCKET": "made-by-test", "REGION": "eu-central-1"}
        # The aws program next to this interpreter.
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        script = EXAMPLES / "bucket/create.sh"
        subprocess.run(["sh", script], check=True, env=os.environ | keys | where | {"PATH": path})
        s3 = boto3.client(
            "s3",
            endpoint_url=where["ENDPOINT"],
            region_name=where["REGION"],
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )
        name = {"Bucket": where["BUCKET"]}
        assert s3.get_bucket_versioning(**name)["Status"] == "Enabled"
        lock = s3.get_object_lock_configuration(**name)["ObjectLockConfiguration"]
        assert lock["ObjectLockEnabled"] == "Enabled" and "Rule" not in lock, lock
        (rule,) = s3.get_bucket_lifecycle_configuration(**name)["Rules"]
        # Current versions are prune's: the lifecycle must never end one.
        assert rule["Expiration"] == {"ExpiredObjectDeleteMarker": True}, rule
        assert rule["NoncurrentVersionExpiration"]["NoncurrentDays"] >= 1, rule
        (statement,) = json.loads(s3.get_bucket_policy(**name)["Policy"])["Statement"]
        assert all(where["BUCKET"] in resource for resource in statement["Resource"]), statement
        assert all(s3.get_public_access_block(**name)["PublicAccessBlockConfiguration"].values())
    finally:
        server.stop()


{"kubernetes": kubernetes, "alerts": alerts, "iam": iam, "bucket": bucket}[sys.argv[1]]()
