"""A minimal S3 multipart client: no checksums, no payload hash, zero copies. Measures the server's maximum throughput."""

import concurrent.futures
import datetime
import hashlib
import hmac
import http.client
import os
import re
import urllib.parse

from servers import ACCESS_KEY, BUCKET, REGION, SECRET_KEY

PART = 8 << 20
WORKERS = 4


def presigned(host, method, path, query):
    """Returns path and query of a request, signed with SigV4 in the query; the payload is unsigned."""
    now = datetime.datetime.now(datetime.UTC).strftime("%Y%m%dT%H%M%SZ")
    scope = f"{now[:8]}/{REGION}/s3/aws4_request"
    query = query | {
        "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
        "X-Amz-Credential": f"{ACCESS_KEY}/{scope}",
        "X-Amz-Date": now,
        "X-Amz-Expires": "3600",
        "X-Amz-SignedHeaders": "host",
    }
    text = urllib.parse.urlencode(sorted(query.items()), quote_via=urllib.parse.quote, safe="-_.~")
    request = f"{method}\n{path}\n{text}\nhost:{host}\n\nhost\nUNSIGNED-PAYLOAD"
    to_sign = f"AWS4-HMAC-SHA256\n{now}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
    key = b"AWS4" + SECRET_KEY.encode()
    for word in scope.split("/"):
        key = hmac.digest(key, word.encode(), "sha256")
    return f"{path}?{text}&X-Amz-Signature={hmac.digest(key, to_sign.encode(), 'sha256').hex()}"


def send(host, method, path, query, body=b"", file=None, start=0, length=0):
    """Sends `body`, or a range of `file` by sendfile. Returns the ETag and text of the response."""
    connection = http.client.HTTPConnection(host)  # sendfile needs a blocking socket
    connection.putrequest(method, presigned(host, method, path, query))
    connection.putheader("Content-Length", str(length if file else len(body)))
    connection.endheaders(None if file else body)
    if file:
        end = start + length
        while start < end:
            start += os.sendfile(connection.sock.fileno(), file.fileno(), start, end - start)
    answer = connection.getresponse()
    text = answer.read().decode()
    if answer.status >= 300:
        raise SystemExit(f"bench: {method} {path}: {answer.status} {text}")
    return answer.headers.get("ETag"), text


def upload(url, key, source):
    """Uploads the file `source` in parts of 8 MiB, four at a time."""
    host, path = urllib.parse.urlsplit(url).netloc, f"/{BUCKET}/{key}"
    _, answer = send(host, "POST", path, {"uploads": ""})
    upload_id = re.search("<UploadId>(.*)</UploadId>", answer)[1]
    with open(source, "rb") as file, concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
        size = os.fstat(file.fileno()).st_size

        def part(number):
            start = (number - 1) * PART
            query = {"partNumber": str(number), "uploadId": upload_id}
            return send(host, "PUT", path, query, file=file, start=start, length=min(PART, size - start))[0]

        tags = list(pool.map(part, range(1, -(-size // PART) + 1)))
    parts = "".join(f"<Part><PartNumber>{n}</PartNumber><ETag>{tag}</ETag></Part>" for n, tag in enumerate(tags, 1))
    body = f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>"
    send(host, "POST", path, {"uploadId": upload_id}, body.encode())
