/** `-j CT` and `-j NOTRACK`: how conntrack follows the packet, and whether it does. */
import {
  CT_TARGET_HELPER,
  CT_TARGET_NOTRACK,
  CT_TARGET_UNKNOWN,
  TARGET_CT,
} from "../../assembly/layout.ts";
import { RuleError } from "../match/extension.ts";
import type { OptionUse, RuleContext } from "../match/extension.ts";
import { parseNumber, refuseInvert, useOf, wordOf } from "../match/words.ts";
import type { TargetExtension } from "./extension.ts";

export interface CtTarget {
  readonly kind: "CT";
  readonly name: "CT" | "NOTRACK";
  readonly notrack: boolean;
  /** A helper follows the connection: others that it expects are RELATED. */
  readonly helper: string | undefined;
  /** A policy of timeouts, which is not in any dump. */
  readonly timeout: string | undefined;
  readonly ctEvents: readonly string[];
  readonly expectEvents: readonly string[];
  readonly zone: CtZone | undefined;
}

export interface CtZone {
  /** Undefined: in both directions. */
  readonly direction: "orig" | "reply" | undefined;
  /** `mark`: the packet's. */
  readonly id: number | "mark";
}

/** `-j CT --notrack`, `--helper NAME`, `--zone N`. What depends on a zone or a policy of timeouts is unknown. */
export const ctTarget: TargetExtension<CtTarget> = {
  kind: "CT",
  id: TARGET_CT,
  modules: [
    {
      name: "CT",
      options: {
        "--notrack": 0,
        "--helper": 1,
        "--timeout": 1,
        "--ctevents": 1,
        "--expevents": 1,
        "--zone": 1,
        "--zone-orig": 1,
        "--zone-reply": 1,
      },
      parse(options, context) {
        needRaw(context);
        refuseInvert(...options);
        const helper = useOf(options, "--helper");
        if (helper !== undefined && context.protocol === undefined) {
          throw new RuleError("--helper needs -p", helper);
        }
        return {
          kind: "CT",
          name: "CT",
          notrack: useOf(options, "--notrack") !== undefined,
          helper: nameOf(helper),
          timeout: nameOf(useOf(options, "--timeout")),
          ctEvents: readEvents(useOf(options, "--ctevents"), CONNECTION_EVENTS),
          expectEvents: readEvents(useOf(options, "--expevents"), ["new"]),
          zone: readZone(options),
        };
      },
    },
    {
      name: "NOTRACK",
      options: {},
      parse(_, context) {
        needRaw(context);
        return untracked();
      },
    },
  ],
  render({ name, notrack, helper, timeout, ctEvents, expectEvents, zone }) {
    if (name === "NOTRACK") return "-j NOTRACK";
    const side = zone?.direction === undefined ? "--zone" : `--zone-${zone.direction}`;
    return [
      "-j CT",
      ...(notrack ? ["--notrack"] : []),
      ...(helper === undefined ? [] : [`--helper ${helper}`]),
      ...(timeout === undefined ? [] : [`--timeout ${timeout}`]),
      ...(ctEvents.length === 0 ? [] : [`--ctevents ${ctEvents.join(",")}`]),
      ...(expectEvents.length === 0 ? [] : [`--expevents ${expectEvents.join(",")}`]),
      ...(zone === undefined ? [] : [`${side} ${zone.id}`]),
    ].join(" ");
  },
  /** CT_TARGET_* u8. */
  pack({ notrack, helper, timeout, zone }, writer) {
    const unknown = timeout !== undefined || (zone !== undefined && zone.id !== 0);
    writer.u8(
      (notrack ? CT_TARGET_NOTRACK : 0) |
        (helper === undefined ? 0 : CT_TARGET_HELPER) |
        (unknown && !notrack ? CT_TARGET_UNKNOWN : 0),
    );
  },
};

/** `-j NOTRACK`. */
export function untracked(): CtTarget {
  return { ...PLAIN, name: "NOTRACK", notrack: true };
}

const PLAIN: CtTarget = {
  kind: "CT",
  name: "CT",
  notrack: false,
  helper: undefined,
  timeout: undefined,
  ctEvents: [],
  expectEvents: [],
  zone: undefined,
};

/** In the order in which they are printed. */
const CONNECTION_EVENTS = [
  "new",
  "related",
  "destroy",
  "reply",
  "assured",
  "protoinfo",
  "helper",
  "mark",
  "natseqinfo",
  "secmark",
];

function needRaw({ table }: RuleContext): void {
  if (table !== "raw") throw new RuleError("it can stand in table raw only", undefined);
}

function nameOf(use: OptionUse | undefined): string | undefined {
  return use === undefined ? undefined : wordOf(use);
}

function readEvents(use: OptionUse | undefined, known: readonly string[]): string[] {
  if (use === undefined) return [];
  const given = wordOf(use).split(",");
  const strange = given.find((event) => !known.includes(event));
  if (strange !== undefined) throw new RuleError(`${use.name}: there is no ${strange}`, use);
  return known.filter((event) => given.includes(event));
}

/** > The last number counts for all, and `--zone` after a direction does not take it back. */
function readZone(options: readonly OptionUse[]): CtZone | undefined {
  const uses = ["--zone", "--zone-orig", "--zone-reply"].flatMap(
    (name) => useOf(options, name) ?? [],
  );
  const [use, second] = uses;
  if (use === undefined) return undefined;
  if (second !== undefined) throw new RuleError("one zone only", second);
  const direction =
    use.name === "--zone-orig" ? "orig" : use.name === "--zone-reply" ? "reply" : undefined;
  return { direction, id: wordOf(use) === "mark" ? "mark" : parseNumber(wordOf(use), use, 0xffff) };
}
