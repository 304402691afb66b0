/**
 * Loads the Wasm, packs the tables into it, feeds it batches and reads its verdicts back. Decides
 * nothing itself.
 */
import * as layout from "../../assembly/layout.ts";
import { PacketBatch } from "../capture/batch.ts";
import { readOddities } from "../capture/record.ts";
import type { Oddities } from "../capture/record.ts";
import { packConnections, readConnections } from "./connections.ts";
import type { FollowedConnection } from "./connections.ts";
import { copyState } from "./copy.ts";
import type { MatcherCopy } from "./copy.ts";
import { addCounted, readCounted, readFlows } from "./counted.ts";
import type { Counted } from "./counted.ts";
import { instantiate } from "./exports.ts";
import { toldInterfaces } from "../tables/captured-interface.ts";
import { allocateFeed, makeFeed, numberCaptured } from "./feed.ts";
import type { CapturedNumber } from "./feed.ts";
import type { Feed } from "./feed.ts";
import type { FlowCopy } from "./flow-copy.ts";
import { packRulesets } from "./pack.ts";
import type { Packing } from "./pack.ts";
import { setShare, shareOfConnections, sharingOf, tellTranslatedPorts } from "./share.ts";
import type { Share } from "./share.ts";
import type { Program } from "./program.ts";
import { packConnectionSwitches, packSwitches } from "./switches.ts";
import { InterfaceNumbers, numberNodes, packTopology } from "./topology.ts";
import {
  readFlow,
  readPacketVerdict,
  readRuleCounts,
  readTotals,
  readTrace,
  readVerdict,
} from "./read.ts";
import type { Meanings } from "./read.ts";
import type {
  FlowVerdict,
  PacketVerdict,
  RuleCount,
  Totals,
  TraceStep,
  Verdict,
} from "./verdict.ts";

export interface MatcherOptions {
  /** What is done with flows that were under way when the capture began (semantics.md M-1). */
  readonly midstream: "cold" | "assume-established";
  /** Most conntrack entries; beyond it new flows are `unknown`. */
  readonly conntrackMax: number;
  /** Number of the packet whose walk is recorded; undefined: none. */
  readonly tracePacket: number | undefined;
  /** Every packet walks every rule, those like earlier ones, too: the reference. */
  readonly walkAll?: boolean;
  /** Which row of `flows` counted which packet is told, too. */
  readonly logRows?: boolean;
  /** Only this share of the packets is decided; undefined: all. The program must be one that can be shared. */
  readonly share?: Share;
}

/** Packets that are asked about. */
export interface Questions {
  readonly batch: PacketBatch;
  /** As `Matcher.ask`. */
  ask(): void;
  /** The verdict on the packet at this index, after `ask`. */
  verdict(index: number): PacketVerdict;
}

