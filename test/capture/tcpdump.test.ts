import { existsSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import * as layout from "../../assembly/layout.ts";
import { TCPDUMP } from "../../src/capture/tcpdump.ts";
import { parseAddress } from "../../src/net/address.ts";
import { readCapture, truthOf, type Read, type ReadCapture } from "./truth.ts";

const encoder = new TextEncoder();

function read(
  text: string,
  options: { step?: number; hosts?: Readonly<Record<string, string>> } = {},
): ReadCapture {
  const { step, hosts } = options;
  return readCapture(TCPDUMP, encoder.encode(text), {
    ...(step === undefined ? {} : { step }),
    ...(hosts === undefined ? {} : { resolveName: (name) => parseAddress(hosts[name] ?? "") }),
  });
}

function only(text: string): Read {
  const { packets, diagnostics } = read(text);
  expect(diagnostics).toEqual([]);
  expect(packets).toHaveLength(1);
  return packets[0]!;
}

const has = (packet: Read, bits: number): boolean => (packet.known & bits) === bits;
const flagged = (packet: Read, bits: number): boolean => (packet.flags & bits) === bits;

/** `10.0.0.1:80 > 10.0.0.2:81 proto 6`, with `?` for what is not known. */
function show(packet: Read): string {
  const host = (hex: string): string =>
    packet.family === 4 ? [...Buffer.from(hex, "hex")].join(".") : hex;
  const port = (value: number): string => (has(packet, layout.KNOWN_PORTS) ? `:${value}` : "");
  const src = has(packet, layout.KNOWN_SRC) ? host(packet.src) : "?";
  const dst = has(packet, layout.KNOWN_DST) ? host(packet.dst) : "?";
  const protocol = has(packet, layout.KNOWN_PROTOCOL) ? packet.protocol : "?";
  return `${src}${port(packet.sport)} > ${dst}${port(packet.dport)} ${protocol}`;
}

const SYN = "Flags [S], seq 100, win 64240, options [mss 1460], length 0";
const ENDS = "10.0.0.1.4000 > 10.0.0.2.80";

describe("the head of a record", () => {
  it.each([
    ["no time", `IP ${ENDS}: ${SYN}`],
    ["a time of day", `10:52:22.476239 IP ${ENDS}: ${SYN}`],
    ["nanoseconds", `10:52:22.476239001 IP ${ENDS}: ${SYN}`],
    ["epoch seconds", `1700000000.476239 IP ${ENDS}: ${SYN}`],
    ["a date", `2024-02-29 10:52:22.476239 IP ${ENDS}: ${SYN}`],
    ["a delta", ` 00:00:00.000000 IP ${ENDS}: ${SYN}`],
    ["a packet number", `    1  IP ${ENDS}: ${SYN}`],
    ["a number and a date", `  331  2024-02-29 10:52:22.476239 IP ${ENDS}: ${SYN}`],
    ["interface and direction", `10:52:22.476239 cali12 In  IP ${ENDS}: ${SYN}`],
    [
      "MAC addresses",
      `0a:00:00:00:00:01 > 0a:00:00:00:00:02, ethertype IPv4 (0x0800), length 74: ${ENDS}: ${SYN}`,
    ],
    [
      "a named MAC address",
      `10:52:22.476239 0a:00:00:00:00:01 (oui Unknown) > Broadcast, ethertype IPv4 (0x0800), length 74: ${ENDS}: ${SYN}`,
    ],
    [
      "a VLAN tag",
      `10:52:22.476239 0a:00:00:00:00:01 > 0a:00:00:00:00:02, ethertype 802.1Q (0x8100), length 78: vlan 7, p 0, ethertype IPv4 (0x0800), ${ENDS}: ${SYN}`,
    ],
    [
      "cooked frames with -e",
      `10:52:22.476239 eth0  Out ifindex 2 0a:00:00:00:00:01 ethertype IPv4 (0x0800), length 80: ${ENDS}: ${SYN}`,
    ],
    ["a raw link with -e", `10:52:22.476239 ip: ${ENDS}: ${SYN}`],
    ["a loopback link with -e", `10:52:22.476239 AF IPv4 (2), length 64: ${ENDS}: ${SYN}`],
    ["a log's prefix", `[pod/dump] 10:52:22.476239 IP ${ENDS}: ${SYN}`],
    ["a mail quote", `> > 10:52:22.476239 IP ${ENDS}: ${SYN}`],
    ["indentation", `    10:52:22.476239 IP ${ENDS}: ${SYN}`],
    ["bold words", `10:52:22.476239 IP **${ENDS}**: ${SYN}`],
    ["code ticks", `\`10:52:22.476239 IP ${ENDS}: ${SYN}\``],
    ["colours", `\u001b[32m10:52:22.476239\u001b[0m IP ${ENDS}: ${SYN}`],
    ["HTML escapes", `10:52:22.476239 IP ${ENDS.replace(">", "&gt;")}: ${SYN}`],
    ["a byte order mark and CRLF", `\ufeff10:52:22.476239 IP ${ENDS}: ${SYN}\r\n`],
  ])("is read with %s", (_, text) => {
    expect(show(only(text))).toBe("10.0.0.1:4000 > 10.0.0.2:80 6");
  });

  it("gives interfaces and directions", () => {
    const words = ["eth0  In ", "eth0  Out", "lo    B  ", "veth9 M  ", "eth0  P  ", "?     In "];
    const text = words.map((word) => `10:00:00.000000 ${word} IP ${ENDS}: ${SYN}\n`).join("");
    const { packets, reader } = read(text);
    expect(reader.interfaces.map(({ name }) => name)).toEqual(["eth0", "lo", "veth9"]);
    const none = layout.CAPTURE_INTERFACE_NONE;
    expect(packets.map(({ captureInterface }) => captureInterface)).toEqual([0, 0, 1, 2, 0, none]);
    const all = layout.PACKET_INBOUND | layout.PACKET_OUTBOUND | layout.PACKET_OTHER_HOST;
    expect(packets.map(({ flags }) => flags & all)).toEqual([
      layout.PACKET_INBOUND,
      layout.PACKET_OUTBOUND,
      layout.PACKET_INBOUND,
      layout.PACKET_INBOUND,
      layout.PACKET_OTHER_HOST,
      layout.PACKET_INBOUND,
    ]);
  });

  it("takes the interface that tcpdump listens on, until the next command", () => {
    const line = `10:00:00.000000 IP ${ENDS}: ${SYN}\n`;
    const listening =
      "tcpdump: listening on tunl0, link-type RAW (Raw IP), capture size 262144 bytes\n";
    const { packets, reader } = read(`${listening}${line}# tcpdump -ni any\n${line}`);
    expect(reader.interfaces.map(({ name }) => name)).toEqual(["tunl0"]);
    expect(packets.map(({ captureInterface }) => captureInterface)).toEqual([
      0,
      layout.CAPTURE_INTERFACE_NONE,
    ]);
  });

  it("gives MAC addresses, EtherType and VLAN", () => {
    const packet = only(
      `0a:00:00:00:00:01 > 0a:00:00:00:00:02, ethertype 802.1Q (0x8100), length 78: vlan 7, p 0, ethertype IPv4 (0x0800), ${ENDS}: ${SYN}`,
    );
    expect(flagged(packet, layout.PACKET_HAS_MAC)).toBe(true);
    expect([packet.etherType, packet.vlan, packet.originalLength]).toEqual([0x0800, 8, 78]);
  });

  it.each([
    "10:00:00.000000 ARP, Request who-has 10.0.0.1 tell 10.0.0.2, length 28",
    "10:00:00.000000 STP 802.1d, Config, Flags [none], bridge-id 8000.00:19:69:df:dc:01.8015, length 35",
    "10:00:00.000000 LLDP, length 44",
    "0a:00:00:00:00:01 > 0a:00:00:00:00:02, ethertype Unknown (0x88b5), length 60: ",
  ])("knows a frame without IP: %s", (text) => {
    expect(flagged(only(text), layout.PACKET_DECODED | layout.PACKET_NOT_IP)).toBe(true);
  });
});

describe("times", () => {
  const times = (...stamps: string[]): { seconds: number; day: boolean; has: boolean }[] =>
    read(stamps.map((stamp) => `${stamp}IP ${ENDS}: ${SYN}\n`).join("")).packets.map((packet) => ({
      seconds: Number(packet.timestamp / 1000n) / 1e6,
      day: flagged(packet, layout.PACKET_TIME_OF_DAY),
      has: flagged(packet, layout.PACKET_HAS_TIME),
    }));

  it("of day run on over midnight", () => {
    expect(times("23:59:59.500000 ", "00:00:00.500000 ", "00:00:01.000000 ")).toEqual([
      { seconds: 86399.5, day: true, has: true },
      { seconds: 86400.5, day: true, has: true },
      { seconds: 86401, day: true, has: true },
    ]);
  });

  it("of day may be a little out of order", () => {
    const seconds = times("10:00:01.000000 ", "10:00:00.999999 ").map((time) => time.seconds);
    expect(seconds).toEqual([36001, 36000.999999]);
  });

  it("with a date or since 1970 are points in time", () => {
    expect(times("1970-01-02 00:00:01.000000 ")).toEqual([
      { seconds: 86401, day: false, has: true },
    ]);
    expect(times("1700000000.250000 ")).toEqual([
      { seconds: 1700000000.25, day: false, has: true },
    ]);
  });

  it("since the packet before are summed up", () => {
    const seconds = times(
      " 00:00:00.000000 ",
      " 00:00:02.000000 ",
      " 00:00:01.000000 ",
      " 00:00:05.000000 ",
    );
    expect(seconds.map((time) => time.seconds)).toEqual([0, 2, 3, 8]);
  });

  it("since the first packet are taken as they are", () => {
    const seconds = times(" 00:00:00.000000 ", " 00:00:02.000000 ", " 00:00:03.500000 ");
    expect(seconds.map((time) => time.seconds)).toEqual([0, 2, 3.5]);
  });

  it("are absent with -t", () => {
    expect(times("")).toEqual([{ seconds: 0, day: false, has: false }]);
  });
});

describe("the words of a record", () => {
  it.each([
    ["TCP", `IP ${ENDS}: ${SYN}`, "10.0.0.1:4000 > 10.0.0.2:80 6"],
    ["TCP with -q", `IP ${ENDS}: tcp 0`, "10.0.0.1:4000 > 10.0.0.2:80 6"],
    ["TCP before 4.0", `IP ${ENDS}: P 1:5(4) ack 1 win 65535`, "10.0.0.1:4000 > 10.0.0.2:80 6"],
    ["UDP", `IP ${ENDS}: UDP, length 12`, "10.0.0.1:4000 > 10.0.0.2:80 17"],
    [
      "a DNS question",
      "IP 10.0.0.1.4000 > 10.0.0.2.53: 3064+ A? a.example. (61)",
      "10.0.0.1:4000 > 10.0.0.2:53 17",
    ],
    [
      "a DNS answer",
      "IP 10.0.0.2.53 > 10.0.0.1.4000: 3064 NXDomain 0/1/0 (154)",
      "10.0.0.2:53 > 10.0.0.1:4000 17",
    ],
    [
      "a service name",
      "IP 10.0.0.1.4000 > 10.0.0.2.domain: 35789+ AAAA? a. (58)",
      "10.0.0.1:4000 > 10.0.0.2:53 17",
    ],
    [
      "NTP",
      "IP 10.0.0.1.123 > 10.0.0.2.ntp: NTPv4, Client, length 48",
      "10.0.0.1:123 > 10.0.0.2:123 17",
    ],
    ["SCTP", `IP ${ENDS}: sctp (1) [INIT] [init tag: 1]`, "10.0.0.1:4000 > 10.0.0.2:80 132"],
    [
      "ICMP",
      "IP 10.0.0.1 > 10.0.0.2: ICMP echo request, id 7, seq 1, length 64",
      "10.0.0.1 > 10.0.0.2 1",
    ],
    ["IPIP", `IP 172.16.0.1 > 172.16.0.2: IP ${ENDS}: ${SYN}`, "172.16.0.1 > 172.16.0.2 4"],
    [
      "IPIP with -e",
      `00:00:00.000001 0a:00:00:00:00:01 > 0a:00:00:00:00:02, ethertype IPv4 (0x0800), length 94: 172.16.0.1 > 172.16.0.2: ${ENDS}: ${SYN}`,
      "172.16.0.1 > 172.16.0.2 4",
    ],
    [
      "GRE",
      `IP 172.16.0.1 > 172.16.0.2: GREv0, length 64: IP ${ENDS}: ${SYN}`,
      "172.16.0.1 > 172.16.0.2 47",
    ],
    [
      "VXLAN",
      `IP 172.16.0.1.4000 > 172.16.0.2.4789: VXLAN, flags [I] (0x08), vni 1\nIP ${ENDS}: ${SYN}`,
      "172.16.0.1:4000 > 172.16.0.2:4789 17",
    ],
    ["another protocol", "IP 10.0.0.1 > 10.0.0.2: ip-proto-253 8", "10.0.0.1 > 10.0.0.2 253"],
    [
      "IPv6",
      "IP6 ::1.4000 > ::1.80: Flags [S], seq 1, win 1, length 0",
      `${"0".repeat(31)}1:4000 > ${"0".repeat(31)}1:80 6`,
    ],
    [
      "an embedded IPv4 address",
      "IP6 ::ffff:10.0.0.1.53 > ::ffff:10.0.0.2.4000: UDP, length 1",
      "00000000000000000000ffff0a000001:53 > 00000000000000000000ffff0a000002:4000 17",
    ],
    [
      "an address that ends in colons",
      "IP6 fe80:: > ff02::: ICMP6, echo request, id 1, seq 1, length 8",
      `fe80${"0".repeat(28)} > ff02${"0".repeat(28)} 58`,
    ],
    [
      "words that prove no protocol",
      `IP ${ENDS}: 112 getattr fh Unknown/1`,
      "10.0.0.1:4000 > 10.0.0.2:80 ?",
    ],
    [
      "a transaction in place of a port",
      "IP 10.0.0.1.3489728 > 10.0.0.2.2049: 112 getattr fh Unknown/1",
      "10.0.0.1 > 10.0.0.2 ?",
    ],
  ])("tell %s", (_, text, expected) => {
    expect(show(only(text))).toBe(expected);
  });

  it("leave the protocol open where nothing proves it", () => {
    expect(show(only(`IP ${ENDS}: Fl@gs`))).toBe("10.0.0.1:4000 > 10.0.0.2:80 ?");
  });

  it("give the fields of -v, over two lines", () => {
    const packet = only(
      `10:00:00.000000 IP (tos 0x10, ttl 63, id 27473, offset 0, flags [DF], proto TCP (6), length 60)\n    ${ENDS}: Flags [P.], cksum 0x9508 (incorrect -> 0x47d5), seq 1:21, ack 7, win 502, options [nop,nop,TS val 1 ecr 2], length 20\n`,
    );
    expect(show(packet)).toBe("10.0.0.1:4000 > 10.0.0.2:80 6");
    expect([packet.ttl, packet.ipLength, packet.payloadLength]).toEqual([63, 60, 20]);
    expect([packet.tcpFlags, packet.tcpSeq, packet.tcpAck, packet.tcpWindow]).toEqual([
      0x18, 1, 7, 502,
    ]);
    expect(has(packet, layout.KNOWN_TTL | layout.KNOWN_IP_LENGTH | layout.KNOWN_TCP_SEQ)).toBe(
      true,
    );
    expect(flagged(packet, layout.PACKET_RELATIVE_SEQ)).toBe(true);
  });

  it("keep sequence numbers absolute in a SYN, and unknown where tcpdump leaves them out", () => {
    expect(flagged(only(`IP ${ENDS}: ${SYN}`), layout.PACKET_RELATIVE_SEQ)).toBe(false);
    const bare = only(`IP ${ENDS}: Flags [.], ack 1, win 182, length 0`);
    expect(has(bare, layout.KNOWN_TCP_FLAGS | layout.KNOWN_PAYLOAD_LENGTH)).toBe(true);
    expect(has(bare, layout.KNOWN_TCP_SEQ)).toBe(false);
  });

  it.each([
    ["ICMP echo reply, id 7, seq 1, length 64", 0, 0],
    ["ICMP 10.0.0.9 udp port 53 unreachable, length 36", 3, 3],
    ["ICMP host 10.0.0.9 unreachable, length 36", 3, 1],
    ["ICMP host 10.0.0.9 unreachable - admin prohibited, length 36", 3, 10],
    ["ICMP 10.0.0.9 unreachable - need to frag (mtu 1400), length 36", 3, 4],
    ["ICMP time exceeded in-transit, length 36", 11, 0],
  ])("give type and code of %s", (words, type, code) => {
    const packet = only(`IP 10.0.0.1 > 10.0.0.2: ${words}`);
    expect(has(packet, layout.KNOWN_ICMP)).toBe(true);
    expect([packet.icmpType, packet.icmpCode]).toEqual([type, code]);
  });

  it.each([
    ["ICMP6, time exceeded in-transit for fd00::9, length 56", [3, 0]],
    ["ICMP6, time exceeded in-transit (reassembly), length 56", [3, 1]],
    ["ICMP6, time exceeded in-transit[|icmp6]", undefined],
    ["ICMP6, time exceeded in-transit, unknown code (3), length 56", undefined],
    ["ICMP6, parameter problem, next header - octet 6, length 56", [4, 1]],
  ])("give type and code of %s", (words, expected) => {
    const packet = only(`IP6 fd00::1 > fd00::2: ${words}`);
    const known = has(packet, layout.KNOWN_ICMP);
    expect(known ? [packet.icmpType, packet.icmpCode] : undefined).toEqual(expected);
  });

  it("leave type and code open for a phrase that is not in the table", () => {
    expect(has(only("IP 10.0.0.1 > 10.0.0.2: ICMP type-#99, length 8"), layout.KNOWN_ICMP)).toBe(
      false,
    );
  });

  it("give the header that an ICMP error quotes", () => {
    const packet = only(
      "10:00:00.000000 IP (tos 0xc0, ttl 64, id 1, offset 0, flags [none], proto ICMP (1), length 56)\n" +
        "    10.0.0.2 > 10.0.0.1: ICMP 10.0.0.2 udp port 53 unreachable, length 36\n" +
        "\tIP (tos 0x0, ttl 64, id 2, offset 0, flags [DF], proto UDP (17), length 28)\n" +
        "    10.0.0.1.4000 > 10.0.0.2.53: UDP, length 0\n",
    );
    expect(has(packet, layout.KNOWN_QUOTE | layout.KNOWN_ICMP)).toBe(true);
    expect([packet.quotedProtocol, packet.quotedDport]).toEqual([17, 53]);
  });

  it("tell first, later and shown fragments apart", () => {
    const header = (offset: number, flags: string): string =>
      `IP (tos 0x0, ttl 64, id 5, offset ${offset}, flags [${flags}], proto UDP (17), length 1500)\n    `;
    const first = only(`${header(0, "+")}${ENDS}: UDP, length 1600`);
    expect(flagged(first, layout.PACKET_FRAGMENT)).toBe(true);
    expect(show(first)).toBe("10.0.0.1:4000 > 10.0.0.2:80 17");
    const later = only(`${header(1480, "none")}10.0.0.1 > 10.0.0.2: ip-proto-17`);
    expect(flagged(later, layout.PACKET_LATER_FRAGMENT)).toBe(true);
    expect(later.fragmentOffset).toBe(1480);
    // Without -v the offset is not printed, yet the words prove that there is one.
    const bare = only("IP 10.0.0.1 > 10.0.0.2: ip-proto-17");
    expect(flagged(bare, layout.PACKET_LATER_FRAGMENT)).toBe(true);
    expect(has(bare, layout.KNOWN_FRAGMENT)).toBe(false);
    const six = only("IP6 fe80::1 > fe80::2: frag (1448|52)");
    expect(flagged(six, layout.PACKET_LATER_FRAGMENT)).toBe(true);
  });

  it("tell IPv6 ports behind extension headers", () => {
    const packet = only(
      "IP6 ::1 > ::2: HBH (rtalert: 0x0000) (padn) 4000 > 53: [udp sum ok] UDP, length 4",
    );
    expect(show(packet)).toMatch(/1:4000 > 0+2:53 17$/);
  });
});

describe("names", () => {
  const line = "10:00:00.000000 IP web-0.shop.40000 > kube-dns.kube-system.domain: 1+ A? a. (20)\n";

  it("are resolved where somebody knows them", () => {
    const hosts = { "web-0.shop": "10.0.0.1", "kube-dns.kube-system": "10.96.0.10" };
    const { packets, diagnostics } = read(line, { hosts });
    expect(diagnostics).toEqual([]);
    expect(packets.map(show)).toEqual(["10.0.0.1:40000 > 10.96.0.10:53 17"]);
  });

  it("are numbered and reported once where nobody does", () => {
    const { packets, diagnostics, reader } = read(line + line, { hosts: {} });
    expect(packets.map(show)).toEqual(["?:40000 > ?:53 17", "?:40000 > ?:53 17"]);
    expect(packets.map(({ srcName, dstName }) => [srcName, dstName])).toEqual([
      [1, 2],
      [1, 2],
    ]);
    expect(reader.names).toEqual(["web-0.shop", "kube-dns.kube-system"]);
    expect(diagnostics.map(({ code, place }) => [code, place?.line])).toEqual([
      ["UNRESOLVED_NAME", 1],
      ["UNRESOLVED_NAME", 1],
    ]);
  });

  it("of services that nobody knows leave the ports open and are reported once", () => {
    const odd = "IP 10.0.0.1.4000 > 10.0.0.2.no-such-service: Flags [S], seq 1, win 1, length 0\n";
    const { packets, diagnostics } = read(odd + odd);
    expect(packets.map(show)).toEqual(["10.0.0.1 > 10.0.0.2 6", "10.0.0.1 > 10.0.0.2 6"]);
    expect(diagnostics.map(({ code }) => code)).toEqual(["UNRESOLVED_NAME"]);
  });

  it("without ports are whole hosts", () => {
    const text = "IP web-0.shop > 10.0.0.2: ICMP echo request, id 1, seq 1, length 8";
    expect(read(text, { hosts: { "web-0.shop": "10.0.0.1" } }).packets.map(show)).toEqual([
      "10.0.0.1 > 10.0.0.2 1",
    ]);
  });

  it("of the other address family do not count", () => {
    const text = "IP6 web.4000 > ::2.80: Flags [S], seq 1, win 1, length 0";
    expect(read(text, { hosts: { web: "10.0.0.1" } }).packets.map(show)[0]).toMatch(/^\?:4000 > /);
  });
});

/** `-x` of a SYN from 127.0.0.1:55920 to 127.0.0.1:80, as tcpdump's own tests have it. */
const HEAD =
  "10:00:00.000000 IP 127.0.0.1.55920 > 127.0.0.1.80: Flags [S], seq 928549246, win 32767, length 0";
const ROWS = [
  "\t0x0000:  4500 003c 1b68 4000 4006 2152 7f00 0001  E..<.h@.@.!R....",
  "\t0x0010:  7f00 0001 da70 0050 3758 897e 0000 0000  .....p.P7X.~....",
  "\t0x0020:  a002 7fff 1421 0000 0204 400c 0402 080a  .....!....@.....",
  "\t0x0030:  4ddc 9216 0000 0000 0103 0302            M...........",
];

describe("hex dumps", () => {
  it("become frames that start at the IP header", () => {
    const packet = only([HEAD, ...ROWS].join("\n"));
    expect(flagged(packet, layout.PACKET_DECODED)).toBe(false);
    expect([packet.linkType, packet.frame.length]).toEqual([layout.LINK_RAW, 60]);
    expect(truthOf(packet.frame, packet.linkType)).toMatchObject({
      sport: 55920,
      dport: 80,
      protocol: 6,
    });
  });

  it("become Ethernet frames with -xx", () => {
    const packet = only(
      "10:00:00.000000 IP 10.0.0.1.53 > 10.0.0.2.4000: UDP, length 0\n" +
        "\t0x0000:  0a00 0000 0002 0a00 0000 0001 0800 4500\n" +
        "\t0x0010:  001c 0001 0000 4011 0000 0a00 0001 0a00\n" +
        "\t0x0020:  0002 0035 0fa0 0008 0000\n",
    );
    expect([packet.linkType, packet.frame.length]).toEqual([layout.LINK_ETHERNET, 42]);
  });

  it("do not count where they show another packet", () => {
    const packet = only([HEAD.replaceAll("127.0.0.1", "127.0.0.9"), ...ROWS].join("\n"));
    expect(show(packet)).toBe("127.0.0.9:55920 > 127.0.0.9:80 6");
  });

  it("do not count where a row is missing before the ports", () => {
    expect(show(only([HEAD, ROWS[0], ROWS[2], ROWS[3]].join("\n")))).toBe(
      "127.0.0.1:55920 > 127.0.0.1:80 6",
    );
  });

  it("give way to the batch's room: all frames arrive over several batches", () => {
    const record = [HEAD, ...ROWS, ""].join("\n");
    const count = Math.ceil(layout.ARENA_SIZE / 60) + layout.BATCH_PACKETS;
    const { packets, diagnostics } = read(record.repeat(count));
    expect(diagnostics).toEqual([]);
    expect(packets).toHaveLength(count);
    expect(packets.every(({ frame }) => frame.length === 60)).toBe(true);
  });
});

describe("pasted text", () => {
  const long =
    "10:00:00.000000 IP 192.168.14.100.51708 > 192.168.205.137.8080: Flags [P.], seq 100:200, ack 7, win 43200, options [nop,nop,TS val 1289447 ecr 99], length 100";

  it("may be cut anywhere by a terminal", () => {
    const following = "10:00:01.000000 ARP, Request who-has 10.0.0.1 tell 10.0.0.2, length 28";
    for (let width = 20; width < long.length; width += 1) {
      const { packets, diagnostics } = read(
        `${long.slice(0, width)}\n${long.slice(width)}\n${following}\n`,
      );
      expect(packets, `cut at ${width}`).toHaveLength(2);
      expect(diagnostics).toEqual([]);
      const packet = packets[0]!;
      expect(show(packet), `cut at ${width}`).toBe("192.168.14.100:51708 > 192.168.205.137:8080 6");
      if (has(packet, layout.KNOWN_TCP_SEQ))
        expect([packet.tcpSeq, packet.tcpAck, packet.tcpWindow]).toEqual([100, 7, 43200]);
      if (has(packet, layout.KNOWN_PAYLOAD_LENGTH) && width < long.length - 2)
        expect(packet.payloadLength, `cut at ${width}`).toBe(100);
    }
  });

  it("may be wrapped at blanks by mail", () => {
    for (let blank = long.indexOf(" ", 17); blank > 0; blank = long.indexOf(" ", blank + 1)) {
      const { packets } = read(`> ${long.slice(0, blank)}\n> ${long.slice(blank + 1)}\n`);
      expect(packets.map(show)).toEqual(["192.168.14.100:51708 > 192.168.205.137:8080 6"]);
    }
  });

  it("may come in pieces of any size", () => {
    const text = [
      "$ tcpdump -vn",
      long,
      "10:00:02.000000 IP (tos 0x0, ttl 64, id 1, offset 0, flags [DF], proto UDP (17), length 28)",
      "    10.0.0.1.53 > 10.0.0.2.4000: UDP, length 0",
      HEAD,
      ...ROWS,
      "2 packets captured",
    ].join("\r\n");
    const whole = read(text).packets;
    expect(whole).toHaveLength(3);
    for (const step of [1, 2, 7, 64, 100]) expect(read(text, { step }).packets).toEqual(whole);
  });

  it("does not give out a record that may go on", () => {
    const { packets } = read(
      "10:00:00.000000 IP (tos 0x0, ttl 64, id 1, offset 0, flags [DF], proto UDP (17), length 28)\n    10.0.0.1.53 > 10.0.0.2.4000: UDP, length 0\n",
      { step: 10 },
    );
    expect(packets.map(show)).toEqual(["10.0.0.1:53 > 10.0.0.2:4000 17"]);
  });

  it("passes over noise without a word", () => {
    const noise = [
      "root@node:/# tcpdump -i eth0 host 10.0.0.1 > out.txt",
      "dropped privs to tcpdump",
      "64 bytes from 10.0.0.1: icmp_seq=1 ttl=64 time=0.1 ms",
      "I0101 10:00:00.123456       1 main.go:10] started",
      "```",
      "root 1 0.0 0.0 99660 7596 ? Ss 22:54 0:10 /usr/lib/systemd/systemd",
      "IP addresses are 10.0.0.1 and 10.0.0.2.",
      "5 packets captured",
    ];
    const { packets, diagnostics } = read(noise.join("\n"));
    expect(packets).toEqual([]);
    expect(diagnostics).toEqual([]);
  });

  it("puts up with noise inside a record", () => {
    const packet = only(
      "10:00:00.000000 IP (tos 0x0, ttl 64, id 1, offset 0, flags [DF], proto UDP (17), length 28)\n[ 12.5] device eth0 entered promiscuous mode\n    10.0.0.1.53 > 10.0.0.2.4000: UDP, length 0\n",
    );
    expect(show(packet)).toBe("10.0.0.1:53 > 10.0.0.2:4000 17");
  });

  it.each([
    ["a damaged head", "I 10.60.0.10.domain: 35359+ A? www.example. (58)", 3],
    ["ends without their head", "    10.0.0.1.53 > 10.0.0.2.4000: UDP, length 0", 5],
    [
      "a head without ends",
      "10:00:00.000000 IP (tos 0x0, ttl 64, id 1, offset 0, flags [DF], proto UDP (17), length 28)",
      20,
    ],
    ["a wrong address", "10:00:00.000000 IP 10.0.0.256.53 > 10.0.0.2.4000: UDP, length 0", 20],
    ["an unknown link layer", "10:00:00.000000 gibberish", 17],
  ])("reports %s with line and column", (_, line, column) => {
    const { packets, diagnostics } = read(`$ tcpdump\n${line}\n`);
    expect(packets).toEqual([]);
    expect(diagnostics).toHaveLength(1);
    expect(diagnostics[0]).toMatchObject({
      severity: "error",
      code: "UNREADABLE_PACKET_LINE",
      place: { file: "capture", line: 2, column },
    });
  });

  it("counts what it does not report one by one", () => {
    const { diagnostics } = read("10:00:00.000000 gibberish\n".repeat(70));
    expect(diagnostics).toHaveLength(51);
    expect(diagnostics.at(-1)?.message).toContain("20 more lines");
    expect(diagnostics.at(-1)?.message).toContain("70 in all");
  });

  it("may have a line longer than any that tcpdump prints", () => {
    const { packets } = read(
      `${"x".repeat(300_000)}\nIP ${ENDS}: ${SYN}\n${HEAD}${" y".repeat(150_000)}\nIP ${ENDS}: ${SYN}\n`,
      { step: 90_000 },
    );
    expect(packets).toHaveLength(3);
  });
});

describe("detect", () => {
  const detects = (text: string): boolean => TCPDUMP.detect(encoder.encode(text));

  it("claims text with the head of a record somewhere", () => {
    expect(detects(`$ tcpdump -n\nlistening on eth0\n\n10:00:00.000000 IP ${ENDS}: ${SYN}\n`)).toBe(
      true,
    );
  });

  it("claims no other text and no bytes", () => {
    expect(detects("apiVersion: v1\nkind: Pod\n")).toBe(false);
    expect(detects("10:00:00.123456 started the service\n")).toBe(false);
    expect(detects("")).toBe(false);
    expect(detects(`\0\0\n10:00:00.000000 IP ${ENDS}: ${SYN}\n`)).toBe(false);
  });
});

const SHARED = join(import.meta.dirname, "../../../shared");
const SEED = join(SHARED, "seed/tcpdump-cali.txt");
const PASTES = join(SHARED, "corpus/tcpdump-text");
if (!existsSync(SEED)) console.log("skipped: no shared/seed beside this repository");
if (!existsSync(PASTES))
  console.log("skipped: no shared/corpus/tcpdump-text beside this repository");

describe.runIf(existsSync(SEED))("the seed", () => {
  it("is five packets and one damaged line", () => {
    const { packets, diagnostics } = readCapture(TCPDUMP, readFileSync(SEED));
    expect(packets.map(show)).toEqual([
      "10.56.1.14:37059 > 10.60.0.10:53 17",
      "10.60.0.10:53 > 10.56.1.14:37059 17",
      "10.60.0.10:53 > 10.56.1.14:37059 17",
      "10.56.1.14:59177 > 10.60.0.10:53 17",
      "10.56.1.14:59177 > 10.60.0.10:53 17",
    ]);
    expect(diagnostics.map(({ code, place }) => [code, place?.line, place?.column])).toEqual([
      ["UNREADABLE_PACKET_LINE", 2, 52],
    ]);
  });
});

it("says that a header whose length is 0 cannot be read: Linux hands on what is longer than it can say", () => {
  const { packets, diagnostics } = readCapture(TCPDUMP, Buffer.from("1.000000 IP bad-len 0\n"));
  expect(packets).toEqual([]);
  expect(diagnostics.map(({ code }) => code)).toEqual(["UNREADABLE_PACKET_LINE"]);
});

describe.runIf(existsSync(PASTES))("pastes of strangers", () => {
  it("are read whole: so many packets, so many of them IP with both ends", () => {
    const counts = Object.fromEntries(
      readdirSync(PASTES).map((file) => {
        const { packets, diagnostics } = readCapture(TCPDUMP, readFileSync(join(PASTES, file)));
        const both = packets.filter(
          (packet) => has(packet, layout.KNOWN_SRC | layout.KNOWN_DST) || packet.frame.length > 0,
        );
        const lines = diagnostics.filter(({ code }) => code === "UNREADABLE_PACKET_LINE").length;
        return [file.slice(0, 2), [packets.length, both.length, lines]];
      }),
    );
    expect(counts).toEqual({
      "01": [2, 2, 0],
      "03": [3, 3, 0],
      "05": [2, 2, 0],
      "07": [2, 2, 0],
      "09": [5, 5, 0],
      // One end is a host name.
      "11": [6, 0, 0],
      "13": [6, 6, 0],
      // A spanning tree frame.
      "15": [3, 2, 0],
      "17": [6, 6, 0],
      "19": [8, 8, 0],
      "21": [4, 4, 0],
      "23": [3, 3, 0],
      "25": [1, 1, 0],
      "27": [5, 5, 0],
      "29": [4, 4, 0],
      "31": [1, 1, 0],
      // tcpdump misread the cooked header: nothing says what the frame holds.
      "33": [0, 0, 1],
      "35": [9, 9, 0],
    });
  });

  it("and their mutations end, whole or piecemeal alike, without a throw", () => {
    let state = 20260101;
    const random = (below: number): number => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return Math.floor((state / 2 ** 32) * below);
    };
    const texts = readdirSync(PASTES).map((file) => readFileSync(join(PASTES, file)));
    for (let round = 0; round < 1500; round += 1) {
      const bytes = Uint8Array.from(texts[random(texts.length)]!);
      for (let flips = random(12); flips >= 0; flips -= 1) {
        const at = random(bytes.length);
        if (random(3) === 0) bytes.copyWithin(at, random(bytes.length), random(bytes.length));
        else bytes[at] = random(4) === 0 ? random(256) : "\n >.:([,0 ".charCodeAt(random(10));
      }
      const whole = readCapture(TCPDUMP, bytes);
      const pieces = readCapture(TCPDUMP, bytes, { step: 1 + random(200) });
      expect(pieces.packets, `round ${round}`).toEqual(whole.packets);
      expect(pieces.diagnostics).toEqual(whole.diagnostics);
    }
  });
});

