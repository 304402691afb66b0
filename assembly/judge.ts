// The verdict on one packet: what needs no rules, then conntrack, then the hooks in as many tries as
// missing facts demand. Only here do counters, entries and rows change, once the verdict is settled.
import { keepVisit, noteVisit, startVisit } from "./affinity";
import { visitAgain } from "./affinity-visits";
import {
  isPerhapsBehindHooks,
  isPerhapsBridged,
  SEEN_ASTRAY,
  SEEN_BRIDGED,
  SEEN_BY_NOBODY,
  SEEN_LEAVING,
  SEEN_PASSING,
  whereSeen,
} from "./arrival";
import { attempt, HOOKS_ALL, isQuestion, startQuestions } from "./attempt";
import { leadsToBackend } from "./backends";
import { mayBeMasqueraded } from "./between-nodes";
import { blurRules, blurUnwalked } from "./blur";
import { copyBytes, sameAddress } from "./bytes";
import { doubtConnections, leaveEndOpen, leaveUndecided } from "./connection-doubt";
import { confirmWorlds } from "./connection-worlds";
import { entryOfPacket, track, wasSeen } from "./conntrack";
import { ENTRY_GUESSED } from "./entry";
import { entryAt } from "./entry-list";
import { countFlow } from "./flow-rows";
import {
  askedFor,
  askedOnlyFor,
  consultedCount,
  flippedReason,
  flippedRule,
  forkPaths,
  forksOverflowed,
  nextFork,
  startForks,
} from "./fork";
import { lookUpSights } from "./half-known";
import { tryHooks } from "./hooks";
import {
  castDoubts,
  journalOverflowed,
  noteDoubts,
  rollBack,
  startJournal,
  touchCount,
} from "./journal";
import {
  KNOWN_DST,
  KNOWN_IP_LENGTH,
  KNOWN_PORTS,
  KNOWN_PROTOCOL,
  KNOWN_SRC,
  MALFORMED_IP,
  MALFORMED_NONE,
  PACKET_FRAGMENT,
  PACKET_LATER_FRAGMENT,
  PACKET_NOT_IP,
  PACKET_OTHER_HOST,
  PACKET_SRC,
  PACKET_TRUNCATED,
  PACKET_UNKNOWN_LINK,
  REASON_ASTRAY,
  REASON_BACKEND,
  REASON_BAD_HEADER,
  REASON_BRIDGED,
  REASON_BRIDGE_CALLS,
  REASON_CONNTRACK_FULL,
  REASON_DEADLINE,
  REASON_LINK_TYPE,
  REASON_NAME_DST,
  REASON_NAME_SRC,
  REASON_NO_ADDRESS,
  REASON_NO_IN_INTERFACE,
  REASON_NO_WAY,
  REASON_NO_PORTS,
  REASON_NO_PROTOCOL,
  REASON_NO_TABLES,
  REASON_NO_VLAN,
  REASON_NOT_IP,
  REASON_OPTIONS_UNKNOWN,
  REASON_OTHER_HOST,
  REASON_OUT_INTERFACE,
  REASON_SAME_ENDPOINT,
  REASON_TOO_MANY_PATHS,
  ROUTE_UNICAST,
  RULE_NONE,
  SHOWN_OPTIONS_UNKNOWN,
  TOTAL_ALLOW,
  TOTAL_BYTES,
  TOTAL_DUPLICATES,
  TOTAL_FLOWS_LOST,
  TOTAL_FRAGMENTS,
  TOTAL_MALFORMED,
  TOTAL_MIDSTREAM,
  TOTAL_PACKETS,
  TOTAL_SIZE,
  TOTAL_WITHOUT_FLOW,
  TOTAL_TRUNCATED,
  VERDICT_ALLOW,
  VERDICT_DNAT,
  VERDICT_DROP,
  VERDICT_JUDGED_SRC,
  VERDICT_MIDSTREAM,
  VERDICT_OBSERVED,
  VERDICT_REPLY,
  VERDICT_UNFILTERED,
  VERDICT_UNKNOWN,
} from "./layout";
import { confirm } from "./new-connection";
import { hasPorts } from "./protocol";
import { Packet } from "./records";
import { isRealNode, rawUntracks, routeKind, routeOf, severalNodes } from "./route";
import { logRow } from "./row-log";
import { familyLoaded } from "./rule";
import { sharesStates } from "./shared-state";
import { isSeenOnce, recallSight, rememberSight } from "./sights";
import { bridgeCalls, CALLS_NO, CALLS_UNKNOWN, CALLS_YES } from "./stack";
import { pauseTrace } from "./trace";
import {
  DIRECTION_ORIGINAL,
  DIRECTION_REPLY,
  ENTRY_NONE,
  isTrackedWhenTried,
  tracking,
  trackNothing,
  trackWhenTried,
} from "./tracking";
import { countPath, startVisits } from "./traverse";
import { clearVerdict, Verdict } from "./verdict";
import { Walk, walk } from "./walk";
import { giveUpWorlds, noteWorld, startWorlds, worldsIncomplete } from "./worlds";

