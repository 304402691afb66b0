"""The kernel lab: a node in network namespaces of its own, with rule tables in the real kernel.

Reads one line of JSON, the node, from standard input; sets the node up and answers with one line of JSON:
the kernel's own words about what was loaded. Then reads batches of packets, sends each batch in order and
answers with what came out where. Ends when its input ends. The namespaces have no name and belong to this
process alone: when it ends, however it ends, nothing is left.

The node is silent: what it would say by itself never gets past OUTPUT, so the packets that are sent are
the only ones that rules and conntrack see.

A batch, little-endian:   u32 count, u32 bytes, count of (u16 interface, u16 unused, u32 length), the bytes
Its answer:               u32 sent, u32 sights, u32 bytes, sent of u64 time,
                          sights of (u16 interface, u16 unused, u32 length, u64 time), the bytes
An interface is its position in the node's list; LOCAL stands for the node itself. What is sent to an
interface is an Ethernet frame, everything else an IP packet. Times are nanoseconds since 1970. A batch of
no packets asks for the tables as they are now, one of no packets and CONNECTIONS bytes for what conntrack
lists: the answer is u32 length and JSON.
"""
import array
import ctypes
import errno
import fcntl
import ipaddress
import json
import mmap
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import time

CLONE_NEWNET = 0x40000000
libc = ctypes.CDLL(None, use_errno=True)

LOCAL = 0xFFFF
CONNECTIONS = 1
BACKENDS = {"legacy", "nft"}
FAMILIES = {"4": "iptables", "6": "ip6tables"}
# A marker behind every so many packets keeps all queues short.
EVERY = 64
MARKER_TYPE = 0x88B5
MARKER = bytes(12) + struct.pack("!H", MARKER_TYPE) + bytes(46)
ETH_P_ALL = 3
# Tells what this process sends as the node from what the node says by itself; taken off before any rule.
OWN_MARK = 0x6C616221
# The log group by which this process hears what was delivered to the node.
EARS = 61621


def check(result, what):
    if result != 0:
        raise OSError(ctypes.get_errno(), what)


def run(*command, text=None, fds=()):
    done = subprocess.run(command, input=text, text=True, capture_output=True, pass_fds=fds)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip() or done.returncode}")
    return done.stdout


def write(path, value):
    try:
        with open(path, "w") as file:
            file.write(str(value))
    except FileNotFoundError:
        pass


def own_namespace():
    check(libc.unshare(CLONE_NEWNET), "unshare")
    return os.open("/proc/self/ns/net", os.O_RDONLY)


def enter(namespace):
    check(libc.setns(namespace, CLONE_NEWNET), "setns")


# ── The node ──────────────────────────────────────────────────────────────────────────────────────────