/** A loaded matcher: its memory holds tables and flows, too. */
export interface Matcher extends Feed {
  /**
   * Another program decides from the next packet on. Connections stay, with their marks and translations,
   * and so does what rules of one name share; what single rules remember begins anew, and sets are as the
   * program has them. Rules and routes of before are counted and named as they were.
   */
  changeProgram(program: Program): void;
  /** Lets time pass until then, nanoseconds, and gives the connections that are followed and have not expired. */
  connections(atNs: bigint): Iterable<FollowedConnection>;
  /** The node forgets a connection. */
  forget(connection: FollowedConnection): void;
  /** Perhaps it does; which backend its packets go to from now on is not known either way. */
  doubt(connection: FollowedConnection): void;
  /** Room for questions that leave the batch as it is. */
  makeQuestions(): Questions;
  /**
   * Says how each packet of the batch would fare as the next one, each on its own: nothing stays of them.
   * Their protocols are known, and their ports where there are any.
   */
  ask(): void;
  /** The verdict on the batch's packet at this index, after `replay` or `ask`; perhaps it is pending. */
  packetVerdict(index: number, names: readonly string[]): PacketVerdict;
  /** Its word alone. */
  verdictAt(index: number): Verdict;
  /** Verdicts that the last `replay` or `finish` settled on packets of earlier batches. */
  lateVerdicts(names: readonly string[]): PacketVerdict[];
  /** What is odd about the batch's packet at this index, after `replay`. */
  oddities(index: number): Oddities;
  /**
   * The packets counted since the last call, in the order in which their verdicts were settled: number and
   * place in `flows`, in turns. Only with `logRows`; valid until the next packet is decided.
   */
  takeRowLog(): Uint32Array;
  totals(): Totals;
  /** How many of those that repeat were frames for which not even a record was made. */
  straight(): number;
  /** How many rules, the ends of chains among them, the packets that walked have looked at. */
  rulesVisited(): number;
  /** The row of flows at a place. */
  flowAt(place: number, names: readonly string[]): FlowVerdict;
  /** All rows of flows, for another thread. */
  flowCopy(): FlowCopy;
  /** In the order of their first packets; each is read when it is asked for. */
  flows(names: readonly string[]): Iterable<FlowVerdict>;
  /** In table order; each is read when it is asked for. */
  ruleCounts(): Iterable<RuleCount>;
  /** The walk of `tracePacket`, once it was replayed. */
  trace(): TraceStep[];
  /** All that it is, for a matcher of another share. Precondition: no packet was decided, and the Wasm tells its globals. */
  copy(): MatcherCopy;
  /** What was counted, for the matcher of another share. */
  counted(): Counted;
  /** Adds what another share's matcher has counted. */
  addCounted(counted: Counted): void;
}

/**
 * Loads the matcher and packs a program into it.
 *
 * @param wasm the bytes of build/matcher.wasm
 * @throws Error when the Wasm was built from another layout
 */