describe("time", () => {
  it.each([
    ["parentheses", "10:00:00.000000 IP (tos 0x0, ".padEnd(60_000, "(")],
    ["brackets", "10:00:00.000000 IP ".padEnd(60_000, "[a] ")],
    ["arrows", " > ".repeat(20_000)],
    ["addresses", "10.0.0.1.53 ".repeat(5_000)],
    ["colons", "10:00:00.000000 ".repeat(4_000)],
    ["extension headers", "IP6 ::1 > ::2: ".padEnd(60_000, "HBH (padn) ")],
    ["quotes", "> ".repeat(30_000)],
    ["option words", `IP ${ENDS}: Flags [S], seq 1`.padEnd(60_000, ", options [nop")],
  ])("of a line grows with its length, whatever is in it: %s", (_, line) => {
    const elapsed = (count: number): number => {
      const start = performance.now();
      read(`${line}\n`.repeat(count));
      return performance.now() - start;
    };
    elapsed(1);
    // Sixty thousand characters of a quadratic scan would take seconds.
    expect(elapsed(4)).toBeLessThan(1500);
  });
});

describe("IPv4 options of -v", () => {
  it.each([
    ["options (RA)", layout.SHOWN_OPTIONS_SOUND],
    ["options (RA), bad cksum 0 (->1d92)!", layout.SHOWN_OPTIONS_SOUND],
    [
      "options (timestamp TS{TSONLY ^ 1@ 2@}), bad cksum 1234 (->1d92)!",
      layout.SHOWN_OPTIONS_SOUND,
    ],
    ["options (LSRR 10.0.0.1,EOL), bad cksum 0 (->2881)!", layout.SHOWN_OPTIONS_ROUTE],
    ["options (RR [bad length 200]), bad cksum 0 (->2881)!", layout.SHOWN_OPTIONS_BAD],
    ["bad cksum 0 (->2881)!", layout.SHOWN_OPTIONS_NONE],
  ])("are those in their own parentheses: %s", (words, expected) => {
    const header = `(tos 0x0, ttl 64, id 1, offset 0, flags [DF], proto UDP (17), length 40, ${words})`;
    const text = `10:00:00.000001 IP ${header}\n    10.0.0.1.80 > 10.0.0.2.81: UDP, length 8\n`;
    expect(only(text).shownOptions).toBe(expected);
  });
});

