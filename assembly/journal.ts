// What a try has changed outside the walk's record: connections, sets, lists, counters of rules. Before
// a piece of memory changes in a try its bytes are kept here, so that the try can be taken back and
// another be made. Where tries leave a piece in different states, it is not known any more: a byte is
// named with the change that says so, or the piece is a range, which is made to hold what each has left.
import { Range } from "./range";

// One record: u32 address, u32 size, u32 doubt, then the bytes, padded to four.
const RECORD_SIZE: usize = 12;
const JOURNAL_SIZE: usize = 1 << 20;
const journal: usize = memory.data(1 << 20);
/** In place of a doubt: the piece is a Range. */
const IS_RANGE: usize = 1;

let length: usize = 0;
let overflowed: bool = false;
let records: u32 = 0;

/** Forgets what was changed: it stands. */
export function startJournal(): void {
  length = 0;
  records = 0;
  overflowed = false;
  remainsLength = 0;
  compared = false;
}

/**
 * Keeps bytes that are about to change.
 *
 * @param doubt address of a byte that is set to 1 when tries leave them in different states; 0 where that
 *              can be told by other means
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
  store<u32>(at, <u32>doubt, 8);
  memory.copy(at + RECORD_SIZE, address, size);
  length += RECORD_SIZE + padded;
  // The newest record's length lies behind it, to walk backwards.
  store<u32>(journal + length, <u32>(RECORD_SIZE + padded));
  length += 4;
}

/** Keeps a range that is about to change. */
export function touchRange(range: Range): void {
  touch(changetype<usize>(range), offsetof<Range>(), IS_RANGE);
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

/** More was changed than can be taken back. */
export function journalOverflowed(): bool {
  return overflowed;
}

// ── What all tries together leave ──────────────────────────────────────────────────────────────────────

// A record as in the journal, with the next one's offset plus one in front, u32, and whether tries differ,
// u32. Its bytes are what the first try has left; a range holds what any has.
const REMAIN_DIFFERS: usize = 4;
const REMAIN_RECORD: usize = 8;
const REMAINS_SIZE: usize = 1 << 20;
const remains: usize = memory.data(1 << 20);
// u32[BINS]: offset plus one of the first in each bin.
const BINS: u32 = 1024;
const bins: usize = memory.data(1024 * 4);

let remainsLength: usize = 0;
// A try was noted.
let compared: bool = false;

/** Notes what the try that has just ended leaves, before it is taken back. */
export function noteDoubts(): void {
  if (!compared) memory.fill(bins, 0, (<usize>BINS) << 2);
  let at = remains;
  while (at < remains + remainsLength) {
    compare(at, true);
    at += remainSize(at);
  }
  // The oldest record of a piece comes first: it has what another try has left that did not touch it.
  let record = journal;
  while (record < journal + length) {
    if (load<u32>(record, 8) != 0) noteRecord(record);
    record += RECORD_SIZE + ((load<u32>(record, 4) + 3) & ~3) + 4;
  }
  compared = true;
}

/** Says of what the tries left in different states that it is not known. */
export function castDoubts(): void {
  let at = remains;
  while (at < remains + remainsLength) {
    const doubt: usize = load<u32>(at + REMAIN_RECORD, 8);
    if (doubt == IS_RANGE) {
      const range: usize = load<u32>(at + REMAIN_RECORD);
      memory.copy(range, at + REMAIN_RECORD + RECORD_SIZE, offsetof<Range>());
    } else if (load<u32>(at, REMAIN_DIFFERS) != 0) {
      store<u8>(doubt, 1);
    }
    at += remainSize(at);
  }
}

function noteRecord(record: usize): void {
  const bin = bins + ((<usize>((load<u32>(record) >> 2) % BINS)) << 2);
  let next = load<u32>(bin);
  while (next != 0) {
    const at = remains + next - 1;
    // Of two records of one piece that name different bytes both are kept.
    if (memory.compare(at + REMAIN_RECORD, record, RECORD_SIZE) == 0) return;
    next = load<u32>(at);
  }
  const size = REMAIN_RECORD + RECORD_SIZE + ((load<u32>(record, 4) + 3) & ~3);
  if (remainsLength + size > REMAINS_SIZE) {
    overflowed = true;
    return;
  }
  const at = remains + remainsLength;
  store<u32>(at, load<u32>(bin));
  store<u32>(bin, <u32>remainsLength + 1);
  store<u32>(at, 0, REMAIN_DIFFERS);
  memory.copy(at + REMAIN_RECORD, record, size - REMAIN_RECORD);
  remainsLength += size;
  compare(at, compared);
}

// Compares what is noted with what its piece is now; of the first try, takes that over.
function compare(at: usize, before: bool): void {
  const kept = at + REMAIN_RECORD + RECORD_SIZE;
  const piece: usize = load<u32>(at + REMAIN_RECORD);
  const size: usize = load<u32>(at + REMAIN_RECORD, 4);
  if (!before) memory.copy(kept, piece, size);
  else if (load<u32>(at + REMAIN_RECORD, 8) == <u32>IS_RANGE) {
    changetype<Range>(kept).widen(changetype<Range>(piece));
  } else if (memory.compare(kept, piece, size) != 0) {
    store<u32>(at, 1, REMAIN_DIFFERS);
  }
}

function remainSize(at: usize): usize {
  return REMAIN_RECORD + RECORD_SIZE + ((load<u32>(at + REMAIN_RECORD, 4) + 3) & ~3);
}
