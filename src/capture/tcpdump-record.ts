/**
 * Gathers the lines of one record: the head, the lines that continue it (indented, wrapped, or printed
 * by a tunnel's inner packet) and its hex dump, until a line that is none of it.
 */
import { parseHead, type Head } from "./tcpdump-head.ts";
import { addHexRow, isHexRow, type HexDump } from "./tcpdump-hex.ts";
import { isIcmpError } from "./tcpdump-icmp.ts";
import { indentOf, type Line } from "./tcpdump-line.ts";
import { parseNetwork, type Outcome } from "./tcpdump-network.ts";
import { clearPacket, type TextPacket } from "./tcpdump-packet.ts";

/** A record being gathered. */
export interface TextRecord {
  readonly first: Line;
  readonly head: Head;
  readonly packet: TextPacket;
  readonly dump: HexDump;
  /** The text that was parsed: the first line, and what was joined to it. */
  text: string;
  outcome: Outcome;
  joins: number;
  /** The last line ends in a tunnel's header, so an inner packet may follow without indentation. */
  tunnel: boolean;
}

/** Starts a record at its head line. */
export function startRecord(
  first: Line,
  head: Head,
  packet: TextPacket,
  dump: HexDump,
): TextRecord {
  dump.length = 0;
  const record: TextRecord = {
    first,
    head,
    packet,
    dump,
    text: first.text,
    outcome: "done",
    joins: 0,
    tunnel: isTunnel(first.text),
  };
  record.outcome = parse(record, record.text);
  return record;
}

/** Joins at most this many lines: the longest heads wrap into three or four. */
const JOINS_MAX = 8;
const TEXT_MAX = 8000;

/** Adds the next line; false, with nothing added, when it belongs to no more of this record. */
export function addLine(record: TextRecord, line: Line): boolean {
  const { text } = line;
  if (text.trim() === "") return true;
  if (isHexRow(text)) {
    addHexRow(record.dump, text);
    return true;
  }
  if (startsAnother(record, line)) return false;
  const nested = record.tunnel && isNestedHead(text);
  record.tunnel = isTunnel(text);
  if (nested) return true;
  const indented = indentOf(text) > record.head.indent;
  if (record.outcome === "more") {
    return join(record, line) || indented;
  }
  if (finishWrapped(record, line)) return true;
  if (!indented) return false;
  if (isIcmpError(record.packet) && record.packet.quote === undefined) join(record, line);
  return true;
}

const scratch: TextPacket = {};

function startsAnother(record: TextRecord, line: Line): boolean {
  clearPacket(scratch);
  const head = parseHead(line.text, scratch);
  if (head === undefined) return false;
  if (head.time !== undefined || head.numbered) return true;
  if (record.tunnel) {
    const outer = record.packet.frameLength;
    const inner = scratch.frameLength;
    // The inner frame is shorter than the outer one.
    return outer !== undefined && inner !== undefined && inner >= outer;
  }
  // Quoted headers and inner packets are indented.
  return indentOf(line.text) <= record.head.indent;
}

function isNestedHead(text: string): boolean {
  clearPacket(scratch);
  return parseHead(text, scratch) !== undefined;
}

/** OTV and VXLAN end the line before the inner frame. */
function isTunnel(text: string): boolean {
  return /(?:OTV|VXLAN(?:-GPE)?), flags \[/.test(text);
}

/** Parses `text` anew; what the link layer said stays. */
function parse(record: TextRecord, text: string): Outcome {
  const { packet, head } = record;
  const { srcMac, dstMac, etherType, vlan, frameLength, linkLength } = packet;
  clearPacket(packet);
  Object.assign(packet, { srcMac, dstMac, etherType, vlan, frameLength, linkLength });
  if (head.link === "other") packet.notIp = true;
  if (head.link === "other" || head.link === "unreadable") return "done";
  return parseNetwork(text, head.rest, head.link === "ipv4" ? 4 : 6, packet);
}

/**
 * Joins a line with a blank, or without where it was cut inside a word; or leaves it out, as what came
 * from another program. False when the record has taken all the lines that it may.
 */
function join(record: TextRecord, line: Line): boolean {
  record.joins += 1;
  if (record.joins > JOINS_MAX || record.text.length > TEXT_MAX) return false;
  // More marks than the head line has: one of them stands between source and destination.
  const arrow = line.quotes > record.first.quotes ? "> " : "";
  const added = arrow + line.text.trim();
  for (const text of [`${record.text} ${added}`, record.text + added]) {
    const outcome = parse(record, text);
    if (outcome === "bad") continue;
    record.text = text;
    record.outcome = outcome;
    return true;
  }
  record.outcome = parse(record, record.text);
  return true;
}

/**
 * Joins a line to a record that is not at its end: a TCP line ends in its length, and behind
 * ports the protocol is named. Only what tells more than before is joined.
 */
function finishWrapped(record: TextRecord, line: Line): boolean {
  const { packet } = record;
  const before = progressOf(packet);
  if (before === undefined || record.joins >= JOINS_MAX || record.outcome !== "done") return false;
  const added = line.text.trim();
  for (const text of [`${record.text} ${added}`, record.text + added]) {
    if (parse(record, text) !== "done" || (progressOf(packet) ?? Infinity) <= before) continue;
    record.text = text;
    record.joins += 1;
    return true;
  }
  record.outcome = parse(record, record.text);
  return false;
}

/** How much of a wrapped transport header is there; undefined when nothing is missing. */
function progressOf(packet: TextPacket): number | undefined {
  if (packet.sport === undefined) return undefined;
  if (packet.protocol === undefined) return 0;
  if (packet.protocol !== 6 || packet.payloadLength !== undefined) return undefined;
  if (packet.tcpFlags === undefined) return 1;
  return [packet.tcpSeq, packet.tcpAck, packet.tcpWindow].reduce<number>(
    (progress, value) => (value === undefined ? progress : progress + 1),
    2,
  );
}
