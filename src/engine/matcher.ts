/**
 * Loads the Wasm, packs the tables into it, feeds it batches and reads its verdicts back. Decides
 * nothing itself.
 */
import * as layout from "../../assembly/layout.ts";
import { PacketBatch } from "../capture/batch.ts";
import { readOddities } from "../capture/record.ts";
import type { Oddities } from "../capture/record.ts";
import type { Records, WalkRecords } from "../capture/stream.ts";
import { packConnections, readConnections } from "./connections.ts";
import type { FollowedConnection } from "./connections.ts";
import { addCounted, readCounted, readFlows } from "./counted.ts";
import type { Counted } from "./counted.ts";
import { instantiate } from "./exports.ts";
import type { FlowCopy } from "./flow-copy.ts";
import { packRulesets } from "./pack.ts";
import type { Packing } from "./pack.ts";
import { walkRecords } from "./scan.ts";
import { obstacleText, setShare, shareOfConnections, sharingOf } from "./share.ts";
import type { Share } from "./share.ts";
import type { Program } from "./program.ts";
import { packSwitches } from "./switches.ts";
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

/** Frames are read a little further than they go (`PLAIN_READ`, assembly/plain-frame.ts). */
const READ_BEHIND = 16;

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

/** Something that is done in the middle of a batch. */
export interface Turn {
  readonly index: number;
  readonly act: () => void;
}

/** Packets that are asked about. */
export interface Questions {
  readonly batch: PacketBatch;
  /** As `Matcher.ask`. */
  ask(): void;
  /** The verdict on the packet at this index, after `ask`. */
  verdict(index: number): PacketVerdict;
}

/** A loaded matcher: its memory holds tables, flows, one block of the capture and one batch. */
export interface Matcher {
  /** The records that capture readers fill. */
  readonly batch: PacketBatch;
  /** Address of `BLOCK_SIZE` bytes for the capture's bytes. */
  readonly blockAddress: number;
  readonly blockSize: number;
  /** The memory as it is now; growing replaces it. */
  memory(): ArrayBufferLike;
  /** Takes room in the memory that is never given back, for another block: its address. */
  allocate(size: number): number;
  /** Names the capture's interfaces, by PACKET_CAPTURE_INTERFACE; undefined entries are derived by route. */
  nameInterfaces(names: readonly (string | undefined)[]): void;
  /** The name of the node's interface that has this number; undefined where no node told it. */
  interfaceName(index: number): string | undefined;
  /**
   * Decides every packet of the batch, in order.
   *
   * @param turn before the packet at this index of the batch something is done
   */
  replay(turn?: Turn): void;
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
  /**
   * Decides at most so many packets of plain records, without a record or a verdict of their own: only
   * totals, flows and rules count them.
   *
   * @param captureInterface PACKET_CAPTURE_INTERFACE of packets whose file names none; undefined: they stay without
   */
  walkRecords(
    records: Records,
    packetsMax: number,
    captureInterface: number | undefined,
  ): ReturnType<WalkRecords>;
  /** Settles what waits for packets that do not come any more; the batch is empty then. */
  finish(): void;
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
  /** How many packets did not walk, as one like them had. */
  repeated(): number;
  /** How many of these were frames for which not even a record was made. */
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
  /** Why a share's verdicts may be wrong: something hangs on packets of all shares. Undefined: nothing does. */
  obstacle(): string | undefined;
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
  const assume = options.midstream === "assume-established";
  const { share, conntrackMax } = options;
  const most = share === undefined ? conntrackMax : shareOfConnections(conntrackMax, share);
  const { backends, rules, recordCount } = packed;
  exports.setUp(assume, most, backends, rules.count, recordCount, walkAll);
  if (share !== undefined) {
    const sharing = sharingOf(program);
    if (sharing.kind === "whole") throw new Error("bug: this program's packets cannot be shared");
    setShare(exports, share, sharing.ports);
  }
  if (switches !== undefined) packSwitches(exports, switches, interfaces);
  packConnections(exports, program.connections ?? []);
  if (options.logRows === true) exports.startRowLog();
  const packets = exports.allocate(layout.BATCH_PACKETS * layout.PACKET_SIZE);
  const verdicts = exports.allocate(layout.BATCH_PACKETS * layout.VERDICT_SIZE);
  const arena = exports.allocate(layout.ARENA_SIZE);
  const scanSources = exports.allocate(layout.SCAN_SOURCES_MAX * layout.SCAN_SOURCE_SIZE);
  const memory = (): ArrayBufferLike => exports.memory.buffer;
  const batch = new PacketBatch(memory, packets, arena);
  const nameByIndex = new Map(
    program.topology.interfaces?.map(({ name, index }) => [index, name] as const),
  );
  const meanings = (names: readonly string[]): Meanings => ({
    rules: packed.rules,
    routes: routes.routes,
    interfaces: interfaces.names,
    names,
    owners,
  });
  const flowAt = (place: number, names: readonly string[]): FlowVerdict => {
    const row = exports.flowAt(place);
    return readFlow(batch.view, row, meanings(names));
  };
  return {
    batch,
    blockAddress: exports.allocate(layout.BLOCK_SIZE + READ_BEHIND),
    blockSize: layout.BLOCK_SIZE,
    memory,
    allocate: (size) => exports.allocate(size),
    nameInterfaces(names) {
      names.forEach((name, index) => {
        const number = name === undefined ? 0 : interfaces.known(name);
        exports.setCaptureInterface(index, number);
      });
    },
    interfaceName: (index) => nameByIndex.get(index),
    replay(turn) {
      const traced = BigInt(options.tracePacket ?? 0);
      const first = turn?.index ?? batch.count;
      exports.replay(packets, verdicts, first, traced);
      if (turn === undefined) return;
      turn.act();
      const rest = verdicts + first * layout.VERDICT_SIZE;
      exports.replayMore(batch.recordAt(first), rest, batch.count - first);
    },
    changeProgram(next) {
      const others = packing(next);
      packed = packRulesets(exports, next.rulesets, others, packed);
      routes = packTopology(exports, next, others, routes);
      owners = next.owners === undefined ? owners : new Map([...(owners ?? []), ...next.owners]);
      switches = next.switches ?? switches;
      if (switches !== undefined) packSwitches(exports, switches, interfaces);
      exports.changeRules(packed.backends, packed.rules.count, packed.recordCount, walkAll);
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
      const questions = new PacketBatch(memory, records, exports.allocate(layout.ARENA_SIZE));
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
    walkRecords: (records, packetsMax, captureInterface) =>
      walkRecords(exports, scanSources, records, packetsMax, captureInterface),
    finish() {
      batch.clear();
      exports.finish();
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
    repeated: () => Number(exports.repeatCount()),
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
    obstacle: () => obstacleText(exports.shareObstacle()),
    counted: () => readCounted(exports, packed.rules.count),
    addCounted: (counted) => addCounted(exports, counted),
  };
}
