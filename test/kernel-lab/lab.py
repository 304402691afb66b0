"""Asks the Linux kernel: loads rule tables into a network namespace of its own, sends packets through
it in order, and says by which interface each one came out.

Reads one JSON object from standard input, writes one to standard output. Both namespaces have no name
and belong to this process and its child: when they end, however they end, nothing is left.
"""
import ctypes
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile

CLONE_NEWNET = 0x40000000
libc = ctypes.CDLL(None, use_errno=True)

NODE_MAC = "02:00:00:00:01:00"
WIRE_MAC = "02:00:00:00:02:00"
MARKER_TYPE = 0x88B5
ETH_P_ALL = 3
PACKET_OUTGOING = 4
# Marks what this process sends as the node itself; no rule looks at this bit.
OWN_MARK = 1
RECEIVED_PROTOCOLS = [1, 6, 17, 47, 58, 132]


def check(result, what):
    if result != 0:
        raise OSError(ctypes.get_errno(), what)


def run(*command, text=None):
    done = subprocess.run(command, input=text, text=True, capture_output=True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip() or done.returncode}")
    return done.stdout


def write(path, value):
    try:
        with open(path, "w") as file:
            file.write(str(value))
    except FileNotFoundError:
        pass


def start_wire():
    """Starts the child that owns the other namespace; returns its process id."""
    ready_read, ready_write = os.pipe()
    child = os.fork()
    if child == 0:
        libc.prctl(1, signal.SIGKILL)
        check(libc.unshare(CLONE_NEWNET), "unshare")
        os.write(ready_write, b"x")
        while True:
            signal.pause()
    os.read(ready_read, 1)
    return child


def in_namespace(fd, action):
    here = os.open("/proc/self/ns/net", os.O_RDONLY)
    check(libc.setns(fd, CLONE_NEWNET), "setns")
    try:
        return action()
    finally:
        check(libc.setns(here, CLONE_NEWNET), "setns")
        os.close(here)


def set_up_links(task, wire_pid, wire):
    batch, wire_batch, six = ["link set lo up"], [], []
    for name in task["interfaces"]:
        batch.append(f"link add {name} address {NODE_MAC} type veth peer name {name} netns {wire_pid}")
        wire_batch.append(f"link set {name} address {WIRE_MAC}")
    run("ip", "-batch", "-", text="\n".join(batch) + "\n")

    def wire_up():
        for name in ["all", "default"] + task["interfaces"]:
            write(f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6", 1)
        up = wire_batch + [f"link set {name} up" for name in task["interfaces"]]
        run("ip", "-batch", "-", text="\n".join(up) + "\n")
        for name in task["interfaces"]:
            offloads(name)

    in_namespace(wire, wire_up)
    for name in ["all", "default"] + task["interfaces"]:
        for key, value in {"rp_filter": 0, "send_redirects": 0, "accept_local": 1, "accept_redirects": 0}.items():
            write(f"/proc/sys/net/ipv4/conf/{name}/{key}", value)
        for key, value in {"accept_dad": 0, "dad_transmits": 0, "accept_ra": 0, "router_solicitations": 0, "forwarding": 1}.items():
            write(f"/proc/sys/net/ipv6/conf/{name}/{key}", value)
    write("/proc/sys/net/ipv4/ip_forward", 1)
    write("/proc/sys/net/ipv4/icmp_ratelimit", 0)
    write("/proc/sys/net/ipv6/icmp/ratelimit", 0)
    for key, value in task["sysctls"].items():
        write(f"/proc/sys/net/{key}", value)
    up = []
    for name in task["interfaces"]:
        offloads(name)
        up.append(f"link set {name} up")
    for address in task["addresses"]:
        bits = 128 if ":" in address else 32
        nodad = " nodad" if ":" in address else ""
        up.append(f"addr add {address}/{bits} dev eth0{nodad}")
    for gateway in ["169.254.1.1", "fe80::1"]:
        up.append(f"neigh add {gateway} lladdr {WIRE_MAC} dev eth0 nud permanent")
    up.append("route add default via 169.254.1.1 dev eth0 onlink")
    six.append("route add default via fe80::1 dev eth0 onlink")
    for address, name in task["routes"]:
        (six if ":" in address else up).append(f"route add {address} dev {name}")
        up.append(f"neigh add {address} lladdr {WIRE_MAC} dev {name} nud permanent")
    # The node itself is silent: what it would answer would change conntrack behind the capture's back.
    for rules in (up, six):
        rules.append(f"rule add pref 10 fwmark {OWN_MARK}/{OWN_MARK} lookup main")
        rules.append("rule add pref 20 iif lo blackhole")
    run("ip", "-batch", "-", text="\n".join(up) + "\n")
    run("ip", "-6", "-batch", "-", text="\n".join(six) + "\n")


def offloads(name):
    subprocess.run(
        ["ethtool", "-K", name, "tx", "off", "rx", "off", "gro", "off", "gso", "off", "tso", "off"],
        capture_output=True,
    )


def load_tables(task):
    os.environ["XTABLES_LOCKFILE"] = os.path.join(tempfile.gettempdir(), f"kernel-lab-{os.getpid()}.lock")
    try:
        if task["ipsets"]:
            run("ipset", "restore", text=task["ipsets"])
        saved = {}
        for family, command in (("4", "iptables"), ("6", "ip6tables")):
            text = task["tables"][family]
            if text:
                run(f"{command}-{task['backend']}-restore", text=text)
            saved[family] = run(f"{command}-{task['backend']}-save")
        return saved
    finally:
        if os.path.exists(os.environ["XTABLES_LOCKFILE"]):
            os.unlink(os.environ["XTABLES_LOCKFILE"])


def wide(sock):
    try:
        sock.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)  # SO_RCVBUFFORCE
    except PermissionError:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    sock.setblocking(False)
    return sock


