/** `-j CONNMARK`: sets the connection's mark, or copies between it and the packet's. */
import {
  CONNMARK_RESTORE,
  CONNMARK_SAVE,
  CONNMARK_SET,
  TARGET_CONNMARK,
} from "../../assembly/layout.ts";
import { RuleError } from "../match/extension.ts";
import type { OptionUse } from "../match/extension.ts";
import { hex } from "../match/mark.ts";
import { parseNumber, refuseInvert, useOf, wordOf } from "../match/words.ts";
import type { TargetExtension } from "./extension.ts";
import { parseMarkChange } from "./mark.ts";

export interface ConnmarkTarget {
  readonly kind: "CONNMARK";
  readonly change:
    /** connection = shifted((connection & ~mask) ^ value). */
    | { readonly how: "set"; readonly value: number; readonly mask: number }
    /**
     * save: connection = (connection & ~connectionMask) ^ shifted(packet & packetMask); restore: the
     * other way.
     */
    | {
        readonly how: "save" | "restore";
        readonly connectionMask: number;
        readonly packetMask: number;
      };
  /** Bits to the left; negative: to the right. */
  readonly shift: number;
}

const ALL = 0xffffffff;

/** `-j CONNMARK --set-xmark V/M | --save-mark --nfmask M --ctmask M | --restore-mark ...`. */
export const connmarkTarget: TargetExtension<ConnmarkTarget> = {
  kind: "CONNMARK",
  id: TARGET_CONNMARK,
  modules: [
    {
      name: "CONNMARK",
      options: {
        "--set-xmark": 1,
        "--set-mark": 1,
        "--and-mark": 1,
        "--or-mark": 1,
        "--xor-mark": 1,
        "--save-mark": 0,
        "--restore-mark": 0,
        "--nfmask": 1,
        "--ctmask": 1,
        "--mask": 1,
        "--left-shift-mark": 1,
        "--right-shift-mark": 1,
      },
      parse(options) {
        refuseInvert(...options);
        const [use, second] = options.filter(({ name }) => !DETAILS.includes(name));
        if (use === undefined)
          throw new RuleError("expected --set-xmark, --save-mark or --restore-mark", use);
        if (second !== undefined) throw new RuleError("one operation only", second);
        const shift = readShift(options);
        const masks = ["--mask", "--nfmask", "--ctmask"].map((name) => useOf(options, name));
        const [both, packet, connection] = masks;
        const strange = both === undefined ? undefined : (packet ?? connection);
        if (strange !== undefined) throw new RuleError(`${strange.name} excludes --mask`, strange);
        if (use.name !== "--save-mark" && use.name !== "--restore-mark") {
          const mask = both ?? packet ?? connection;
          if (mask !== undefined) throw new RuleError(`${use.name} has no masks`, mask);
          return { kind: "CONNMARK", change: { how: "set", ...parseMarkChange(use) }, shift };
        }
        return {
          kind: "CONNMARK",
          change: {
            how: use.name === "--save-mark" ? "save" : "restore",
            connectionMask: readMask(connection ?? both),
            packetMask: readMask(packet ?? both),
          },
          shift,
        };
      },
    },
  ],
  render({ change, shift }) {
    const shifted =
      shift === 0 ? "" : ` --${shift < 0 ? "right" : "left"}-shift-mark ${Math.abs(shift)}`;
    if (change.how === "set")
      return `-j CONNMARK --set-xmark ${hex(change.value)}/${hex(change.mask)}${shifted}`;
    const { how, packetMask, connectionMask } = change;
    return `-j CONNMARK --${how}-mark --nfmask ${hex(packetMask)} --ctmask ${hex(connectionMask)}${shifted}`;
  },
  /** CONNMARK_* u8, shift i8, zeros; then value u32, mask u32, or connection mask u32, packet mask u32. */
  pack({ change, shift }, writer) {
    writer.u8({ set: CONNMARK_SET, save: CONNMARK_SAVE, restore: CONNMARK_RESTORE }[change.how]);
    writer.u8(shift & 0xff);
    writer.u16(0);
    writer.u32((change.how === "set" ? change.value : change.connectionMask) >>> 0);
    writer.u32((change.how === "set" ? change.mask : change.packetMask) >>> 0);
  },
};

/** Options that are no operation. */
const DETAILS: readonly string[] = [
  "--nfmask",
  "--ctmask",
  "--mask",
  "--left-shift-mark",
  "--right-shift-mark",
];

function readMask(use: OptionUse | undefined): number {
  return use === undefined ? ALL : parseNumber(wordOf(use), use);
}

/** > The last of several counts. */
function readShift(options: readonly OptionUse[]): number {
  const use = options.findLast(({ name }) => name.endsWith("-shift-mark"));
  if (use === undefined) return 0;
  const bits = parseNumber(wordOf(use), use, 31);
  return use.name.startsWith("--left") ? bits : 0 - bits;
}