/** Address of the totals, u64 each. */
export const totals: usize = memory.data(TOTAL_SIZE);

/** Says what needs no rules and no other packets; false: they decide. */
export function decideAtOnce(packet: Packet, verdict: Verdict): bool {
  clearVerdict(verdict);
  const flags = packet.flags;
  if ((flags & PACKET_NOT_IP) != 0) return say(verdict, VERDICT_UNFILTERED, REASON_NOT_IP);
  if ((flags & PACKET_UNKNOWN_LINK) != 0) return doubtAtOnce(packet, verdict, REASON_LINK_TYPE);
  const passing = (flags & PACKET_OTHER_HOST) != 0 && !isRealNode();
  if (passing) return say(verdict, VERDICT_UNFILTERED, REASON_OTHER_HOST);
  // > ip_rcv() discards a packet with a bad header before any hook.
  if (packet.malformed == MALFORMED_IP) {
    if (isElsewhere(packet, verdict)) return true;
    // > A bridge looks at fewer of IPv6's options than the IP stack does.
    const handed = packet.family == 6 && whereSeen(packet) == SEEN_BRIDGED;
    if (handed) return doubtAtOnce(packet, verdict, REASON_OPTIONS_UNKNOWN);
    return say(verdict, VERDICT_DROP, REASON_BAD_HEADER);
  }
  describeEnds(packet, verdict);
  const missing = missingAddress(packet);
  if (missing != 0) return doubtAtOnce(packet, verdict, missing);
  if (!familyLoaded(packet.family)) return say(verdict, VERDICT_UNKNOWN, REASON_NO_TABLES);
  if (isElsewhere(packet, verdict)) return true;
  // > IPv6 reads its options before any hook.
  if (packet.family == 6 && packet.shownOptions == SHOWN_OPTIONS_UNKNOWN)
    return doubtAtOnce(packet, verdict, REASON_OPTIONS_UNKNOWN);
  if (isRealNode() || !isOwnAddress(packet, verdict)) return false;
  return say(verdict, VERDICT_ALLOW, REASON_SAME_ENDPOINT);
}

// Where a real node's interfaces lead the frame past its rules, or nobody knows where.
function isElsewhere(packet: Packet, verdict: Verdict): bool {
  switch (<i32>whereSeen(packet)) {
    case SEEN_PASSING:
      return say(verdict, VERDICT_UNFILTERED, REASON_OTHER_HOST);
    case SEEN_BY_NOBODY:
      return say(verdict, VERDICT_UNFILTERED, REASON_NO_VLAN);
    case SEEN_ASTRAY:
      return doubtAtOnce(packet, verdict, REASON_ASTRAY);
    case SEEN_BRIDGED: {
      const calls = bridgeCalls(packet);
      if (calls == CALLS_UNKNOWN) return doubtAtOnce(packet, verdict, REASON_BRIDGE_CALLS);
      return calls == CALLS_NO && say(verdict, VERDICT_UNFILTERED, REASON_BRIDGED);
    }
    default:
      return false;
  }
}

