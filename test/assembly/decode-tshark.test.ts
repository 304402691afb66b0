/**
 * The decoder against tshark, over the captures of the corpus: outermost addresses, protocol, ports,
 * flags. Frames of one link type are gathered into one file, so that tshark starts once for each.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import * as layout from "../../assembly/layout.ts";
import { makeBatch } from "../../src/capture/batch.ts";
import { PCAP } from "../../src/capture/pcap.ts";
import { PCAPNG } from "../../src/capture/pcapng.ts";
import { ROOT, loadDecoder, type Decoded, type DecodeFrame } from "./decoder.ts";

const CAPTURES = join(ROOT, "../shared/corpus/captures");
const LINK_TYPES: readonly number[] = [
  layout.LINK_ETHERNET,
  layout.LINK_NULL,
  layout.LINK_RAW,
  layout.LINK_IPV4,
  layout.LINK_IPV6,
  layout.LINK_LINUX_SLL,
  layout.LINK_LINUX_SLL2,
];

/** Captures that are read otherwise on purpose. */
const EXCEPTIONS: ReadonlyMap<string, string> = new Map([
  ["ipv6_ext_headers.pcap", "more extension headers than the decoder walks"],
  ["hoobr_rt6_print.pcap", "one byte of an extension header was captured; Linux reads two at once"],
]);

interface Frame {
  readonly file: string;
  readonly bytes: Uint8Array;
  readonly originalLength: number;
}

const hasTshark = spawnSync("tshark", ["--version"]).status === 0;
const missing = !hasTshark ? "tshark is" : !existsSync(CAPTURES) ? "the corpus of captures is" : "";
if (missing !== "") console.log(`decode against tshark: skipped, ${missing} not here`);

describe.skipIf(missing !== "")("decode against tshark", () => {
  let decode: DecodeFrame;
  let framesByLinkType: ReadonlyMap<number, readonly Frame[]>;
  beforeAll(async () => {
    decode = await loadDecoder();
    framesByLinkType = readFrames();
  }, 60_000);

  for (const linkType of LINK_TYPES) {
    it(`agrees on every packet of link type ${linkType}`, () => {
      const frames = framesByLinkType.get(linkType) ?? [];
      expect(frames.length).toBeGreaterThan(0);
      expectAgreement(decode, linkType, frames);
    }, 60_000);

    it(`agrees on every packet of link type ${linkType} cut by a snap length`, () => {
      const frames = framesByLinkType.get(linkType) ?? [];
      // 0 to 95 bytes: every header is cut in every place.
      const cut = frames.map((frame, index) => {
        return { ...frame, bytes: frame.bytes.subarray(0, (index * 7) % 96) };
      });
      expectAgreement(decode, linkType, cut);
    }, 60_000);
  }
});

function expectAgreement(decode: DecodeFrame, linkType: number, frames: readonly Frame[]): void {
  const dissected = dissect(linkType, frames);
  expect(dissected.length).toBe(frames.length);
  const differences: string[] = [];
  frames.forEach(({ bytes, originalLength, file }, index) => {
    if (EXCEPTIONS.has(file)) return;
    const packet = decode(bytes, { linkType, originalLength });
    for (const difference of compare(packet, dissected[index]!)) {
      differences.push(`${file}: ${difference}: ${Buffer.from(bytes).toString("hex")}`);
    }
  });
  expect(differences).toEqual([]);
}

// What tshark shows of a frame, outermost first.
const FIELDS = [
  "frame.protocols",
  "ip.src",
  "ip.dst",
  "ip.proto",
  "ip.len",
  "ip.ttl",
  "ip.frag_offset",
  "ipv6.src",
  "ipv6.dst",
  "ipv6.nxt",
  "ipv6.hlim",
  "ipv6.hopopts.nxt",
  "ipv6.routing.nxt",
  "ipv6.fraghdr.nxt",
  "ipv6.dstopts.nxt",
  "ah.next_header",
  "tcp.srcport",
  "tcp.dstport",
  "tcp.flags",
  "tcp.seq_raw",
  "tcp.window_size_value",
  "udp.srcport",
  "udp.dstport",
  "sctp.srcport",
  "sctp.dstport",
  "icmp.type",
  "icmp.code",
  "icmpv6.type",
  "icmpv6.code",
] as const;

