// Second sights: a capture on several interfaces (or on `any`) shows a packet once where it arrives and
// once where it leaves. Only where the capture itself tells interfaces or directions apart.
// Source: semantics.md C-8 and C-9.
import { SEEN_ARRIVING } from "./arrival";
import { clearBytes, copyBytes, zeros } from "./bytes";
import { decodePlain } from "./decode-plain";
import { nodeEntry } from "./entry-tuples";
import { Gathered, gatheredAt } from "./gathered";
import { captureInterfaceNumber } from "./interface";
import {
  CAPTURE_INTERFACE_NONE,
  KNOWN_TCP_SEQ,
  PACKET_INBOUND,
  PACKET_OUTBOUND,
  PACKET_SIZE,
  VERDICT_DROP,
  VERDICT_SIZE,
} from "./layout";
import { verdictOfOutcome } from "./outcome";
import { PLAIN_READ, protocolOf } from "./plain-frame";
import { PROTOCOL_TCP } from "./protocol";
import { showSource } from "./masqueraded-source";
import { lowerInterface } from "./node-interface";
import { Packet } from "./records";
import { noteRefusedSight } from "./refused-sight";
import { isRealNode, routeOf } from "./route";
import { Saying } from "./saying";
import { isBelow, isStacked, topOf } from "./stack";
import { ENTRY_NONE } from "./tracking";
import {
  hasSameDestination,
  hasSameSource,
  isMasqueraded,
  isPerhapsTranslated,
  isTranslated,
} from "./translated-sight";
import { Verdict } from "./verdict";

/** A packet that was judged: the first bytes of its record, and this. */
@unmanaged
class Sight {
  number: u64;
  entry: u32;
  /** Address of its verdict, which lies behind where it is kept nowhere else; 0: there is no packet. */
  verdict: u32;
  /** 1: instead of the record there is what it can be made of, a KeptFrame. */
  isFrame: u32;
  unused: u32;
}

/** Behind the first bytes of a plain frame. */
@unmanaged
class KeptFrame {
  time: u64;
  captured: u32;
  original: u32;
  captureInterface: u32;
}

// As many packets back another sight is looked for.
const SIGHTS: u32 = 64;
// What is looked at of the packet's record, in whole pieces of 16 bytes.
const RECORD_SIZE: usize = 112;
const SIGHT_SIZE: usize = RECORD_SIZE + offsetof<Sight>() + VERDICT_SIZE;

const FRAME_SIZE: usize = 64;

if (offsetof<Packet>("ipId") + 4 > RECORD_SIZE) ERROR("what a sight keeps of a record");
if (FRAME_SIZE + offsetof<KeptFrame>() > RECORD_SIZE) ERROR("what a sight keeps of a frame");
if (PLAIN_READ > FRAME_SIZE) ERROR("PLAIN_READ");
if (SIGHTS != 64) ERROR("hashes");

/** Longest time between two sights of one packet: 10 ms. */
const APART: u64 = 10000000;

// u32[SIGHTS]: hashes of what two sights of one packet have in common; 0: look closer.
const hashes: usize = memory.data(64 * 4, 16);
let sights: usize = 0;
let next: u32 = 0;
let several: bool = false;
let firstInterface: u32 = 0xffffffff;

/** Prepares an empty memory. */
export function setUpSights(): void {
  sights = zeros(<usize>SIGHTS * SIGHT_SIZE);
}

/** Tells whether the capture has shown that it holds more than one interface or direction. */
export function severalSights(): bool {
  return several;
}

/** Notes by which interface, and in which direction, the capture shows a packet, whoever decides it. */
export function noteSight(packet: Packet): void {
  if (several) return;
  const shown = ((<u32>packet.captureInterface) << 8) | directionOf(packet);
  if (firstInterface == 0xffffffff) firstInterface = shown;
  several = firstInterface != shown;
}

/** A packet by this interface, without a direction, shows what none before it has. */
export function isNewSight(captureInterface: u32): bool {
  return !several && firstInterface != captureInterface << 8;
}

/** Remembers a packet and its verdict. `kept`: the verdict stays where it is. */
export function rememberSight(packet: Packet, verdict: Verdict, entry: u32, kept: bool): void {
  const place = next;
  const at = sights + <usize>place * SIGHT_SIZE;
  next = (place + 1) % SIGHTS;
  const record = changetype<usize>(packet);
  for (let byte: usize = 0; byte < RECORD_SIZE; byte += 16)
    v128.store(at + byte, v128.load(record + byte));
  const sight = sightOf(at);
  sight.number = packet.number;
  sight.entry = entry;
  sight.isFrame = 0;
  store<u32>(hashAt(place), contentHash(packet));
  if (kept) {
    sight.verdict = <u32>changetype<usize>(verdict);
    return;
  }
  const own = changetype<usize>(sight) + offsetof<Sight>();
  copyBytes(own, changetype<usize>(verdict), VERDICT_SIZE);
  sight.verdict = <u32>own;
}