describe("frames of -qe", () => {
  const MACS = "10:00:00.000001 02:00:00:00:02:05 > 02:00:00:00:01:00,";

  it.each([
    ["IPv4, length 50: 10.0.0.1.80 > 10.0.0.2.81: UDP, length 8", "10.0.0.1:80 > 10.0.0.2:81 17"],
    [
      "IPv4, length 50: 10.0.0.1 > 10.0.0.2: ICMP echo reply, id 1, seq 1, length 8",
      "10.0.0.1 > 10.0.0.2 1",
    ],
    [
      "802.1Q, length 54: vlan 2, p 0, IPv4, 10.0.0.1.80 > 10.0.0.2.81: tcp 8",
      "10.0.0.1:80 > 10.0.0.2:81 6",
    ],
  ])("have their type's name alone: %s", (words, expected) => {
    expect(show(only(`${MACS} ${words}\n`))).toBe(expected);
  });

  it.each([
    "ARP, length 42: Request who-has 1.2.3.5 tell 1.2.3.4, length 28",
    "LLDP, length 54: LLDP, length 40",
    "Unknown Ethertype (0x1234), length 54: ",
    "802.3, length 38: LLC, dsap STP (0x42) Individual",
  ])("are none of IP: %s", (words) => {
    expect(flagged(only(`${MACS} ${words}\n`), layout.PACKET_NOT_IP)).toBe(true);
  });

  it.each([
    "Homa, length 54: 10.0.0.1 > 10.0.0.2: tcp 8",
    "Homa, length 54: ethertype IPv4 (0x0800), length 40: 10.0.0.1 > 10.0.0.2: tcp 8",
    "802.1Q, length 54: vlan 2, p 0, Homa, 10.0.0.1 > 10.0.0.2: tcp 8",
    "802.1Q, length 54: vlan",
  ])("are unreadable where the name is none that is known: %s", (words) => {
    const { packets } = read(`${MACS} ${words}\n`);
    expect(packets.some((packet) => flagged(packet, layout.PACKET_NOT_IP))).toBe(false);
    expect(packets.some((packet) => has(packet, layout.KNOWN_SRC))).toBe(false);
  });
});
