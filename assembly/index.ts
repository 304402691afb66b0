// The exports, nothing else.
import { setUpMidstream } from "./conntrack-first";
import { decode } from "./decode";
import { setUpFlowTable } from "./flow-table";
import { setUpFlowRows } from "./flow-rows";
import { setUpFragments } from "./fragments";
import { judge, totals } from "./judge";
import { LAYOUT_VERSION, PACKET_SIZE, VERDICT_SIZE } from "./layout";
import { Packet } from "./records";
import { setUpSights } from "./sights";
import { record } from "./trace";
import { advanceClock, setUpEntryLife } from "./entry-life";
import { setUpBackends } from "./half-known";
import { Verdict } from "./verdict";

export { addInterface, setCaptureInterface } from "./interface";
export { flowCount, flowPiece } from "./flow-rows";
export { insertEntry, makeIpSet, setProbe } from "./ipset";
export { setSets } from "./match/set";
export { setNodeInterfaces } from "./node-interface";
export { setRoutes } from "./route";
export { addFamily, rulesAddress, setEntry, setRules } from "./rule";
export { insertMember, makeTable } from "./set";
export { setSharedStates } from "./shared-state";
export { traceCount, traceSteps } from "./trace";

export function layoutVersion(): i32 {
  return LAYOUT_VERSION;
}

/** Takes memory that is never given back; 16-byte aligned, zeroed. */
export function allocate(size: usize): usize {
  const at = heap.alloc(size);
  memory.fill(at, 0, size);
  return at;
}

/** Prepares the tables that a replay fills. */
export function setUp(assumeMidstream: bool, entriesMax: u32, backends: usize): void {
  setUpFlowTable();
  setUpFlowRows();
  setUpFragments();
  setUpSights();
  setUpMidstream(assumeMidstream);
  setUpEntryLife(entriesMax);
  setUpBackends(backends);
}

export function totalsAddress(): usize {
  return totals;
}

/**
 * Decides a batch: decodes each packet record and writes its verdict record.
 *
 * @param traced number of the packet whose walk is recorded; 0 for none
 */
export function replay(packets: usize, verdicts: usize, count: u32, traced: u64): void {
  for (let index: u32 = 0; index < count; index++) {
    const packet = changetype<Packet>(packets + <usize>index * PACKET_SIZE);
    decode(packet);
    advanceClock(packet.timestamp);
    if (packet.number == traced) record(true);
    judge(packet, changetype<Verdict>(verdicts + <usize>index * VERDICT_SIZE));
    if (packet.number == traced) record(false);
  }
}
