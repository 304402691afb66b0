/**
 * What Linux 6.18 was seen to do with single packets and short sequences, and this machine's kernel does:
 * each line is a few rules for one source of packets, and what becomes of them.
 */
import { describe, expect, it } from "vitest";

import { parseNode } from "../../src/dump/node.ts";
import type { PacketVerdict } from "../../src/engine/verdict.ts";
import { frameOf, numberedPacket, numberOf } from "../../src/lab/frames.ts";
import { startLab } from "../../src/lab/lab.ts";
import type { Backend } from "../../src/match/extension.ts";
import type { Family } from "../../src/net/address.ts";
import { buildPacket, buildPcapng, ICMP, SCTP, TCP, UDP, type PacketSpec } from "../frames.ts";
import { judgeCapture } from "../judge.ts";
import { haveLab } from "./have-lab.ts";

const BACKENDS: readonly Backend[] = ["legacy", "nft"];
const MACS = { eth0: "02:00:00:00:01:00", cali1: "02:00:00:00:01:02" } as const;
const POD = { 4: "10.65.0.1", 6: "fd00:65::1" } as const;
const NODE = { 4: "192.0.2.1", 6: "2001:db8::1" } as const;
const INTERFACES = [
  { name: "eth0", mac: MACS.eth0, addresses: [`${NODE[4]}/24`, `${NODE[6]}/64`] },
  { name: "cali1", mac: MACS.cali1, addresses: [] },
];
const ROUTES = {
  4: ["10.65.0.1 dev cali1", "default via 192.0.2.254 dev eth0"],
  6: ["fd00:65::1 dev cali1", "default via 2001:db8::fe dev eth0"],
};

/** A packet of a case: from its client to the pod, or back. */
interface Step {
  readonly back?: true | undefined;
  readonly packet: Partial<PacketSpec>;
  /** What it quotes, as ICMP errors do: a packet from the client. */
  readonly quotes?: Step;
  /** Changes the IP packet as it was built. */
  readonly bend?: (packet: Uint8Array) => Uint8Array;
}

/** What is asked: rules for one client's packets, and for each of these whether it is dropped. */
interface Case {
  readonly says: string;
  readonly family?: Family;
  /** Rules of the client's own chain, which forwarded packets walk; or of a chain from raw PREROUTING. */
  readonly rules?: readonly string[];
  readonly raw?: readonly string[];
  /** Rules for what it sends, or is sent, in the built-in chain. */
  readonly main?: readonly string[];
  /** Behind `-A PREROUTING` of table nat. */
  readonly nat?: string;
  readonly steps: readonly Step[];
  /** `.` for each packet that gets through, `x` for those that do not; of nft where it differs. */
  readonly legacy: string;
  readonly nft?: string;
}

const clientOf = (index: number, family: Family): string =>
  family === 4 ? `203.0.113.${index + 1}` : `2001:db8:ffff::${(index + 1).toString(16)}`;

const udp = (packet: Partial<PacketSpec> = {}): Step => ({
  packet: { protocol: UDP, sourcePort: 4000, destinationPort: 53, ...packet },
});
const tcp = (flags: string, more: Partial<PacketSpec> = {}): Step => ({
  packet: { protocol: TCP, flags, sourcePort: 4000, destinationPort: 80, seq: 1000, ...more },
});
const sctp: Step = { packet: { protocol: SCTP, sourcePort: 4000, destinationPort: 80 } };
const ping: Step = { packet: { protocol: ICMP, icmp: { type: 8 } } };
const other: Step = { packet: { protocol: 253, payload: new Uint8Array(16) } };

/** An IPv4 header's length. */
const HEADER = 20;

/** The packet with so many bytes behind its header. */
function cutTo(step: Step, bytes: number): Step {
  return { ...step, bend: (packet) => sized(packet.slice(0, HEADER + bytes)) };
}

/** The packet as a fragment at this offset, in units of 8 bytes. */
function fragmentAt(step: Step, offset: number): Step {
  return {
    ...step,
    bend: (packet) => {
      const copy = packet.slice();
      new DataView(copy.buffer).setUint16(6, offset);
      return copy;
    },
  };
}

