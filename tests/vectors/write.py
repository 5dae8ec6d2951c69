"""Writes the objects that vectors.json describes, with an independent implementation.

usage: write.py DIR | write.py --update

Writes DIR/NAME.enc for every good vector. `--update` recomputes the sizes and hashes in vectors.json.
"""
import hashlib, json, pathlib, sys

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

HERE = pathlib.Path(__file__).parent / "vectors.json"
SEGMENT, TAG, STREAM_HEADER = 1 << 20, 16, 40
INLINE = 1024  # objects up to this size are stored in vectors.json as hex


def plaintext(size):
    blocks = (hashlib.sha256(i.to_bytes(8, "big")).digest() for i in range(-(-size // 32)))
    return b"".join(blocks)[:size]


def format1(key, vector):
    header = vector["header"].encode()
    salt, prefix = bytes.fromhex(vector["salt"]), bytes.fromhex(vector["prefix"])
    ad = b"VLTBKUP1" + len(header).to_bytes(2, "big") + header
    cipher = AESGCM(HKDF(hashes.SHA256(), 32, salt, ad).derive(key))
    plain, room, segments = plaintext(vector["plaintext_size"]), SEGMENT - STREAM_HEADER - TAG, []
    while True:
        segments.append(plain[:room])
        plain, room = plain[room:], SEGMENT - TAG
        if not plain:
            break
    out = ad + bytes([STREAM_HEADER]) + salt + prefix
    for i, segment in enumerate(segments):
        last = i == len(segments) - 1
        out += cipher.encrypt(prefix + i.to_bytes(4, "big") + bytes([last]), segment, None)
    return out


def legacy(key, vector):
    iv = bytes.fromhex(vector["iv"])
    encrypted = AESGCM(key).encrypt(iv, plaintext(vector["plaintext_size"]), None)
    return iv + encrypted[-TAG:] + encrypted[:-TAG]


def write(key, vector):
    return (format1 if vector["layout"] == "format1" else legacy)(key, vector)


def main(argument):
    vectors = json.loads(HERE.read_text())
    key = bytes.fromhex(vectors["key"])
    for vector in vectors["good"]:
        data = write(key, vector)
        found = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        if len(data) <= INLINE:
            found["object"] = data.hex()
        if argument == "--update":
            vector.update(found)
            continue
        for name, value in found.items():
            if vector[name] != value:
                sys.exit(f"{vector['name']}: {name} is {value}, vectors.json has {vector[name]}")
        (pathlib.Path(argument) / f"{vector['name']}.enc").write_bytes(data)
    if argument == "--update":
        HERE.write_text(json.dumps(vectors, indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:]) if len(sys.argv) == 2 else sys.exit(__doc__)
