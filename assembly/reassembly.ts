// The frame that a complete datagram becomes: the link layer's and the IP headers of its first fragment,
// the bytes of all of them behind, and a packet record for it.
import { Datagram, reassembledTos } from "./datagram";
import { decode } from "./decode";
import { packetOf } from "./fragment";
import {
  KNOWN_PAYLOAD_LENGTH,
  PACKET_AT_INPUT,
  PACKET_DECODED,
  PACKET_DONT_FRAGMENT,
  PACKET_FRAGMENT,
  PACKET_FRAGMENT_HEADER,
  PACKET_HAS_TIME,
  PACKET_INBOUND,
  PACKET_KNOWN,
  PACKET_LATER_FRAGMENT,
  PACKET_MORE_FRAGMENTS,
  PACKET_NUMBER,
  PACKET_OUTBOUND,
  PACKET_REASSEMBLED,
  PACKET_SIZE,
  PACKET_LOCAL_TIME,
  PACKET_TIME_OF_DAY,
} from "./layout";
import { forbidsCutting, piece } from "./piece";
import { Packet } from "./records";

/** Longest headers in front of a datagram's bytes. */
const HEADERS_MAX: u32 = 2048;
const BYTES_MAX: u32 = 65536;
const ROOM: usize = <usize>(HEADERS_MAX + BYTES_MAX);

const IPV4_DONT_FRAGMENT: u16 = 0x4000;
const IPV6_SIZE: u32 = 40;
const FRAGMENT_HEADER_SIZE: u32 = 8;

/** The reassembled packet. */
export const whole: Packet = changetype<Packet>(memory.data(PACKET_SIZE, 8));

/** Copies what a fragment brings to the datagram's frame. Precondition: `readPiece`. */
export function keepBytes(datagram: Datagram, packet: Packet): void {
  const length = piece.end - piece.offset;
  if (piece.captured < length) {
    const shown = piece.offset + piece.captured;
    if (shown < datagram.captured) datagram.captured = shown;
  }
  if (length > datagram.longest) datagram.longest = length;
  if (forbidsCutting(packet) && length > datagram.longestWhole) datagram.longestWhole = length;
  // Too long a datagram is discarded once it is complete.
  if (packet.network == 0 || piece.end > BYTES_MAX) return;
  if (datagram.room == 0) datagram.room = <u32>heap.alloc(ROOM);
  const bytes: usize = datagram.room + HEADERS_MAX;
  const count = piece.captured < length ? piece.captured : length;
  memory.copy(bytes + piece.offset, packet.network + piece.headers, count);
  if (piece.offset == 0) keepHeaders(datagram, packet, bytes);
}

// Right in front of the bytes. IPv6 loses its fragment header: what announced it announces what follows.
function keepHeaders(datagram: Datagram, packet: Packet, bytes: usize): void {
  const link = packet.network - packet.frame;
  const six = packet.family == 6;
  const headers = six ? piece.headers - FRAGMENT_HEADER_SIZE : piece.headers;
  if (link + headers > HEADERS_MAX || packet.network + headers > packet.end) {
    datagram.captured = 0;
    return;
  }
  memory.copy(bytes - headers - link, packet.frame, link + headers);
  if (six) {
    const next = load<u8>(packet.network + headers);
    store<u8>(bytes - headers + piece.announced, next);
  }
}

/** Makes `whole` of a complete datagram; the packet under way completes it. */
export function reassemble(datagram: Datagram, completing: Packet): void {
  const first = packetOf(datagram.first);
  memory.copy(changetype<usize>(whole), changetype<usize>(first), PACKET_SIZE);
  // > The device is that by which the last fragment came.
  whole.captureInterface = completing.captureInterface;
  whole.timestamp = completing.timestamp;
  if ((first.flags & PACKET_DECODED) != 0 || datagram.room == 0) stretch(datagram, first);
  else decodeFrame(datagram, first);
  whole.flags |= PACKET_REASSEMBLED;
  if (datagram.atInput) whole.flags |= PACKET_AT_INPUT;
}

// What text says of the first fragment, with the datagram's length.
function stretch(datagram: Datagram, first: Packet): void {
  const fragmented =
    PACKET_FRAGMENT | PACKET_LATER_FRAGMENT | PACKET_MORE_FRAGMENTS | PACKET_FRAGMENT_HEADER;
  whole.flags &= ~(fragmented | PACKET_DONT_FRAGMENT);
  if (staysWhole(datagram)) whole.flags |= PACKET_DONT_FRAGMENT;
  const stripped: u32 = datagram.family == 6 ? FRAGMENT_HEADER_SIZE : 0;
  const length = datagram.headers - stripped + datagram.length;
  if ((whole.known & KNOWN_PAYLOAD_LENGTH) != 0) {
    whole.payloadLength += length + stripped - first.ipLength;
  }
  whole.ipLength = length;
}

// > Where the longest fragment may not be cut, the datagram may not, either. Source: Linux, ip_frag_reasm().
function staysWhole(datagram: Datagram): bool {
  return datagram.longestWhole != 0 && datagram.longestWhole == datagram.longest;
}

function decodeFrame(datagram: Datagram, first: Packet): void {
  const bytes: usize = datagram.room + HEADERS_MAX;
  const six = datagram.family == 6;
  const headers = datagram.headers - (six ? FRAGMENT_HEADER_SIZE : 0);
  const link = first.network - first.frame;
  const network = bytes - headers;
  const tos = reassembledTos(datagram, first.tos);
  if (six) {
    store<u16>(network, bswap<u16>(<u16>(headers - IPV6_SIZE + datagram.length)), 4);
    store<u8>(network, (load<u8>(network) & 0xf0) | (<u8>(tos >> 4)));
    store<u8>(network, (load<u8>(network, 1) & 0x0f) | (<u8>(tos << 4)), 1);
  } else {
    store<u8>(network, <u8>tos, 1);
    store<u16>(network, bswap<u16>(<u16>(headers + datagram.length)), 2);
    store<u16>(network, staysWhole(datagram) ? bswap<u16>(IPV4_DONT_FRAGMENT) : <u16>0, 6);
    writeHeaderChecksum(network, headers);
  }
  const captured = datagram.captured < datagram.length ? datagram.captured : datagram.length;
  const place: usize = <usize>PACKET_KNOWN;
  memory.fill(changetype<usize>(whole) + place, 0, <usize>PACKET_NUMBER - place);
  const timed = PACKET_HAS_TIME | PACKET_TIME_OF_DAY | PACKET_LOCAL_TIME;
  whole.flags &= timed | PACKET_INBOUND | PACKET_OUTBOUND;
  whole.frame = <u32>(network - link);
  whole.capturedLength = link + headers + captured;
  whole.originalLength = link + headers + datagram.length;
  decode(whole);
}

// > RFC 791: the ones' complement of the ones' complement sum of the header's words.
function writeHeaderChecksum(header: usize, size: u32): void {
  store<u16>(header, 0, 10);
  let sum: u32 = 0;
  for (let at: u32 = 0; at < size; at += 2) sum += bswap<u16>(load<u16>(header + at));
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  store<u16>(header, bswap<u16>(<u16>~sum), 10);
}
