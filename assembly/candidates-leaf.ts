// Makes leaves: boxes by the four, side by side.
import { zeros } from "./bytes";
import { listedBox } from "./candidates-cut";
import {
  BOX_SIZE,
  FOUR,
  FOUR_OWNERS,
  FOUR_SIZE,
  FOURS_FEW,
  LONG_HEAD,
  OWNER_NONE,
} from "./candidates-index";

let empty: usize = 0;

/** Makes a leaf of a list of boxes' addresses, u32 each. @returns its place */
export function makeLeaf(list: usize, count: u32): u32 {
  if (count == 0) return emptyLeaf();
  const fours = (count + FOUR - 1) / FOUR;
  const head: usize = fours > FOURS_FEW ? LONG_HEAD : 0;
  const at = zeros(head + <usize>fours * FOUR_SIZE);
  for (let index: u32 = 0; index < fours; index++) {
    const four = at + head + <usize>index * FOUR_SIZE;
    fillFour(four, list + ((<usize>(index * FOUR)) << 2), count - index * FOUR);
  }
  if (head == 0) return (<u32>at) | (fours << 1);
  store<u32>(at, fours);
  return <u32>at;
}

/** The leaf that has no boxes. */
export function emptyLeaf(): u32 {
  if (empty == 0) {
    empty = zeros(FOUR_SIZE);
    fillFour(empty, 0, 0);
  }
  return (<u32>empty) | (1 << 1);
}

// With the first boxes of a list; the rest of it holds zeros.
function fillFour(four: usize, list: usize, listed: u32): void {
  for (let place: u32 = 0; place < FOUR; place++) {
    const column = four + ((<usize>place) << 2);
    if (place >= listed) {
      store<u32>(column, OWNER_NONE, FOUR_OWNERS);
      continue;
    }
    const box = listedBox(list, place);
    for (let word: usize = 0; word < BOX_SIZE; word += 4) {
      store<u32>(column + (word << 2), load<u32>(box + word));
    }
  }
}