// Frames without a record that were judged since the last one was remembered: all that were gathered last.
let unsettled: u32 = 0;

/** Leaves the remembering of so many frames to `settleFrames`, whose `number` and `saying` are told. */
export function rememberLater(frames: u32): void {
  unsettled += frames;
}

/**
 * Remembers the frames that were left, before another packet is looked at, and while they lie where they are.
 *
 * @param end behind the last of them, as `gatheredAt` counts
 */
export function settleFrames(end: u32): void {
  const kept = min(unsettled, SIGHTS);
  // As if the others had been remembered, too.
  next = (next + unsettled - kept) % SIGHTS;
  for (let index = end - kept; index != end; index++) rememberFrame(gatheredAt(index));
  unsettled = 0;
}

function rememberFrame(one: Gathered): void {
  store<u32>(hashAt(next), 0);
  const at = sights + <usize>next * SIGHT_SIZE;
  next = (next + 1) % SIGHTS;
  const frame: usize = one.frame;
  v128.store(at, v128.load(frame));
  v128.store(at, v128.load(frame, 16), 16);
  store<u64>(at, load<u64>(frame, 32), 32);
  store<u16>(at, load<u16>(frame, 40), 40);
  // The shortest frames, of UDP, end here; of TCP as much as is compared is always there.
  if (protocolOf(frame) == PROTOCOL_TCP) store<u64>(at, load<u64>(frame, 42), 42);
  const kept = changetype<KeptFrame>(at + FRAME_SIZE);
  kept.time = one.time;
  kept.captured = one.captured;
  kept.original = one.original;
  kept.captureInterface = one.captureInterface;
  const sight = sightOf(at);
  sight.number = one.number;
  sight.entry = one.node == 0 ? ENTRY_NONE : nodeEntry(one.node - 1);
  sight.verdict = <u32>verdictOfOutcome(changetype<Saying>(one.saying).outcome);
  sight.isFrame = 1;
}

const unpacked: Packet = changetype<Packet>(memory.data(PACKET_SIZE, 16));
const unpackedFrame: usize = memory.data(64, 16);

// Makes the record of what was kept of a frame.
function unpack(at: usize): void {
  const sight = sightOf(at);
  const kept = changetype<KeptFrame>(at + FRAME_SIZE);
  copyBytes(unpackedFrame, at, FRAME_SIZE);
  clearBytes(changetype<usize>(unpacked), PACKET_SIZE);
  unpacked.number = sight.number;
  unpacked.timestamp = kept.time;
  unpacked.frame = <u32>unpackedFrame;
  unpacked.capturedLength = kept.captured;
  unpacked.originalLength = kept.original;
  unpacked.captureInterface = <u16>kept.captureInterface;
  decodePlain(unpacked);
  copyBytes(at, changetype<usize>(unpacked), RECORD_SIZE);
  sight.isFrame = 0;
}

// The first place from this one on whose packet may be the same.
function nextLike(from: u32, hash: u32): u32 {
  const wanted = i32x4.splat(hash);
  const unknown = i32x4.splat(0);
  for (let place = from; place < SIGHTS;) {
    // Four side by side, where a row of four begins.
    if ((place & 3) == 0) {
      const four = v128.load(hashAt(place));
      if (!v128.any_true(v128.or(i32x4.eq(four, wanted), i32x4.eq(four, unknown)))) {
        place += 4;
        continue;
      }
    }
    const known = load<u32>(hashAt(place));
    if (known == hash || known == 0) return place;
    place++;
  }
  return SIGHTS;
}

function hashAt(place: u32): usize {
  return hashes + ((<usize>place) << 2);
}

// As much as `sameContent` compares, and never 0.
function contentHash(packet: Packet): u32 {
  const numbers =
    (packet.known & KNOWN_TCP_SEQ) != 0 ? packet.tcpSeq ^ rotl<u32>(packet.tcpAck, 16) : 0;
  const header = packet.ipId ^ (packet.ipLength << 16) ^ ((<u32>packet.tcpFlags) << 8);
  const message =
    (<u32>packet.icmpId) ^ ((<u32>packet.icmpType) << 16) ^ ((<u32>packet.icmpCode) << 24);
  const mixed = (numbers ^ (message * 0x85ebca6b)) * 0x9e3779b1 + header * 0xc2b2ae35;
  return (mixed ^ ((<u32>packet.protocol) << 4)) | 1;
}

function sightOf(at: usize): Sight {
  return changetype<Sight>(at + RECORD_SIZE);
}

/**
 * Finds an earlier sight of this packet and copies its verdict. `entry` is the packet's conntrack entry,
 * by which a translated packet is known again, unless its numbers tell.
 */
