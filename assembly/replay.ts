// One packet of a batch: a whole one is judged at once; a fragment waits for the rest of its datagram,
// whose verdict all its fragments get.
// Source: semantics.md F-1 to F-3.
import { SEEN_LEAVING, whereSeen } from "./arrival";
import { VERDICT_DELIVERED } from "./attempt";
import { blurUnwalked } from "./blur";
import { decode } from "./decode";
import { advanceClock } from "./entry-life";
import { FRAGMENT_NONE, fragmentAt, packetOf, startBatch, verdictOf } from "./fragment";
import {
  anyDatagram,
  currentDatagram,
  DATAGRAM_NONE,
  datagramAt,
  dueDatagram,
  firstFragment,
  FRAGMENT_COMPLETES,
  FRAGMENT_DISCARDS_ALL,
  FRAGMENT_HAS_NO_ROOM,
  FRAGMENT_IS_DISCARDED,
  FRAGMENT_IS_UNREADABLE,
  FRAGMENT_STANDS_ALONE,
  isTimedOut,
  keepMark,
  removeDatagram,
  takeFragment,
} from "./fragments";
import { captureInterfaceNumber } from "./interface";
import { askByHooks, count, decideAtOnce, decideByHooks, say } from "./judge";
import {
  KNOWN_ICMP,
  KNOWN_ICMP_ID,
  KNOWN_PORTS,
  KNOWN_PROTOCOL,
  PACKET_FRAGMENT,
  PACKET_FRAGMENT_HEADER,
  REASON_BAD_FRAGMENTS,
  REASON_INCOMPLETE,
  REASON_MANY_FRAGMENTS,
  REASON_NO_FRAGMENTS,
  SHARE_FRAGMENTS,
  VERDICT_DROP,
  VERDICT_OBSERVED,
  VERDICT_PENDING,
  VERDICT_SIZE,
  VERDICT_UNKNOWN,
} from "./layout";
import { whole } from "./reassembly";
import { Packet } from "./records";
import { keepVerdict, repeatVerdict } from "./repeat";
import { isRealNode } from "./route";
import { defragActive } from "./rule";
import { isOwn, needWhole } from "./share";
import { noteSight } from "./sights";
import { record, resumeTrace } from "./trace";
import { Verdict } from "./verdict";
import { walk } from "./walk";

let lossy: bool = false;
let traced: u64 = 0;
const common: Verdict = changetype<Verdict>(memory.data(VERDICT_SIZE, 8));

/** Says whether fragments that the capture does not show may have come all the same. */
export function setUpReplay(mayMiss: bool): void {
  lossy = mayMiss;
}

/** Begins a batch; `packet` is the number of the packet whose walk is recorded, 0 for none. */
export function startReplay(packet: u64): void {
  traced = packet;
  startBatch();
}

/** Decodes and decides one packet. */
export function replayPacket(packet: Packet, verdict: Verdict): void {
  decode(packet);
  replayDecoded(packet, verdict, true);
}

/** Decides one packet that is decoded. `isRead`: somebody reads its verdict. */
export function replayDecoded(packet: Packet, verdict: Verdict, isRead: bool): void {
  advanceClock(packet.timestamp);
  let due = dueDatagram(packet.number);
  while (due != DATAGRAM_NONE) {
    giveUp(due);
    due = dueDatagram(packet.number);
  }
  noteSight(packet);
  // What is put together is so by all workers alike.
  if (!isOwn(packet) && !isReassembled(packet)) return;
  if (packet.number != traced && repeatVerdict(packet, verdict, isRead)) return;
  if (decideAtOnce(packet, verdict)) countOwn(packet, verdict);
  else if (isReassembled(packet)) gather(packet, verdict, false);
  else decideAlone(packet, verdict);
}

/** Says how a packet would fare next, and leaves everything as it was; its protocol and ports are known. */
export function askPacket(packet: Packet, verdict: Verdict): void {
  decode(packet);
  advanceClock(packet.timestamp);
  if (!decideAtOnce(packet, verdict)) askByHooks(packet, verdict);
}

/** Ends the capture: what is still missing does not come any more. */
export function finishReplay(): void {
  startBatch();
  let number = anyDatagram();
  while (number != DATAGRAM_NONE) {
    settleAll(number, VERDICT_DROP, REASON_INCOMPLETE);
    number = anyDatagram();
  }
}

// > nf_defrag comes before any rule where connections are tracked. It takes any fragment header.
function isReassembled(packet: Packet): bool {
  if ((packet.flags & (PACKET_FRAGMENT | PACKET_FRAGMENT_HEADER)) == 0) return false;
  return !isRealNode() || defragActive(packet.family);
}

function decideAlone(packet: Packet, verdict: Verdict): void {
  if (packet.number == traced) record(true);
  decideByHooks(packet, verdict);
  if (packet.number == traced) record(false);
  if (verdict.verdict == VERDICT_DELIVERED) gather(packet, verdict, true);
  else keepVerdict(packet, verdict, count(packet, verdict));
}