function sized(packet: Uint8Array): Uint8Array {
  new DataView(packet.buffer).setUint16(2, packet.length);
  return packet;
}

/** The packet behind an IPv6 extension header of 8 bytes. */
function behind(step: Step, header: number, bytes: readonly number[]): Step {
  return {
    ...step,
    bend: (packet) => {
      const [next = 0] = packet.subarray(6, 7);
      const longer = Uint8Array.of(
        ...packet.subarray(0, 40),
        ...[next, ...bytes],
        ...packet.subarray(40),
      );
      longer[6] = header;
      new DataView(longer.buffer).setUint16(4, longer.length - 40);
      return longer;
    },
  };
}

const HOP_BY_HOP = [0, 1, 4, 0, 0, 0, 0] as const;
const LATER = [0, 0, 8, 0, 0, 0, 1] as const;

const SETS = [
  "create ports bitmap:port range 0-1024",
  "add ports 80",
  "create services hash:ip,port",
  ...["tcp:80", "sctp:80", "icmp:echo-request", "253:0"].map(
    (port) => `add services ${POD[4]},${port}`,
  ),
  "create nets hash:net",
  "add nets 10.65.0.0/16",
  "add nets 10.65.0.0/24 nomatch",
  "create exact hash:net",
  ...["10.65.0.0/16", "10.65.0.0/24 nomatch", POD[4]].map((entry) => `add exact ${entry}`),
  "create six hash:ip family inet6",
  "create pods hash:ip",
  `add pods ${POD[4]}`,
  "create mixed list:set",
  ...["six", "services", "pods"].map((member) => `add mixed ${member}`),
  "",
].join("\n");