export function recallSight(packet: Packet, entry: u32, verdict: Verdict): bool {
  const byNumbers = isPerhapsTranslated(packet);
  let translated: usize = 0;
  let ambiguous: bool = false;
  const hash = contentHash(packet);
  for (let index = nextLike(0, hash); index < SIGHTS; index = nextLike(index + 1, hash)) {
    const at = sights + <usize>index * SIGHT_SIZE;
    const sight = sightOf(at);
    const seen = changetype<Packet>(at);
    // Fewer are remembered where packets of other workers lie between.
    if (packet.number - sight.number > SIGHTS) continue;
    if (sight.verdict == 0) continue;
    if (sight.isFrame != 0) unpack(at);
    if (!sameContent(seen, packet)) continue;
    if (!elsewhere(seen, changetype<Verdict>(sight.verdict), packet)) continue;
    const sameTuple = hasSameSource(seen, packet) && hasSameDestination(seen, packet);
    const sameEntry = entry != ENTRY_NONE && sight.entry == entry;
    if (!sameTuple && !sameEntry) {
      const dropped = changetype<Verdict>(sight.verdict).verdict == VERDICT_DROP;
      if (!byNumbers || !isTranslated(seen, packet, dropped)) continue;
      ambiguous = translated != 0;
      translated = at;
      continue;
    }
    take(sight, verdict);
    return true;
  }
  // Of two nobody knows which it is.
  if (translated == 0 || ambiguous) return false;
  take(sightOf(translated), verdict);
  verdict.dstRoute = routeOf(packet.family, packet.dst0, packet.dst1, packet.dst2, packet.dst3);
  if (verdict.verdict == VERDICT_DROP) noteRefusedSight(packet);
  else if (isMasqueraded(packet)) showSource(packet, sightOf(translated).entry);
  return true;
}

function take(sight: Sight, verdict: Verdict): void {
  copyBytes(changetype<usize>(verdict), sight.verdict, VERDICT_SIZE);
  verdict.duplicateOf = sight.number;
}

function sameContent(seen: Packet, packet: Packet): bool {
  const withSeq = (packet.known & KNOWN_TCP_SEQ) != 0;
  return (
    seen.family == packet.family &&
    seen.protocol == packet.protocol &&
    seen.ipId == packet.ipId &&
    seen.ipLength == packet.ipLength &&
    seen.tcpFlags == packet.tcpFlags &&
    (!withSeq || (seen.tcpSeq == packet.tcpSeq && seen.tcpAck == packet.tcpAck)) &&
    seen.icmpType == packet.icmpType &&
    seen.icmpCode == packet.icmpCode &&
    seen.icmpId == packet.icmpId &&
    packet.timestamp >= seen.timestamp &&
    packet.timestamp - seen.timestamp <= APART
  );
}

/**
 * The packet cannot be another's second sight. Where the capture shows more than one place, a packet that arrives
 * at a real node is none, unless it came by an interface below.
 */
export function isSeenOnce(captureInterface: u32, inbound: bool, seen: u32): bool {
  if (!several) return true;
  if (!isRealNode()) return false;
  return (inbound || seen == SEEN_ARRIVING) && !isStacked(captureInterfaceNumber(captureInterface));
}

// Another interface, or arrived before and leaving now; and the TTL did not rise.
function elsewhere(seen: Packet, verdict: Verdict, packet: Packet): bool {
  if (packet.ttl > seen.ttl) return false;
  if (isRealNode()) return leavesThere(seen, verdict, packet);
  const direction = directionOf(packet);
  if (directionOf(seen) == 1 && direction == 2) return true;
  return (
    seen.captureInterface != packet.captureInterface &&
    seen.captureInterface != CAPTURE_INTERFACE_NONE &&
    packet.captureInterface != CAPTURE_INTERFACE_NONE
  );
}

// On a real node the first sight's verdict says by which interface the packet leaves. It is seen again on the
// interfaces that lie above or below, and at a bridge's other port.
function leavesThere(seen: Packet, verdict: Verdict, packet: Packet): bool {
  const number = captureInterfaceNumber(packet.captureInterface);
  if (number == 0) return false;
  const top = topOf(number, packet.vlan);
  if (packet.ttl + 1 == seen.ttl) {
    // By these rules it does not leave, and so it has left by others.
    if (verdict.verdict == VERDICT_DROP) return directionOf(seen) != 2;
    // The tag of what left by a VLAN may not be shown below it.
    const out = verdict.outInterface;
    return out == top || (out != 0 && packet.vlan == 0 && lowerInterface(out) == number);
  }
  const before = captureInterfaceNumber(seen.captureInterface);
  return packet.ttl == seen.ttl && before != 0 && before != number && isBelow(before, top);
}

function directionOf(packet: Packet): u32 {
  if ((packet.flags & PACKET_INBOUND) != 0) return 1;
  return (packet.flags & PACKET_OUTBOUND) != 0 ? 2 : 0;
}
