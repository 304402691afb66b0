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
    /** connection = (connection & ~mask) ^ value. */
    | { readonly how: "set"; readonly value: number; readonly mask: number }
    /** save: connection = (connection & ~connectionMask) ^ (packet & packetMask); restore: the other way. */
    | {
        readonly how: "save" | "restore";
        readonly connectionMask: number;
        readonly packetMask: number;
      };
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
      },
      parse(options) {
        refuseInvert(...options);
        const masks = ["--nfmask", "--ctmask", "--mask"];
        const [use, second] = options.filter(({ name }) => !masks.includes(name));
        if (use === undefined)
          throw new RuleError("expected --set-xmark, --save-mark or --restore-mark", use);
        if (second !== undefined) throw new RuleError("one operation only", second);
        if (use.name !== "--save-mark" && use.name !== "--restore-mark") {
          return { kind: "CONNMARK", change: { how: "set", ...parseMarkChange(use) } };
        }
        const both = readMask(useOf(options, "--mask"));
        return {
          kind: "CONNMARK",
          change: {
            how: use.name === "--save-mark" ? "save" : "restore",
            connectionMask: readMask(useOf(options, "--ctmask")) ?? both ?? ALL,
            packetMask: readMask(useOf(options, "--nfmask")) ?? both ?? ALL,
          },
        };
      },
    },
  ],
  render({ change }) {
    if (change.how === "set")
      return `-j CONNMARK --set-xmark ${hex(change.value)}/${hex(change.mask)}`;
    const { how, packetMask, connectionMask } = change;
    return `-j CONNMARK --${how}-mark --nfmask ${hex(packetMask)} --ctmask ${hex(connectionMask)}`;
  },
  /** CONNMARK_* u8, three zeros, then value u32 and mask u32, or connection mask u32 and packet mask u32. */
  pack({ change }, writer) {
    writer.u8({ set: CONNMARK_SET, save: CONNMARK_SAVE, restore: CONNMARK_RESTORE }[change.how]);
    writer.u8(0);
    writer.u16(0);
    writer.u32((change.how === "set" ? change.value : change.connectionMask) >>> 0);
    writer.u32((change.how === "set" ? change.mask : change.packetMask) >>> 0);
  },
};

function readMask(use: OptionUse | undefined): number | undefined {
  return use === undefined ? undefined : parseNumber(wordOf(use), use);
}