/** No rule follows connections: fragments stay what they are. */
const WITHOUT_CONNECTIONS: readonly Case[] = [
  // ── Backends
  {
    says: "a short TCP header is dropped by any look at ports, even to return",
    rules: ["-p tcp -m tcp --dport 80 -j RETURN"],
    steps: [cutTo(tcp("S"), 12), tcp("S")],
    legacy: "x.",
    nft: "..",
  },
  {
    says: "a short TCP header is none to -p tcp alone",
    rules: ["-p tcp -j RETURN"],
    steps: [cutTo(tcp("S"), 4)],
    legacy: ".",
  },
  {
    says: "SCTP's port match drops headers that end too early",
    rules: ["-p sctp -m sctp --dport 80 -j RETURN"],
    steps: [cutTo(sctp, 8), sctp],
    legacy: "x.",
  },
  {
    says: "eight bytes of TCP are enough for multiport and sets",
    rules: [
      "-p tcp -m multiport --dports 81 -j DROP",
      "-m set --match-set services src,src -j DROP",
    ],
    steps: [cutTo(tcp("S"), 8)],
    legacy: ".",
  },
  {
    says: "a fragment at offset 8 is dropped by any look at TCP",
    rules: ["-p tcp -m tcp --dport 80 -j RETURN"],
    steps: [fragmentAt(tcp("S"), 1)],
    legacy: "x",
    nft: ".",
  },
  {
    says: "a later fragment has no ports; nft reads its bytes",
    rules: ["-p udp -m udp --dport 53 -j DROP"],
    steps: [fragmentAt(udp(), 100)],
    legacy: ".",
    nft: "x",
  },
  {
    says: "nor has it others than those",
    rules: ["-p udp -m udp ! --dport 54 -j DROP"],
    steps: [fragmentAt(udp(), 100)],
    legacy: ".",
    nft: "x",
  },
  {
    says: "multiport matches a later fragment in neither sense",
    rules: ["-p udp -m multiport --dports 53 -j DROP", "-p udp -m multiport ! --dports 54 -j DROP"],
    steps: [fragmentAt(udp(), 100)],
    legacy: ".",
  },
  {
    says: "no ICMP type matches a later fragment",
    rules: ["-p icmp -m icmp --icmp-type 8 -j DROP", "-p icmp -m icmp --icmp-type any -j DROP"],
    steps: [fragmentAt(ping, 100), ping],
    legacy: ".x",
  },
  {
    says: "a later fragment is in no set of ports",
    rules: ["-m set ! --match-set services dst,dst -j DROP"],
    steps: [fragmentAt(tcp("S"), 100), tcp("S")],
    legacy: "x.",
  },
  {
    says: "iptables-nft 1.8.9 loads two negated ports as not both of them",
    rules: ["-p udp -m udp ! --sport 4000 ! --dport 54 -j DROP"],
    steps: [udp()],
    legacy: ".",
    nft: "x",
  },
  // ── Chains and interfaces
  {
    says: "behind a goto the calling chain goes on nowhere",
    rules: ["-g EMPTY", "-j DROP"],
    steps: [udp()],
    legacy: ".",
  },
  {
    says: "RETURN in a built-in chain ends at its policy",
    main: ["-j RETURN", "-j DROP"],
    steps: [udp()],
    legacy: ".",
  },
  {
    says: "so does a goto from one",
    main: ["-g EMPTY", "-j DROP"],
    steps: [udp()],
    legacy: ".",
  },
  {
    says: "before routing there is no interface to leave by",
    raw: ["-o cali+ -j DROP"],
    steps: [udp()],
    legacy: ".",
  },
  {
    says: "which is any interface, and not another one",
    raw: ["-o + -m udp -p udp --dport 53 -j DROP", "! -o eth0 -j DROP"],
    steps: [udp(), udp({ destinationPort: 54 })],
    legacy: "xx",
  },
  // ── Sets
  {
    says: "bitmap:port has ports of TCP and UDP only",
    rules: ["-m set --match-set ports dst -j DROP"],
    steps: [tcp("S"), udp({ destinationPort: 80 }), sctp],
    legacy: "xx.",
  },
  {
    says: "hash:ip,port has those of SCTP, types of ICMP, and protocols without ports",
    rules: ["-m set --match-set services dst,dst -j DROP"],
    steps: [tcp("S"), sctp, ping, other, udp({ destinationPort: 80 })],
    legacy: "xxxx.",
  },
  {
    says: "too few directions never match, negated always",
    rules: [
      "-m set --match-set services dst -j DROP",
      "-p tcp -m set ! --match-set services dst -j DROP",
    ],
    steps: [sctp, tcp("S")],
    legacy: ".x",
  },
  {
    says: "directions too many are nothing",
    rules: ["-m set --match-set pods dst,src -j DROP"],
    steps: [udp()],
    legacy: "x",
  },
  {
    says: "a list skips members of the other family and of more dimensions",
    rules: ["-m set --match-set mixed dst -j DROP"],
    steps: [udp()],
    legacy: "x",
  },
  {
    says: "nomatch of the longest prefix decides, and is not in the set to ! either",
    rules: ["-m set --match-set nets dst -j DROP", "-p udp -m set ! --match-set nets dst -j DROP"],
    steps: [tcp("S"), udp()],
    legacy: ".x",
  },
  {
    says: "a longer prefix behind it is in",
    rules: ["-m set --match-set exact dst -j DROP"],
    steps: [udp()],
    legacy: "x",
  },
  // ── Types of addresses
  {
    says: "the node's own IPv4 address is no UNICAST",
    raw: ["-m addrtype --dst-type UNICAST -j DROP"],
    steps: [udp({ destination: NODE[4] }), udp()],
    legacy: ".x",
  },
  {
    says: "its own IPv6 address is",
    family: 6,
    raw: ["-m addrtype --dst-type UNICAST -j DROP"],
    steps: [udp({ destination: NODE[6] })],
    legacy: "x",
  },
  {
    says: "of several types IPv4 has one",
    raw: ["-m addrtype --dst-type LOCAL,MULTICAST -j DROP"],
    steps: [udp({ destination: NODE[4] })],
    legacy: "x",
  },
  {
    says: "and IPv6 all of them",
    family: 6,
    raw: ["-m addrtype --dst-type LOCAL,MULTICAST -j DROP"],
    steps: [udp({ destination: NODE[6] })],
    legacy: ".",
  },
  // ── IPv6
  {
    says: "ports are seen through hop-by-hop options",
    family: 6,
    rules: ["-p udp -m udp --dport 53 -j DROP"],
    steps: [behind(udp(), 0, HOP_BY_HOP)],
    legacy: "x",
  },
  {
    says: "ports are seen through destination options",
    family: 6,
    rules: ["-p udp -m udp --dport 53 -j DROP"],
    steps: [behind(udp(), 60, HOP_BY_HOP)],
    legacy: "x",
  },
  {
    says: "-p matches a later fragment of IPv6",
    family: 6,
    rules: ["-p udp -j DROP"],
    steps: [behind(udp(), 44, LATER)],
    legacy: "x",
  },
  {
    says: "which has no ports",
    family: 6,
    rules: ["-p udp -m udp --dport 53 -j DROP"],
    steps: [behind(udp(), 44, LATER)],
    legacy: ".",
  },
];

