/** The tables of one family: what each hook jumps to, in which order, and the chains that are jumped to. */
import type { Family } from "../net/address.ts";
import { compareText } from "../net/compare-text.ts";
import { compileForwardEnd } from "./dispatch.ts";
import type { HostPortRules } from "./host-ports.ts";
import { isPrinted } from "./model.ts";
import type { Chain, Hook, Rule, Table, TableName } from "./model.ts";
import {
  CHAIN_FORWARD,
  CHAIN_INPUT,
  CHAIN_OUTPUT,
  CHAIN_POSTROUTING,
  CHAIN_PREROUTING,
} from "./names.ts";
import { jump, makeRule } from "./rule.ts";
import { compileServiceJumps } from "./service-filter.ts";

/** Calico's chains in the filter table, by the hook that jumps to them. */
export const CHAIN_CALICO = {
  INPUT: CHAIN_INPUT,
  FORWARD: CHAIN_FORWARD,
  OUTPUT: CHAIN_OUTPUT,
} as const;

/** The implementation's jumps come first, kube-proxy's behind them, and Calico's acceptance last. */
export function filterTable(
  family: Family,
  chains: Readonly<Record<"INPUT" | "FORWARD" | "OUTPUT", string>>,
  userChains: readonly Chain[],
): Table {
  return tableOf(
    "filter",
    {
      INPUT: [jumpTo(chains.INPUT), ...compileServiceJumps("INPUT", family)],
      FORWARD: [
        jumpTo(chains.FORWARD),
        ...compileServiceJumps("FORWARD", family),
        ...(chains === CHAIN_CALICO ? compileForwardEnd() : []),
      ],
      OUTPUT: [jumpTo(chains.OUTPUT), ...compileServiceJumps("OUTPUT", family)],
    },
    userChains,
  );
}

/**
 * Calico's jumps, where there are some, come first, but behind kube-proxy's where sources are translated. Ports of
 * the node that lead to pods come last.
 */
export function natTable(
  services: Table,
  chains: readonly Chain[] | undefined,
  hostPorts: HostPortRules,
): Table {
  const jumps = (chain: string): Rule[] => (chains === undefined ? [] : [jumpTo(chain)]);
  const own = (hook: Hook): readonly Rule[] =>
    services.chains.find(({ name }) => name === hook)?.rules ?? [];
  return tableOf(
    "nat",
    {
      PREROUTING: [...jumps(CHAIN_PREROUTING), ...own("PREROUTING"), ...hostPorts.destination],
      INPUT: own("INPUT"),
      OUTPUT: [...jumps(CHAIN_OUTPUT), ...own("OUTPUT"), ...hostPorts.destination],
      POSTROUTING: [...hostPorts.source, ...own("POSTROUTING"), ...jumps(CHAIN_POSTROUTING)],
    },
    [
      ...services.chains.filter(({ policy }) => policy === undefined),
      ...(chains ?? []),
      ...hostPorts.chains,
    ],
  );
}

/** Calico's jumps, by hook. */
export const RAW_JUMPS = { PREROUTING: [jumpTo(CHAIN_PREROUTING)], OUTPUT: [jumpTo(CHAIN_OUTPUT)] };

export const MANGLE_JUMPS = {
  PREROUTING: [jumpTo(CHAIN_PREROUTING)],
  INPUT: [],
  FORWARD: [],
  OUTPUT: [],
  POSTROUTING: [jumpTo(CHAIN_POSTROUTING)],
};

/** A table of the rules at each of its hooks, and of chains that they lead to; of a name once. */
export function tableOf(
  name: TableName,
  rulesByHook: Readonly<Partial<Record<Hook, readonly Rule[]>>>,
  userChains: readonly Chain[],
): Table {
  const builtin = Object.entries(rulesByHook).map(([hook, rules]) => builtinChain(hook, rules));
  // iptables keeps user chains sorted by name.
  const sorted = userChains.toSorted(compareChains);
  const unique = sorted.filter((chain, at) => chain.name !== sorted[at - 1]?.name);
  return { name, chains: [...builtin, ...unique] };
}

/** Orders chains by name. */
export function compareChains(one: Chain, other: Chain): number {
  return compareText(one.name, other.name);
}

function builtinChain(name: string, rules: readonly Rule[]): Chain {
  const partly = rules.every(isPrinted) ? {} : ({ partlyPrinted: true } as const);
  return { name, policy: "ACCEPT", ...partly, rules };
}

function jumpTo(chain: string): Rule {
  return makeRule({ target: jump(chain) });
}
