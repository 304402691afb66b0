// What stands for interfaces' names in the trees of long chains: ranks among the names that rules ask for. A name
// with a wildcard is a range of them.
import { hasIndex, indexOf } from "./candidates-index";
import { goesByName } from "./candidates-named";
import { addRange, makeRanks, rankOf, ranksCount, startRanks } from "./candidates-rank";
import { isWhole, readWish, WISH_IN, WISH_OUT } from "./candidates-wish";
import { interfaceName, interfaceTotal } from "./interface";
import { ruleAt } from "./rule";

// u16 for each interface: its rank.
const RANK_MAX: u32 = 0xffff;
let interfaceRanks: usize = 0;
let nameRanks: usize = 0;
// Where there are more names than u16, how many bits finer they are.
let nameShift: u32 = 0;

/** Ranks the names of all chains that have trees or may get some, once; others get their look-up by name. */
export function rankInterfaces(recordCount: u32): void {
  if (nameRanks != 0) return;
  let named: u32 = 0;
  for (let rule: u32 = 0; rule < recordCount; rule++) {
    if (mayHaveTree(rule)) named++;
  }
  startRanks(named * 4);
  for (let rule: u32 = 0; rule < recordCount; rule++) {
    if (!mayHaveTree(rule)) continue;
    readWish(ruleAt(rule), 4);
    if (!isWhole(WISH_IN)) addRange(WISH_IN);
    if (!isWhole(WISH_OUT)) addRange(WISH_OUT);
  }
  nameRanks = makeRanks();
  while (ranksCount(nameRanks) >> nameShift > RANK_MAX) nameShift++;
  const count = interfaceTotal();
  interfaceRanks = heap.alloc((<usize>count) << 1);
  for (let number: u32 = 0; number < count; number++) {
    const name = interfaceName(number);
    const rank = nameRank(bswap<u64>(load<u64>(name)), bswap<u64>(load<u64>(name, 8)));
    store<u16>(interfaceRanks + ((<usize>number) << 1), <u16>rank);
  }
}

function mayHaveTree(rule: u32): bool {
  return hasIndex(rule) && !goesByName(indexOf(rule));
}

/** Other rules are there from now on: they may ask for other names. */
export function forgetRanks(): void {
  nameRanks = 0;
  nameShift = 0;
}

/** What stands for an interface's name; 0 where no chain's trees look at names. */
export function interfaceRank(number: u32): u32 {
  return nameRanks == 0 ? 0 : load<u16>(interfaceRanks + ((<usize>number) << 1));
}

/** The greatest number that stands for a name. */
export function nameRanksCount(): u32 {
  return nameRanks == 0 ? 0 : ranksCount(nameRanks) >> nameShift;
}

/** What stands for a name, the upper half of its letters first. */
export function nameRank(upper: u64, lower: u64): u32 {
  return rankOf(nameRanks, upper, lower) >> nameShift;
}

/** Tells whether no two names that rules tell apart have the same rank. */
export function namesAreTold(): bool {
  return nameShift == 0;
}