const server = { sourcePort: 80, destinationPort: 4000, seq: 5000, ack: 1001 } as const;
const reply = (flags: string, more: Partial<PacketSpec> = {}): Step => ({
  ...tcp(flags, { ...server, ...more }),
  back: true,
});
const ack = (more: Partial<PacketSpec> = {}): Step => tcp(".", { seq: 1001, ack: 5001, ...more });
const answer = (): Step => ({ ...udp({ sourcePort: 53, destinationPort: 4000 }), back: true });
const handshake = [tcp("S"), reply("S."), ack()] as const;
const in_ = (...states: readonly string[]): readonly string[] =>
  states.map((state) => `-m conntrack --ctstate ${state} -j DROP`);

/** A closed connection has ten seconds left. */
const CLOSED = ["-m conntrack --ctexpire 5:10 -j DROP"];
/** The SYN that comes again has something behind it. */
const LONG_NEW = ["-p tcp -m length --length 56:65535 -m conntrack --ctstate NEW -j DROP"];
const again = tcp("S", { seq: 90_000, payload: new Uint8Array(20) });
const unreachable = (quotes: Step, more: Partial<PacketSpec> = {}): Step => ({
  ...{ back: true, quotes },
  packet: { protocol: ICMP, icmp: { type: 3, code: 3 }, ...more },
});

