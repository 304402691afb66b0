/**
 * What host endpoints add to a node's tables: their chains, the dispatch to them, and which policies and
 * profiles have chains in which table because of them.
 * Source: felix/calc/event_sequencer.go, tierInfoToProtoTierInfo; felix/dataplane/linux/endpoint_mgr.go.
 */
import type { FelixSettings, HostEndpoint } from "../cluster/snapshot.ts";
import type { OnDiagnostic } from "../errors.ts";
import { DEFAULT_DIALECT } from "../policy/dialects.ts";
import { formatPolicyRef } from "../policy/model.ts";
import type { CalicoVersion, Direction, HostLayer, Policy } from "../policy/model.ts";
import { compileHostDispatch } from "./dispatch.ts";
import type { BoundHostEndpoint, HostBinding } from "./host-binding.ts";
import {
  compileHostChain,
  compileHostForwardChain,
  compileHostMangleEgress,
  compileHostPreDnatChain,
  compileHostRawChain,
  hasPolicies,
} from "./host-chain.ts";
import type { HostPolicies, PoliciesByDirection } from "./host-chain.ts";
import type { Chain } from "./model.ts";
import { ANY_INTERFACE } from "./names.ts";
import { SharedRules } from "./shared-rules.ts";

/** Tables that host endpoints have chains in. */
export type HostTableName = "raw" | "mangle" | "filter";

/** What host endpoints add to one table, the same for both families. */
export interface HostTable {
  /** Of endpoints, and the dispatch to them. */
  readonly chains: readonly Chain[];
  /** Policies whose chains are jumped to. */
  readonly policies: PoliciesByDirection;
  /** Profiles whose chains are jumped to. */
  readonly profiles: ProfilesByDirection;
  /** Directions whose failsafe chain is jumped to. */
  readonly failsafe: readonly Direction[];
}

/** Names of profiles; each once. */
export type ProfilesByDirection = { readonly [D in Direction]: readonly string[] };

/** Which host endpoints each policy selects. */
export type HostsByPolicy = ReadonlyMap<Policy, readonly HostEndpoint[]>;

const DIRECTIONS: readonly Direction[] = ["ingress", "egress"];

/**
 * Compiles the tables of a node's host endpoints.
 *
 * @param selected the policies as they are asked, with the host endpoints that they select
 */
export function compileHostTables(
  binding: HostBinding,
  selected: HostsByPolicy,
  { settings, version }: { readonly settings: FelixSettings; readonly version: CalicoVersion },
): { readonly [T in HostTableName]: HostTable } {
  const hosts = binding.bound.map((bound) => policiesOf(bound, selected));
  const { everywhere } = binding;
  const all =
    everywhere === undefined
      ? hosts
      : [
          ...hosts,
          policiesOf({ hostEndpoint: everywhere, interfaceName: ANY_INTERFACE }, selected),
        ];
  const shared = new SharedRules(DEFAULT_DIALECT, version);
  const withGroups = (chains: readonly Chain[]): Chain[] => [
    ...chains,
    ...shared.groups.usedBy(chains),
  ];
  const context = { shared, settings };
  const filter = all.flatMap((each) =>
    DIRECTIONS.flatMap((direction) => [
      compileHostChain(each, direction, context),
      compileHostForwardChain(each, direction, context),
    ]),
  );
  const preDnat = all.filter((each) => hasPolicies(each.preDnat));
  const mangle = [
    ...all.map((each) => compileHostMangleEgress(each, context)),
    ...preDnat.map((each) => compileHostPreDnatChain(each, context)),
  ];
  // > A host endpoint for all interfaces has no policies that do not track.
  const untracked = hosts.filter((each) => hasPolicies(each.untracked));
  const raw = untracked.flatMap((each) =>
    DIRECTIONS.map((direction) => compileHostRawChain(each, direction, context)),
  );
  const used = all.length > 0;
  return {
    filter: {
      chains: [
        ...DIRECTIONS.flatMap((direction) => [
          ...dispatchTo(all, direction, "own"),
          ...dispatchTo(all, direction, "forwarded"),
        ]),
        ...withGroups(filter),
      ],
      policies: gather(all, ({ own }) => own),
      profiles: { ingress: profilesOf(all), egress: profilesOf(all) },
      failsafe: used ? DIRECTIONS : [],
    },
    mangle: {
      chains: [
        ...dispatchTo(preDnat, "ingress", "own"),
        ...dispatchTo(all, "egress", "own"),
        ...withGroups(mangle),
      ],
      policies: {
        ingress: gather(preDnat, (each) => each.preDnat).ingress,
        egress: gather(all, ({ own }) => own).egress,
      },
      profiles: { ingress: [], egress: profilesOf(all) },
      failsafe: [
        ...(preDnat.length > 0 ? (["ingress"] as const) : []),
        ...(used ? (["egress"] as const) : []),
      ],
    },
    raw: {
      chains: [
        ...DIRECTIONS.flatMap((direction) => dispatchTo(untracked, direction, "own")),
        ...withGroups(raw),
      ],
      policies: gather(untracked, (each) => each.untracked),
      profiles: { ingress: [], egress: [] },
      failsafe: untracked.length > 0 ? DIRECTIONS : [],
    },
  };
}