def set_up_node(node, home, wire):
    """Interfaces, addresses, routes and settings; ends in the node's namespace."""
    names = [each["name"] for each in node["interfaces"]]
    enter(home)
    own_chains()
    path = f"/proc/{os.getpid()}/fd/{wire}"
    run("ip", "-batch", "-", text="".join(f"{line}\n" for line in link_lines(node, path)))
    enter(wire)
    for name in ["all", "default", *names]:
        write(f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6", 1)
    run("ip", "-batch", "-", text="".join(f"link set {name} arp off up\n" for name in names))
    for name in names:
        stop_offloads(name)
    enter(home)
    quiet = {"rp_filter": 0, "accept_redirects": 0}
    quiet6 = {"accept_dad": 0, "dad_transmits": 0, "accept_ra": 0, "router_solicitations": 0, "forwarding": 1}
    for name in ["all", "default", *names]:
        for key, value in quiet.items():
            write(f"/proc/sys/net/ipv4/conf/{name}/{key}", value)
        for key, value in quiet6.items():
            write(f"/proc/sys/net/ipv6/conf/{name}/{key}", value)
    write("/proc/sys/net/ipv4/ip_forward", 1)
    for key, value in node["sysctls"].items():
        write(f"/proc/sys/net/{key}", value)
    up = ["link set lo up"]
    for each in node["interfaces"]:
        stop_offloads(each["name"])
        # No neighbour is ever asked for: every frame leaves.
        up.append(f"link set {each['name']} arp off up")
        for address in each["addresses"]:
            up.append(f"addr add {address} dev {each['name']}{' nodad' if ':' in address else ''}")
    run("ip", "-batch", "-", text="".join(f"{line}\n" for line in up))
    bridges = node.get("bridges", [])
    run("ip", "-batch", "-", text="".join(f"{line}\n" for each in bridges for line in bridge_lines(each)))
    for each in bridges:
        for neighbour in each["neighbours"]:
            run("bridge", "fdb", "replace", neighbour["mac"], "dev", neighbour["port"], "master", "static")
    for family in ("4", "6"):
        lines = "".join(f"route add {line}\n" for line in node["routes"][family])
        if lines:
            run("ip", f"-{family}", "-batch", "-", text=lines)


def bridge_lines(bridge):
    name = bridge["name"]
    yield f"link add {name} address {bridge['mac']} type bridge mcast_snooping 0"
    for port in bridge["ports"]:
        yield f"link set {port} master {name}"
    yield f"link set {name} up"
    for address in bridge["addresses"]:
        yield f"addr add {address} dev {name}{' nodad' if ':' in address else ''}"
    # A bridge asks for neighbours, whatever its ports do.
    for each in bridge["neighbours"]:
        yield f"neigh replace {each['address']} lladdr {each['mac']} dev {name} nud permanent"


def link_lines(node, wire):
    for each in node["interfaces"]:
        name, mtu = each["name"], each.get("mtu", 1500)
        mac = f" address {each['mac']}" if each.get("mac") else ""
        yield f"link add {name}{mac} mtu {mtu} type veth peer name {name} mtu {mtu} netns {wire}"
        if each.get("group"):
            yield f"link set {name} group {each['group']}"
        # A link-local address that is given takes the place of the kernel's own.
        if any(address.lower().startswith("fe80:") for address in each["addresses"]):
            yield f"link set {name} addrgenmode none"


def stop_offloads(name):
    """Checksums are then as the packets have them, and no packet is put together or cut up."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with sock:
        # Receive and transmit checksums, TSO, GSO, GRO (SIOCETHTOOL).
        for command in (0x15, 0x17, 0x1F, 0x24, 0x2C):
            value = array.array("I", [command, 0])
            address, _ = value.buffer_info()
            request = struct.pack("16sP", name.encode(), address)
            try:
                fcntl.ioctl(sock, 0x8946, request.ljust(40, b"\0"))
            except OSError as error:
                if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
                    raise


def attribute(kind, value):
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def nested(kind, *parts):
    return attribute(kind | 0x8000, b"".join(parts))


def number(kind, value):
    return attribute(kind, struct.pack("!i", value))


def text(kind, value):
    return attribute(kind, value.encode() + b"\0")


def message(kind, family, resource, flags, *parts):
    body = struct.pack("!BBH", family, 0, resource) + b"".join(parts)
    return struct.pack("=IHHII", 16 + len(body), kind, flags, 0, 0) + body


def netfilter_socket():
    return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12)  # NETLINK_NETFILTER


def ask(sock, *messages):
    """Sends one request; raises with the kernel's answer when it is an error."""
    sock.settimeout(5)
    sock.send(b"".join(messages))
    code = struct.unpack_from("=i", sock.recv(65536), 16)[0]
    if code != 0:
        raise OSError(-code, f"netfilter: {os.strerror(-code)}")


INET, NFTABLES, CREATE, ACK = 1, 10 << 8, 0x401, 4
OUTPUT, INPUT = 3, 1
TABLE = "kernel-lab"
FIRST, LAST = -(1 << 31), (1 << 31) - 1


def own_chains():
    """Two nf_tables chains around all others: in OUTPUT one that stops all but what carries OWN_MARK, in
    INPUT one that copies what got to the end to EARS."""

    def expression(name, *parts):
        return nested(1, text(1, name), nested(2, *parts))

    def chain(name, hook, priority, policy):
        place = nested(4, number(1, hook), number(2, priority))
        return message(
            NFTABLES | 3, INET, 0, CREATE, text(1, TABLE), text(3, name), place, number(5, policy), text(7, "filter")
        )

    def rule(name, *expressions):
        return message(NFTABLES | 6, INET, 0, CREATE | 0x800, text(1, TABLE), text(2, name), nested(4, *expressions))

    with netfilter_socket() as sock:
        ask(
            sock,
            message(16, 0, 10, 1),
            message(NFTABLES | 0, INET, 0, CREATE | ACK, text(1, TABLE)),
            chain("silence", OUTPUT, FIRST, 0),
            rule(
                "silence",
                expression("meta", number(1, 1), number(2, 3)),
                expression("cmp", number(1, 1), number(2, 0), nested(3, attribute(1, struct.pack("=I", OWN_MARK)))),
                expression("immediate", number(1, 1), nested(2, attribute(1, bytes(4)))),
                expression("meta", number(3, 1), number(2, 3)),
                expression("immediate", number(1, 0), nested(2, nested(2, number(1, 1)))),
            ),
            chain("ears", INPUT, LAST, 1),
            rule("ears", expression("log", attribute(1, struct.pack("!H", EARS)))),
            message(17, 0, 10, 1),
        )


def wait_for_addresses(node):
    """IPv6 addresses and their routes are made by a worker of the kernel's, whenever it comes to it."""
    for _ in range(1000):
        links = json.loads(run("ip", "-6", "-j", "addr"))
        routes = json.loads(run("ip", "-6", "-j", "route", "show", "table", "local"))
        addresses = [(link["ifname"], each) for link in links for each in link.get("addr_info", [])]
        there = {(route["dev"], route["dst"]) for route in routes}
        # A router answers for the first address of each subnet, too.
        wanted = {(name, each["local"]) for name, each in addresses} | {
            (name, str(ipaddress.ip_network(f"{each['local']}/{each['prefixlen']}", False)[0]))
            for name, each in addresses
            if each["prefixlen"] < 127 and node["sysctls"].get("ipv6/conf/all/forwarding", 1)
        }
        if wanted <= there and not any(each.get("tentative") for _, each in addresses):
            return
        time.sleep(0.002)
    raise RuntimeError("IPv6 addresses were not ready within seconds")


def load_tables(node):
    if node["ipsets"]:
        run("ipset", "restore", text=node["ipsets"])
    # Of two tables of one name the one loaded later comes first: legacy, as a dump is read.
    for backend, texts in sorted(node["tables"].items(), reverse=True):
        for family, text in texts.items():
            if text:
                run(f"{FAMILIES[family]}-{backend}-restore", text=text)


def save_tables(node, *options):
    saved = {}
    for backend in node["tables"]:
        saved[backend] = {
            family: run(f"{command}-{backend}-save", *options) for family, command in FAMILIES.items()
        }
    return saved


def describe(node):
    routes = [json.loads(run("ip", "-j", f"-{family}", "route", "show", "table", "all")) for family in "46"]
    return {
        "tables": save_tables(node),
        "ipsets": run("ipset", "save"),
        "addresses": run("ip", "-d", "-j", "addr"),
        "routes": json.dumps(routes[0] + routes[1]),
    }


# ── Packets ───────────────────────────────────────────────────────────────────────────────────────────


class Ring:
    """Everything that the node's interfaces put on their wires, read from memory shared with the kernel."""

    BLOCK = 1 << 20
    BLOCKS = 8
    KINDS = (0x0800, 0x86DD)

    def __init__(self, largest):
        self.slot = 2048
        while self.slot < largest + 128:
            self.slot *= 2
        self.slots = self.BLOCK * self.BLOCKS // self.slot
        self.next = 0
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        sock.setsockopt(263, 10, 1)  # PACKET_VERSION: TPACKET_V2
        sock.setsockopt(263, 23, 1)  # PACKET_IGNORE_OUTGOING: what this process sends
        request = struct.pack("IIII", self.BLOCK, self.BLOCKS, self.slot, self.slots)
        sock.setsockopt(263, 5, request)  # PACKET_RX_RING
        self.memory = mmap.mmap(sock.fileno(), self.BLOCK * self.BLOCKS)
        protocol = socket.htons(ETH_P_ALL)
        address = struct.pack("=HHiHBB8s", socket.AF_PACKET, protocol, 0, 0, 0, 0, bytes(8))
        check(libc.bind(sock.fileno(), address, len(address)), "bind")
        self.sock = sock

    def drain(self, numbers, heads, bodies):
        memory, at = self.memory, self.next
        while True:
            start = at * self.slot
            status, _, length, mac, _, seconds, nanoseconds = struct.unpack_from("=IIIHHII", memory, start)
            if not status & 1:
                break
            interface = struct.unpack_from("=i", memory, start + 36)[0]
            frame = memory[start + mac : start + mac + length]
            if struct.unpack_from("!H", frame, 12)[0] in self.KINDS and interface in numbers:
                heads.append((numbers[interface], 0, length - 14, seconds * 1_000_000_000 + nanoseconds))
                bodies.append(frame[14:])
            struct.pack_into("=I", memory, start, 0)
            at = (at + 1) % self.slots
        self.next = at

    def lost(self):
        return struct.unpack("II", self.sock.getsockopt(263, 6, 8))[1]  # PACKET_STATISTICS


class Ears:
    """What got through INPUT, as the kernel's packet log tells it."""

    def __init__(self):
        self.sock = netfilter_socket()
        ask(self.sock, message(4 << 8 | 1, 0, EARS, 1 | ACK, attribute(1, bytes([1]))))
        ask(
            self.sock,
            message(
                4 << 8 | 1,
                0,
                EARS,
                1 | ACK,
                attribute(2, struct.pack("!IBB", 0xFFFF, 2, 0)),
                # Told at once, one by one.
                number(5, 1),
            ),
        )
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        self.sock.setblocking(False)

    def drain(self, heads, bodies):
        while True:
            try:
                data = self.sock.recv(1 << 17)
            except BlockingIOError:
                return
            at = 0
            while at + 20 <= len(data):
                size, kind = struct.unpack_from("=IH", data, at)
                if kind == 4 << 8:
                    self.hear(data[at + 20 : at + size], heads, bodies)
                at += size + 3 & ~3

    def hear(self, attributes, heads, bodies):
        at = 0
        while at + 4 <= len(attributes):
            size, kind = struct.unpack_from("=HH", attributes, at)
            if kind == 9:
                heads.append((LOCAL, 0, size - 4, time.time_ns()))
                bodies.append(attributes[at + 4 : at + size])
                return
            at += size + 3 & ~3


class Mouth:
    """Sends as the node itself."""

    def __init__(self):
        self.four = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
        self.six = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_RAW)
        self.six.setsockopt(socket.IPPROTO_IPV6, 36, 1)  # IPV6_HDRINCL
        self.four.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        for sock in (self.four, self.six):
            sock.setsockopt(socket.SOL_SOCKET, 36, OWN_MARK)  # SO_MARK

    def say(self, packet):
        try:
            if packet[0] >> 4 == 4:
                self.four.sendto(packet, (socket.inet_ntop(socket.AF_INET, packet[16:20]), 0))
            else:
                self.six.sendto(packet, (socket.inet_ntop(socket.AF_INET6, packet[24:40]), 0))
        except OSError:
            # A packet that is dropped in OUTPUT, or has no route, is refused to its sender.
            pass


