"""What each rule of tacita.yaml must find (`ruleid:`, on the next line) and must not (`ok:`). Never run or imported."""

import datetime
import json
import logging
import os

import msgspec
import numpy as np

# ok: log-name
log = logging.getLogger("tacita.example")
# ruleid: log-name
_other = logging.getLogger("tacita.example")
# ruleid: log-name
logging.getLogger("tacita").warning("hello")
# ruleid: log-name
logging.warning("hello")
# ruleid: log-name
from logging import getLogger
# ruleid: log-name
import logging as quiet


def logs(error, item, hits, keys, what, home, level):
    # ok: log-literal, log-keyword, log-argument, log-traceback
    log.info("nothing to do")
    # ok: log-argument, log-argument-of-places, log-literal
    log.warning("vault %s: %d hits of kind %s (%s, %s)", keys.name, len(hits), what.kind.value, error.code, type(error).__name__)
    # ok: log-argument-of-places
    # ruleid: log-argument
    log.warning("the root key is in %s", home)
    # ruleid: log-literal
    log.info(f"found {item.text}")
    # ruleid: log-literal
    log.info("found " + item.text)
    # ruleid: log-literal
    log.info("found %s" % item.text)
    # ruleid: log-literal
    log.info("found {}".format(item.text))
    # ruleid: log-literal
    log.error(error)
    # ruleid: log-argument, log-argument-of-places
    log.debug("found %s", item.text)
    # ruleid: log-argument, log-argument-of-places
    log.debug("%d of %s", len(hits), item.content)
    # ruleid: log-argument, log-argument-of-places
    log.debug("searched for %r", what.query)
    # ruleid: log-argument, log-argument-of-places
    log.debug("added %s", what.messages)
    # ok: log-argument-of-places
    # ruleid: log-argument
    log.error("it failed (%s)", error)
    # ruleid: log-argument, log-argument-of-places
    log.error("it failed (%s)", str(error))
    # ruleid: log-keyword
    log.error("it failed (%s)", error.code, exc_info=True)
    # ruleid: log-keyword
    log.error("it failed", extra={"item": item})
    # ruleid: log-keyword, log-argument, log-argument-of-places
    log.error("it failed %s", *hits)
    # ruleid: log-traceback
    log.exception("it failed")
    # ruleid: log-traceback
    log.log(level, "it failed")
    import traceback

    # ruleid: log-traceback
    traceback.print_exc()
    # ruleid: log-traceback
    return traceback.format_exception(error)


def errors(item, hit):
    if hit:
        # ruleid: error-content
        raise ValueError(f"cannot keep {item.text!r}")
    if item:
        # ruleid: error-content
        raise ValueError("cannot keep %s" % item.metadata) from None
    # ok: error-content
    raise ValueError(f"cannot keep {item.id}: {len(item.text)} characters, {type(item.metadata).__name__}")


class Item:
    def __repr__(self):
        # ruleid: repr-content
        return f"<Item {self.text}>"

    def __rich_repr__(self):
        # ruleid: repr-content
        yield "metadata", self.metadata

    def __str__(self):
        # ok: repr-content
        return self.text


class Sized:
    def __repr__(self):
        # ok: repr-content
        return f"<Sized {self.id}, {len(self.text)} characters>"


