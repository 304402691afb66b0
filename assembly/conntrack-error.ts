// An ICMP error: the connection that it is about is the one that it quotes.
// Source: Linux, net/netfilter/nf_conntrack_proto_icmp.c.
import { findPortUnknown } from "./drawn-port";
import { ENTRY_MIDSTREAM, translationBits } from "./entry";
import { entryAt } from "./entry-list";
import {
  answersItself,
  inverseIcmp,
  NODE_ORIGINAL_SEEN,
  NODE_REPLY,
  NODE_REPLY_SEEN,
  nodeEntry,
  nodeKind,
  nodeOf,
} from "./entry-tuples";
import { quotesOddGre } from "./gre";
import { findLive } from "./half-known";
import { key } from "./key";
import {
  CT_RELATED,
  KNOWN_QUOTE,
  PACKET_DEEP_QUOTE,
  PACKET_DST,
  PACKET_QUOTED_SRC,
} from "./layout";
import { ANSWERS_SOME, findMasqueraded } from "./masqueraded-source";
import { Packet } from "./records";
import { isRealNode, severalNodes } from "./route";
import { DIRECTION_ORIGINAL, DIRECTION_REPLY, tracking } from "./tracking";

/**
 * > An error is RELATED when it quotes a known connection and goes to the quoted source.
 * Source: nf_conntrack_proto_icmp.c, nf_conntrack_inet_error().
 */
export function trackError(packet: Packet): void {
  if ((packet.known & KNOWN_QUOTE) == 0) {
    const deep = (packet.flags & PACKET_DEEP_QUOTE) != 0;
    tracking.quoteMissing = deep || !isWhole(packet) || isRedirect6(packet);
    return;
  }
  memory.copy(changetype<usize>(key), changetype<usize>(packet) + PACKET_QUOTED_SRC, 32);
  key.family = packet.family;
  key.protocol = packet.quotedProtocol;
  key.unused = 0;
  key.sport = packet.quotedSport;
  key.dport = packet.quotedDport;
  if (packet.quotedProtocol == 47 && quotesOddGre(packet)) return;
  // > The quoted packet is looked up by what answers it: translated connections are found so, too.
  if (isRealNode()) invertKey();
  let node = findLive();
  if (node < 0 && isRealNode()) node = findPortUnknown();
  if (node < 0 && severalNodes()) {
    invertKey();
    node = findMasqueraded(packet);
    if (node == ANSWERS_SOME) tracking.answersSome = true;
    if (node >= 0) node = nodeOf(nodeEntry(node), NODE_ORIGINAL_SEEN);
  }
  if (node < 0) return;
  const toQuotedSource =
    memory.compare(
      changetype<usize>(packet) + PACKET_DST,
      changetype<usize>(packet) + PACKET_QUOTED_SRC,
      16,
    ) == 0;
  if (!toQuotedSource) return;
  const kind = nodeKind(node);
  tracking.entry = nodeEntry(node);
  const entry = entryAt(tracking.entry);
  tracking.state = CT_RELATED | translationBits(entry);
  tracking.midstream = (entry.flags & ENTRY_MIDSTREAM) != 0;
  const replies = kind == NODE_REPLY || kind == NODE_REPLY_SEEN;
  tracking.direction =
    replies == isRealNode() || answersItself(entry) ? DIRECTION_REPLY : DIRECTION_ORIGINAL;
}

// All of it was captured: what it does not quote, the kernel does not see either.
function isWhole(packet: Packet): bool {
  return packet.network != 0 && packet.end - packet.network >= packet.ipLength;
}

// Its quote is in an option.
function isRedirect6(packet: Packet): bool {
  return packet.protocol == 58 && packet.icmpType == 137;
}

// The tuple of answers to what `key` holds.
function invertKey(): void {
  const at = changetype<usize>(key);
  for (let word: usize = 0; word < 16; word += 4) {
    const src = load<u32>(at + word);
    store<u32>(at + word, load<u32>(at + word, 16));
    store<u32>(at + word, src, 16);
  }
  if (key.protocol == 1 || key.protocol == 58) {
    key.dport = inverseIcmp(key.protocol, key.dport);
    return;
  }
  const sport = key.sport;
  key.sport = key.dport;
  key.dport = sport;
}
