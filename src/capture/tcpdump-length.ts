/** How long a packet is at least, by what its words say of its transport header and payload. */
import type { TextPacket } from "./tcpdump-packet.ts";
import { numberIn, type Words } from "./tcpdump-words.ts";

const TCP_HEADER = 20;
const UDP_HEADER = 8;
const ICMP_HEADER = 8;
/** Of a query or a report of one group. */
const MULTICAST_LISTENER = 24;
const MULTICAST_RECORD = 20;

/** Bytes behind the IP headers, at least; undefined where nothing is told, and of fragments. */
export function leastTransport(words: Words, packet: TextPacket): number | undefined {
  const { protocol, payloadLength, fragmentOffset = 0, moreFragments, laterFragment } = packet;
  if (fragmentOffset > 0 || moreFragments === true || laterFragment === true) return undefined;
  if (protocol === 6) return payloadLength === undefined ? undefined : TCP_HEADER + payloadLength;
  if (protocol === 17) return payloadLength === undefined ? undefined : UDP_HEADER + payloadLength;
  if (protocol !== 1 && protocol !== 58) return undefined;
  const told = numberIn(words.text.slice(words.at), /, length (\d{1,5})(?: *$|: )/);
  return told ?? leastIcmp(words, packet);
}

// > ICMPv6's length is not printed with -v.
function leastIcmp(words: Words, { protocol, icmpType }: TextPacket): number {
  if (protocol !== 58 || icmpType === undefined) return ICMP_HEADER;
  if (icmpType >= 130 && icmpType <= 132) return MULTICAST_LISTENER;
  const records = icmpType === 143 ? numberIn(words.text, /, (\d{1,4}) group record/) : undefined;
  return ICMP_HEADER + (records ?? 0) * MULTICAST_RECORD;
}
