// Tables that matches of one name share (recent, hashlimit): who they are is settled when rules are
// packed; each is made when it is first asked.
import { SHARED_STATE_SIZE, SHARED_STATE_WANTED, SHARED_STATE_CONFLICTS } from "./layout";

// Records as layout.ts draws them.
let states: usize = 0;
let count: u32 = 0;

/** Sets the records, by number, and how many there are. */
export function setSharedStates(address: usize, stateCount: u32): void {
  states = address;
  count = stateCount;
}

/** Rules share tables by name. */
export function sharesStates(): bool {
  return count != 0;
}

/** Address of the records. */
export function sharedStates(): usize {
  return states;
}

/** Address of the record that holds a table's address. */
export function sharedStateAt(number: u32): usize {
  return states + <usize>number * SHARED_STATE_SIZE;
}

/** The largest size that a rule of the name asks for. */
export function sharedSize(number: u32): u32 {
  return load<u32>(sharedStateAt(number), SHARED_STATE_WANTED);
}

/** Bit for each of the terms that rules of the name differ in: which was told first, no dump shows. */
export function sharedConflicts(number: u32): u32 {
  return load<u8>(sharedStateAt(number), SHARED_STATE_CONFLICTS);
}