/** Which packets of a connection are in a state shows what is dropped for it. */
const WITH_CONNECTIONS: readonly Case[] = [
  // ── No entry
  {
    says: "a packet without a connection: only --ctstate counts, if it is there",
    rules: ["-m conntrack --ctstate INVALID --ctdir REPLY --ctorigdst 1.2.3.4 -j DROP"],
    steps: [tcp("S.")],
    legacy: "x",
  },
  {
    says: "without it nothing of conntrack matches",
    rules: [
      "-m conntrack --ctdir ORIGINAL -j DROP",
      "-m conntrack --ctdir REPLY -j DROP",
      "-m conntrack ! --ctstatus ASSURED -j DROP",
      "-m connmark --mark 0x0 -j DROP",
      "-m connmark ! --mark 0x1 -j DROP",
    ],
    steps: [tcp("S.")],
    legacy: ".",
  },
  {
    says: "it is not NEW",
    rules: ["-m conntrack ! --ctstate NEW -j DROP"],
    steps: [tcp("S.")],
    legacy: "x",
  },
  // ── TCP
  {
    says: "a dropped first packet leaves no entry",
    rules: ["-p tcp -m tcp --tcp-flags SYN,ACK SYN -j DROP", ...in_("INVALID")],
    steps: [tcp("S"), reply("S.")],
    legacy: "xx",
  },
  {
    says: "what is picked up in its midst is NEW",
    rules: in_("NEW"),
    steps: [ack(), tcp("P.", { sourcePort: 4001 })],
    legacy: "xx",
  },
  {
    says: "what begins no connection is INVALID",
    rules: in_("INVALID"),
    steps: ["S.", "F.", "R", "R.", "", "SF", "FPU", "F", "P", "U"].map((flags, at) =>
      tcp(flags, { sourcePort: 4001 + at }),
    ),
    legacy: "xxxxxxxxxx",
  },
  {
    says: "a SYN with ECE and CWR is NEW",
    rules: in_("NEW"),
    steps: [tcp("SEW"), tcp("SE", { sourcePort: 4001 })],
    legacy: "xx",
  },
  {
    says: "the answer to a SYN is ESTABLISHED",
    rules: in_("ESTABLISHED"),
    steps: handshake,
    legacy: ".xx",
  },
  {
    says: "the third packet is the first of a connection that is ASSURED",
    rules: ["-m conntrack --ctstatus ASSURED -j DROP"],
    steps: [...handshake],
    legacy: "..x",
  },
  {
    says: "a SYN that is sent again stays NEW",
    rules: in_("ESTABLISHED", "INVALID"),
    steps: [tcp("S"), tcp("S"), reply("S.")],
    legacy: "..x",
  },
  {
    says: "far above the window is INVALID, far below and far acknowledged are not alike",
    rules: in_("INVALID"),
    steps: [
      ...handshake,
      ack({ seq: 500_000 + 1001 }),
      ack({ ack: 500_000 + 5001 }),
      ack({ seq: 2 ** 32 + 1001 - 500_000 }),
    ],
    legacy: "...xx.",
  },
  {
    says: "a reset in the window is ESTABLISHED, a far one INVALID",
    rules: in_("INVALID"),
    steps: [...handshake, tcp("R", { seq: 900_001_000 }), tcp("R", { seq: 1001 })],
    legacy: "...x.",
  },
  {
    says: "a new SYN is ESTABLISHED in its direction, INVALID in the other, as is a client's SYN-ACK",
    rules: in_("INVALID"),
    steps: [
      ...handshake,
      tcp("S", { seq: 9000 }),
      reply("S", { seq: 9000, ack: 0 }),
      tcp("S.", { seq: 1001, ack: 5001 }),
    ],
    legacy: "....xx",
  },
  {
    says: "a SYN-ACK that acknowledges something else is INVALID",
    rules: in_("INVALID"),
    steps: [tcp("S"), reply("S.", { ack: 999_999 })],
    legacy: ".x",
  },
  {
    says: "so is an ACK before the SYN-ACK",
    rules: in_("INVALID"),
    steps: [tcp("S"), ack()],
    legacy: ".x",
  },
  {
    says: "two that open at a time are ESTABLISHED from the second SYN",
    rules: in_("ESTABLISHED"),
    steps: [tcp("S"), reply("S", { ack: 0 })],
    legacy: ".x",
  },
  {
    says: "after both FINs a SYN is NEW",
    rules: LONG_NEW,
    steps: [
      ...handshake,
      tcp("F.", { seq: 1001, ack: 5001 }),
      reply("F.", { seq: 5001, ack: 1002 }),
      tcp(".", { seq: 1002, ack: 5002 }),
      again,
    ],
    legacy: "......x",
  },
  {
    says: "after a reset of the same side a SYN is NEW",
    rules: LONG_NEW,
    steps: [...handshake, tcp("R", { seq: 1001 }), again],
    legacy: "....x",
  },
  {
    says: "after a SYN and a reset of it a SYN is NEW",
    rules: LONG_NEW,
    steps: [tcp("S"), reply("R.", { seq: 0 }), again],
    legacy: "..x",
  },
  {
    says: "with others between a reset and a SYN it stays ESTABLISHED",
    rules: LONG_NEW,
    steps: [...handshake, tcp("R", { seq: 1001 }), reply(".", { seq: 5001 }), again],
    legacy: "......",
  },
  {
    says: "70,000 ahead is ESTABLISHED still, of a window of 65535",
    rules: in_("INVALID"),
    steps: [
      tcp("S", { window: 65_535 }),
      reply("S.", { window: 65_535 }),
      ack({ window: 65_535 }),
      ack({ window: 65_535, seq: 71_001 }),
    ],
    legacy: "....",
  },
  // ── UDP and others
  {
    says: "UDP is NEW until it is answered",
    rules: in_("ESTABLISHED"),
    steps: [udp(), udp(), answer(), udp()],
    legacy: "..xx",
  },
  {
    says: "protocol 253 is like UDP without ports",
    rules: in_("ESTABLISHED"),
    steps: [other, other, { ...other, back: true }, other],
    legacy: "..xx",
  },
  // ── ICMP
  {
    says: "requests are NEW, what answers or tells alone is INVALID",
    rules: in_("INVALID"),
    steps: [8, 13, 15, 17, 0, 9].map((type) => ({
      packet: { protocol: ICMP, icmp: { type, id: 7 } },
    })),
    legacy: "....xx",
  },
  {
    says: "each answer to an echo request is ESTABLISHED",
    rules: in_("ESTABLISHED"),
    steps: [
      { packet: { protocol: ICMP, icmp: { type: 8, id: 9 } } },
      { back: true, packet: { protocol: ICMP, icmp: { type: 0, id: 9 } } },
      { back: true, packet: { protocol: ICMP, icmp: { type: 0, id: 9 } } },
    ],
    legacy: ".xx",
  },
  {
    says: "a reset that REJECT sends closes the connection",
    rules: ["-p tcp -m tcp --tcp-flags PSH PSH -j REJECT --reject-with tcp-reset", ...CLOSED],
    steps: [...handshake, tcp("P.", { seq: 1001, ack: 2001 }), ack()],
    legacy: "...xx",
  },
  {
    says: "a packet that is dropped does not",
    rules: ["-p tcp -m tcp --tcp-flags PSH PSH -j DROP", ...CLOSED],
    steps: [...handshake, tcp("P.", { seq: 1001, ack: 2001 }), ack()],
    legacy: "...x.",
  },
  {
    says: "what was dropped as NEW is NEW when it comes again",
    rules: in_("NEW"),
    steps: [tcp("S"), tcp("S")],
    legacy: "xx",
  },
  {
    says: "an error is RELATED if it quotes a connection, whoever sends it",
    rules: in_("RELATED"),
    steps: [udp(), unreachable(udp()), unreachable(udp(), { source: "198.18.0.9" })],
    legacy: ".xx",
  },
  {
    says: "one that quotes no connection is INVALID",
    rules: in_("INVALID"),
    steps: [udp(), unreachable(udp({ destinationPort: 54 }))],
    legacy: ".x",
  },
  {
    says: "one that goes to another than the quoted source is INVALID",
    rules: in_("INVALID"),
    steps: [udp(), { ...unreachable(udp()), back: undefined }],
    legacy: ".x",
  },
  {
    says: "what quotes a packet that nobody follows is INVALID",
    raw: ["-p udp -m udp --sport 4000 -j CT --notrack"],
    rules: in_("INVALID"),
    steps: [udp(), unreachable(udp())],
    legacy: ".x",
  },
  {
    says: "a redirect is like any error",
    rules: in_("RELATED"),
    steps: [udp(), unreachable(udp(), { icmp: { type: 5, code: 1 } })],
    legacy: ".x",
  },
  // ── NAT
  {
    says: "REDIRECT where the interface has no IPv4 address drops",
    nat: "-i cali1 -p udp -m udp --dport 7777 -j REDIRECT --to-ports 53",
    steps: [{ back: true, packet: udp({ destinationPort: 7777 }).packet }],
    legacy: "x",
  },
  {
    says: "behind DNAT the filter sees the pod and its port",
    nat: "-d 10.96.0.10/32 -p tcp -m tcp --dport 80 -j DNAT --to-destination 10.65.0.1:8080",
    rules: ["-d 10.96.0.10/32 -j DROP", "-d 10.65.0.1/32 -p tcp -m tcp --dport 8080 -j DROP"],
    steps: [tcp("S", { destination: "10.96.0.10" })],
    legacy: "x",
  },
  {
    says: "DNAT is a state of both directions",
    nat: "-d 10.96.0.10/32 -p tcp -m tcp --dport 80 -j DNAT --to-destination 10.65.0.1:8080",
    rules: [
      "-p tcp -m tcp --tcp-flags ACK ACK -m conntrack --ctstate DNAT --ctorigdst 10.96.0.10 -j DROP",
    ],
    steps: [tcp("S", { destination: "10.96.0.10" }), reply("S.", { sourcePort: 8080 })],
    legacy: ".x",
  },
  {
    says: "what has no connection is not translated",
    nat: "-d 10.96.0.11/32 -p tcp -j DNAT --to-destination 10.65.0.1",
    rules: ["-d 10.96.0.11/32 -j DROP"],
    steps: [tcp("S.", { destination: "10.96.0.11" })],
    legacy: "x",
  },
];

