/**
 * Calico's chains of the nat table: what pods of a pool with `natOutgoing` send elsewhere than to pools gets
 * an address of their node as its source; what comes to a floating address of a pod here goes to the pod.
 * Source: Felix rules/nat.go, rules/static.go; dataplane/linux/masq_mgr.go, floating_ip_mgr.go.
 *
 * Left out: `natOutgoingAddress`, `iptablesNATOutgoingInterfaceFilter`.
 */
import type { Endpoint, FelixSettings, Snapshot } from "../cluster/snapshot.ts";
import type { Match } from "../match/index.ts";
import type { SetName } from "../match/set.ts";
import { hostPrefix, formatAddress } from "../net/address.ts";
import type { Address, Family } from "../net/address.ts";
import { PROTOCOL_TCP, PROTOCOL_UDP } from "../net/protocol.ts";
import type { CalicoVersion } from "../policy/model.ts";
import { compareText } from "../net/compare-text.ts";
import type { Target } from "../target/index.ts";
import { natTo } from "../target/nat-range.ts";
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
    family,
    local,
    sets,
    tunnels,
    version,
  }: {
    readonly family: Family;
    /** Those that have chains here. */
    readonly local: readonly Endpoint[];
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
  const floating = settings.floatingAddresses ? floatingAddresses(local, family) : [];
  return [
    chain(CHAIN_PREROUTING, [to(CHAIN_FLOATING_DNAT)]),
    chain(CHAIN_OUTPUT, [to(CHAIN_FLOATING_DNAT)]),
    chain(CHAIN_POSTROUTING, [
      to(CHAIN_FLOATING_SNAT),
      to(CHAIN_NAT_OUTGOING),
      ...tunnels.postrouting,
    ]),
    chain(CHAIN_FLOATING_DNAT, toPods(floating)),
    chain(CHAIN_FLOATING_SNAT, toThemselves(floating)),
    chain(CHAIN_NAT_OUTGOING, outgoingRules(snapshot, settings, { sets, version })),
  ];
}

/** A floating address and what it is translated to. */
interface Floating {
  readonly outside: Address;
  readonly inside: Address;
}

/** > One for several pods is that of the alphabetically earlier address. */
function floatingAddresses(local: readonly Endpoint[], family: Family): Floating[] {
  const all = local.flatMap(({ addresses, floatingAddresses: own = [] }) => {
    const inside = addresses.findLast((address) => address.family === family);
    if (inside === undefined) return [];
    return own
      .filter((address) => address.family === family)
      .map((outside) => ({ outside, inside }));
  });
  return firstOfEach(all, "outside", "inside");
}

function toPods(floating: readonly Floating[]): Rule[] {
  return floating.map(({ outside, inside }) =>
    makeRule({
      matches: [addressIs("dst", outside)],
      target: { kind: "DNAT", range: natTo(inside, undefined) },
    }),
  );
}

/** What a pod sends to its own floating address comes back to it from there. */
function toThemselves(floating: readonly Floating[]): Rule[] {
  return firstOfEach(floating, "inside", "outside").map(({ outside, inside }) =>
    makeRule({
      matches: [addressIs("src", inside), addressIs("dst", inside)],
      target: { kind: "SNAT", range: natTo(outside, undefined) },
    }),
  );
}

/** Those that come first by their text, in its order, of the others with the same. */
function firstOfEach(
  floating: readonly Floating[],
  key: keyof Floating,
  other: keyof Floating,
): Floating[] {
  const textOf = (one: Floating, side: keyof Floating): string => formatAddress(one[side]);
  const ordered = floating.toSorted(
    (one, two) =>
      compareText(textOf(one, key), textOf(two, key)) ||
      compareText(textOf(one, other), textOf(two, other)),
  );
  return ordered.filter((one, at) => {
    const before = ordered[at - 1];
    return before === undefined || textOf(before, key) !== textOf(one, key);
  });
}

function addressIs(side: "src" | "dst", address: Address): Match {
  return { kind: "address", side, prefix: hostPrefix(address), invert: false };
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
  const setOf = (id: string, some: Snapshot["pools"], description: string): SetName =>
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

function notTo(set: SetName): Match {
  return { kind: "set", set, flags: ["dst"], invert: true };
}
