/**
 * A rollout in mid-capture: from some packet on one matcher's rules are the proposed ones, and its connections
 * go on. At that moment every connection under way is asked about: its next packets, by both sets of rules,
 * and the packet that would open it anew.
 */
import type { PacketBatch } from "../capture/batch.ts";
import { readTime } from "../capture/record.ts";
import { appendOpening } from "../capture/opening.ts";
import type { Opening } from "../capture/opening.ts";
import type { Snapshot } from "../cluster/snapshot.ts";
import type { FollowedConnection } from "../engine/connections.ts";
import type { Turn } from "../engine/feed.ts";
import type { Matcher, Questions } from "../engine/matcher.ts";
import type { Program } from "../engine/program.ts";
import type { PacketVerdict } from "../engine/verdict.ts";
import {
  PROTOCOL_ICMP,
  PROTOCOL_ICMPV6,
  PROTOCOL_SCTP,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
  PROTOCOL_UDPLITE,
} from "../net/protocol.ts";
import type { Fate, LiveConnection, Rollout } from "../report/rollout.ts";
import { formatTime } from "../report/time.ts";
import { connectionEnding } from "../tables/ended-connections.ts";
import { Failure } from "./failure.ts";
import { loadProgramMatcher } from "./matcher.ts";
import type { RolloutTime } from "./rollout-time.ts";
import type { BatchTurn } from "./traffic.ts";

/** What a rollout changes. */
export interface RolloutOptions {
  readonly at: RolloutTime;
  /** Judges by the current rules until then. */
  readonly matcher: Matcher;
  readonly programs: readonly [Program, Program];
  /** Undefined: nodes' dumps are compared, whose agents nobody knows. */
  readonly snapshots: readonly [Snapshot, Snapshot] | undefined;
}

const TCP_SYN = 0x02;
const TCP_ACK = 0x10;
// States of TCP: assembly/tcp.ts.
const TCP_SYN_SENT = 1;
const TCP_OVER: ReadonlySet<number> = new Set([6, 7, 8]);
/** One packet of each connection is followed at a time. */
const CONNECTIONS = 1024;

/** Changes the rules of one replay when its time has come. */
export class RolloutTurn implements BatchTurn {
  readonly #options: RolloutOptions;
  #first: bigint | undefined;
  #last: bigint | undefined;
  #timeOfDay = false;
  #rollout: Rollout | undefined;

  constructor(options: RolloutOptions) {
    this.#options = options;
  }

  /** The time has not come yet: packets have to be looked at one by one. */
  get pending(): boolean {
    return this.#rollout === undefined;
  }

  /** Where in the batch the rules change; undefined: they do not. */
  turnIn(batch: PacketBatch): Turn | undefined {
    if (!this.pending) return undefined;
    for (let index = 0; index < batch.count; index++) {
      const time = readTime(batch, index);
      if (time === undefined) continue;
      this.#first ??= time.ns;
      this.#last = time.ns;
      this.#timeOfDay = time.timeOfDay;
      const atNs = this.#time(this.#first);
      if (atNs === undefined || time.ns < atNs) continue;
      const firstPacket = batch.numberAt(index);
      return { index, act: () => this.#turn(atNs, firstPacket) };
    }
    return undefined;
  }

  /** What became of the connections; a Failure where the time is not between the capture's packets. */
  result(): Rollout {
    if (this.#rollout !== undefined) return this.#rollout;
    const { text, from } = this.#options.at;
    if (this.#first === undefined || this.#last === undefined) {
      throw new Failure(`--rollout-at ${text}: the capture's packets have no times`);
    }
    if (this.#timeOfDay && from === "epoch") {
      throw new Failure(
        `--rollout-at ${text}: the capture's times have no date: give a time after its first packet, as +30s`,
      );
    }
    throw this.#outside();
  }

  /** The rollout's time; undefined where the capture's times have no date and it needs one. */
  #time(first: bigint): bigint | undefined {
    const { from, ns } = this.#options.at;
    if (from === "start") return first + ns;
    return this.#timeOfDay ? undefined : ns;
  }

  #outside(): Failure {
    const [first, last] = [this.#first, this.#last].map((time) =>
      formatTime(time, this.#timeOfDay),
    );
    return new Failure(
      `--rollout-at ${this.#options.at.text}: not between the capture's packets, which are from ${first ?? "?"} to ${last ?? "?"}`,
    );
  }

  #turn(atNs: bigint, firstPacket: number): void {
    if (firstPacket === 1) throw this.#outside();
    const { matcher, programs, snapshots } = this.#options;
    const questions = matcher.makeQuestions();
    const connections = [...matcher.connections(atNs)].filter(isUnderWay);
    const later = connections.map((connection) => laterPackets(connection, atNs));
    const before = askEach(questions, later);
    matcher.changeProgram(programs[1]);
    if (snapshots !== undefined) {
      const ending = connectionEnding(...snapshots);
      for (const connection of matcher.connections(atNs)) {
        const end = ending(connection);
        if (end === "ends") matcher.forget(connection);
        if (end === "perhaps") matcher.doubt(connection);
      }
    }
    const after = askEach(questions, later);
    const openings = connections.map((connection) => [openingOf(connection)]);
    const [openedBefore, openedAfter] = [
      askFresh(programs[0], openings),
      askFresh(programs[1], openings),
    ];
    const counts: Record<Fate, number> = { cut: 0, "lost-on-reconnect": 0, unknown: 0, kept: 0 };
    const found: LiveConnection[] = [];
    for (const index of connections.keys()) {
      const opened = [openedBefore[index]?.[0], openedAfter[index]?.[0]] as const;
      const fate = fateOf(before[index] ?? [], after[index] ?? [], opened);
      if (fate === undefined) continue;
      counts[fate === "kept" ? fate : fate.fate] += 1;
      if (fate !== "kept") found.push(fate);
    }
    this.#rollout = { atNs, timeOfDay: this.#timeOfDay, firstPacket, counts, connections: found };
  }
}