function doubtAtOnce(packet: Packet, verdict: Verdict, reason: u32): bool {
  blurUnwalked(packet);
  return say(verdict, VERDICT_UNKNOWN, reason);
}

/** Decides by connection and hooks. Precondition: `decideAtOnce` said nothing. */
export function decideByHooks(packet: Packet, verdict: Verdict): void {
  plainly = false;
  if ((packet.known & KNOWN_PROTOCOL) == 0) {
    say(verdict, VERDICT_UNKNOWN, REASON_NO_PROTOCOL);
    blurUnwalked(packet);
    return;
  }
  const later = (packet.flags & PACKET_LATER_FRAGMENT) != 0;
  const portsNeeded = !later && hasPorts(packet.protocol) && packet.malformed == MALFORMED_NONE;
  if (portsNeeded && (packet.known & KNOWN_PORTS) == 0) {
    say(verdict, VERDICT_UNKNOWN, REASON_NO_PORTS);
    blurUnwalked(packet);
    return;
  }
  const seen = whereSeen(packet);
  lookUpSights(isPerhapsBehindHooks(seen));
  const again = !isSeenOnce(packet.captureInterface, false, seen);
  if (again && recallSight(packet, entryOfPacket(packet), verdict)) return;
  if (isPerhapsBridged(packet) && bridgeCalls(packet) != CALLS_YES) {
    say(verdict, VERDICT_UNKNOWN, REASON_BRIDGE_CALLS);
    blurUnwalked(packet);
    return;
  }
  trackAhead(packet);
  settle(packet, verdict);
  if (tracking.direction == DIRECTION_REPLY) addFlag(verdict, VERDICT_REPLY);
  if (tracking.midstream) addFlag(verdict, VERDICT_MIDSTREAM);
  if (tracking.seenAfter || seen == SEEN_LEAVING) addFlag(verdict, VERDICT_OBSERVED);
  rememberSight(packet, verdict, tracking.entry, false);
}

/**
 * Says how a packet would fare, and leaves everything as it was. Preconditions: `decideAtOnce` said nothing;
 * its protocol is known, and ports where that has them.
 */
export function askByHooks(packet: Packet, verdict: Verdict): void {
  lookUpSights(isPerhapsBehindHooks(whereSeen(packet)));
  startQuestions(true);
  trackAhead(packet);
  settle(packet, verdict);
  startQuestions(false);
}

// In a cluster connections move on before anything is tried, but for one of which it is not known
// whether its time is up, and where raw, which comes first, may say that a packet is not tracked.
function trackAhead(packet: Packet): void {
  startJournal();
  trackWhenTried(isRealNode() || rawUntracks());
  if (isTrackedWhenTried()) {
    trackNothing();
    return;
  }
  startForks();
  startWorlds();
  const consulted = consultedCount();
  track(packet, wasSeen(packet));
  if (consultedCount() == consulted) return;
  rollBack();
  trackNothing();
  trackWhenTried(true);
}

// The verdict came of one try, which asked nothing and changed nothing but the connection.
let plainly: bool = false;

/** Tells whether the last packet's verdict hung on nothing that is missing, and changed nothing of rules. */
export function walkedPlainly(): bool {
  return plainly;
}

// Tries of a packet that is unknown already: what else may come of it is looked at.
const UNKNOWN_PATHS_MAX: u32 = 256;