type Field = (typeof FIELDS)[number];
type Dissected = Readonly<Record<Field, readonly string[]>>;

/** Runs tshark over the frames, as one pcap file. */
function dissect(linkType: number, frames: readonly Frame[]): readonly Dissected[] {
  const folder = mkdtempSync(join(tmpdir(), "decode-"));
  try {
    const file = join(folder, "frames.pcap");
    writeFileSync(file, pcapOf(linkType, frames));
    const off = ["ip.defragment", "ipv6.defragment", "tcp.desegment_tcp_streams"];
    const output = execFileSync(
      "tshark",
      [
        ...["-n", "-r", file, "-T", "fields", "-E", "occurrence=a", "-E", "aggregator=;"],
        ...off.flatMap((preference) => ["-o", `${preference}:FALSE`]),
        ...FIELDS.flatMap((field) => ["-e", field]),
      ],
      { encoding: "utf8", maxBuffer: 1 << 28, stdio: ["ignore", "pipe", "ignore"] },
    );
    return output.replace(/\n$/, "").split("\n").map(dissectedOf);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function dissectedOf(line: string): Dissected {
  const columns = line.split("\t");
  const entries = FIELDS.map((field, index) => {
    const column = columns[index] ?? "";
    return [field, column === "" ? [] : column.split(";")];
  });
  return Object.fromEntries(entries) as Dissected;
}

/** What may stand before the outermost IP header; behind anything else (MPLS, PPPoE) it is a tunnel. */
const LINK_LAYERS = /^(?:(?:eth|ethertype|vlan|ieee8021ad|null|raw|sll):?)*$/;
const EXTENSIONS = new Map<string, Field>([
  ["0", "ipv6.hopopts.nxt"],
  ["43", "ipv6.routing.nxt"],
  ["44", "ipv6.fraghdr.nxt"],
  ["51", "ah.next_header"],
  ["60", "ipv6.dstopts.nxt"],
]);

/** Names the fields in which the decoder and tshark differ. */
function compare(packet: Decoded, shown: Dissected): readonly string[] {
  const path = (shown["frame.protocols"][0] ?? "").split(":");
  const network = path.findIndex((name) => name === "ip" || name === "ipv6");
  const truncated = (packet.flags & layout.PACKET_TRUNCATED) !== 0;
  const malformed = packet.malformed !== layout.MALFORMED_NONE;
  if (network === -1 || !LINK_LAYERS.test(path.slice(0, network).join(":"))) {
    // The decoder goes by the link type or EtherType alone, where tshark wants a whole header.
    const same = packet.family === 0 || packet.known === 0 || truncated;
    return same ? [] : [`family ${packet.family}, tshark none (${path.join(":")})`];
  }
  const family = path[network] === "ip" ? 4 : 6;
  if (packet.family !== family) return [`family ${packet.family}, tshark ${family}`];

  const facts = family === 4 ? ipv4Facts(packet, shown) : ipv6Facts(packet, shown);
  // AH is an extension header of IPv6 and a protocol of its own in IPv4.
  const extensions = family === 4 ? /^$/ : /^(?:ipv6\..*|ah)$/;
  const transport = path.slice(network + 1).find((name) => !extensions.test(name));
  return [...facts, ...transportFacts(transport, packet, shown)]
    .filter(({ known, ours, theirs }) => {
      const mine = (packet.known & known) !== 0;
      // Both read a malformed packet as far as they trust it.
      if (!mine) return theirs !== undefined && !malformed;
      // tshark gives up a cut header earlier.
      if (theirs === undefined) return !truncated && !malformed;
      return ours !== theirs;
    })
    .map(({ name, known, ours, theirs }) => {
      const mine = (packet.known & known) !== 0 ? ours : undefined;
      return `${name} ${mine}, tshark ${theirs} (${path.join(":")})`;
    });
}

/** A field as the decoder and as tshark see it; what the decoder has counts if `known` is set. */
interface Fact {
  readonly name: string;
  readonly known: number;
  readonly ours: number | string;
  readonly theirs: number | string | undefined;
}

function ipv4Facts(packet: Decoded, shown: Dissected): readonly Fact[] {
  return [
    addressFact(layout.KNOWN_SRC, packet.src, shown, "ip.src"),
    addressFact(layout.KNOWN_DST, packet.dst, shown, "ip.dst"),
    fact(layout.KNOWN_PROTOCOL, packet.protocol, shown, "ip.proto"),
    fact(layout.KNOWN_IP_LENGTH, packet.ipLength, shown, "ip.len"),
    fact(layout.KNOWN_TTL, packet.ttl, shown, "ip.ttl"),
    fact(layout.KNOWN_FRAGMENT, packet.fragmentOffset / 8, shown, "ip.frag_offset"),
  ];
}

function ipv6Facts(packet: Decoded, shown: Dissected): readonly Fact[] {
  return [
    addressFact(layout.KNOWN_SRC, packet.src, shown, "ipv6.src"),
    addressFact(layout.KNOWN_DST, packet.dst, shown, "ipv6.dst"),
    fact(layout.KNOWN_TTL, packet.ttl, shown, "ipv6.hlim"),
    {
      name: "protocol",
      known: layout.KNOWN_PROTOCOL,
      ours: packet.protocol,
      theirs: protocolOf(shown),
    },
  ];
}

function transportFacts(
  transport: string | undefined,
  packet: Decoded,
  shown: Dissected,
): readonly Fact[] {
  switch (transport ?? "none") {
    case "tcp":
      return [
        fact(layout.KNOWN_PORTS, packet.sport, shown, "tcp.srcport"),
        fact(layout.KNOWN_PORTS, packet.dport, shown, "tcp.dstport"),
        fact(layout.KNOWN_TCP_SEQ, packet.tcpSeq, shown, "tcp.seq_raw"),
        fact(layout.KNOWN_TCP_SEQ, packet.tcpWindow, shown, "tcp.window_size_value"),
        // tshark adds the reserved bits.
        fact(layout.KNOWN_TCP_FLAGS, packet.tcpFlags, shown, "tcp.flags", 0xff),
      ];
    case "udp":
      return [
        fact(layout.KNOWN_PORTS, packet.sport, shown, "udp.srcport"),
        fact(layout.KNOWN_PORTS, packet.dport, shown, "udp.dstport"),
      ];
    case "sctp":
      return [
        fact(layout.KNOWN_PORTS, packet.sport, shown, "sctp.srcport"),
        fact(layout.KNOWN_PORTS, packet.dport, shown, "sctp.dstport"),
      ];
    case "icmp":
      return icmpFacts(packet, shown, "icmp.type", "icmp.code");
    case "icmpv6":
      return icmpFacts(packet, shown, "icmpv6.type", "icmpv6.code");
    default:
      return [];
  }
}

function icmpFacts(packet: Decoded, shown: Dissected, type: Field, code: Field): readonly Fact[] {
  const codeFact = fact(layout.KNOWN_ICMP, packet.icmpCode, shown, code);
  // The decoder wants both.
  if (codeFact.theirs === undefined) return [codeFact];
  return [codeFact, fact(layout.KNOWN_ICMP, packet.icmpType, shown, type)];
}

function fact(known: number, ours: number, shown: Dissected, name: Field, mask = 0): Fact {
  const text = shown[name][0];
  if (text === undefined) return { name, known, ours, theirs: undefined };
  return { name, known, ours, theirs: mask === 0 ? Number(text) : Number(text) & mask };
}

function addressFact(known: number, ours: string, shown: Dissected, name: Field): Fact {
  const text = shown[name][0];
  return { name, known, ours, theirs: text === undefined ? undefined : groupsOf(text) };
}

/** An IPv6 address as eight groups; an IPv4 address as it is. */
function groupsOf(text: string): string {
  if (!text.includes(":")) return text;
  // tshark prints some addresses with an IPv4 tail.
  const hexadecimal = text.replace(/(\d+)\.(\d+)\.(\d+)\.(\d+)$/, (_all, ...parts: string[]) => {
    const [a, b, c, d] = parts.slice(0, 4).map(Number);
    return `${(a! * 256 + b!).toString(16)}:${(c! * 256 + d!).toString(16)}`;
  });
  const [head = "", tail] = hexadecimal.split("::");
  const groups = (part: string): string[] => (part === "" ? [] : part.split(":"));
  if (tail === undefined) return head;
  const missing = 8 - groups(head).length - groups(tail).length;
  return [...groups(head), ...new Array<string>(missing).fill("0"), ...groups(tail)].join(":");
}

/** The outermost upper-layer protocol, through the next-header values that tshark shows one by one. */
function protocolOf(shown: Dissected): number | undefined {
  const used = new Map<Field, number>();
  let next = shown["ipv6.nxt"][0];
  while (next !== undefined) {
    const field = EXTENSIONS.get(next);
    if (field === undefined) return Number(next);
    const index = used.get(field) ?? 0;
    used.set(field, index + 1);
    next = shown[field][index];
  }
  return undefined;
}

/** A pcap file of the frames. */
function pcapOf(linkType: number, frames: readonly Frame[]): Uint8Array {
  const header = Buffer.alloc(24);
  header.writeUInt32LE(0xa1b2c3d4, 0);
  header.writeUInt16LE(2, 4);
  header.writeUInt16LE(4, 6);
  header.writeUInt32LE(layout.FRAME_MAX, 16);
  header.writeUInt32LE(linkType, 20);
  const records = frames.flatMap((frame, index) => {
    const record = Buffer.alloc(16);
    record.writeUInt32LE(index, 0);
    record.writeUInt32LE(frame.bytes.length, 8);
    record.writeUInt32LE(frame.originalLength, 12);
    return [record, frame.bytes];
  });
  return Buffer.concat([header, ...records]);
}

/** The frames of all captures, by link type. Damaged captures give what comes before the damage. */
function readFrames(): ReadonlyMap<number, readonly Frame[]> {
  const frames = new Map<number, Frame[]>(LINK_TYPES.map((linkType) => [linkType, []]));
  for (const entry of readdirSync(CAPTURES, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const file = join(entry.parentPath, entry.name);
    const contents = readFileSync(file);
    const format = [PCAP, PCAPNG].find((candidate) => candidate.detect(contents));
    if (format === undefined) continue;
    const { batch, bytes } = makeBatch(contents.length);
    bytes.set(contents);
    const reader = format.open({ file, onDiagnostic: () => {} });
    let rest = bytes;
    while (rest.length > 0) {
      batch.clear();
      const consumed = reader.scan(rest, batch, true);
      rest = rest.subarray(consumed);
      for (let index = 0; index < batch.count; index++) {
        const at = batch.recordAt(index);
        const start = batch.view.getUint32(at + layout.PACKET_FRAME, true);
        const length = batch.view.getUint32(at + layout.PACKET_CAPTURED_LENGTH, true);
        const linkType = batch.view.getUint16(at + layout.PACKET_LINK_TYPE, true);
        frames.get(linkType)?.push({
          file: entry.name,
          bytes: new Uint8Array(batch.view.buffer, start, length).slice(),
          originalLength: batch.view.getUint32(at + layout.PACKET_ORIGINAL_LENGTH, true),
        });
      }
      if (consumed === 0 && batch.count === 0) break;
    }
  }
  return frames;
}
