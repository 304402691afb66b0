/** `-m physdev`: the ports of the bridge that a packet came and goes by. */
import { MATCH_PHYSDEV } from "../../assembly/layout.ts";
import { bang, RuleError } from "./extension.ts";
import type { Invertible, MatchExtension } from "./extension.ts";
import { useOf, wordOf } from "./words.ts";

export interface PhysdevMatch {
  readonly kind: "physdev";
  /** In the order in which they are printed. */
  readonly conditions: readonly PhysdevCondition[];
}

interface PhysdevCondition extends Invertible {
  readonly option: (typeof OPTIONS)[number];
  /** Name of a port, where the option has one. */
  readonly port: string | undefined;
}

const OPTIONS = [
  "--physdev-is-in",
  "--physdev-in",
  "--physdev-is-out",
  "--physdev-out",
  "--physdev-is-bridged",
] as const;
const NAMED: ReadonlySet<string> = new Set(["--physdev-in", "--physdev-out"]);
/** > IFNAMSIZ, with the zero at the end. */
const LONGEST = 15;

/** `-m physdev [!] --physdev-in PORT [!] --physdev-is-bridged ...`. */
export const physdevMatch: MatchExtension<PhysdevMatch> = {
  kind: "physdev",
  id: MATCH_PHYSDEV,
  modules: [
    {
      name: "physdev",
      options: Object.fromEntries(OPTIONS.map((name) => [name, NAMED.has(name) ? 1 : 0])),
      parse(uses, { chain }) {
        const conditions = OPTIONS.flatMap((option): PhysdevCondition[] => {
          const use = useOf(uses, option);
          if (use === undefined) return [];
          const port = NAMED.has(option) ? wordOf(use) : undefined;
          if (port !== undefined && new TextEncoder().encode(port).length > LONGEST) {
            throw new RuleError(`${port}: an interface's name has at most ${LONGEST} bytes`, use);
          }
          return [{ option, port, invert: use.invert }];
        });
        if (conditions.length === 0) throw new RuleError("expected one of its options", undefined);
        // > Where the node's own packets begin, no port is known yet.
        const leaving = conditions.find(({ option }) => option.endsWith("out"));
        const bridged = conditions.some(
          ({ option, invert }) => option === "--physdev-is-bridged" && !invert,
        );
        if (chain === "OUTPUT" && leaving !== undefined && !bridged) {
          throw new RuleError(`${leaving.option} cannot stand in ${chain}`, undefined);
        }
        return { kind: "physdev", conditions };
      },
    },
  ],
  render: ({ conditions }) =>
    [
      "-m physdev",
      ...conditions.map(
        (each) => `${bang(each)}${each.option}${each.port === undefined ? "" : ` ${each.port}`}`,
      ),
    ].join(" "),
  /** Every condition is inverted u8: all that counts for packets that no bridge hands over. */
  pack({ conditions }, writer) {
    writer.u8(conditions.every(({ invert }) => invert) ? 1 : 0);
  },
};
