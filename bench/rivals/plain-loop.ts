/**
 * The whole path as plain JavaScript: a loop over the capture's records, a Map of flows by their tuple, and a
 * walk of the rules for each flow's first packet. No connection states, no counters, IPv4 TCP and UDP only.
 */
import { closeSync, openSync, readSync } from "node:fs";
import { firstMatch, type ClassRule } from "../classbench.ts";

/** An IPv4 packet's five-tuple. */
export interface PlainPacket {
  readonly source: number;
  readonly destination: number;
  readonly protocol: number;
  readonly sourcePort: number;
  readonly destinationPort: number;
}

/** How a flow's first packet is decided. */
export type Decides = (packet: PlainPacket) => boolean;

/** How many packets got through. */
export interface PlainCounts {
  packets: number;
  allowed: number;
}

const PCAP_MAGIC = 0xa1b2c3d4;
const FILE_HEADER = 24;
/** No record is shorter. */
const RECORD_MIN = 12;
const PACKET_BLOCK = 6;
// Longer than records of ours; read at a time.
const PIECE = 2 << 20;

/** Reads a capture of ours and decides its first packets. */
export function plainLoop(file: string, decides: Decides, packetsMax: number): PlainCounts {
  const counts = { packets: 0, allowed: 0 };
  const flows = new Map<string, boolean>();
  eachPacket(file, packetsMax, (packet) => {
    counts.packets += 1;
    if (verdictOf(packet, flows, decides)) counts.allowed += 1;
  });
  return counts;
}

/** The five-tuples of all packets of a capture of ours. */
export function packetsOf(file: string): PlainPacket[] {
  const packets: PlainPacket[] = [];
  eachPacket(file, Infinity, (packet) => packets.push(packet));
  return packets;
}

/** Decides by a rule set as `firewallOf` makes it: what no rule matches is dropped. */
export function decidesByRules(rules: readonly ClassRule[]): Decides {
  return (packet) => rules[firstMatch(rules, packet)]?.accepts ?? false;
}

/** How records of a file lie. */
interface Shape {
  /** Of a record, where its frame begins. */
  readonly frame: number;
  size(view: DataView, at: number): number;
  isPacket(view: DataView, at: number): boolean;
}

const PCAP: Shape = {
  frame: 16,
  size: (view, at) => 16 + view.getUint32(at + 8, true),
  isPacket: () => true,
};

const PCAPNG: Shape = {
  frame: 28,
  size: (view, at) => view.getUint32(at + 4, true),
  isPacket: (view, at) => view.getUint32(at, true) === PACKET_BLOCK,
};

// No more is read than the packets need.
function eachPacket(file: string, packetsMax: number, take: (packet: PlainPacket) => void): void {
  const descriptor = openSync(file, "r");
  const bytes = new Uint8Array(PIECE);
  const view = new DataView(bytes.buffer);
  let end = readSync(descriptor, bytes, 0, FILE_HEADER, null);
  const pcap = view.getUint32(0, true) === PCAP_MAGIC;
  const shape = pcap ? PCAP : PCAPNG;
  let at = pcap ? FILE_HEADER : 0;
  for (let packets = 0; packets < packetsMax;) {
    const behind = end - at < RECORD_MIN ? Infinity : at + shape.size(view, at);
    if (behind <= end) {
      if (shape.isPacket(view, at)) {
        take(packetAt(view, at + shape.frame));
        packets++;
      }
      at = behind;
      continue;
    }
    bytes.copyWithin(0, at, end);
    end -= at;
    at = 0;
    const read = readSync(descriptor, bytes, end, PIECE - end, null);
    if (read === 0) break;
    end += read;
  }
  closeSync(descriptor);
}

function packetAt(view: DataView, frame: number): PlainPacket {
  const ip = frame + 14;
  return {
    source: view.getUint32(ip + 12),
    destination: view.getUint32(ip + 16),
    protocol: view.getUint8(ip + 9),
    sourcePort: view.getUint16(ip + 20),
    destinationPort: view.getUint16(ip + 22),
  };
}

function verdictOf(packet: PlainPacket, flows: Map<string, boolean>, decides: Decides): boolean {
  const { source, destination, protocol, sourcePort, destinationPort } = packet;
  const key = `${source} ${destination} ${protocol} ${sourcePort} ${destinationPort}`;
  const known = flows.get(key);
  if (known !== undefined) return known;
  const verdict = decides(packet);
  flows.set(key, verdict);
  if (!verdict) return false;
  // An answer to what got through gets through.
  flows.set(`${destination} ${source} ${protocol} ${destinationPort} ${sourcePort}`, true);
  return true;
}
