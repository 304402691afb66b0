// SET: adds what the packet has to a set, deletes it from one, and takes a mark from one, in this order.
// Source: Linux, xt_set.c, set_target_v3().
import { addToSet, blurSet, deleteFromSet, TIMEOUT_OF_SET } from "../ipset-change";
import {
  SET_TARGET_ADD,
  SET_TARGET_DELETE,
  SET_TARGET_EXIST,
  SET_TARGET_FLAGS,
  SET_TARGET_HAS_TIMEOUT,
  SET_TARGET_MAP,
  SET_TARGET_MAP_MARK,
  SET_TARGET_TIMEOUT,
} from "../layout";
import { foundMark, foundMarkMask, foundMarkUnknown, testSet } from "../match/set";
import { walk } from "../walk";
import { setMark } from "./mark";

export function applySet(payload: usize, rule: i32): void {
  const options: u32 = load<u8>(payload, SET_TARGET_FLAGS);
  const add = payload + SET_TARGET_ADD;
  if (hasPart(add)) {
    const given = (options & SET_TARGET_HAS_TIMEOUT) != 0;
    const timeout = given ? load<u32>(payload, SET_TARGET_TIMEOUT) : TIMEOUT_OF_SET;
    const exist = (options & SET_TARGET_EXIST) != 0;
    addToSet(load<u32>(add), add + 4, timeout, exist, false, rule);
  }
  const del = payload + SET_TARGET_DELETE;
  if (hasPart(del)) deleteFromSet(load<u32>(del), del + 4, false, rule);
  const map = payload + SET_TARGET_MAP;
  if (!hasPart(map) || !testSet(load<u32>(map), map + 4, 0, rule)) return;
  if ((options & SET_TARGET_MAP_MARK) == 0) return;
  setMark(foundMark, foundMarkMask);
  walk.markUnknown |= foundMarkUnknown;
}

/** A packet may have come to the rule. */
export function blurChangedSets(payload: usize): void {
  const add = payload + SET_TARGET_ADD;
  if (hasPart(add)) blurSet(load<u32>(add));
  const del = payload + SET_TARGET_DELETE;
  if (hasPart(del)) blurSet(load<u32>(del));
}

function hasPart(part: usize): bool {
  return load<u8>(part, 4) != 0;
}
