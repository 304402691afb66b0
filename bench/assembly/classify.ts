// The matcher, and its classification by itself for bench/questions/classify.ts: which rule of a long chain headers
// that lie in memory meet first.
import { ownerOf } from "../../assembly/candidates";
import { growTree } from "../../assembly/candidates-build";
import { ChainIndex, indexOf } from "../../assembly/candidates-index";
import { HOOK_FORWARD, TABLE_FILTER } from "../../assembly/layout";
import { entryOf } from "../../assembly/rule";

export * from "../../assembly/index";

// A header is a box's corner: addresses, u32 each, ports, protocol and 0, u16 each.
const HEADER_SIZE: usize = 16;

/** Makes the tree of the filter's FORWARD chain for IPv4. */
export function startClassifying(): void {
  growTree(chainIndex(), 4);
}

/**
 * Says of headers which of the chain's rules each meets first, behind the first one: its place in the chain, u32 each.
 * That of the chain's end stands for none.
 */
export function classify(headers: usize, count: u32, places: usize): void {
  const index = chainIndex();
  const from = (index.first + 1) << 1;
  for (let one: u32 = 0; one < count; one++) {
    const header = headers + <usize>one * HEADER_SIZE;
    const owner = ownerOf(index, load<u64>(header), load<u64>(header, 8), from);
    store<u32>(places + ((<usize>one) << 2), (owner >> 1) - index.first);
  }
}

function chainIndex(): ChainIndex {
  return indexOf(entryOf(0, 4, TABLE_FILTER, HOOK_FORWARD).record);
}
