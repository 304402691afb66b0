/**
 * Calico's chains of the nat table: what pods of a pool with `natOutgoing` send elsewhere than to pools gets
 * an address of their node as its source.
 * Source: Felix rules/nat.go, rules/static.go; dataplane/linux/masq_mgr.go.
 *
 * Left out: floating addresses, `natOutgoingAddress`, `iptablesNATOutgoingInterfaceFilter`.
 */
import type { FelixSettings, Snapshot } from "../cluster/snapshot.ts";
import type { Match } from "../match/index.ts";
import { PROTOCOL_TCP, PROTOCOL_UDP } from "../net/protocol.ts";
import type { CalicoVersion } from "../policy/model.ts";
import type { Target } from "../target/index.ts";
import type { Chain, Rule } from "./model.ts";
import {
  CHAIN_FLOATING_DNAT,
  CHAIN_FLOATING_SNAT,
  CHAIN_NAT_OUTGOING,
  CHAIN_OUTPUT,
  CHAIN_POSTROUTING,
  CHAIN_PREROUTING,
  SET_ALL_POOLS,
  SET_MASQUERADED_POOLS,
  SET_NETWORK_POOLS,
} from "./names.ts";
import { jump, makeRule, MASQUERADE, protocolIs, RETURN } from "./rule.ts";
import type { SetCollector } from "./sets.ts";
import { hostSet, type TunnelRules } from "./tunnels.ts";

/** > The oldest release whose pools for load balancers alone are outside. */
const POOLS_BY_USE = 32;

/** Compiles the chains of one family, whose pools the sets take. */
export function compileNatChains(
  snapshot: Snapshot,
  settings: FelixSettings,
  {
    sets,
    tunnels,
    version,
  }: {
    readonly sets: SetCollector;
    readonly tunnels: TunnelRules;
    readonly version: CalicoVersion;
  },
): Chain[] {
  const chain = (name: string, rules: readonly Rule[]): Chain => ({
    name,
    policy: undefined,
    rules,
  });
  const to = (name: string): Rule => makeRule({ target: jump(name) });
  return [
    chain(CHAIN_PREROUTING, [to(CHAIN_FLOATING_DNAT)]),
    chain(CHAIN_OUTPUT, [to(CHAIN_FLOATING_DNAT)]),
    chain(CHAIN_POSTROUTING, [
      to(CHAIN_FLOATING_SNAT),
      to(CHAIN_NAT_OUTGOING),
      ...tunnels.postrouting,
    ]),
    chain(CHAIN_FLOATING_DNAT, []),
    chain(CHAIN_FLOATING_SNAT, []),
    chain(CHAIN_NAT_OUTGOING, outgoingRules(snapshot, settings, { sets, version })),
  ];
}

function outgoingRules(
  { pools, nodeByName }: Snapshot,
  settings: FelixSettings,
  { sets, version }: { readonly sets: SetCollector; readonly version: CalicoVersion },
): Rule[] {
  const masqueraded = pools.filter(({ natOutgoing }) => natOutgoing);
  if (masqueraded.length === 0) return [];
  const byUse = version.minor >= POOLS_BY_USE;
  const inside = pools.filter(({ ofNetwork }) => ofNetwork || !byUse);
  const setOf = (id: string, some: Snapshot["pools"], description: string): string =>
    sets.fixedSet(id, { members: some.map(({ prefix }) => prefix), description, whole: true });
  const from = setOf(SET_MASQUERADED_POOLS, masqueraded, "pools with natOutgoing");
  const to = setOf(byUse ? SET_NETWORK_POOLS : SET_ALL_POOLS, inside, "pools");
  const nodes = settings.spareNodes
    ? [notTo(hostSet([...nodeByName.values()], settings, sets))]
    : [];
  const source: Match = { kind: "set", set: from, flags: ["src"], invert: false };
  const rule = (target: Target, protocol: readonly Match[] = []): Rule =>
    makeRule({ matches: [...protocol, source, notTo(to), ...nodes], target });
  const { outgoingPorts } = settings;
  if (outgoingPorts === undefined) return [rule(MASQUERADE)];
  // > Of other protocols no port is chosen.
  const ports = { ...outgoingPorts, base: undefined };
  const ranged: Target = { ...MASQUERADE, range: { ...MASQUERADE.range, ports } };
  return [
    ...[PROTOCOL_TCP, PROTOCOL_UDP].flatMap((protocol) => [
      rule(ranged, [protocolIs(protocol)]),
      rule(RETURN, [protocolIs(protocol)]),
    ]),
    rule(MASQUERADE),
  ];
}

function notTo(set: string): Match {
  return { kind: "set", set, flags: ["dst"], invert: true };
}