export function loadMatcher(
  wasm: Uint8Array<ArrayBuffer>,
  program: Program,
  options: MatcherOptions,
): Matcher {
  const exports = instantiate(wasm);
  const interfaces = new InterfaceNumbers(exports);
  const walkAll = options.walkAll ?? false;
  const packing = ({ topology }: Program): Packing => ({
    interfaces,
    apart: walkAll,
    nodes: numberNodes(topology),
  });
  const first = packing(program);
  let packed = packRulesets(exports, program.rulesets, first);
  let routes = packTopology(exports, program, first);
  let { owners, switches } = program;
  const { connectionSwitches } = program;
  const assume = options.midstream === "assume-established";
  const { share, conntrackMax } = options;
  const most = share === undefined ? conntrackMax : shareOfConnections(conntrackMax, share);
  const { backends, rules, recordCount } = packed;
  exports.setUp(assume, most, backends, rules.count, recordCount, walkAll);
  tellTranslatedPorts(exports, program);
  if (share !== undefined) {
    if (sharingOf(program).kind === "whole")
      throw new Error("bug: this program's packets cannot be shared");
    setShare(exports, share);
  }
  if (connectionSwitches !== undefined) packConnectionSwitches(exports, connectionSwitches);
  if (switches !== undefined) packSwitches(exports, switches, interfaces);
  packConnections(exports, program.connections ?? []);
  if (options.logRows === true) exports.startRowLog();
  const places = allocateFeed(exports);
  const { packets, verdicts } = places;
  const nameByIndex = new Map(
    program.topology.interfaces?.map(({ name, index }) => [index, name] as const),
  );
  let { topology } = program;
  let named: readonly (string | undefined)[] = [];
  const captured = (name: string): CapturedNumber =>
    numberCaptured(name, topology, (each) => interfaces.known(each));
  const feed = makeFeed(exports, places, { captured, nameByIndex }, options.tracePacket);
  const { batch } = feed;
  const meanings = (names: readonly string[]): Meanings => ({
    rules: packed.rules,
    routes: routes.routes,
    interfaces: interfaces.names,
    captured: named,
    otherInterface: topology.otherInterface,
    names,
    owners,
  });
  const flowAt = (place: number, names: readonly string[]): FlowVerdict => {
    const row = exports.flowAt(place);
    return readFlow(batch.view, row, meanings(names));
  };
  return {
    ...feed,
    nameInterfaces(names) {
      named = names;
      feed.nameInterfaces(names);
    },
    changeProgram(next) {
      const others = packing(next);
      packed = packRulesets(exports, next.rulesets, others, packed);
      routes = packTopology(exports, next, others, routes);
      tellTranslatedPorts(exports, next);
      owners = next.owners === undefined ? owners : new Map([...(owners ?? []), ...next.owners]);
      switches = next.switches ?? switches;
      if (switches !== undefined) packSwitches(exports, switches, interfaces);
      exports.changeRules(packed.backends, packed.rules.count, packed.recordCount, walkAll);
      ({ topology } = next);
      feed.nameInterfaces(named);
    },
    connections(atNs) {
      exports.advanceClock(atNs);
      return readConnections(exports);
    },
    forget: ({ number }) => exports.forgetConnection(number),
    doubt: ({ number }) => exports.doubtConnection(number),
    makeQuestions() {
      const records = exports.allocate(layout.BATCH_PACKETS * layout.PACKET_SIZE);
      const answers = exports.allocate(layout.BATCH_PACKETS * layout.VERDICT_SIZE);
      const questions = new PacketBatch(
        () => exports.memory.buffer,
        records,
        exports.allocate(layout.ARENA_SIZE),
      );
      return {
        batch: questions,
        ask: () => exports.ask(records, answers, questions.count),
        verdict: (index) =>
          readPacketVerdict(
            batch.view,
            questions.recordAt(index),
            answers + index * layout.VERDICT_SIZE,
            meanings([]),
          ),
      };
    },
    ask() {
      exports.ask(packets, verdicts, batch.count);
    },
    packetVerdict(index, names) {
      const verdict = verdicts + index * layout.VERDICT_SIZE;
      return readPacketVerdict(batch.view, batch.recordAt(index), verdict, meanings(names));
    },
    verdictAt: (index) => readVerdict(batch.view, verdicts + index * layout.VERDICT_SIZE),
    lateVerdicts(names) {
      return Array.from({ length: exports.settledCount() }, (_, index) => {
        const at = exports.settledAt(index);
        const verdict = at + layout.FRAGMENT_VERDICT;
        return readPacketVerdict(batch.view, at + layout.FRAGMENT_PACKET, verdict, meanings(names));
      });
    },
    oddities: (index) => readOddities(batch.view, batch.recordAt(index)),
    straight: () => Number(exports.straightCount()),
    rulesVisited: () => Number(exports.visitCount()),
    takeRowLog() {
      const count = exports.takeRowLog();
      const words = (count * layout.ROW_LOG_ENTRY) / Uint32Array.BYTES_PER_ELEMENT;
      return new Uint32Array(exports.memory.buffer, exports.rowLogAddress(), words);
    },
    totals: () => readTotals(batch.view, exports.totalsAddress()),
    flowAt,
    flowCopy: () => ({ pieces: readFlows(exports), interfaces: interfaces.names }),
    flows: (names) => ({
      *[Symbol.iterator]() {
        exports.orderFlows();
        for (let index = 0; index < exports.flowCount(); index++)
          yield flowAt(exports.orderedFlow(index), names);
      },
    }),
    ruleCounts: () => ({
      [Symbol.iterator]: () => readRuleCounts(exports, packed.rules),
    }),
    trace: () => readTrace(batch.view, exports.traceSteps(), exports.traceCount(), meanings([])),
    copy: () => ({
      ...copyState(exports),
      ...{ places, interfaces: interfaces.names, nameByIndex, ruleCount: packed.rules.count },
      told: toldInterfaces(topology),
    }),
    counted: () => readCounted(exports, packed.rules.count),
    addCounted: (counted) => addCounted(exports, counted),
  };
}
