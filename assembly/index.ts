// The exports, nothing else.
import { setUpVisits } from "./affinity-records";
import { forgetVisits } from "./affinity-count";
import { setUpAlike } from "./alike";
import { setUpBackends } from "./backends";
import { forgetLists } from "./blur";
import { zeros } from "./bytes";
import { setUpCandidates } from "./candidates";
import { findLongChains } from "./candidates-build";
import { setUpMidstream } from "./conntrack-first";
import { growCounters, setUpCounters } from "./counters";
import { setUpEntryLife } from "./entry-life";
import { closeRows } from "./flow-rows";
import { setUpFlowTable } from "./flow-table";
import { setUpFragments } from "./fragments";
import { totals } from "./judge";
import { setUpKeptVerdicts } from "./kept-verdict";
import { LAYOUT_VERSION, PACKET_SIZE, VERDICT_SIZE } from "./layout";
import { setUpManners } from "./manner";
import { forgetMemos, setUpMemos } from "./memo";
import { noteOtherRules } from "./nat";
import { setUpOutcomes } from "./outcome";
import { Packet } from "./records";
import { setUpRepeat } from "./repeat";
import { askPacket, finishReplay, replayPacket, setUpReplay, startReplay } from "./replay";
import { setUpSayings } from "./saying";
import { setUpSights } from "./sights";
import { takeStaleBack } from "./stale";
import { setUpLifetimes } from "./tcp-lifetime";
import { Verdict } from "./verdict";
import { setUpWorlds } from "./worlds";

export { advanceClock } from "./entry-life";
export { setTimeout } from "./timeouts";
export { settleSayings } from "./saying";
export { addInterface, setCaptureInterface } from "./interface";
export { repeatCount } from "./repeat";
export { keepMakers } from "./tuples";
export { addFlow, flowAt, setFlowsMax } from "./flow-rows";
export { rowCount as flowCount } from "./row-list";
export { orderedFlow, orderFlows } from "./row-order";
export { settledAt, settledCount } from "./fragment";
export { insertEntry, makeIpSet } from "./ipset";
export { setProbe } from "./ipset-records";
export { setSets } from "./ipset-change";
export {
  addConnection,
  connectionLimit,
  doubtConnection,
  connectionRecord,
  forgetConnection,
  readConnection,
} from "./known-connection";
export { countConnections } from "./match/connbytes";
export { setNodeAddresses } from "./between-nodes";
export { setNodes } from "./entry-node";
export { setNodeUplinks } from "./route";
export { setShownInterfaces } from "./node-way";
export { setLeastMtu, setNodeInterfaces } from "./node-interface";
export { setHidesPods } from "./own-source";
export { setRoutes } from "./route";
export { rowLogAddress, startRowLog, takeRowLog } from "./row-log";
export { countAtRule, countersFrom } from "./counters";
export { addFamily, setEntry, setRules } from "./rule";
export { insertMember, makeTable } from "./set";
export { scannedCount, scannedLatest, scanPcap, scanPcapng, scanWasCut, startScan } from "./scan";
export { scanText } from "./scan-text";
export { addTranslatedPort, setPortsKnown, setShare, shareObstacle } from "./share";
export { setSharedStates, sharedStates } from "./shared-state";
export { straightCount } from "./straight";
export { setInterfaceSwitches, setSourceLookUp, setTcpSwitches } from "./switches";
export { traceCount, traceSteps } from "./trace";
export { visitCount } from "./traverse";

export function layoutVersion(): i32 {
  return LAYOUT_VERSION;
}

/** Takes memory that is never given back; 16-byte aligned, zeroed. */
export function allocate(size: usize): usize {
  return zeros(size);
}

/** Gives what was taken last another size. Nothing was written to what is given back. Its address, which stays. */
export function resize(address: usize, size: usize): usize {
  return heap.realloc(address, size);
}

/** Prepares the tables that a replay fills. */
export function setUp(
  assumeMidstream: bool,
  entriesMax: u32,
  backends: usize,
  ruleCount: u32,
  recordCount: u32,
  walkAll: bool,
): void {
  setUpFlowTable();
  setUpCounters(ruleCount);
  setUpWorlds();
  setUpVisits();
  setUpKeptVerdicts();
  setUpFragments();
  setUpReplay(assumeMidstream);
  setUpSights();
  setUpRepeat(!walkAll);
  setUpCandidates(!walkAll);
  if (!walkAll) findLongChains(recordCount);
  setUpManners();
  setUpMemos();
  setUpAlike();
  setUpSayings();
  setUpOutcomes();
  setUpMidstream(assumeMidstream);
  setUpEntryLife(entriesMax);
  setUpLifetimes();
  setUpBackends(backends);
  makeRoom();
}

// As much room as the tables take: V8 counts what memories grow by, and with every 64 MB it marks its heap, which many
// rules make large, while packets are decided. (Threads with a copy have no rules in their heaps.)
function makeRoom(): void {
  const missing = <i32>((heap.alloc(0) * 2) >> 16) - memory.size();
  if (missing > 0) memory.grow(missing);
}

/**
 * Other rules decide from now on, which `setRules` was given; their numbers are behind those from before, and
 * `ruleCount` counts both. Connections stay, and all that was counted.
 */
export function changeRules(
  backends: usize,
  ruleCount: u32,
  recordCount: u32,
  walkAll: bool,
): void {
  growCounters(ruleCount);
  closeRows();
  noteOtherRules();
  forgetMemos();
  forgetLists();
  forgetVisits();
  if (!walkAll) findLongChains(recordCount);
  setUpBackends(backends);
}

export function totalsAddress(): usize {
  return totals;
}

/**
 * Decides a batch: decodes each packet record and writes its verdict record. A fragment's verdict may come
 * later (VERDICT_PENDING): in the batch that settles it, as `settledAt` says, or with `finish`.
 *
 * @param traced number of the packet whose walk is recorded; 0 for none
 */
export function replay(packets: usize, verdicts: usize, count: u32, traced: u64): void {
  startReplay(traced);
  takeStaleBack();
  replayMore(packets, verdicts, count);
}

/**
 * Says how each packet of a batch would fare as the next one, each on its own: nothing stays of them. Their
 * protocols are known, and their ports where there are any.
 */
export function ask(packets: usize, verdicts: usize, count: u32): void {
  for (let index: u32 = 0; index < count; index++) {
    askPacket(
      changetype<Packet>(packets + <usize>index * PACKET_SIZE),
      changetype<Verdict>(verdicts + <usize>index * VERDICT_SIZE),
    );
  }
}

/** Decides more packets of the batch that `replay` has begun. */
export function replayMore(packets: usize, verdicts: usize, count: u32): void {
  for (let index: u32 = 0; index < count; index++) {
    replayPacket(
      changetype<Packet>(packets + <usize>index * PACKET_SIZE),
      changetype<Verdict>(verdicts + <usize>index * VERDICT_SIZE),
    );
  }
}

/** Settles what waits for packets that do not come any more. */
export function finish(): void {
  finishReplay();
}
