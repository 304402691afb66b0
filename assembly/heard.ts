// What was said of packets of one tuple and manner, in the two states that they are told apart by. It is a
// cache: where it is another's, or empty, packets walk.

@unmanaged
export class Heard {
  /** Number of the manner, and the way that the packets go (the node's kind, of a connection). */
  where: u32;
  /**
   * Addresses of what was said before any answer and behind one; without a connection of first packets and
   * of INVALID ones. 0: nothing yet.
   */
  before: u32;
  behind: u32;
  /** Address of the row that counts them. */
  row: u32;
}

/** The manner and way of packets as one number. `way` is less than four. */
export function whereOf(manner: u32, way: u32): u32 {
  return (manner << 2) | way;
}

/** Keeps what was said of packets; what was said of others in its place is forgotten. */
export function hear(heard: Heard, where: u32, behind: bool, saying: usize, row: usize): void {
  if (heard.where != where || heard.row != <u32>row) {
    heard.where = where;
    heard.row = <u32>row;
    heard.before = 0;
    heard.behind = 0;
  }
  if (behind) heard.behind = <u32>saying;
  else heard.before = <u32>saying;
}

/** Has what was said of packets on its way from memory, and what counts them. */
export function touchHeard(heard: Heard, behind: bool): void {
  const saying: usize = behind ? heard.behind : heard.before;
  const row: usize = heard.row;
  if (saying != 0) touched += load<u32>(saying);
  if (row != 0) touched += load<u32>(row);
}

// Read by nobody: it only keeps the loads above from being left out.
let touched: u32 = 0;
