/**
 * What a capture's frames hold, told by a decoder of its own: addresses, protocol and ports, no more.
 * Shares no code with assembly/decode*.ts, so that the readers can be compared with it.
 */
import * as layout from "../../assembly/layout.ts";
import { makeBatch, type PacketBatch } from "../../src/capture/batch.ts";
import type { CaptureFormat, CaptureReader } from "../../src/capture/format.ts";
import type { Diagnostic } from "../../src/errors.ts";

/** What there is of one IP packet; "other" for a frame without IP, undefined for an unknown link. */
export type Truth = TruthPacket | "other" | undefined;

export interface TruthPacket {
  readonly family: number;
  readonly src?: string;
  readonly dst?: string;
  readonly protocol?: number;
  readonly sport?: number;
  readonly dport?: number;
  readonly laterFragment: boolean;
}

/** A packet record, as values; a frame's bytes where the text holds them. */
export interface Read {
  readonly flags: number;
  readonly known: number;
  readonly family: number;
  readonly src: string;
  readonly dst: string;
  readonly protocol: number;
  readonly sport: number;
  readonly dport: number;
  readonly tcpFlags: number;
  readonly icmpType: number;
  readonly icmpCode: number;
  readonly icmpId: number;
  readonly timestamp: bigint;
  readonly captureInterface: number;
  readonly srcName: number;
  readonly dstName: number;
  readonly etherType: number;
  readonly vlan: number;
  readonly linkType: number;
  readonly fragmentOffset: number;
  readonly ipLength: number;
  readonly payloadLength: number;
  readonly ttl: number;
  readonly tcpSeq: number;
  readonly tcpAck: number;
  readonly tcpWindow: number;
  readonly malformed: number;
  readonly shownOptions: number;
  readonly quotedProtocol: number;
  readonly quotedDport: number;
  readonly originalLength: number;
  /** Empty for a record without bytes. */
  readonly frame: Uint8Array;
}

export interface ReadCapture {
  readonly packets: readonly Read[];
  readonly diagnostics: readonly Diagnostic[];
  readonly reader: CaptureReader;
}

/** Reads a whole capture, `step` bytes more at a time. */
export function readCapture(
  format: CaptureFormat,
  data: Uint8Array,
  options: {
    step?: number;
    resolveName?: Parameters<CaptureFormat["open"]>[0]["resolveName"];
  } = {},
): ReadCapture {
  const { batch, bytes } = makeBatch(data.length);
  bytes.set(data);
  const diagnostics: Diagnostic[] = [];
  const { resolveName } = options;
  const reader = format.open({
    file: "capture",
    onDiagnostic: (diagnostic) => diagnostics.push(diagnostic),
    ...(resolveName === undefined ? {} : { resolveName }),
  });
  const packets: Read[] = [];
  let start = 0;
  let end = Math.min(data.length, options.step ?? data.length);
  while (true) {
    batch.clear();
    const last = end === data.length;
    const consumed = reader.scan(bytes.subarray(start, end), batch, last);
    start += consumed;
    for (let index = 0; index < batch.count; index += 1) packets.push(readRecord(batch, index));
    if (batch.count > 0) continue;
    if (last || reader.damaged) return { packets, diagnostics, reader };
    end = Math.min(data.length, end + (options.step ?? data.length));
  }
}

function readRecord(batch: PacketBatch, index: number): Read {
  const at = batch.recordAt(index);
  const view = batch.view;
  const u8 = (field: number): number => view.getUint8(at + field);
  const u16 = (field: number): number => view.getUint16(at + field, true);
  const u32 = (field: number): number => view.getUint32(at + field, true);
  const family = u8(layout.PACKET_FAMILY);
  const host = (field: number): string =>
    hex([0, 1, 2, 3].slice(0, family === 4 ? 1 : 4).map((word) => u32(field + 4 * word)));
  const frame = u32(layout.PACKET_FRAME);
  return {
    flags: u32(layout.PACKET_FLAGS),
    known: u32(layout.PACKET_KNOWN),
    family,
    src: host(layout.PACKET_SRC),
    dst: host(layout.PACKET_DST),
    protocol: u8(layout.PACKET_PROTOCOL),
    sport: u16(layout.PACKET_SPORT),
    dport: u16(layout.PACKET_DPORT),
    tcpFlags: u8(layout.PACKET_TCP_FLAGS),
    icmpType: u8(layout.PACKET_ICMP_TYPE),
    icmpCode: u8(layout.PACKET_ICMP_CODE),
    icmpId: u16(layout.PACKET_ICMP_ID),
    timestamp: view.getBigUint64(at + layout.PACKET_TIMESTAMP, true),
    captureInterface: u16(layout.PACKET_CAPTURE_INTERFACE),
    srcName: u16(layout.PACKET_SRC_NAME),
    dstName: u16(layout.PACKET_DST_NAME),
    etherType: u16(layout.PACKET_ETHER_TYPE),
    vlan: u16(layout.PACKET_VLAN),
    linkType: u16(layout.PACKET_LINK_TYPE),
    fragmentOffset: u16(layout.PACKET_FRAGMENT_OFFSET),
    ipLength: u32(layout.PACKET_IP_LENGTH),
    payloadLength: u32(layout.PACKET_PAYLOAD_LENGTH),
    ttl: u8(layout.PACKET_TTL),
    tcpSeq: u32(layout.PACKET_TCP_SEQ),
    tcpAck: u32(layout.PACKET_TCP_ACK),
    tcpWindow: u16(layout.PACKET_TCP_WINDOW),
    malformed: u8(layout.PACKET_MALFORMED),
    shownOptions: u8(layout.PACKET_SHOWN_OPTIONS),
    quotedProtocol: u8(layout.PACKET_QUOTED_PROTOCOL),
    quotedDport: u16(layout.PACKET_QUOTED_DPORT),
    originalLength: u32(layout.PACKET_ORIGINAL_LENGTH),
    frame: new Uint8Array(view.buffer, frame, u32(layout.PACKET_CAPTURED_LENGTH)).slice(),
  };
}