interface Crossing {
  readonly bytes: Uint8Array;
  readonly arrival: keyof typeof MACS;
}

/** Every packet of every case, numbered. */
function crossingsOf(cases: readonly Case[]): Crossing[] {
  const steps = cases.flatMap((each, index) => each.steps.map((step) => ({ each, index, step })));
  return steps.map(({ each, index, step }, at) => {
    const { family = 4 } = each;
    const ends = { source: clientOf(index, family), destination: POD[family] };
    const turned = { source: ends.destination, destination: ends.source };
    const quote = step.quotes && buildPacket({ ...ends, protocol: UDP, ...step.quotes.packet });
    const { icmp } = step.packet;
    const packet = buildPacket({
      ...(step.back === true ? turned : ends),
      ...{ protocol: UDP, id: at + 1 },
      ...step.packet,
      ...(icmp === undefined || quote === undefined ? {} : { icmp: { ...icmp, quote } }),
    });
    const bent = step.bend?.(packet) ?? packet;
    const arrival = step.back === true ? "cali1" : "eth0";
    const bytes = frameOf(numberedPacket(bent, bent.length, at + 1), {
      source: undefined,
      destination: undefined,
      own: MACS[arrival],
    });
    return { bytes, arrival };
  });
}

/** All cases' rules, each for its own client. */
function tablesOf(cases: readonly Case[], family: Family): string {
  const own = cases.flatMap((each, index) =>
    (each.family ?? 4) === family ? [{ ...each, index, client: clientOf(index, family) }] : [],
  );
  if (own.length === 0) return "";
  const filtered = own.filter(({ rules }) => rules !== undefined);
  const raw = own.filter((each) => each.raw !== undefined);
  const nat = own.filter((each) => each.nat !== undefined);
  const chain = (name: string): string => `:${name} - [0:0]`;
  return [
    ...["*raw", ":PREROUTING ACCEPT [0:0]", ...raw.map(({ index }) => chain(`R${index}`))],
    ...raw.map(({ index, client }) => `-A PREROUTING -s ${client} -j R${index}`),
    ...raw.flatMap((each) => (each.raw ?? []).map((rule) => `-A R${each.index} ${rule}`)),
    ...["COMMIT", ...(nat.length === 0 ? [] : ["*nat", ":PREROUTING ACCEPT [0:0]"])],
    ...nat.map((each) => `-A PREROUTING ${each.nat ?? ""}`),
    ...[
      ...(nat.length === 0 ? [] : ["COMMIT"]),
      "*filter",
      ":FORWARD ACCEPT [0:0]",
      chain("EMPTY"),
    ],
    ...filtered.map(({ index }) => chain(`C${index}`)),
    ...filtered.flatMap(({ index, client }) => [
      `-A FORWARD -s ${client} -j C${index}`,
      `-A FORWARD -d ${client} -j C${index}`,
    ]),
    ...own.flatMap(({ client, main = [] }) =>
      main.map((rule) => `-A FORWARD -s ${client} ${rule}`),
    ),
    ...filtered.flatMap(({ index, rules = [] }) => rules.map((rule) => `-A C${index} ${rule}`)),
    ...["COMMIT", ""],
  ].join("\n");
}