def parse(data, file, path, address, header):
    # ruleid: parse-untyped
    json.loads(data)
    # ruleid: parse-untyped
    msgspec.json.decode(data)
    # ruleid: parse-untyped
    msgspec.msgpack.decode(data, strict=False)
    # ruleid: parse-untyped
    json.JSONDecoder(strict=False).raw_decode(data)
    import tomllib

    # ruleid: parse-untyped
    tomllib.load(file)
    # ok: parse-untyped
    # ruleid: parse-typed
    msgspec.json.decode(data, type=Item)
    # ruleid: parse-typed
    decoder: msgspec.msgpack.Decoder[Item] = msgspec.msgpack.Decoder(Item)
    # ruleid: parse-typed
    msgspec.convert(data, Item)
    # ok: parse-typed, parse-untyped
    msgspec.json.encode(data)
    # ruleid: parse-never
    np.load(path)
    # ok: parse-never
    np.frombuffer(data, np.uint8)
    import ast

    # ruleid: parse-never
    ast.literal_eval(data)
    # ruleid: parse-never
    import yaml
    # ruleid: parse-never
    import xml.etree.ElementTree as ElementTree
    # ruleid: parse-never
    from xml.etree import ElementTree
    # ruleid: parse-never
    import zipfile
    from urllib.parse import quote, urlsplit

    # ruleid: parse-url
    urlsplit(address)
    # ok: parse-url
    quote(address)
    # ruleid: parse-date
    datetime.datetime.fromisoformat(data)
    # ok: parse-date
    datetime.datetime.fromtimestamp(data, datetime.UTC)
    import dateparser

    # ruleid: parse-date
    dateparser.parse(data)
    # ruleid: parse-binary
    header.unpack(data)
    # ruleid: parse-binary
    bytes.fromhex(data)
    import base64

    # ruleid: parse-binary
    base64.b64decode(data, validate=True)
    # ok: parse-binary
    base64.b64encode(data)
    # ok: parse-binary
    header.pack(data)


def compare(row, event, mac, keys, log_, equal):
    # ruleid: constant-time
    if row.digest == event.digest:
        return
    # ruleid: constant-time
    if mac != keys.mac(row):
        return
    # ruleid: constant-time
    if event == row.item_tag:
        return
    # ruleid: constant-time
    if bytes(log_.chains[:32]) != event:
        return
    # ok: constant-time
    if not equal(row.digest, event.digest) or len(mac) != 32 or log_.seq == row.seq:
        return


def files(path, flags):
    # ruleid: file-write
    path.write_text("words")
    # ruleid: file-write
    open(path, "w", encoding="utf-8")
    # ruleid: file-write
    path.open(mode="xb")
    # ok: file-write
    path.open("rb")
    # ok: file-write
    open(path)
    # ok: file-mode
    # ruleid: file-write
    handle = os.open(path, os.O_CREAT | os.O_WRONLY, 0o600)
    # ruleid: file-mode, file-write
    handle = os.open(path, os.O_CREAT | os.O_WRONLY, 0o644)
    # ruleid: file-mode
    handle = os.open(path, os.O_CREAT | os.O_WRONLY)
    # ok: file-mode, file-write
    handle = os.open(path, os.O_RDONLY)
    # ruleid: file-write
    os.fdopen(handle, "wb")
    # ruleid: file-write
    with new_file(path) as file:
        file.write(b"words")
    # ruleid: file-write
    create_file(path, b"words")
    # ruleid: file-write
    replace_file(path, b"words")
    # ruleid: file-mode
    path.mkdir(parents=True)
    # ok: file-mode
    path.mkdir(mode=0o700, parents=True)
    # ruleid: file-mode
    os.chmod(path, 0o644)
    # ok: file-mode
    path.chmod(0o600)


def reaching(address, credential, context):
    # ruleid: file-temporary
    import tempfile
    # ok: file-temporary, process, database
    import time
    # ruleid: process
    import subprocess
    # ruleid: process
    from ctypes import CDLL
    # ruleid: process
    os.system("true")
    # ok: process
    os.getpid()
    # ruleid: database
    import sqlite3
    # ruleid: credential
    key = credential.reveal()
    # ok: credential
    key = credential.reference
    import ssl

    import httpx2

    # ruleid: tls
    httpx2.Client(verify=False)
    # ok: tls
    httpx2.Client(verify=True)
    # ruleid: tls
    context.check_hostname = False
    # ruleid: tls
    context.verify_mode = ssl.CERT_NONE
