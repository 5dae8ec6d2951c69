#!/usr/bin/env python3
"""Decrypts a backup without vault-backup, in case it is no longer available.

usage: decrypt.py KEYFILE BACKUP.enc OUTPUT.snap

Needs Python 3.8 or newer and `pip install cryptography`. KEYFILE contains the key as 64 hex
digits. OUTPUT is created only if every byte of BACKUP is authentic, and is never overwritten.
Reads format 1 and the legacy format, both described in docs/format.md.
"""
import json, os, sys, tempfile

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

MAGIC, SEGMENT, TAG, STREAM_HEADER = b"VLTBKUP1", 1 << 20, 16, 40


def hkdf(key, salt, info):
    return HKDF(hashes.SHA256(), 32, salt, info).derive(key)


def format1(source, key):
    """Yields the authenticated plaintext of each segment."""
    ad = source.read(len(MAGIC) + 2)
    length = int.from_bytes(ad[-2:], "big")
    ad += source.read(length)
    key_id = json.loads(ad[10:])["key_id"]
    if key_id != hkdf(key, b"", b"vault-backup/v1/key-id").hex():
        sys.exit(f"wrong key: the backup is encrypted with key {key_id}")
    stream = source.read(STREAM_HEADER)
    if length > 4096 or len(stream) != STREAM_HEADER or stream[0] != STREAM_HEADER:
        raise ValueError("malformed header")
    cipher, prefix = AESGCM(hkdf(key, stream[1:33], ad)), stream[33:]
    index, segment = 0, source.read(SEGMENT - STREAM_HEADER)
    while True:
        following = source.read(SEGMENT)
        nonce = prefix + index.to_bytes(4, "big") + (b"\0" if following else b"\1")
        if len(segment) < TAG or (index > 0 and len(segment) == TAG) or index == 2**32 - 1:
            raise ValueError("empty segment, or too many segments")
        yield cipher.decrypt(nonce, segment, None)
        if not following:
            return
        index, segment = index + 1, following


def legacy(source, key):
    """Yields the plaintext, which is authentic only after the generator has ended."""
    cipher = Cipher(algorithms.AES(key), modes.GCM(source.read(16), source.read(TAG))).decryptor()
    while chunk := source.read(SEGMENT):
        yield cipher.update(chunk)
    cipher.finalize()


def main(keyfile, backup, output):
    with open(keyfile) as text:
        key = bytes.fromhex(text.read())
    if len(key) != 32:
        sys.exit(f"{keyfile}: expected 64 hex digits")
    if os.path.lexists(output):
        sys.exit(f"{output}: file exists")
    fd, part = tempfile.mkstemp(dir=os.path.dirname(output) or ".")
    try:
        with open(backup, "rb") as source, open(fd, "wb") as target:
            decrypt = format1 if source.read(len(MAGIC)) == MAGIC else legacy
            source.seek(0)
            for plaintext in decrypt(source, key):
                target.write(plaintext)
            target.flush()
            os.fsync(fd)
        os.rename(part, output)
    except BaseException as error:
        os.unlink(part)
        if isinstance(error, (InvalidTag, ValueError, KeyError, TypeError)):
            sys.exit("the backup is damaged, or (legacy format) encrypted with another key")
        raise


if __name__ == "__main__":
    main(*sys.argv[1:]) if len(sys.argv) == 4 else sys.exit(__doc__)