const ADDRESSES = INTERFACES.map(({ name, mac }, at) => ({
  ...{
    ifname: name,
    ifindex: 2 + at,
    flags: ["BROADCAST", "UP"],
    link_type: "ether",
    address: mac,
  },
  addr_info:
    at > 0
      ? []
      : [
          { family: "inet", local: NODE[4], prefixlen: 24, scope: "global" },
          { family: "inet6", local: NODE[6], prefixlen: 64, scope: "global" },
        ],
}));
const ROUTE_LIST = [
  { dst: "10.65.0.1", dev: "cali1" },
  { dst: "default", gateway: "192.0.2.254", dev: "eth0" },
  { dst: "fd00:65::1", dev: "cali1" },
  { dst: "default", gateway: "2001:db8::fe", dev: "eth0" },
];

async function ours(cases: readonly Case[], backend: Backend): Promise<string[]> {
  const compiled = parseNode(
    {
      iptables: [{ file: "rules4", text: tablesOf(cases, 4), backend }],
      ip6tables: [{ file: "rules6", text: tablesOf(cases, 6), backend }],
      ipset: [{ file: "sets", text: SETS }],
      addresses: [{ file: "addresses", text: JSON.stringify(ADDRESSES) }],
      routes: [{ file: "routes", text: JSON.stringify(ROUTE_LIST) }],
      sysctl: [],
      backend: undefined,
    },
    ({ severity, message }) => {
      if (severity === "error") throw new Error(message);
    },
  );
  const frames = crossingsOf(cases).map(({ bytes, arrival }, at) => ({
    bytes,
    timestampNs: 1_700_000_000_000_000_000n + BigInt(at) * 1_000_000n,
    captureInterface: arrival === "eth0" ? 0 : 1,
  }));
  const capture = buildPcapng(frames, ["eth0", "cali1"]);
  const verdicts = await judgeCapture({ compiled, capture });
  const sign = ({ verdict }: PacketVerdict): string =>
    verdict === "allow" ? "." : verdict === "drop" ? "x" : "?";
  return perCase(cases, verdicts.map(sign));
}

