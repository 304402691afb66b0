/** `-j MARK`: changes the packet's mark. */
import { TARGET_MARK } from "../../assembly/layout.ts";
import { hex } from "../match/mark.ts";
import type { TargetExtension } from "./extension.ts";

/** mark = (mark & ~mask) ^ value. */
export interface MarkTarget {
  readonly kind: "MARK";
  readonly value: number;
  readonly mask: number;
}

/** `-j MARK --set-xmark VALUE/MASK`. */
export const markTarget: TargetExtension<MarkTarget> = {
  kind: "MARK",
  id: TARGET_MARK,
  modules: [],
  render: (target) => `-j MARK --set-xmark ${hex(target.value)}/${hex(target.mask)}`,
  pack(target, writer) {
    writer.u32(target.value >>> 0);
    writer.u32(target.mask >>> 0);
  },
};
