// Makes leaves: four boxes side by side, or a list of eights.
import { owners } from "./candidates-boxes";
import { listedBox } from "./candidates-cut";
import {
  BOX_SIZE,
  EIGHT,
  EIGHT_SIZE,
  FOUR,
  FOUR_OWNERS,
  FOUR_SIZE,
  LONG_HEAD,
  OWNER_NONE,
  PLACE_LONG,
} from "./candidates-index";

let empty: usize = 0;

/** Makes a leaf of a list of boxes, u32 each. @returns its place */
export function makeLeaf(list: usize, count: u32): u32 {
  if (count == 0) return <u32>emptyLeaf();
  if (count <= FOUR) {
    const four = heap.alloc(FOUR_SIZE);
    fillFour(four, list, count);
    return <u32>four;
  }
  const eights = (count + EIGHT - 1) / EIGHT;
  const at = heap.alloc(LONG_HEAD + <usize>eights * EIGHT_SIZE);
  store<u32>(at, eights);
  let four = at + LONG_HEAD;
  for (let index: u32 = 0; index < eights * EIGHT; index += FOUR) {
    fillFour(four, list + ((<usize>index) << 2), count - min(index, count));
    four += FOUR_SIZE;
  }
  return (<u32>at) | PLACE_LONG;
}

function emptyLeaf(): usize {
  if (empty == 0) {
    empty = heap.alloc(FOUR_SIZE);
    fillFour(empty, 0, 0);
  }
  return empty;
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
