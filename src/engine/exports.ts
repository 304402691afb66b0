/** What the Wasm exports (assembly/index.ts), and the check that it was built from this layout. */
import * as loader from "@assemblyscript/loader";
import { LAYOUT_VERSION } from "../../assembly/layout.ts";

/** The exports of assembly/index.ts; addresses are numbers. */
export interface MatcherExports {
  readonly memory: {
    readonly buffer: ArrayBuffer;
    grow(pages: number): number;
  };
  layoutVersion(): number;
  allocate(size: number): number;
  resize(address: number, size: number): number;
  setUp(
    assumeMidstream: boolean,
    entriesMax: number,
    backends: number,
    ruleCount: number,
    recordCount: number,
    walkAll: boolean,
  ): void;
  repeatCount(): bigint;
  straightCount(): bigint;
  totalsAddress(): number;
  changeRules(backends: number, ruleCount: number, recordCount: number, walkAll: boolean): void;
  replayMore(packets: number, verdicts: number, count: number): void;
  replay(packets: number, verdicts: number, count: number, traced: bigint): void;
  ask(packets: number, verdicts: number, count: number): void;
  finish(): void;
  startScan(before: bigint, time: bigint, packetsMax: number, big: boolean): void;
  scanPcap(
    at: number,
    end: number,
    header: number,
    unit: number,
    snapLength: number,
    linkType: number,
    captureInterface: number,
  ): number;
  scanPcapng(at: number, end: number, sources: number, sourceCount: number, first: number): number;
  scanText(
    from: number,
    end: number,
    timing: number,
    days: number,
    before: number,
    captureInterface: number,
  ): number;
  scannedCount(): number;
  scanWasCut(): number;
  scannedLatest(): bigint;
  settledCount(): number;
  settledAt(index: number): number;
  addInterface(): number;
  setCaptureInterface(captured: number, number: number, stand: number): void;
  startRowLog(): void;
  takeRowLog(): number;
  rowLogAddress(): number;
  flowCount(): number;
  flowAt(index: number): number;
  orderFlows(): void;
  orderedFlow(index: number): number;
  addFlow(at: number): void;
  setFlowsMax(count: number): void;
  addTranslatedPort(protocol: number, port: number): void;
  setPortsKnown(known: boolean): void;
  setShare(index: number, count: number): void;
  shareObstacle(): number;
  setSets(address: number): void;
  sharedStates(): number;
  setSharedStates(address: number, count: number): void;
  setRoutes(
    records: number,
    tables: number,
    uplink: number,
    wholeCluster: boolean,
    realNode: boolean,
    hostPolicies: boolean,
    rawPolicies: boolean,
  ): void;
  setHidesPods(on: boolean, areNodesSpared: boolean, isIpipAllowed: boolean): void;
  setNodeUplinks(words: number, tunnelWords: number, count: number): void;
  setShownInterfaces(
    otherWords: number,
    nameWords: number,
    tunnelNumber: number,
    count: number,
  ): void;
  setNodeAddresses(records: number, count: number, outgoingKnown: boolean): void;
  setNodes(bits: number, words: number): void;
  setNodeInterfaces(
    links: number,
    linkCount: number,
    addresses: number,
    addressCount: number,
  ): void;
  countConnections(): void;
  keepMakers(): void;
  addFamily(family: number, tracked: boolean, reassembled: boolean): void;
  setEntry(
    backend: number,
    family: number,
    table: number,
    hook: number,
    chains: number,
    place: number,
    count: number,
  ): void;
  setRules(address: number): void;
  settleSayings(): void;
  countersFrom(rule: number): number;
  countAtRule(rule: number, packets: bigint, bytes: bigint): void;
  makeIpSet(fields: number, family: number, members: number, flags: number): number;
  setProbe(): number;
  insertEntry(set: number): number;
  makeTable(members: number): number;
  insertMember(
    table: number,
    word0: number,
    word1: number,
    word2: number,
    word3: number,
    bits: number,
    protocol: number,
    port: number,
    value: number,
  ): void;
  advanceClock(timestamp: bigint): void;
  setTimeout(index: number, seconds: number): void;
  setTcpSwitches(
    liberal: boolean,
    loose: boolean,
    ignoreInvalidResets: boolean,
    retransmissionsMax: number,
  ): void;
  setInterfaceSwitches(bytes: number, count: number): void;
  setSourceLookUp(always: boolean, unlessOn: boolean): void;
  setLeastMtu(bytes: number): void;
  connectionRecord(): number;
  addConnection(): void;
  connectionLimit(): number;
  readConnection(number: number): boolean;
  doubtConnection(number: number): void;
  forgetConnection(number: number): void;
  visitCount(): bigint;
  traceCount(): number;
  traceSteps(): number;
}

/**
 * Instantiates the Wasm. It has no imports.
 *
 * @throws Error when it was built from another layout than this code
 */
export function instantiate(wasm: Uint8Array<ArrayBuffer>): MatcherExports {
  const { exports } = loader.instantiateSync<Record<string, unknown>>(wasm, {});
  // The loader knows no more than that there are exports; their types are written down above.
  const matcher = exports as unknown as MatcherExports;
  const built = matcher.layoutVersion();
  if (built !== LAYOUT_VERSION) {
    throw new Error(
      `bug: matcher.wasm was built from layout ${built}, this code has ${LAYOUT_VERSION}: build again`,
    );
  }
  return matcher;
}

/** A global of the Wasm. */
export interface Global {
  value: number | bigint;
}

/**
 * All globals that can change, which assembly/globals.mjs has the compiler export.
 *
 * @throws Error when it was built without that
 */
export function globalsOf(exports: MatcherExports): readonly Global[] {
  const globals = Object.entries(exports).filter(([name]) => name.startsWith("global "));
  if (globals.length === 0) throw new Error("bug: matcher.wasm hides its globals: build again");
  return globals.map(([, global]) => global as Global);
}
