// How often each rule has matched, by its number. Of a large cluster's rules most never do: their counters take no room.
import { zeros } from "./bytes";
import { COUNTER_PAGE_BITS, COUNTER_SIZE } from "./layout";

@unmanaged
class Counter {
  packets: u64;
  bytes: u64;
}

if (offsetof<Counter>() != COUNTER_SIZE) ERROR("COUNTER_SIZE");

const PAGE_SIZE: usize = (<usize>COUNTER_SIZE) << COUNTER_PAGE_BITS;

// u32 for each page: its address, or 0.
let pages: usize = 0;
let counterPages: usize = 0;

/** Prepares counters for so many rules. */
export function setUpCounters(ruleCount: u32): void {
  counterPages = ((<usize>ruleCount) >> COUNTER_PAGE_BITS) + 1;
  const size = counterPages << 2;
  pages = zeros(size);
}

/** Makes room for more rules; what was counted stays. */
export function growCounters(ruleCount: u32): void {
  const before = pages;
  const size = counterPages << 2;
  setUpCounters(ruleCount);
  memory.copy(pages, before, size);
}

/** Counts packets at a rule. */
export function countAtRule(number: u32, packets: u64, bytes: u64): void {
  const counter = changetype<Counter>(counterOf(number));
  counter.packets += packets;
  counter.bytes += bytes;
}

/** Address of the counters of a rule and of those behind it on its page; 0 where none of them has counted. */
export function countersFrom(number: u32): usize {
  const page = load<u32>(pageOf(number));
  return page == 0 ? 0 : <usize>page + placeOf(number);
}

/** Address of a rule's counters, whose page is there from now on. */
function counterOf(number: u32): usize {
  const at = pageOf(number);
  let page = load<u32>(at);
  if (page == 0) {
    page = <u32>zeros(PAGE_SIZE);
    store<u32>(at, page);
  }
  return <usize>page + placeOf(number);
}

function pageOf(number: u32): usize {
  return pages + (((<usize>number) >> COUNTER_PAGE_BITS) << 2);
}

function placeOf(number: u32): usize {
  return ((<usize>number) & ((1 << COUNTER_PAGE_BITS) - 1)) * COUNTER_SIZE;
}
