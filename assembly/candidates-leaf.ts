// Makes leaves: boxes by the four, side by side.
import { owners } from "./candidates-boxes";
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

/** Makes a leaf of a list of boxes, u32 each. @returns its place */
export function makeLeaf(list: usize, count: u32): u32 {
  if (count == 0) return emptyLeaf();
  const fours = (count + FOUR - 1) / FOUR;
  const head: usize = fours > FOURS_FEW ? LONG_HEAD : 0;
  const at = heap.alloc(head + <usize>fours * FOUR_SIZE);
  for (let index: u32 = 0; index < fours; index++) {
    const four = at + head + <usize>index * FOUR_SIZE;
    fillFour(four, list + ((<usize>(index * FOUR)) << 2), count - index * FOUR);
  }
  if (head == 0) return (<u32>at) | (fours << 1);
  store<u32>(at, fours);
  return <u32>at;
}

function emptyLeaf(): u32 {
  if (empty == 0) {
    empty = heap.alloc(FOUR_SIZE);
    fillFour(empty, 0, 0);
  }
  return (<u32>empty) | (1 << 1);
}

// With the first boxes of a list.
function fillFour(four: usize, list: usize, listed: u32): void {
  memory.fill(four, 0, FOUR_OWNERS);
  for (let place: u32 = 0; place < FOUR; place++) {
    const column = four + ((<usize>place) << 2);
    store<u32>(column, OWNER_NONE, FOUR_OWNERS);
    if (place >= listed) continue;
    const number = load<u32>(list + ((<usize>place) << 2));
    store<u32>(column, load<u32>(owners + ((<usize>number) << 2)), FOUR_OWNERS);
    const box = listedBox(list, place);
    for (let word: usize = 0; word < BOX_SIZE; word += 4) {
      store<u32>(column + (word << 2), load<u32>(box + word));
    }
  }
}
