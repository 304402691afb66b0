// Frames that wait to be decided with their neighbours, in batches, and those of the last batches.

@unmanaged
export class Gathered {
  time: u64;
  frame: u32;
  captured: u32;
  original: u32;
  linkType: u16;
  captureInterface: u16;
  /** Of a plain frame: the source's address, destination's << 32; source's port, destination's << 16. */
  ends: u64;
  ports: u32;
  /** Of these; 0: it is not plain. */
  hash: u32;
  /** The only node with that hash, plus one; 0: there is none, or several. */
  node: u32;
  /** Address of that node's entry; without one, of the memo whose place it is. */
  known: u32;
  /** Which of the entry's directions the frame has: DIRECTION_NEITHER, if it is not its. */
  direction: u32;
  /** How many packets were passed over in front of it, and the latest time of any that was; 0 of one worker. */
  passed: u32;
  passedTime: u64;
  /** Its number, and the address of what was said of it: of frames that have gone the straight way. */
  number: u64;
  saying: u32;
  unused: u32;
}

const GATHERED_SIZE: usize = 80;
if (offsetof<Gathered>() != GATHERED_SIZE) ERROR("GATHERED_SIZE");

/** So many are decided together at most: memory is slow, and what all of them will need is fetched before. */
export const BATCH: u32 = 32;
/** Places, whole batches: those that were decided last stay until as many others have come. */
const GATHERED_KEPT: u32 = 128;
const ring: usize = memory.data(128 * 80, 64);

if (GATHERED_KEPT % BATCH != 0) ERROR("no batch may wrap");

/** A frame by its number: they count on, but for what a batch that was not full has left. */
export function gatheredAt(index: u32): Gathered {
  return changetype<Gathered>(ring + <usize>(index & (GATHERED_KEPT - 1)) * GATHERED_SIZE);
}

/** The number of the next batch's first frame. Batches begin at multiples of BATCH, so that none wraps. */
export function nextBatch(index: u32): u32 {
  return (index + BATCH - 1) & ~(BATCH - 1);
}

/** The one so many behind another, of one batch; or what lies behind the batch. */
export function gatheredBehind(one: Gathered, count: u32): Gathered {
  return changetype<Gathered>(changetype<usize>(one) + count * GATHERED_SIZE);
}
