/**
 * IP packets as the lab sends them: numbered, so that each is known again wherever and however it comes
 * out, and in an Ethernet frame to the interface by which they arrive.
 */

/** Numbers are those of the IPv4 identification, which is the narrower one. */
export const NUMBERS = 0x10000;

/** What no rule changes: the IPv4 identification or the IPv6 flow label. 0: not one of ours. */
export function numberOf(packet: Uint8Array): number {
  const view = viewOf(packet);
  return isFour(packet) ? view.getUint16(4) : view.getUint32(0) & 0xfffff;
}

/** A copy with this number, as long as its header says; what is missing at the end is zero. */
export function numberedPacket(packet: Uint8Array, length: number, number: number): Uint8Array {
  const copy = new Uint8Array(Math.max(length, packet.length));
  copy.set(packet);
  const view = viewOf(copy);
  if (!isFour(copy)) {
    view.setUint32(0, ((view.getUint32(0) & 0xfff00000) | number) >>> 0);
    return copy;
  }
  view.setUint16(4, number);
  view.setUint16(10, 0);
  view.setUint16(10, headerChecksum(view));
  return copy;
}

/** Addresses of a frame, as text. */
export interface FrameEnds {
  readonly source: Uint8Array | undefined;
  /** As captured: kept where it is that of a group. */
  readonly destination: Uint8Array | undefined;
  /** The interface's own. */
  readonly own: string;
}

/** The frame by which a packet arrives. */
export function frameOf(packet: Uint8Array, { source, destination, own }: FrameEnds): Uint8Array {
  const frame = new Uint8Array(14 + packet.length);
  const group = destination !== undefined && ((destination[0] ?? 0) & 1) === 1;
  frame.set(group ? destination : (groupMac(packet) ?? macBytes(own)), 0);
  frame.set(source ?? STRANGER, 6);
  frame.set(isFour(packet) ? [0x08, 0x00] : [0x86, 0xdd], 12);
  frame.set(packet, 14);
  return frame;
}

/** Who sends where the capture does not say. */
const STRANGER = Uint8Array.of(2, 0, 0, 2, 0, 0);

/** Where everybody or a group is meant (RFC 1112, RFC 2464); undefined for one host. */
function groupMac(packet: Uint8Array): Uint8Array | undefined {
  const [a = 0, b = 0, c = 0, d = 0] = packet.subarray(isFour(packet) ? 16 : 24);
  if (!isFour(packet)) {
    return a === 0xff ? Uint8Array.of(0x33, 0x33, ...packet.subarray(36, 40)) : undefined;
  }
  if (a === 255 && b === 255 && c === 255 && d === 255) return new Uint8Array(6).fill(255);
  return a >> 4 === 14 ? Uint8Array.of(1, 0, 0x5e, b & 0x7f, c, d) : undefined;
}

function macBytes(text: string): number[] {
  return text.split(":").map((part) => Number.parseInt(part, 16));
}

function isFour(packet: Uint8Array): boolean {
  return (packet[0] ?? 0) >> 4 === 4;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** > RFC 791: the ones' complement of the ones' complement sum of the header's words. */
function headerChecksum(view: DataView): number {
  let sum = 0;
  const length = Math.min((view.getUint8(0) & 15) * 4, view.byteLength & ~1);
  for (let at = 0; at < length; at += 2) sum += view.getUint16(at);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}