// What another worker decides, it counts.
function countOwn(packet: Packet, verdict: Verdict): void {
  if (isOwn(packet)) count(packet, verdict);
}

function gather(packet: Packet, verdict: Verdict, atInput: bool): void {
  if (atInput) needWhole(SHARE_FRAGMENTS);
  const outcome = takeFragment(packet, verdict, whereSeen(packet), atInput);
  if (atInput) keepMark(walk.mark, walk.markUnknown);
  switch (<i32>outcome) {
    case FRAGMENT_COMPLETES:
      judgeWhole(currentDatagram());
      return;
    case FRAGMENT_DISCARDS_ALL:
      settleAll(currentDatagram(), VERDICT_DROP, REASON_BAD_FRAGMENTS);
      return;
    case FRAGMENT_STANDS_ALONE:
      if (currentDatagram() != DATAGRAM_NONE) {
        settleAll(currentDatagram(), VERDICT_DROP, REASON_BAD_FRAGMENTS);
      }
      if (isOwn(packet)) decideAlone(packet, verdict);
      return;
    case FRAGMENT_IS_DISCARDED:
      say(verdict, VERDICT_DROP, REASON_BAD_FRAGMENTS);
      break;
    case FRAGMENT_IS_UNREADABLE:
      blurUnwalked(packet);
      say(verdict, VERDICT_UNKNOWN, REASON_NO_FRAGMENTS);
      break;
    case FRAGMENT_HAS_NO_ROOM:
      blurUnwalked(packet);
      say(verdict, VERDICT_UNKNOWN, REASON_MANY_FRAGMENTS);
      break;
    default:
      wait(packet, verdict);
      return;
  }
  countOwn(packet, verdict);
}

// Until its datagram is complete nothing is known but where it came from.
function wait(packet: Packet, verdict: Verdict): void {
  say(verdict, VERDICT_UNKNOWN, REASON_NO_FRAGMENTS);
  const leaving = whereSeen(packet) == SEEN_LEAVING;
  verdict.flags = <u8>(leaving ? VERDICT_PENDING | VERDICT_OBSERVED : VERDICT_PENDING);
  verdict.inInterface = captureInterfaceNumber(packet.captureInterface);
}

function judgeWhole(number: u32): void {
  const recorded = isTraced(number);
  if (recorded) {
    if (datagramAt(number).atInput) resumeTrace();
    else record(true);
  }
  const own = isOwn(whole);
  if (own && !decideAtOnce(whole, common)) decideByHooks(whole, common);
  if (recorded) record(false);
  let fragment = firstFragment(number);
  while (fragment != FRAGMENT_NONE) {
    settleFragment(fragment);
    nameFlow(packetOf(fragment));
    if (own) count(packetOf(fragment), verdictOf(fragment));
    fragment = fragmentAt(fragment).next;
  }
  removeDatagram(number);
}

function isTraced(number: u32): bool {
  let fragment = firstFragment(number);
  while (fragment != FRAGMENT_NONE) {
    if (packetOf(fragment).number == traced) return true;
    fragment = fragmentAt(fragment).next;
  }
  return false;
}

// Later fragments belong to the flow of their datagram.
function nameFlow(packet: Packet): void {
  const named = whole.known & (KNOWN_PROTOCOL | KNOWN_PORTS | KNOWN_ICMP | KNOWN_ICMP_ID);
  packet.known |= named;
  packet.protocol = whole.protocol;
  packet.sport = whole.sport;
  packet.dport = whole.dport;
  packet.icmpType = whole.icmpType;
  packet.icmpCode = whole.icmpCode;
  packet.icmpId = whole.icmpId;
}

// The kernel's time is up, or the verdicts behind cannot be held back any longer.
function giveUp(number: u32): void {
  if (isTimedOut(number)) settleAll(number, VERDICT_DROP, REASON_INCOMPLETE);
  else settleAll(number, VERDICT_UNKNOWN, REASON_MANY_FRAGMENTS);
}

function settleAll(number: u32, word: u32, reason: u32): void {
  const unknown = reason == REASON_INCOMPLETE && lossy;
  let fragment = firstFragment(number);
  if (unknown || word == VERDICT_UNKNOWN) blurUnwalked(packetOf(fragment));
  while (fragment != FRAGMENT_NONE) {
    decideAtOnce(packetOf(fragment), common);
    if (unknown) say(common, VERDICT_UNKNOWN, REASON_NO_FRAGMENTS);
    else say(common, word, reason);
    settleFragment(fragment);
    countOwn(packetOf(fragment), verdictOf(fragment));
    fragment = fragmentAt(fragment).next;
  }
  removeDatagram(number);
}

function settleFragment(fragment: u32): void {
  const verdict = changetype<usize>(verdictOf(fragment));
  memory.copy(verdict, changetype<usize>(common), VERDICT_SIZE);
}