/** Reports UNSUPPORTED_FEATURE for policies that Felix leaves out where an endpoint is for all interfaces. */
export function reportUntrackedEverywhere(
  { everywhere }: HostBinding,
  selected: HostsByPolicy,
  onDiagnostic: OnDiagnostic,
): void {
  if (everywhere === undefined) return;
  for (const [policy, hosts] of selected) {
    if (policy.host !== "untracked" || !hosts.includes(everywhere)) continue;
    onDiagnostic({
      severity: "warning",
      code: "UNSUPPORTED_FEATURE",
      message: `${formatPolicyRef(policy.ref)} does not bind host endpoint ${everywhere.name}: Calico has no doNotTrack where interfaceName is "*"`,
      place: policy.ref.place,
    });
  }
}

/** Which traffic a policy without a host layer, and with each of them, is for. */
const LAYERS: Readonly<
  Record<Exclude<keyof HostPolicies, keyof BoundHostEndpoint>, readonly (HostLayer | undefined)[]>
> = {
  own: [undefined, "forwarded"],
  forwarded: ["forwarded"],
  preDnat: ["pre-dnat"],
  untracked: ["untracked"],
};

function policiesOf(bound: BoundHostEndpoint, selected: HostsByPolicy): HostPolicies {
  const { hostEndpoint } = bound;
  const policies = [...selected].flatMap(([policy, hosts]) =>
    hosts.includes(hostEndpoint) ? [policy] : [],
  );
  const layer = (layers: readonly (HostLayer | undefined)[]): PoliciesByDirection => {
    const own = policies.filter(({ host }) => layers.includes(host));
    const ofDirection = (direction: Direction): Policy[] =>
      own.filter((policy) => policy[direction] !== undefined);
    return { ingress: ofDirection("ingress"), egress: ofDirection("egress") };
  };
  return {
    ...bound,
    own: layer(LAYERS.own),
    forwarded: layer(LAYERS.forwarded),
    preDnat: layer(LAYERS.preDnat),
    untracked: layer(LAYERS.untracked),
  };
}

function dispatchTo(
  hosts: readonly HostPolicies[],
  direction: Direction,
  traffic: "own" | "forwarded",
): Chain[] {
  const everywhere = hosts.find(({ interfaceName }) => interfaceName === ANY_INTERFACE);
  // > What goes to pods is none of a node's own.
  const isForPods = traffic === "forwarded" || direction === "ingress";
  const chainByInterface = new Map(
    hosts
      .filter((host) => host !== everywhere)
      .flatMap(({ interfaceName, others = [interfaceName], ofPods = [] }) =>
        [...others, ...(isForPods ? ofPods : [])].map((name) => [name, interfaceName] as const),
      ),
  );
  return compileHostDispatch(direction, chainByInterface, {
    traffic,
    everywhere: everywhere?.interfaceName,
  });
}

function gather(
  hosts: readonly HostPolicies[],
  which: (host: HostPolicies) => PoliciesByDirection,
): PoliciesByDirection {
  const ofDirection = (direction: Direction): Policy[] => [
    ...new Set(hosts.flatMap((host) => which(host)[direction])),
  ];
  return { ingress: ofDirection("ingress"), egress: ofDirection("egress") };
}

function profilesOf(hosts: readonly HostPolicies[]): string[] {
  return [
    ...new Set(hosts.flatMap(({ hostEndpoint }) => hostEndpoint.profiles.map(({ name }) => name))),
  ];
}