def packet_socket(name, kind=ETH_P_ALL):
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(kind))
    sock.bind((name, kind))
    return wide(sock)


def number_of(packet):
    """Packets carry their number in the IPv4 identification or the IPv6 flow label."""
    if packet[0] >> 4 == 4:
        return struct.unpack_from("!H", packet, 4)[0]
    return struct.unpack_from("!I", packet, 0)[0] & 0xFFFFF


def source_port(packet):
    """The first two bytes behind the IP header; a port in the protocols that have ports."""
    start = (packet[0] & 15) * 4 if packet[0] >> 4 == 4 else 40
    return struct.unpack_from("!H", packet, start)[0] if len(packet) >= start + 2 else 0


def main():
    task = json.load(sys.stdin)
    os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[0]})
    check(libc.unshare(CLONE_NEWNET), "unshare")
    child = start_wire()
    try:
        wire = os.open(f"/proc/{child}/ns/net", os.O_RDONLY)
        set_up_links(task, child, wire)
        saved = load_tables(task)
        json.dump({"saved": saved, "seen": send_all(task, wire)}, sys.stdout)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def send_all(task, wire):
    names = task["interfaces"]
    outside = in_namespace(wire, lambda: {name: packet_socket(name) for name in names})
    marker_in = packet_socket(names[0], MARKER_TYPE)
    receivers = []
    for protocol in RECEIVED_PROTOCOLS:
        receivers.append((4, wide(socket.socket(socket.AF_INET, socket.SOCK_RAW, protocol))))
        six = wide(socket.socket(socket.AF_INET6, socket.SOCK_RAW, protocol))
        six.setsockopt(socket.IPPROTO_IPV6, 11, 1)  # IPV6_FLOWINFO
        receivers.append((6, six))
    own = {
        4: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW),
        6: socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_RAW),
    }
    own[6].setsockopt(socket.IPPROTO_IPV6, 36, 1)  # IPV6_HDRINCL
    for sock in own.values():
        sock.setsockopt(socket.SOL_SOCKET, 36, OWN_MARK)  # SO_MARK
    seen = {}

    def drain():
        for name, sock in outside.items():
            while True:
                try:
                    frame, source = sock.recvfrom(65536)
                except BlockingIOError:
                    break
                kind = struct.unpack_from("!H", frame, 12)[0]
                if source[2] == PACKET_OUTGOING or kind not in (0x0800, 0x86DD):
                    continue
                packet = frame[14:]
                number = number_of(packet)
                if number != 0:
                    seen.setdefault(number, []).append([name, source_port(packet)])
        for family, sock in receivers:
            while True:
                try:
                    data, controls, _, _ = sock.recvmsg(65536, 512)
                except BlockingIOError:
                    break
                number = 0
                if family == 4:
                    number = number_of(data)
                for level, kind, value in controls:
                    if level == socket.IPPROTO_IPV6 and kind == 11:
                        number = struct.unpack("!I", value)[0] & 0xFFFFF
                if number != 0:
                    seen.setdefault(number, []).append(["local", 0])

    # Twice: the first one passes what was sent, the second what the node sent on meanwhile.
    marker = bytes(12) + struct.pack("!H", MARKER_TYPE) + bytes(46)

    def settle():
        for _ in range(3):
            outside[names[0]].send(marker)
            if not select.select([marker_in], [], [], 5)[0]:
                raise RuntimeError("the marker was lost")
            marker_in.recv(100)
        drain()

    settle()
    for index, (interface, text) in enumerate(task["packets"]):
        packet = bytes.fromhex(text)
        if interface == "local":
            family = packet[0] >> 4
            target = packet[16:20] if family == 4 else packet[24:40]
            kind = socket.AF_INET if family == 4 else socket.AF_INET6
            try:
                own[family].sendto(packet, (socket.inet_ntop(kind, target), 0))
            except OSError:
                # A packet dropped in OUTPUT is refused to its sender.
                pass
        else:
            mac = bytes.fromhex(NODE_MAC.replace(":", "")) + bytes.fromhex(WIRE_MAC.replace(":", ""))
            kind = b"\x08\x00" if packet[0] >> 4 == 4 else b"\x86\xdd"
            outside[interface].send(mac + kind + packet)
        if index % task["every"] == task["every"] - 1:
            settle()
    settle()
    return seen


main()
