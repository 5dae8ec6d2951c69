"""Reads and writes format 1 with Google Tink's streaming AEAD, an independent implementation.

usage: tink_check.py decrypt DIR                   prints NAME SHA256 or NAME refused for every DIR/*.enc
       tink_check.py encrypt DIR HEADER SIZE...    writes DIR/SIZE.enc with the vectors' plaintext

DIR/key contains the key as hex.
"""
import hashlib, io, pathlib, sys

import tink
from tink import cleartext_keyset_handle, streaming_aead
from tink.proto import aes_gcm_hkdf_streaming_pb2, common_pb2, tink_pb2

from write import plaintext


def primitive(key):
    streaming_aead.register()
    message = aes_gcm_hkdf_streaming_pb2.AesGcmHkdfStreamingKey(
        version=0,
        key_value=key,
        params=aes_gcm_hkdf_streaming_pb2.AesGcmHkdfStreamingParams(
            ciphertext_segment_size=1 << 20, derived_key_size=32, hkdf_hash_type=common_pb2.SHA256
        ),
    )
    keyset = tink_pb2.Keyset(primary_key_id=1)
    keyset.key.add(
        key_id=1,
        status=tink_pb2.ENABLED,
        output_prefix_type=tink_pb2.RAW,
        key_data=tink_pb2.KeyData(
            type_url="type.googleapis.com/google.crypto.tink.AesGcmHkdfStreamingKey",
            value=message.SerializeToString(),
            key_material_type=tink_pb2.KeyData.SYMMETRIC,
        ),
    )
    handle = cleartext_keyset_handle.read(tink.BinaryKeysetReader(keyset.SerializeToString()))
    return handle.primitive(streaming_aead.StreamingAead)


def main(command, directory, *arguments):
    directory = pathlib.Path(directory)
    aead = primitive(bytes.fromhex((directory / "key").read_text()))
    if command == "decrypt":
        for path in sorted(directory.glob("*.enc")):
            data = path.read_bytes()
            ad = data[: 10 + int.from_bytes(data[8:10], "big")]
            try:
                with aead.new_decrypting_stream(io.BytesIO(data[len(ad) :]), ad) as stream:
                    print(path.stem, hashlib.sha256(stream.read()).hexdigest())
            except (tink.TinkError, OSError):
                print(path.stem, "refused")
        return
    header, sizes = arguments[0].encode(), arguments[1:]
    ad = b"VLTBKUP1" + len(header).to_bytes(2, "big") + header
    for size in sizes:
        with open(directory / f"{size}.enc", "wb") as out:
            out.write(ad)
            with aead.new_encrypting_stream(out, ad) as stream:
                stream.write(plaintext(int(size)))


if __name__ == "__main__":
    main(*sys.argv[1:]) if len(sys.argv) > 2 else sys.exit(__doc__)
