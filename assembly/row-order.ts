// The rows in the order of their first packets: fragments that had to wait, and other workers' packets, are counted late.
import { numberOf } from "./row";
import { rowAt, rowCount } from "./row-list";

// u32[]: numbers of `orderedRows` rows in that order; 0: it is the order that they were made in.
let order: usize = 0;
let orderedRows: u32 = 0;

/** Finds the order of the rows that are there now. */
export function orderFlows(): void {
  order = 0;
  orderedRows = rowCount();
  let index: u32 = 1;
  while (index < orderedRows && numberOf(rowAt(index - 1)) < numberOf(rowAt(index))) index++;
  if (index >= orderedRows) return;
  order = heap.alloc((<usize>orderedRows) << 2);
  for (index = 0; index < orderedRows; index++) store<u32>(order + ((<usize>index) << 2), index);
  let from = order;
  let to: usize = heap.alloc((<usize>orderedRows) << 2);
  // Most rows are in long runs: these are merged two by two.
  while (mergeRuns(from, to)) {
    const merged = to;
    to = from;
    from = merged;
  }
  order = to;
}

/** The place in the list of a row by its index in that order. */
export function orderedFlow(index: u32): u32 {
  return index < orderedRows && order != 0 ? load<u32>(order + ((<usize>index) << 2)) : index;
}

// False: it was one run only, which is copied.
function mergeRuns(from: usize, to: usize): bool {
  let start: u32 = 0;
  let several: bool = false;
  while (start < orderedRows) {
    const middle = endOfRun(from, start);
    const end = middle < orderedRows ? endOfRun(from, middle) : orderedRows;
    if (start > 0 || middle < orderedRows) several = true;
    let one = start;
    let other = middle;
    for (let at = start; at < end; at++) {
      const first = other == end || (one < middle && numberAt(from, one) < numberAt(from, other));
      const taken = first ? one++ : other++;
      store<u32>(to + ((<usize>at) << 2), load<u32>(from + ((<usize>taken) << 2)));
    }
    start = end;
  }
  return several;
}

function endOfRun(list: usize, start: u32): u32 {
  let end = start + 1;
  while (end < orderedRows && numberAt(list, end - 1) < numberAt(list, end)) end++;
  return end;
}

function numberAt(list: usize, place: u32): u64 {
  return numberOf(rowAt(load<u32>(list + ((<usize>place) << 2))));
}
