// What the walk of a packet looked at behind the rule that names its interface is fetched from memory, in time, for
// the next packet by that interface. A cluster's interfaces have chains of their own, most of which are in no cache.
// These lists are hints: whatever is in them, nothing but time depends on it.
import { interfaceName, interfaceTotal } from "./interface";
import { IpSet } from "./ipset";
import { touchPlain } from "./ipset-plain";
import { routeInterface, routeOf } from "./route";

// A list: how many lines of the cache and how many sets, u16 each; from the front on the addresses of the lines, and
// from the back on those of the sets in which addresses of the other end were looked for. Each interface has one for
// what it sends and one for what is sent to it.
const NOTES_MAX: u32 = 47;
const LIST_SIZE: usize = 4 + 47 * 4;
const LINE: usize = 64;
// A line that was noted is noted anew where so many others lie between.
const RECENT: u32 = 3;

let lists: usize = 0;
let total: u32 = 0;
// The list that is being written; 0: none is.
let list: usize = 0;
// Of that list.
let lines: u32 = 0;
let sets: u32 = 0;
let isLeaving: bool = false;
let ownInterface: u32 = 0;

/** Forgets all lists: other rules are there from now on. */
export function forgetForesight(): void {
  lists = 0;
  list = 0;
}

/** Begins the list of an interface anew, or goes on with it. */
export function startLines(leaving: bool, number: u32): void {
  if (list != 0 && isLeaving == leaving && ownInterface == number) return;
  if (lists == 0) makeLists();
  endLines();
  list = listOf(leaving, number);
  // Until it ends, a line may lie where a set did.
  store<u32>(list, 0);
  isLeaving = leaving;
  ownInterface = number;
}

/** Ends the list that is being written, if there is one. */
export function endLines(): void {
  if (list != 0) store<u32>(list, lines | (sets << 16));
  list = 0;
  lines = 0;
  sets = 0;
}

/** A list is being written. */
export function notesLines(): bool {
  return list != 0;
}

/** Puts the line of an address on the list. */
export function noteLine(address: usize): void {
  const line = <u32>(address & ~(LINE - 1));
  for (let index = lines; index > 0 && index + RECENT > lines; index--) {
    if (load<u32>(list + ((<usize>index) << 2)) == line) return;
  }
  if (lines + sets == NOTES_MAX) return;
  lines++;
  store<u32>(list + ((<usize>lines) << 2), line);
}

/** Puts a plain set on the list, in which an address of the other end is looked for. */
export function noteSet(set: IpSet): void {
  const at = changetype<usize>(set);
  noteLine(at);
  noteLine(at + LINE);
  noteLine(set.pairs);
  if (lines + sets == NOTES_MAX) return;
  sets++;
  store<u32>(list + LIST_SIZE - ((<usize>sets) << 2), <u32>at);
}

/** Has the lists of an IPv4 packet's ends, and their interfaces' names, on their way from memory. */
export function touchLists(src: u32, dst: u32): void {
  if (lists == 0) return;
  touchList(false, interfaceOf(src));
  touchList(true, interfaceOf(dst));
}

/** Has the lines that are on them on their way. */
export function touchLines(src: u32, dst: u32): void {
  if (lists == 0) return;
  touchEach(listOfAddress(false, src));
  touchEach(listOfAddress(true, dst));
}

/** Has what the sets say of the other end on its way. */
export function touchMembers(src: u32, dst: u32): void {
  if (lists == 0) return;
  touchMembersOf(listOfAddress(false, src), dst);
  touchMembersOf(listOfAddress(true, dst), src);
}

// Read by nobody: it only keeps the loads above from being left out.
let touched: u32 = 0;

function touchList(leaving: bool, number: u32): void {
  const at = listOf(leaving, number);
  const sum = load<u32>(at) + load<u32>(at, LINE) + load<u32>(at, 2 * LINE);
  touched += sum + load<u32>(interfaceName(number));
}

function touchEach(at: usize): void {
  const end = at + ((<usize>load<u16>(at)) << 2);
  let sum: u32 = 0;
  while (at < end) {
    at += 4;
    sum += load<u32>(<usize>load<u32>(at));
  }
  touched += sum;
}

function touchMembersOf(at: usize, address: u32): void {
  const end = at + LIST_SIZE;
  let sum: u32 = 0;
  for (let place = end - ((<usize>load<u16>(at, 2)) << 2); place < end; place += 4) {
    sum += touchPlain(changetype<IpSet>(<usize>load<u32>(place)), address);
  }
  touched += sum;
}

function listOfAddress(leaving: bool, address: u32): usize {
  return listOf(leaving, interfaceOf(address));
}

function interfaceOf(address: u32): u32 {
  return routeInterface(routeOf(4, address, 0, 0, 0));
}

function listOf(leaving: bool, number: u32): usize {
  return lists + <usize>(number * 2 + (leaving ? 1 : 0)) * LIST_SIZE;
}

function makeLists(): void {
  total = interfaceTotal();
  const size = <usize>total * 2 * LIST_SIZE;
  lists = (heap.alloc(size + LINE - 1) + LINE - 1) & ~(LINE - 1);
  memory.fill(lists, 0, size);
}
