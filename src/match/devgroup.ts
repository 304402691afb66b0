/** `-m devgroup`: the groups of the interfaces. */
import { MATCH_DEVGROUP, NUMBER_UNKNOWN } from "../../assembly/layout.ts";
import { RuleError } from "./extension.ts";
import type { MatchExtension, OptionUse, RuleContext } from "./extension.ts";
import { parseNamedNumber, renderNamedNumber } from "./named-number.ts";
import type { NamedNumber } from "./named-number.ts";
import { useOf } from "./words.ts";

export interface DevgroupMatch {
  readonly kind: "devgroup";
  /** Of the interface by which the packet arrived; undefined: not asked. */
  readonly source: NamedNumber | undefined;
  /** Of that by which it leaves. */
  readonly destination: NamedNumber | undefined;
}

/** What /etc/iproute2/group calls 0. */
const ZERO = "default";

/** `-m devgroup [!] --src-group VALUE[/MASK] [!] --dst-group VALUE[/MASK]`. */
export const devgroupMatch: MatchExtension<DevgroupMatch> = {
  kind: "devgroup",
  id: MATCH_DEVGROUP,
  modules: [
    {
      name: "devgroup",
      options: { "--src-group": 1, "--dst-group": 1 },
      parse(options, context) {
        const source = useOf(options, "--src-group");
        const destination = useOf(options, "--dst-group");
        if (source === undefined && destination === undefined) {
          throw new RuleError("expected --src-group or --dst-group", undefined);
        }
        refuseIn(context, source, ["OUTPUT", "POSTROUTING"]);
        refuseIn(context, destination, ["PREROUTING", "INPUT"]);
        return {
          kind: "devgroup",
          source: source === undefined ? undefined : parseNamedNumber(source, ZERO),
          destination: destination === undefined ? undefined : parseNamedNumber(destination, ZERO),
        };
      },
    },
  ],
  render: ({ source, destination }) =>
    [
      "-m devgroup",
      ...(source === undefined ? [] : [renderNamedNumber("--src-group", source, ZERO)]),
      ...(destination === undefined ? [] : [renderNamedNumber("--dst-group", destination, ZERO)]),
    ].join(" "),
  /** For source and destination: asked u8, inverted u8, NUMBER_UNKNOWN u8, 0, value u32, mask u32. */
  pack({ source, destination }, writer) {
    for (const group of [source, destination]) {
      writer.u8(group === undefined ? 0 : 1);
      writer.u8(group?.invert === true ? 1 : 0);
      writer.u8(group?.name === undefined ? 0 : NUMBER_UNKNOWN);
      writer.u8(0);
      writer.u32(group?.value ?? 0);
      writer.u32(group?.mask ?? 0);
    }
  },
};

function refuseIn(
  { chain }: RuleContext,
  use: OptionUse | undefined,
  chains: readonly string[],
): void {
  if (use !== undefined && chains.includes(chain)) {
    throw new RuleError(`${use.name} cannot stand in ${chain}`, use);
  }
}
