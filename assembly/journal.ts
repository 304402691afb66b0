// What a try has changed outside the walk's record: connections, sets, lists, counters of rules. Before
// the first change of a piece of memory in a try its bytes are kept here, so that the try can be taken
// back and another be made. Where several tries were needed, what they changed is not known any more:
// each change names a byte that says so. What is changed before a try asks anything, every try changes alike.
import { askedCount } from "./fork";

// One record: u32 address, u32 size, u32 doubt, then the bytes, padded to four.
const RECORD_SIZE: usize = 12;
const JOURNAL_SIZE: usize = 1 << 20;
const journal: usize = memory.data(1 << 20);

// u32[DOUBTS_MAX]: bytes to set once all tries are made.
const DOUBTS_MAX: u32 = 65536;
const doubts: usize = memory.data(65536 * 4);

let length: usize = 0;
let overflowed: bool = false;
let doubtCount: u32 = 0;
let records: u32 = 0;

/** Forgets what was changed: it stands. */
export function startJournal(): void {
  length = 0;
  records = 0;
  overflowed = false;
  doubtCount = 0;
}

/**
 * Keeps bytes that are about to change.
 *
 * @param doubt address of a byte that is set to 1 when the change turns out to be one of several that
 *              are possible; 0 where that can be told by other means
 */
export function touch(address: usize, size: usize, doubt: usize): void {
  records++;
  const padded = (size + 3) & ~3;
  if (length + RECORD_SIZE + padded + 4 > JOURNAL_SIZE) {
    overflowed = true;
    return;
  }
  const at = journal + length;
  store<u32>(at, <u32>address);
  store<u32>(at, <u32>size, 4);
  store<u32>(at, askedCount() == 0 ? 0 : <u32>doubt, 8);
  memory.copy(at + RECORD_SIZE, address, size);
  length += RECORD_SIZE + padded;
  // The newest record's length lies behind it, to walk backwards.
  store<u32>(journal + length, <u32>(RECORD_SIZE + padded));
  length += 4;
}

/** How often something was about to change since `startJournal`. */
export function touchCount(): u32 {
  return records;
}

/** Where the journal stands, for taking back what is changed from here on. */
export function journalMark(): usize {
  return length;
}

/** Takes everything back that was changed since `startJournal`. */
export function rollBack(): void {
  rollBackTo(0);
}

/** Takes back what was changed since a mark. */
export function rollBackTo(mark: usize): void {
  while (length > mark) {
    length -= 4;
    length -= load<u32>(journal + length);
    const at = journal + length;
    memory.copy(load<u32>(at), at + RECORD_SIZE, load<u32>(at, 4));
  }
}

/** Notes that everything changed since `startJournal` is one of several possible changes. */
export function noteDoubts(): void {
  let end = length;
  while (end > 0) {
    end -= 4;
    end -= load<u32>(journal + end);
    const doubt = load<u32>(journal + end, 8);
    if (doubt == 0) continue;
    if (doubtCount == DOUBTS_MAX) {
      overflowed = true;
      return;
    }
    store<u32>(doubts + ((<usize>doubtCount) << 2), doubt);
    doubtCount++;
  }
}

/** Says of all that was noted that its state is not known. */
export function castDoubts(): void {
  for (let index: u32 = 0; index < doubtCount; index++) {
    store<u8>(load<u32>(doubts + ((<usize>index) << 2)), 1);
  }
}

/** More was changed than can be taken back. */
export function journalOverflowed(): bool {
  return overflowed;
}
