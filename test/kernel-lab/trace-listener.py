"""Hears the kernel's own traces (`-j TRACE`) of the network namespace it runs in: those of nf_tables as
`xtables-monitor --trace` does, those of the older tables by the packet log that would else go to the
kernel's messages.

For each line on standard input it answers with one line of JSON: what was traced since, in order, as
`[table, chain, "rule" | "return" | "policy", number]`; nf_tables names no number for a policy: null. The
end of a chain that was jumped to is nothing that nf_tables traces under a rule's name: it is left out.
"""
import json
import socket
import struct
import sys

NETFILTER = 12  # NETLINK_NETFILTER
NFTABLES, PACKET_LOG = 10 << 8, 4 << 8
GET_RULE, NEW_RULE, TRACE = NFTABLES | 7, NFTABLES | 6, NFTABLES | 17
DONE = 3
POLICY = 1
PREFIX = b"TRACE: "


def open_socket():
    sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETFILTER)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
    # Without a port of its own it would pass for the sender, who hears nothing.
    sock.bind((0, 0))
    return sock


def messages(data):
    at = 0
    while at + 20 <= len(data):
        size, kind = struct.unpack_from("=IH", data, at)
        yield kind, data[at + 16], data[at + 20 : at + size]
        at += size + 3 & ~3


def attributes(data):
    found, at = {}, 0
    while at + 4 <= len(data):
        size, kind = struct.unpack_from("=HH", data, at)
        found[kind & 0x3FFF] = data[at + 4 : at + size]
        at += size + 3 & ~3
    return found


def name(value):
    return value.rstrip(b"\0").decode()


def request(kind, flags, family, resource, *parts):
    body = struct.pack("!BBH", family, 0, resource) + b"".join(parts)
    return struct.pack("=IHHII", 16 + len(body), kind, flags, 0, 0) + body


def attribute(kind, value):
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def rule_numbers():
    """Position in its chain, from 1, of each rule of nf_tables, by family, table and handle."""
    numbers, lengths = {}, {}
    with open_socket() as sock:
        sock.send(request(GET_RULE, 0x301, 0, 0))
        while True:
            for kind, family, body in messages(sock.recv(1 << 20)):
                if kind == DONE:
                    return numbers
                if kind != NEW_RULE:
                    continue
                found = attributes(body)
                chain = (family, name(found[1]), name(found[2]))
                lengths[chain] = lengths.get(chain, 0) + 1
                numbers[(family, name(found[1]), found[3])] = lengths[chain]


def hear_nft():
    sock = open_socket()
    sock.setsockopt(270, 1, 9)  # SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, NFNLGRP_NFTRACE
    sock.setblocking(False)
    return sock


def hear_legacy():
    for family in (2, 10):
        with open(f"/proc/sys/net/netfilter/nf_log/{family}", "w") as file:
            file.write("nfnetlink_log")
    sock = open_socket()
    # Group 0, where traces go; no bytes of the packets; told at once, one by one.
    sock.send(request(PACKET_LOG | 1, 1, 0, 0, attribute(1, bytes([1]))))
    settings = attribute(2, struct.pack("!IBB", 0, 1, 0)), attribute(5, struct.pack("!I", 1))
    sock.send(request(PACKET_LOG | 1, 1, 0, 0, *settings))
    sock.setblocking(False)
    return sock


def drain(sock):
    while True:
        try:
            yield from messages(sock.recv(1 << 17))
        except BlockingIOError:
            return


def main():
    numbers = rule_numbers()
    nft, legacy = hear_nft(), hear_legacy()
    print("[]", flush=True)
    for _ in sys.stdin:
        steps = []
        for kind, family, body in drain(nft):
            found = attributes(body)
            # Tables of the other families are the lab's own.
            if kind != TRACE or family not in (2, 10):
                continue
            table, chain = name(found[1]), name(found[2])
            if 3 in found:
                steps.append([table, chain, "rule", numbers[(family, table, found[3])]])
            elif struct.unpack("!I", found[4])[0] == POLICY:
                steps.append([table, chain, "policy", None])
        for kind, _, body in drain(legacy):
            prefix = attributes(body).get(10, b"") if kind == PACKET_LOG else b""
            if prefix.startswith(PREFIX):
                table, rest = name(prefix)[len(PREFIX) :].split(":", 1)
                chain, what, number = rest.rsplit(":", 2)
                steps.append([table, chain, what, int(number)])
        print(json.dumps(steps), flush=True)


main()