// Tries every combination of missing facts; the verdict stands when all agree.
function settle(packet: Packet, verdict: Verdict): void {
  const consultedBefore = consultedCount();
  startVisits();
  if (!isQuestion()) startJournal();
  startForks();
  startWorlds();
  startVisit();
  tryHooks(packet);
  noteVisit();
  let reason = attempt.reason;
  let undecidedRule = attempt.undecidedRule;
  let unknown = attempt.verdict == VERDICT_UNKNOWN;
  let guessed = walk.translated && askedFor(REASON_BACKEND);
  let masqueraded = mayBeMasqueraded();
  // In some tries, and in others not.
  let masqueradedPerhaps = false;
  // All that is not known is the backend: the packet that shows it settles the connection.
  let drawn = drewOnlyBackend();
  const out = attempt.outInterface;
  let severalWays = false;
  // The fact that made the last try another one.
  let lacking = reason;
  let lackingRule = undecidedRule;
  // Tries leave something behind, even if it is known that there is no verdict.
  const leaves = isRealNode() || sharesStates();
  const several = (!unknown || leaves) && nextFork();
  let complete = true;
  // Hooks whose rules may have been asked in ways that no try shows.
  let blurred = unknown ? attempt.behind : 0;
  if (several) {
    const word = attempt.verdict;
    memory.copy(firstDestination, walkDst, 16);
    firstPort = walk.dport;
    pauseTrace();
    noteWorld();
    while (true) {
      noteDoubts();
      rollBack();
      tryHooks(packet);
      noteWorld();
      noteVisit();
      if (attempt.verdict == VERDICT_UNKNOWN) blurred |= attempt.behind;
      lacking = flippedReason();
      lackingRule = flippedRule();
      if (walk.translated && askedFor(REASON_BACKEND)) guessed = true;
      if (leadsElsewhere()) guessed = true;
      if (mayBeMasqueraded() != masqueraded) {
        masqueraded = true;
        masqueradedPerhaps = true;
      }
      drawn = drawn && drewOnlyBackend();
      if (attempt.verdict == VERDICT_ALLOW && attempt.outInterface != out) severalWays = true;
      if (attempt.verdict != word && !unknown) {
        unknown = true;
        reason = attempt.verdict == VERDICT_UNKNOWN ? attempt.reason : lacking;
        undecidedRule = lackingRule;
        if (attempt.verdict == VERDICT_UNKNOWN && attempt.undecidedRule != RULE_NONE)
          undecidedRule = attempt.undecidedRule;
      }
      const enough = !leaves || forkPaths() >= UNKNOWN_PATHS_MAX;
      if (unknown && enough && (isRealNode() || !drawn)) {
        complete = false;
        blurred = HOOKS_ALL;
        giveUpWorlds();
        masqueraded = true;
        break;
      }
      if (!nextFork()) break;
    }
    if (forksOverflowed()) {
      complete = false;
      blurred = HOOKS_ALL;
      giveUpWorlds();
    }
    standFirst(packet, blurred == HOOKS_ALL);
    // What a try changed and did not take back makes it end otherwise this time.
    if (attempt.verdict != word && !unknown) {
      unknown = true;
      reason = lacking;
      undecidedRule = lackingRule;
    }
    if (!unknown && worldsIncomplete()) {
      unknown = true;
      reason = REASON_TOO_MANY_PATHS;
    }
  }
  if (severalNodes()) walk.masqueraded = masqueraded;
  if (!unknown && severalWays && isRealNode()) {
    unknown = true;
    reason = REASON_OUT_INTERFACE;
    undecidedRule = lackingRule;
  }
  if (!unknown && journalOverflowed()) {
    unknown = true;
    reason = REASON_TOO_MANY_PATHS;
  }
  if (isQuestion()) {
    rollBack();
    if (unknown) sayUnknown(verdict, reason, undecidedRule);
    else describe(packet, verdict, isGuessed(guessed) || severalWays);
    return;
  }
  if (journalOverflowed()) blurred = HOOKS_ALL;
  if (blurred != 0 && isRealNode()) blurRules(blurred);
  // A backend that is all that is missing shows itself, whatever rules make of it.
  const asWorlds = several && isRealNode() && !drawn;
  let room: bool = true;
  const doubted = blurred == HOOKS_ALL && isRealNode();
  if (asWorlds) room = confirmWorlds(packet, lacking, lackingRule, doubted);
  else if (doubted) doubtConnections(packet, lacking, lackingRule);
  const through = attempt.verdict == VERDICT_ALLOW || attempt.confirmed;
  if (!isRealNode() && askedFor(REASON_DEADLINE)) leaveEndOpen(!unknown && through, unknown);
  if (unknown) {
    sayUnknown(verdict, reason, undecidedRule);
    drawn = drawn && reason != REASON_TOO_MANY_PATHS;
    if (!asWorlds && tracking.fresh) leaveUndecided(packet, reason, undecidedRule, drawn);
    keepVisit(packet, complete, reason == REASON_CONNTRACK_FULL);
    if (!tracking.fresh && tracking.direction == DIRECTION_ORIGINAL) visitOnceMore();
    return;
  }
  if (!asWorlds && through) room = confirm(packet, walk, guessed || masqueradedPerhaps);
  keepVisit(packet, complete, !room);
  if (!room) {
    say(verdict, VERDICT_UNKNOWN, REASON_CONNTRACK_FULL);
    return;
  }
  plainly = consultedCount() == consultedBefore && touchCount() <= 1;
  countPath(countedLength(packet));
  describe(packet, verdict, isGuessed(guessed) || severalWays);
}

