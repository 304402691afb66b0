// MARK: the packet's mark. Source: Linux, xt_mark.c.
import { walk } from "../walk";

/** mark = (mark & ~mask) ^ value; bits under the mask are known from here on. */
export function applyMark(payload: usize): void {
  setMark(load<u32>(payload), load<u32>(payload, 4));
}

/** The same with the value and mask themselves. */
export function setMark(value: u32, mask: u32): void {
  walk.mark = (walk.mark & ~mask) ^ value;
  walk.markUnknown &= ~mask;
}
