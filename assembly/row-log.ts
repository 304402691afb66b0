// Which row each packet was counted in: what two rule sets say of one capture is compared by it. Written
// only where it is asked for; the host takes it after every batch.
import { ROW_LOG_ENTRY, ROW_LOG_NONE } from "./layout";
import { placeOf } from "./row-list";

/** One packet that was counted. */
@unmanaged
class Logged {
  number: u32;
  /** Place of its row; ROW_LOG_NONE: it is in none. */
  row: u32;
}

if (offsetof<Logged>() != ROW_LOG_ENTRY) ERROR("ROW_LOG_ENTRY");

const ROOM_MIN: u32 = 1 << 14;
let room: u32 = 0;
let log: usize = 0;
let count: u32 = 0;

/** Begins to write. */
export function startRowLog(): void {
  room = ROOM_MIN;
  log = heap.alloc(<usize>room * ROW_LOG_ENTRY);
}

/** Address of the entries, in the order in which verdicts were settled. */
export function rowLogAddress(): usize {
  return log;
}

/** How many entries there are since the last call. */
export function takeRowLog(): u32 {
  const taken = count;
  count = 0;
  return taken;
}

/** Notes are taken. */
export function isRowLogged(): bool {
  return room != 0;
}

/** Notes that a packet was counted. `row`: address of its row, or 0. */
export function logRow(number: u64, row: usize): void {
  if (room == 0) return;
  if (count == room) grow();
  const logged = changetype<Logged>(log + <usize>count * ROW_LOG_ENTRY);
  logged.number = <u32>number;
  logged.row = row == 0 ? ROW_LOG_NONE : placeOf(row);
  count++;
}

// The old room stays allocated: nothing is freed.
function grow(): void {
  const before = log;
  log = heap.alloc(<usize>room * 2 * ROW_LOG_ENTRY);
  memory.copy(log, before, <usize>room * ROW_LOG_ENTRY);
  room *= 2;
}