/** Nothing of it is closed. */
function isUnderWay({ protocol, state }: FollowedConnection): boolean {
  return protocol !== PROTOCOL_TCP || !TCP_OVER.has(state);
}

/** The next packet of each side, as far as it is known what it would have. */
function laterPackets(connection: FollowedConnection, timestampNs: bigint): Opening[] {
  const { protocol, original, reply, state, answered, vague } = connection;
  const opens = protocol === PROTOCOL_TCP && state === TCP_SYN_SENT && !answered;
  const icmp = isIcmp(protocol);
  const answer = answerType(protocol, original.destinationPort >> 8);
  const there: Opening = {
    ...openingOf(connection),
    timestampNs,
    later: { tcpFlags: opens ? TCP_SYN : TCP_ACK },
  };
  if (vague || (icmp && answer === undefined)) return [there];
  const back: Opening = {
    ...{ protocol, source: reply.source, destination: reply.destination, timestampNs },
    destinationPort: hasPorts(protocol) ? reply.destinationPort : undefined,
    sourcePort: reply.sourcePort,
    ...(answer === undefined ? {} : { icmpType: answer, icmpId: original.sourcePort }),
    later: { tcpFlags: opens ? TCP_SYN | TCP_ACK : TCP_ACK },
  };
  return [there, back];
}

/** The packet that opens it. */
function openingOf({ protocol, original }: FollowedConnection): Opening {
  const { source, destination, sourcePort, destinationPort } = original;
  if (!isIcmp(protocol)) {
    const ports = hasPorts(protocol) ? { destinationPort, sourcePort } : NO_PORTS;
    return { source, destination, protocol, ...ports };
  }
  const icmp = { icmpType: destinationPort >> 8, icmpId: sourcePort };
  return { source, destination, protocol, ...NO_PORTS, ...icmp };
}

const NO_PORTS = { destinationPort: undefined };

function hasPorts(protocol: number): boolean {
  return [PROTOCOL_TCP, PROTOCOL_UDP, PROTOCOL_SCTP, PROTOCOL_UDPLITE].includes(protocol);
}

function isIcmp(protocol: number): boolean {
  return protocol === PROTOCOL_ICMP || protocol === PROTOCOL_ICMPV6;
}

/** The type that answers a query. */
function answerType(protocol: number, type: number): number | undefined {
  if (protocol === PROTOCOL_ICMPV6) return type === 128 ? 129 : undefined;
  if (protocol !== PROTOCOL_ICMP) return undefined;
  return type === 8 ? 0 : [13, 15, 17].includes(type) ? type + 1 : undefined;
}

/** The verdicts on the packets of each connection. */
function askEach(
  questions: Questions,
  packets: readonly (readonly Opening[])[],
): PacketVerdict[][] {
  const answers = packets.map((): PacketVerdict[] => []);
  const all = packets.flatMap((some, index) => some.map((packet) => ({ packet, index })));
  const { batch } = questions;
  for (let first = 0; first < all.length; first += batch.capacity) {
    const part = all.slice(first, first + batch.capacity);
    batch.clear();
    for (const { packet } of part) appendOpening(batch, packet);
    questions.ask();
    for (const [at, { index }] of part.entries()) answers[index]?.push(questions.verdict(at));
  }
  return answers;
}

/** The same by rules that have seen nothing yet. */
function askFresh(program: Program, packets: readonly (readonly Opening[])[]): PacketVerdict[][] {
  const bare = { ...program, connections: [] };
  const options = { midstream: "cold", conntrackMax: CONNECTIONS, tracePacket: undefined } as const;
  return askEach(loadProgramMatcher(bare, options).makeQuestions(), packets);
}

/** Undefined: nothing of the connection came through before either. */
function fateOf(
  before: readonly PacketVerdict[],
  after: readonly PacketVerdict[],
  [openedBefore, openedAfter]: readonly [PacketVerdict | undefined, PacketVerdict | undefined],
): LiveConnection | "kept" | undefined {
  if (openedBefore === undefined || openedAfter === undefined) return undefined;
  const pairs = before.flatMap((was, index) => {
    const is = after[index];
    return is === undefined || was.verdict === "drop" ? [] : [{ was, is }];
  });
  if (pairs.length === 0) return undefined;
  const cut = pairs.find(({ was, is }) => was.verdict === "allow" && is.verdict === "drop");
  const doubt = pairs.find(({ was, is }) => was.verdict === "unknown" || is.verdict === "unknown");
  const decisive = cut ?? doubt;
  const opening = openedBefore;
  if (decisive !== undefined) {
    const fate = cut === undefined ? "unknown" : "cut";
    return { fate, opening, before: decisive.was, after: decisive.is };
  }
  if (openedBefore.verdict !== "allow" || openedAfter.verdict === "allow") return "kept";
  const fate = openedAfter.verdict === "unknown" ? "unknown" : "lost-on-reconnect";
  return { fate, opening, before: openedBefore, after: openedAfter };
}
