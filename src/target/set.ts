/** `-j SET`: adds fields of the packet to an ipset, deletes them from one, or takes a mark from one. */
import {
  SET_TARGET_EXIST,
  SET_TARGET_HAS_TIMEOUT,
  SET_TARGET_MAP_MARK,
  SIDE_DST,
  SIDE_SRC,
  TARGET_SET,
} from "../../assembly/layout.ts";
import { RuleError } from "../match/extension.ts";
import type { OptionUse, PayloadWriter, RuleContext } from "../match/extension.ts";
import { MOST_SET_FLAGS, parseSetFlags } from "../match/set.ts";
import { parseNumber, useOf, wordOf } from "../match/words.ts";
import type { TargetExtension } from "./extension.ts";

/** A set, and one packet field for each of its dimensions. */
export interface SetPlace {
  readonly set: string;
  readonly flags: readonly ("src" | "dst")[];
}

export interface SetTarget {
  readonly kind: "SET";
  /** In the order in which they are carried out. */
  readonly add?: SetPlace;
  readonly delete?: SetPlace;
  readonly map?: SetPlace;
  /** An entry that is there begins anew. */
  readonly exist?: boolean;
  /** 0: for ever. Undefined: the set's own. */
  readonly timeoutSeconds?: number;
  /** What of a packet is set by what the entry has. */
  readonly maps?: readonly ("mark" | "prio" | "queue")[];
}

const TIMEOUT_MAX = 0xfffffffe;
const MAPS = ["mark", "prio", "queue"] as const;
const LEAVING = ["FORWARD", "OUTPUT", "POSTROUTING"];

/** `-j SET --add-set NAME FLAGS [--exist] [--timeout N] --del-set NAME FLAGS --map-set NAME FLAGS --map-mark`. */
export const setTarget: TargetExtension<SetTarget> = {
  kind: "SET",
  id: TARGET_SET,
  modules: [
    {
      name: "SET",
      options: {
        "--add-set": 2,
        "--del-set": 2,
        "--exist": 0,
        "--timeout": 1,
        "--map-set": 2,
        "--map-mark": 0,
        "--map-prio": 0,
        "--map-queue": 0,
      },
      // > An exclamation mark is read and forgotten.
      parse(options, context) {
        const add = parsePlace(options, "--add-set");
        const del = parsePlace(options, "--del-set");
        const map = parsePlace(options, "--map-set");
        if (add === undefined && del === undefined && map === undefined) {
          throw new RuleError("expected --add-set, --del-set or --map-set", undefined);
        }
        const maps = MAPS.filter((what) => options.some(({ name }) => name === `--map-${what}`));
        refuseWithout(add, "--add-set", options, ["--exist", "--timeout"]);
        refuseWithout(
          map,
          "--map-set",
          options,
          MAPS.map((what) => `--map-${what}`),
        );
        if (map !== undefined) checkMap(options, maps, context);
        const timeout = options.findLast(({ name }) => name === "--timeout");
        return {
          kind: "SET",
          ...(add === undefined ? {} : { add }),
          ...(del === undefined ? {} : { delete: del }),
          ...(map === undefined ? {} : { map, maps }),
          ...(options.some(({ name }) => name === "--exist") ? { exist: true } : {}),
          ...(timeout === undefined
            ? {}
            : { timeoutSeconds: parseNumber(wordOf(timeout), timeout, TIMEOUT_MAX) }),
        };
      },
    },
  ],
  render(target) {
    const { add, map, maps = [], timeoutSeconds } = target;
    return [
      "-j SET",
      ...renderPlace("--add-set", add),
      ...(target.exist === true ? ["--exist"] : []),
      ...(timeoutSeconds === undefined ? [] : [`--timeout ${timeoutSeconds}`]),
      ...renderPlace("--del-set", target.delete),
      ...renderPlace("--map-set", map),
      ...maps.map((what) => `--map-${what}`),
    ].join(" ");
  },
  pack(target, writer) {
    packPlace(target.add, writer);
    packPlace(target.delete, writer);
    packPlace(target.map, writer);
    writer.u32(target.timeoutSeconds ?? 0);
    writer.u8(
      (target.exist === true ? SET_TARGET_EXIST : 0) |
        (target.timeoutSeconds === undefined ? 0 : SET_TARGET_HAS_TIMEOUT) |
        (target.maps?.includes("mark") === true ? SET_TARGET_MAP_MARK : 0),
    );
  },
};

function parsePlace(options: readonly OptionUse[], name: string): SetPlace | undefined {
  const use = useOf(options, name);
  if (use === undefined) return undefined;
  const [set = "", flags = ""] = use.words;
  return { set, flags: parseSetFlags(flags, use) };
}

function refuseWithout(
  place: SetPlace | undefined,
  needed: string,
  options: readonly OptionUse[],
  names: readonly string[],
): void {
  const use = options.find(({ name }) => names.includes(name));
  if (place === undefined && use !== undefined) {
    throw new RuleError(`${use.name} needs ${needed}`, use);
  }
}

function checkMap(
  options: readonly OptionUse[],
  maps: readonly string[],
  { table, chain }: RuleContext,
): void {
  const use = useOf(options, "--map-set");
  if (maps.length === 0) {
    throw new RuleError("--map-set needs --map-mark, --map-prio or --map-queue", use);
  }
  if (table !== "mangle") throw new RuleError("--map-set can stand in table mangle only", use);
  const arriving = chain === "PREROUTING" || chain === "INPUT";
  if (arriving && (maps.includes("prio") || maps.includes("queue"))) {
    throw new RuleError(
      `--map-prio and --map-queue can stand in ${LEAVING.join(", ")} only`,
      options.find(({ name }) => name === "--map-prio" || name === "--map-queue"),
    );
  }
}

function renderPlace(name: string, place: SetPlace | undefined): string[] {
  return place === undefined ? [] : [`${name} ${place.set} ${place.flags.join(",")}`];
}

function packPlace(place: SetPlace | undefined, writer: PayloadWriter): void {
  writer.u32(place === undefined ? 0 : writer.setId(place.set));
  writer.u8(place?.flags.length ?? 0);
  for (let at = 0; at < MOST_SET_FLAGS; at++) {
    writer.u8(place?.flags[at] === "dst" ? SIDE_DST : SIDE_SRC);
  }
  writer.u8(0);
}