/** Bytes of a packet, where its header tells them: no rule counts what is only guessed. */
export function countedLength(packet: Packet): u32 {
  return (packet.known & KNOWN_IP_LENGTH) == 0 ? 0 : packet.ipLength;
}

function visitOnceMore(): void {
  if (tracking.entry != ENTRY_NONE) visitAgain(entryAt(tracking.entry));
}

// Another try came to another backend: by another node, where none was drawn.
function leadsElsewhere(): bool {
  return (
    severalNodes() &&
    walk.translated &&
    (walk.dport != firstPort || memory.compare(walkDst, firstDestination, 16) != 0)
  );
}

const walkDst: usize = changetype<usize>(walk) + offsetof<Walk>("dst0");
// Where the first try came to.
const firstDestination: usize = memory.data(16);
let firstPort: u32 = 0;

// Whether the backend is a guess: of a known connection it says so itself.
function isGuessed(drew: bool): bool {
  if (tracking.entry == ENTRY_NONE || tracking.fresh) return drew;
  return (entryAt(tracking.entry).flags & ENTRY_GUESSED) != 0;
}

function sayUnknown(verdict: Verdict, reason: u32, rule: i32): void {
  verdict.undecidedRule = rule;
  verdict.ctState = <u8>walk.ctState;
  verdict.inInterface = arrivedBy();
  say(verdict, VERDICT_UNKNOWN, reason);
}

// The first try stands; what tries left in different states is doubtful from now on. Where not all were
// made, one may have changed nothing.
function standFirst(packet: Packet, fewer: bool): void {
  noteDoubts();
  rollBack();
  if (fewer) noteDoubts();
  startForks();
  tryHooks(packet);
  if (!isQuestion()) castDoubts();
}

// A source that is translated, too, depends on the backend: then answers do not show it by themselves. Nor
// do they where any destination could be the backend.
function drewOnlyBackend(): bool {
  const hides = isRealNode() && (walk.srcTranslated || !leadsToBackend());
  return walk.translated && !hides && askedOnlyFor(REASON_BACKEND);
}

// The interface that the last try began at; 0 where it was one of several.
function arrivedBy(): u32 {
  const asked = askedFor(REASON_NO_IN_INTERFACE) || askedFor(REASON_NO_WAY);
  return asked ? 0 : attempt.inInterface;
}

// Writes what the tries agreed on.
function describe(packet: Packet, verdict: Verdict, guessed: bool): void {
  say(verdict, attempt.verdict, attempt.reason);
  verdict.hook = <u8>attempt.hook;
  verdict.table = <u8>attempt.table;
  verdict.rule = walk.rule;
  verdict.decider = walk.decider;
  verdict.reject = <u8>walk.reject;
  verdict.ctState = <u8>walk.ctState;
  verdict.inInterface = arrivedBy();
  verdict.srcRoute = attempt.srcRoute;
  // On a real node all tries have left by one interface, else there is no verdict.
  const leaves = attempt.verdict == VERDICT_ALLOW && (!guessed || isRealNode());
  if (leaves) verdict.outInterface = attempt.outInterface;
  // Which backend it was, nobody knows: the destination stays the Service.
  if (guessed) return;
  verdict.dstRoute = attempt.dstRoute;
  if (!walk.translated) return;
  addFlag(verdict, VERDICT_DNAT);
  copyBytes(
    changetype<usize>(verdict) + VERDICT_JUDGED_SRC,
    changetype<usize>(walk) + offsetof<Walk>("src0"),
    32,
  );
  verdict.judgedSport = <u16>walk.sport;
  verdict.judgedDport = <u16>walk.dport;
}