async function kernels(cases: readonly Case[], backend: Backend): Promise<string[]> {
  const lab = await startLab({
    interfaces: INTERFACES,
    routes: ROUTES,
    tables: { [backend]: { 4: tablesOf(cases, 4), 6: tablesOf(cases, 6) } },
    ipsets: SETS,
    sysctls: {},
  });
  try {
    const crossings = crossingsOf(cases);
    const { sights } = await lab.cross(crossings);
    const through = new Set(sights.map(({ packet }) => numberOf(packet)));
    return perCase(
      cases,
      crossings.map((_, at) => (through.has(at + 1) ? "." : "x")),
    );
  } finally {
    await lab.close();
  }
}

function perCase(cases: readonly Case[], signs: readonly string[]): string[] {
  let at = 0;
  return cases.map(({ says, steps }) => {
    const own = signs.slice(at, at + steps.length).join("");
    at += steps.length;
    return `${own} ${says}`;
  });
}

const GROUPS = [
  ["packets by themselves", WITHOUT_CONNECTIONS],
  ["packets of connections", WITH_CONNECTIONS],
] as const;

describe.each(GROUPS)("%s", (_, cases) => {
  const expected = (backend: Backend): string[] =>
    cases.map(
      (each) => `${(backend === "nft" ? each.nft : undefined) ?? each.legacy} ${each.says}`,
    );

  it.each(BACKENDS)("are judged as they were seen to be (%s)", async (backend) => {
    expect(await ours(cases, backend)).toEqual(expected(backend));
  });

  it.runIf(haveLab()).each(BACKENDS)(
    "are to this machine's kernel as they were seen (%s)",
    async (backend) => {
      expect(await kernels(cases, backend)).toEqual(expected(backend));
    },
  );
});