function hex(words: readonly number[]): string {
  return words.map((word) => word.toString(16).padStart(8, "0")).join("");
}

/** Decodes one frame as far as it was captured. */
export function truthOf(frame: Uint8Array, linkType: number): Truth {
  const u16 = (at: number): number => ((frame[at] ?? 0) << 8) | (frame[at + 1] ?? 0);
  switch (linkType) {
    case layout.LINK_ETHERNET: {
      let at = 12;
      while ([0x8100, 0x88a8, 0x9100].includes(u16(at))) at += 4;
      return ofEtherType(frame, at + 2, u16(at));
    }
    case layout.LINK_LINUX_SLL: {
      let at = 14;
      while ([0x8100, 0x88a8].includes(u16(at))) at += 4;
      return ofEtherType(frame, at + 2, u16(at));
    }
    case layout.LINK_LINUX_SLL2:
      return ofEtherType(frame, 20, u16(0));
    case layout.LINK_NULL:
    case layout.LINK_LOOP: {
      const family = (frame[0] ?? 0) | (frame[3] ?? 0);
      return family === 2 || [10, 23, 24, 28, 30].includes(family) ? ofIp(frame, 4) : "other";
    }
    case layout.LINK_RAW:
    case layout.LINK_RAW_BSD:
    case layout.LINK_RAW_OPENBSD:
    case layout.LINK_IPV4:
    case layout.LINK_IPV6:
      return ofIp(frame, 0);
  }
  return undefined;
}

function ofEtherType(frame: Uint8Array, at: number, type: number): Truth {
  return type === 0x0800 || type === 0x86dd ? ofIp(frame, at) : "other";
}

function ofIp(frame: Uint8Array, at: number): Truth {
  const family = (frame[at] ?? 0) >> 4;
  return family === 6 ? ofIpv6(frame, at) : ofIpv4(frame, at);
}

function ofIpv4(frame: Uint8Array, at: number): TruthPacket {
  const address = (from: number): string =>
    Buffer.from(frame.subarray(at + from, at + from + 4)).toString("hex");
  if (frame.length < at + 20) return { family: 4, laterFragment: false };
  const fragment = (((frame[at + 6] ?? 0) & 0x1f) << 8) | (frame[at + 7] ?? 0);
  const protocol = frame[at + 9] ?? 0;
  const head = { family: 4, src: address(12), dst: address(16), protocol };
  const behind = at + 4 * ((frame[at] ?? 0) & 15);
  if (fragment > 0) return { ...head, laterFragment: true };
  return { ...head, ...portsOf(frame, behind, protocol), laterFragment: false };
}

function ofIpv6(frame: Uint8Array, at: number): TruthPacket {
  const address = (from: number): string =>
    Buffer.from(frame.subarray(at + from, at + from + 16)).toString("hex");
  if (frame.length < at + 40) return { family: 6, laterFragment: false };
  const head = { family: 6, src: address(8), dst: address(24) };
  let protocol = frame[at + 6] ?? 0;
  let behind = at + 40;
  while ([0, 43, 44, 51, 60].includes(protocol)) {
    if (frame.length < behind + 8) return { ...head, laterFragment: false };
    const following = frame[behind] ?? 0;
    const units = frame[behind + 1] ?? 0;
    if (protocol === 44) {
      const offset = (((frame[behind + 2] ?? 0) << 8) | (frame[behind + 3] ?? 0)) & 0xfff8;
      if (offset > 0) return { ...head, protocol: following, laterFragment: true };
      behind += 8;
    } else behind += protocol === 51 ? 4 * units + 8 : 8 * units + 8;
    protocol = following;
  }
  return { ...head, protocol, ...portsOf(frame, behind, protocol), laterFragment: false };
}

function portsOf(
  frame: Uint8Array,
  at: number,
  protocol: number,
): { sport?: number; dport?: number } {
  if (![6, 17, 33, 132].includes(protocol) || frame.length < at + 4) return {};
  return {
    sport: ((frame[at] ?? 0) << 8) | (frame[at + 1] ?? 0),
    dport: ((frame[at + 2] ?? 0) << 8) | (frame[at + 3] ?? 0),
  };
}