// What the ends are, for packets that no table is asked about.
function describeEnds(packet: Packet, verdict: Verdict): void {
  const family: u32 = packet.family;
  if ((packet.known & KNOWN_SRC) != 0)
    verdict.srcRoute = routeOf(family, packet.src0, packet.src1, packet.src2, packet.src3);
  if ((packet.known & KNOWN_DST) != 0)
    verdict.dstRoute = routeOf(family, packet.dst0, packet.dst1, packet.dst2, packet.dst3);
}

// REASON_* of the address without which nothing can be said; 0 when both are there.
function missingAddress(packet: Packet): u32 {
  if ((packet.known & KNOWN_SRC) == 0)
    return packet.srcName != 0 ? REASON_NAME_SRC : REASON_NO_ADDRESS;
  if ((packet.known & KNOWN_DST) == 0)
    return packet.dstName != 0 ? REASON_NAME_DST : REASON_NO_ADDRESS;
  return 0;
}

// > A pod cannot block access to itself: what it sends to its own address never leaves it.
function isOwnAddress(packet: Packet, verdict: Verdict): bool {
  const src = changetype<usize>(packet) + PACKET_SRC;
  // What a node sends to itself may be for a port that leads to a pod.
  return sameAddress(src, src + 16) && routeKind(verdict.srcRoute) == ROUTE_UNICAST;
}

/** Writes a verdict's word; always true, for `return say(...)`. */
export function say(verdict: Verdict, word: u32, reason: u32): bool {
  verdict.verdict = <u8>word;
  verdict.reason = <u8>reason;
  return true;
}

function addFlag(verdict: Verdict, flag: u32): void {
  verdict.flags |= <u8>flag;
}

/** Counts a packet whose verdict stands. @returns address of its flow's row; 0 without one */
export function count(packet: Packet, verdict: Verdict): usize {
  countTotals(packet, verdict.verdict, verdict.flags);
  if (verdict.duplicateOf != 0) add(TOTAL_DUPLICATES, 1);
  let row: usize = 0;
  if (packet.family == 0) {
    if (verdict.verdict == VERDICT_UNKNOWN) add(TOTAL_WITHOUT_FLOW, 1);
  } else if (verdict.duplicateOf == 0) {
    row = countFlow(packet, verdict);
    if (row == 0) add(TOTAL_FLOWS_LOST, 1);
  }
  logRow(packet.number, row);
  return row;
}

/** Counts it by its verdict's word and flags. */
export function countTotals(packet: Packet, word: u32, flags: u32): void {
  countPackets(1, packet.originalLength, (packet.flags & PACKET_TRUNCATED) != 0 ? 1 : 0);
  countWord(word, flags);
  if ((packet.flags & PACKET_FRAGMENT) != 0) add(TOTAL_FRAGMENTS, 1);
  if (packet.malformed != MALFORMED_NONE) add(TOTAL_MALFORMED, 1);
}

/** Counts packets, of so many bytes together; their words are counted for each. */
export function countPackets(packets: u32, bytes: u64, truncated: u32): void {
  add(TOTAL_PACKETS, packets);
  add(TOTAL_BYTES, bytes);
  add(TOTAL_TRUNCATED, truncated);
}

/** Counts a packet's verdict by its word and flags. */
export function countWord(word: u32, flags: u32): void {
  add(<usize>TOTAL_ALLOW + 8 * (<usize>word - 1), 1);
  if ((flags & VERDICT_MIDSTREAM) != 0) add(TOTAL_MIDSTREAM, 1);
}

function add(offset: usize, value: u64): void {
  store<u64>(totals + offset, load<u64>(totals + offset) + value);
}