class Wire:
    """The other ends of the node's interfaces, and the node's own processes."""

    def __init__(self, node, home, wire):
        names = [each["name"] for each in node["interfaces"]]
        enter(wire)
        self.ring = Ring(max(each.get("mtu", 1500) for each in node["interfaces"]) + 14)
        self.numbers = {socket.if_nametoindex(name): at for at, name in enumerate(names)}
        self.ends = [self.end(name, 0) for name in names]
        enter(home)
        self.marker = self.end(names[0], MARKER_TYPE)
        self.ears = Ears()
        self.mouth = Mouth()

    def end(self, name, kind):
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(kind))
        sock.bind((name, kind))
        return sock

    def settle(self):
        """Three markers: one passes what was sent, one what the node sent on, one what it sent to itself."""
        for _ in range(3):
            self.ends[0].send(MARKER)
            if not select.select([self.marker], [], [], 5)[0]:
                raise RuntimeError("the marker was lost")
            self.marker.recv(100)

    def cross(self, packets, data):
        """Sends packets in order; gives when each was sent, and what came out."""
        times, heads, bodies = array.array("Q"), [], []
        ends, say, now = self.ends, self.mouth.say, time.time_ns
        at = 0
        for index, (interface, _, length) in enumerate(packets, 1):
            packet = data[at : at + length]
            at += length
            times.append(now())
            if interface == LOCAL:
                say(packet)
            else:
                ends[interface].send(packet)
            if index % EVERY == 0 or index == len(packets):
                self.settle()
                self.ring.drain(self.numbers, heads, bodies)
                self.ears.drain(heads, bodies)
        if self.ring.lost():
            raise RuntimeError("packets that came out were lost")
        return times, heads, bodies


