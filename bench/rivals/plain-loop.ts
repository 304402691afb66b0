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

// No more is read than the packets need.
function eachPacket(file: string, packetsMax: number, take: (packet: PlainPacket) => void): void {
  const descriptor = openSync(file, "r");
  const bytes = new Uint8Array(PIECE);
  const view = new DataView(bytes.buffer);
  const left = { packets: packetsMax };
  let kept = readSync(descriptor, bytes, 0, FILE_HEADER, null);
  const pcap = view.getUint32(0, true) === PCAP_MAGIC;
  const pass = pcap ? passRecords : passBlocks;
  if (pcap) kept = 0;
  while (left.packets > 0) {
    const read = readSync(descriptor, bytes, kept, PIECE - kept, null);
    if (read === 0) break;
    const end = kept + read;
    const at = pass(view, end, left, take);
    bytes.copyWithin(0, at, end);
    kept = end - at;
  }
  closeSync(descriptor);
}

/** How many packets may still be taken. */
interface Left {
  packets: number;
}

// Both return where the first record begins that is not all there.
function passRecords(
  view: DataView,
  end: number,
  left: Left,
  take: (packet: PlainPacket) => void,
): number {
  let at = 0;
  for (; end - at >= 16 && left.packets > 0; left.packets--) {
    const behind = at + 16 + view.getUint32(at + 8, true);
    if (behind > end) break;
    take(packetAt(view, at + 16));
    at = behind;
  }
  return at;
}

function passBlocks(
  view: DataView,
  end: number,
  left: Left,
  take: (packet: PlainPacket) => void,
): number {
  let at = 0;
  while (end - at >= 8 && left.packets > 0) {
    const behind = at + view.getUint32(at + 4, true);
    if (behind > end) break;
    if (view.getUint32(at, true) === PACKET_BLOCK) {
      take(packetAt(view, at + 28));
      left.packets--;
    }
    at = behind;
  }
  return at;
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
