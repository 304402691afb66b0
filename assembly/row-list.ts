// Where the rows are, in the order that they were made in: pieces of memory that are never moved.
import { alignedLines } from "./bytes";
import { FLOW_MAX } from "./layout";
import { Row } from "./row";

const PIECE: u32 = 8192;
// u32[FLOW_MAX / PIECE]: addresses of pieces of PIECE rows.
const pieces: usize = memory.data((FLOW_MAX / 8192) * 4);
// Of each stretch of memory as long as a piece, u16: number plus one of the piece that begins there; 0: none does.
const STRETCH_BITS: usize = 18;
const begun: usize = memory.data((1 << (32 - 18)) * 2);
let rows: u32 = 0;

if (<usize>PIECE * offsetof<Row>() != 1 << STRETCH_BITS) ERROR("STRETCH_BITS");

/** How many there are. */
export function rowCount(): u32 {
  return rows;
}

/** The row at a place in the list. */
export function rowAt(place: u32): Row {
  return changetype<Row>(pieceAt(place / PIECE) + <usize>(place % PIECE) * offsetof<Row>());
}

/** The place in the list of the row at an address. */
export function placeOf(at: usize): u32 {
  const stretch = begun + ((at >> STRETCH_BITS) << 1);
  let piece: u32 = load<u16>(stretch);
  // The row may lie in front of what begins in its stretch.
  if (piece == 0 || pieceAt(piece - 1) > at) piece = load<u16>(stretch - 2);
  return (piece - 1) * PIECE + <u32>((at - pieceAt(piece - 1)) / offsetof<Row>());
}

/** Makes one more, of which nothing is told yet. Precondition: they are fewer than FLOW_MAX. */
export function makeRow(): Row {
  if (rows % PIECE == 0) addPiece();
  const row = rowAt(rows);
  rows++;
  row.told = 0;
  row.packets = 0;
  row.bytes = 0;
  return row;
}

function addPiece(): void {
  const number = rows / PIECE;
  const piece = alignedLines(PIECE * offsetof<Row>());
  store<u32>(pieces + ((<usize>number) << 2), <u32>piece);
  store<u16>(begun + ((piece >> STRETCH_BITS) << 1), <u16>(number + 1));
}

function pieceAt(number: u32): usize {
  return load<u32>(pieces + ((<usize>number) << 2));
}