def answer(output, batch):
    times, heads, bodies = batch
    output.write(struct.pack("<III", len(times), len(heads), sum(head[2] for head in heads)))
    output.write(times.tobytes())
    pack = struct.Struct("<HHIQ").pack
    output.write(b"".join(pack(*head) for head in heads))
    output.write(b"".join(bodies))
    output.flush()


def main():
    source, output = sys.stdin.buffer, sys.stdout.buffer
    node = json.loads(source.readline())
    os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[-1]})
    # A lock of this lab alone, in no folder: nobody waits for it, and nobody finds it afterwards.
    os.environ["XTABLES_LOCKFILE"] = f"/proc/{os.getpid()}/fd/{os.memfd_create('xtables-lock')}"
    wire, home = own_namespace(), own_namespace()
    set_up_node(node, home, wire)
    load_tables(node)
    wait_for_addresses(node)
    crossing = Wire(node, home, wire)
    output.write(json.dumps(describe(node)).encode() + b"\n")
    output.flush()
    while len(head := source.read(8)) == 8:
        count, size = struct.unpack("<II", head)
        if count == 0:
            asked = run("conntrack", "-L") if size == CONNECTIONS else save_tables(node, "-c")
            text = json.dumps(asked).encode()
            output.write(struct.pack("<I", len(text)) + text)
            output.flush()
            continue
        packets = list(struct.iter_unpack("<HHI", source.read(8 * count)))
        answer(output, crossing.cross(packets, source.read(size)))


# Whoever started this process ends its input when it is no longer wanted.
signal.signal(signal.SIGINT, signal.SIG_IGN)
try:
    main()
except (RuntimeError, OSError) as failure:
    sys.exit(f"{failure}")
