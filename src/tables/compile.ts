/**
 * Policies and a snapshot to rule tables in Calico's shape. Rules become mark bits in `policy-chain.ts`,
 * tiers the order of jumps in `endpoint-chain.ts`; this puts the chains together.
 */
import { FELIX_DEFAULTS, felixSettings } from "../cluster/felix-configuration.ts";
import { endpointName } from "../cluster/snapshot.ts";
import type { Endpoint, FelixSettings, HostEndpoint, Snapshot } from "../cluster/snapshot.ts";
import type { OnDiagnostic } from "../errors.ts";
import type { Family } from "../net/address.ts";
import { formatPolicyRef } from "../policy/model.ts";
import type { CalicoVersion, Direction, MatchRule, Policy } from "../policy/model.ts";
import type { Dialect } from "../policy/dialect.ts";
import { DEFAULT_DIALECT } from "../policy/dialects.ts";
import {
  comparePoliciesByName,
  compareText,
  NEWEST_CALICO,
  sortPolicies,
} from "../policy/order.ts";
import { builtInProfile, type Profile } from "../policy/profile.ts";
import { EndpointIndex } from "../policy/endpoint-index.ts";
import {
  compileDispatch,
  compileForwardEnd,
  compileHookChains,
  compileMangleChains,
  compileRawChains,
  spoofedRule,
} from "./dispatch.ts";
import { compileEmptyProfile, compileNamespaceProfile, EndpointChains } from "./endpoint-chain.ts";
import {
  bindAllHostEndpoints,
  bindHostEndpoints,
  UNBOUND,
  type HostBinding,
} from "./host-binding.ts";
import { compileProtocolChains } from "./dialect-protocols.ts";
import { compileFailsafe } from "./host-chain.ts";
import { compileHostTables, reportUntrackedEverywhere } from "./host-tables.ts";
import type { HostsByPolicy, HostTableName } from "./host-tables.ts";
import { assignInterfaces } from "./endpoint-interface.ts";
import type { InterfaceByEndpoint } from "./endpoint-interface.ts";
import { isPrinted } from "./model.ts";
import type { Chain, Hook, Rule, Ruleset, Table, TableName, Topology } from "./model.ts";
import {
  accountProfileName,
  CHAIN_FORWARD,
  CHAIN_INPUT,
  CHAIN_OUTPUT,
  CHAIN_POSTROUTING,
  CHAIN_PREROUTING,
} from "./names.ts";
import { compileNatChains } from "./nat-chains.ts";
import {
  compilePolicyChain,
  compileProfileChain,
  counterpartOf,
  isAlikeInFamilies,
  type ChainWithSets,
} from "./policy-chain.ts";
import type { PolicyContext } from "./policy-context.ts";
import { jump, makeRule } from "./rule.ts";
import { asOfRelease, checkNames } from "./release.ts";
import { compileServiceJumps } from "./service-filter.ts";
import { compileServices } from "./services.ts";
import { PeerMeanings } from "./peer-meanings.ts";
import { SetCollector } from "./sets.ts";
import { CHAIN_ROUTER, compileRouter, type RouterPod } from "./kube-router.ts";
import { compileTopology } from "./topology.ts";
import { compileTunnels, usesVxlan } from "./tunnels.ts";

/** What a snapshot and its policies compile to. */
export interface CompiledCluster {
  /** IPv4, then IPv6. */
  readonly rulesets: readonly [Ruleset, Ruleset];
  readonly topology: Topology;
}

/**
 * Compiles for one node (`node` given: only its endpoints have chains), or for the whole cluster seen as
 * one node that has every endpoint. The order of the input does not matter. Reports BAD_VALUE for a node
 * that nothing names, DUPLICATE_OBJECT for policies of one name in the release, MISSING_FIELD for pods of
 * which it is not known whether they are on the node, WIDER_RULE for rules that match more than their
 * policy says, UNSUPPORTED_FEATURE for pods of a family that Felix does not police and, where all nodes are
 * seen as one, for host endpoints of which only one node's point of view tells. Of host endpoints also what binding them reports, and UNKNOWN_PROFILE.
 */
export function compileCluster(
  snapshot: Snapshot,
  policies: readonly Policy[],
  options: CompileOptions,
  onDiagnostic: OnDiagnostic,
): CompiledCluster {
  return compileWhole(snapshot, policies, options, onDiagnostic).cluster;
}

/** For whom, and as whose tables, a cluster is compiled. */
export interface CompileOptions {
  readonly node: string | undefined;
  /** Whose tables; the newest when absent. */
  readonly calicoVersion?: CalicoVersion | undefined;
  /** Of host endpoints; none when absent. */
  readonly profiles?: ReadonlyMap<string, Profile> | undefined;
  /** Who enforces the policies; Calico when absent. */
  readonly dialect?: Dialect | undefined;
}

/** A compiled cluster, and what it was made of: with it less has to be compiled again (recompile.ts). */
export interface Compilation {
  readonly cluster: CompiledCluster;
  readonly settings: FelixSettings;
  readonly interfaces: Map<Endpoint, string>;
  readonly index: EndpointIndex;
  readonly meanings: PeerMeanings;
  readonly selected: Map<Policy, Endpoint[]>;
  readonly selections: readonly Selection[];
  readonly endpointChains: EndpointChains;
  readonly families: readonly [FamilyChains, FamilyChains];
  /** The topology of another snapshot. */
  readonly topologyOf: (snapshot: Snapshot) => Topology;
}

/** As `compileCluster`. */
export function compileWhole(
  snapshot: Snapshot,
  policies: readonly Policy[],
  options: CompileOptions,
  onDiagnostic: OnDiagnostic,
): Compilation {
  const {
    node,
    calicoVersion = NEWEST_CALICO,
    profiles = NO_PROFILES,
    dialect = DEFAULT_DIALECT,
  } = options;
  if (node !== undefined) checkNode(snapshot, node, onDiagnostic);
  const interfaces = assignInterfaces(snapshot.endpoints);
  const local = snapshot.endpoints
    .filter((endpoint) => node === undefined || endpoint.node === node)
    .map((endpoint) => ({ endpoint, interfaceName: interfaceOf(interfaces, endpoint) }));
  const index = new EndpointIndex(snapshot);
  const byName = dialect.equalPriorities === "by-name";
  const ordered = byName
    ? policies.toSorted(comparePoliciesByName)
    : sortPolicies(policies, calicoVersion);
  checkNames(ordered, calicoVersion, onDiagnostic);
  const selected = new Map(ordered.map((policy) => [policy, index.chosenBy(policy.subject)]));
  const places = new Map(sortPolicies(ordered, NEWEST_CALICO).map((policy, at) => [policy, at]));
  const selections = DIRECTIONS.flatMap((direction) => selectionsOf(local, selected, direction));
  const interfaceNames = local.map(({ interfaceName }) => interfaceName);
  const settings = settingsOf(snapshot, node, dialect);
  if (!settings.policesIpv6) refuseIpv6(local, onDiagnostic);
  if (dialect.tables !== "felix") refuseForeignEndpoints(snapshot, dialect, onDiagnostic);
  const hosts = new Map(
    ordered.map((policy) => [policy, index.hostEndpointsChosenBy(policy.subject)]),
  );
  const binding =
    node === undefined
      ? bindCluster(snapshot, { hosts, local }, onDiagnostic)
      : bindHostEndpoints(snapshot, node, onDiagnostic);
  reportUntrackedEverywhere(binding, hosts, onDiagnostic);
  reportUnknownProfiles(binding, profiles, onDiagnostic);
  const hostTables = compileHostTables(binding, hosts, settings);
  const chainsOfEndpoints = new EndpointChains(settings, dialect);
  // The same in both families.
  const endpointChains = [
    ...DIRECTIONS.flatMap((direction) => compileDispatch(direction, interfaceNames)),
    ...selections.map((selection) => chainsOfEndpoints.compile(selection)),
    ...profileChains(local),
  ];
  const meanings = new PeerMeanings(snapshot, index);
  const onWider = widerReporter(onDiagnostic);
  const compileFamily = (family: Family, other?: FamilyChains): [Ruleset, FamilyChains] => {
    const sets = new SetCollector(family, meanings);
    const context = { family, sets, dialect, onWider };
    const compiled = {
      ingress: new Map<Policy, ChainWithSets>(),
      egress: new Map<Policy, ChainWithSets>(),
    };
    const chainOf = (policy: Policy, direction: Direction): Chain => {
      const before = compiled[direction].get(policy);
      if (before !== undefined) return before.chain;
      const there = isAlikeInFamilies(policy, direction)
        ? other?.compiled[direction].get(policy)
        : undefined;
      const made =
        there === undefined || other === undefined
          ? compileNoting(policy, direction, context)
          : counterpartOf(there, { sets, other: other.sets });
      compiled[direction].set(policy, made);
      return made.chain;
    };
    const ofHosts = (name: HostTableName): Chain[] => {
      const { chains, policies: used, profiles: names, failsafe } = hostTables[name];
      return [
        ...chains,
        ...DIRECTIONS.flatMap((direction) => [
          ...used[direction].map((policy) => chainOf(policy, direction)),
          ...names[direction].map((profile) =>
            compileProfileChain(profile, direction, { profile: profiles.get(profile), context }),
          ),
        ]),
        ...failsafe.map((direction) => compileFailsafe(direction, name, { settings, family })),
      ];
    };
    const veiled = dialect.outsideServices === "open";
    const { result, names: fixedSets } = sets.noting(() => {
      const tunnels = compileTunnels(snapshot, settings, { node, family, sets });
      return {
        tunnels,
        services: compileServices(snapshot, family, { node, sets, veiled }),
        natChains: compileNatChains(snapshot, settings, { sets, tunnels, version: calicoVersion }),
      };
    });
    const { services, tunnels, natChains } = result;
    const own = { sets, fixedSets, compiled, chainOf };
    if (dialect.tables === "kube-router") {
      const given = { family, dialect, meanings, wholeCluster: node === undefined };
      const router = compileRouter(routerPods(local, selected), given);
      const tables = [
        tableOf("raw", { PREROUTING: [spoofedRule(dialect)] }, []),
        natTable(services.nat, undefined),
        filterTable(family, CHAIN_ROUTER, [...router.chains, ...services.filterChains]),
      ];
      const all = [...sets.sets(), ...router.sets];
      return [{ family, backend: "legacy", tables, sets: all }, own];
    }
    const filter = filterTable(family, CHAIN_CALICO, [
      ...compileHookChains(family, settings.endpointToHost, tunnels, dialect),
      ...compileProtocolChains(dialect, family),
      ...endpointChains,
      ...policyChains(selections, places, chainOf),
      ...services.filterChains,
      ...ofHosts("filter"),
    ]);
    const tables = [
      tableOf("raw", RAW_JUMPS, [...compileRawChains(tunnels, dialect), ...ofHosts("raw")]),
      tableOf("mangle", MANGLE_JUMPS, [...compileMangleChains(), ...ofHosts("mangle")]),
      natTable(services.nat, natChains),
      filter,
    ];
    const ruleset: Ruleset = { family, backend: "legacy", tables, sets: sets.sets() };
    return [asOfRelease(ruleset, ordered, calicoVersion), own];
  };
  const [ipv4, chains4] = compileFamily(4);
  const [ipv6, chains6] = compileFamily(6, chains4);
  const topologyOf = (given: Snapshot): Topology =>
    compileTopology(given, interfaces, {
      node,
      binding,
      // Without either, no verdict hangs on what is tracked of wrapped packets.
      untracks:
        hostTables.raw.failsafe.length > 0 ||
        ((binding !== UNBOUND || settings.podsMayVxlan) &&
          FAMILIES.some((family) => usesVxlan(given, settings, family))),
    });
  return {
    cluster: { rulesets: [ipv4, ipv6], topology: topologyOf(snapshot) },
    ...{ settings, interfaces, index, meanings, selected, selections },
    endpointChains: chainsOfEndpoints,
    families: [chains4, chains6],
    topologyOf,
  };
}

/** The chains of policies in one family, and the sets that their rules ask for. */
export interface FamilyChains {
  readonly sets: SetCollector;
  /** Names of those that other rules ask for. */
  readonly fixedSets: ReadonlySet<string>;
  readonly compiled: Readonly<Record<Direction, Map<Policy, ChainWithSets>>>;
  /** A policy's chain, which is compiled where it is not yet. */
  readonly chainOf: (policy: Policy, direction: Direction) => Chain;
}

function compileNoting(
  policy: Policy,
  direction: Direction,
  context: PolicyContext,
): ChainWithSets {
  const { result, names } = context.sets.noting(() =>
    compilePolicyChain(policy, direction, context),
  );
  return { chain: result, sets: names };
}

/** Felix's settings are Calico's; of others what is like one of them. */
function settingsOf(
  snapshot: Snapshot,
  node: string | undefined,
  { tables, invalid, mayEncapsulate }: Dialect,
): FelixSettings {
  if (tables === "felix") return felixSettings(snapshot, node);
  return {
    ...FELIX_DEFAULTS,
    dropsInvalid: invalid === "dropped",
    podsMayVxlan: mayEncapsulate,
    podsMayIpip: mayEncapsulate,
  };
}

/** Host endpoints are Calico's. */
function refuseForeignEndpoints(
  { hostEndpoints: [first] }: Snapshot,
  { title }: Dialect,
  onDiagnostic: OnDiagnostic,
): void {
  if (first === undefined) return;
  onDiagnostic({
    severity: "error",
    code: "UNSUPPORTED_KIND",
    message: `HostEndpoint ${first.name} is Calico's, and ${title} does not have it: leave it out, or judge by another --dialect`,
    place: first.place,
  });
}

const NO_PROFILES: ReadonlyMap<string, Profile> = new Map();

const FAMILIES: readonly Family[] = [4, 6];

const DIRECTIONS: readonly Direction[] = ["ingress", "egress"];

interface LocalEndpoint {
  readonly endpoint: Endpoint;
  readonly interfaceName: string;
}

/** The policies that select an endpoint in a direction, in their order. */
export interface Selection extends LocalEndpoint {
  readonly direction: Direction;
  readonly policies: readonly Policy[];
}

/** The policies that select each pod, by name. */
function routerPods(
  local: readonly LocalEndpoint[],
  selected: ReadonlyMap<Policy, readonly Endpoint[]>,
): RouterPod[] {
  const pods = new Map(
    local.map(({ endpoint }) => {
      const policies: Policy[] = [];
      return [endpoint, { endpoint, policies }];
    }),
  );
  for (const [policy, endpoints] of selected) {
    for (const endpoint of endpoints) pods.get(endpoint)?.policies.push(policy);
  }
  return [...pods.values()];
}

/** The policies that select each endpoint and apply to this direction. */
function selectionsOf(
  local: readonly LocalEndpoint[],
  selected: ReadonlyMap<Policy, readonly Endpoint[]>,
  direction: Direction,
): Selection[] {
  const selections = new Map(
    local.map(({ endpoint, interfaceName }) => {
      const policies: Policy[] = [];
      return [endpoint, { endpoint, interfaceName, direction, policies }];
    }),
  );
  for (const [policy, endpoints] of selected) {
    if (!appliesTo(policy, direction)) continue;
    for (const endpoint of endpoints) selections.get(endpoint)?.policies.push(policy);
  }
  return [...selections.values()];
}

/** Tells whether a policy is asked about what endpoints send or get. */
export function appliesTo(policy: Policy, direction: Direction): boolean {
  return policy[direction] !== undefined && !isForHostsOnly(policy);
}

/** Before translation, and without following connections, Felix asks host endpoints' policies only. */
function isForHostsOnly({ host }: Policy): boolean {
  return host === "pre-dnat" || host === "untracked";
}

/** Makes what reports each rule once whose iptables rules match more than the policy says. */
function widerReporter(onDiagnostic: OnDiagnostic): NonNullable<PolicyContext["onWider"]> {
  const said = new Set<MatchRule>();
  return (policy, direction, rule) => {
    if (said.has(rule)) return;
    said.add(rule);
    onDiagnostic({
      severity: "warning",
      code: "WIDER_RULE",
      message: `${formatPolicyRef(policy.ref)} ${direction}[${rule.index}]: the rendered rule is wider than the policy, as Felix renders three lists of ports and prefixes in one rule; verdicts are those of the tables`,
      place: rule.place,
    });
  };
}

/** One chain for each policy that selects an endpoint here, in each direction it applies to. */
function policyChains(
  selections: readonly Selection[],
  places: ReadonlyMap<Policy, number>,
  compile: (policy: Policy, direction: Direction) => Chain,
): Chain[] {
  return DIRECTIONS.flatMap((direction) => {
    const used = selections.filter((selection) => selection.direction === direction);
    const unique = new Set(used.flatMap((selection) => selection.policies));
    const place = (policy: Policy): number => places.get(policy) ?? 0;
    return [...unique]
      .sort((one, other) => place(one) - place(other))
      .map((policy) => compile(policy, direction));
  });
}

/** The chains of the profiles that some endpoints have. */
export function profileChains(local: readonly Pick<LocalEndpoint, "endpoint">[]): Chain[] {
  const namespaces = new Set(local.map(({ endpoint }) => endpoint.namespace));
  const accounts = new Set(
    local.map(({ endpoint: { namespace, serviceAccount } }) =>
      accountProfileName({ namespace, name: serviceAccount }),
    ),
  );
  return DIRECTIONS.flatMap((direction) => [
    ...[...namespaces].map((namespace) => compileNamespaceProfile(direction, namespace)),
    ...[...accounts].map((account) => compileEmptyProfile(direction, account)),
  ]);
}

const CHAIN_CALICO = { INPUT: CHAIN_INPUT, FORWARD: CHAIN_FORWARD, OUTPUT: CHAIN_OUTPUT } as const;

/** The implementation's jumps come first, kube-proxy's behind them, and Calico's acceptance last. */
function filterTable(
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

/** Calico's jumps, where there are some, come first, but behind kube-proxy's where sources are translated. */
function natTable(services: Table, chains: readonly Chain[] | undefined): Table {
  const jumps = (chain: string): Rule[] => (chains === undefined ? [] : [jumpTo(chain)]);
  const own = (hook: Hook): readonly Rule[] =>
    services.chains.find(({ name }) => name === hook)?.rules ?? [];
  return tableOf(
    "nat",
    {
      PREROUTING: [...jumps(CHAIN_PREROUTING), ...own("PREROUTING")],
      INPUT: own("INPUT"),
      OUTPUT: [...jumps(CHAIN_OUTPUT), ...own("OUTPUT")],
      POSTROUTING: [...own("POSTROUTING"), ...jumps(CHAIN_POSTROUTING)],
    },
    [...services.chains.filter(({ policy }) => policy === undefined), ...(chains ?? [])],
  );
}

const RAW_JUMPS = { PREROUTING: [jumpTo(CHAIN_PREROUTING)], OUTPUT: [jumpTo(CHAIN_OUTPUT)] };
const MANGLE_JUMPS = {
  PREROUTING: [jumpTo(CHAIN_PREROUTING)],
  INPUT: [],
  FORWARD: [],
  OUTPUT: [],
  POSTROUTING: [jumpTo(CHAIN_POSTROUTING)],
};

/** A table of the rules at each of its hooks, and of chains that they lead to; of a name once. */
function tableOf(
  name: TableName,
  rulesByHook: Readonly<Partial<Record<Hook, readonly Rule[]>>>,
  userChains: readonly Chain[],
): Table {
  const builtin = Object.entries(rulesByHook).map(([hook, rules]) => builtinChain(hook, rules));
  const byName = new Map(userChains.toReversed().map((chain) => [chain.name, chain]));
  return {
    name,
    chains: [
      ...builtin,
      // iptables keeps user chains sorted by name.
      ...[...byName.values()].sort((one, other) => compareText(one.name, other.name)),
    ],
  };
}

function builtinChain(name: string, rules: readonly Rule[]): Chain {
  const partly = rules.every(isPrinted) ? {} : ({ partlyPrinted: true } as const);
  return { name, policy: "ACCEPT", ...partly, rules };
}

function jumpTo(chain: string): Rule {
  return makeRule({ target: jump(chain) });
}

function checkNode(snapshot: Snapshot, node: string, onDiagnostic: OnDiagnostic): void {
  const named = new Set(snapshot.nodeByName.keys());
  for (const { node: name } of [...snapshot.endpoints, ...snapshot.hostEndpoints]) {
    if (name !== undefined) named.add(name);
  }
  if (!named.has(node)) {
    const known = [...named].toSorted().slice(0, 10).join(", ");
    onDiagnostic({
      severity: "error",
      code: "BAD_VALUE",
      message: `no node is named "${node}": expected one of ${known === "" ? "none" : known}`,
    });
  }
  // Workloads without pods are on no node; of a pod without a node it is not known.
  for (const endpoint of snapshot.endpoints) {
    if (endpoint.kind !== "Pod" || endpoint.node !== undefined) continue;
    onDiagnostic({
      severity: "warning",
      code: "MISSING_FIELD",
      message: `pod ${endpointName(endpoint)} has no nodeName: it is taken to be on another node than ${node}`,
      place: endpoint.place,
    });
  }
}

/**
 * Binds the host endpoints of all nodes seen as one. Where all let everything through, there are none. What
 * is not tracked at one node may be at the next, and each node may have failsafe ports of its own: that is
 * refused.
 */
function bindCluster(
  snapshot: Snapshot,
  { hosts, local }: { readonly hosts: HostsByPolicy; readonly local: readonly LocalEndpoint[] },
  onDiagnostic: OnDiagnostic,
): HostBinding {
  const bound = snapshot.hostEndpoints.filter(({ node }) => node !== undefined);
  const selected = new Set([...hosts.values()].flat());
  if (bound.every((endpoint) => !selected.has(endpoint) && isOpen(endpoint.profiles))) {
    return UNBOUND;
  }
  const refuse = (endpoint: HostEndpoint, why: string): void => {
    onDiagnostic({
      severity: "error",
      code: "UNSUPPORTED_FEATURE",
      message: `HostEndpoint ${endpoint.name} ${why}: give that node's point of view`,
      place: endpoint.place,
      suggestion: `--node ${endpoint.node ?? "NAME"}`,
    });
  };
  const untracked = [...hosts].find(
    ([policy, some]) => policy.host === "untracked" && some.length > 0,
  );
  const [policy, [first] = []] = untracked ?? [];
  if (policy !== undefined && first !== undefined) {
    refuse(first, `has ${formatPolicyRef(policy.ref)}, which does not track what its node lets in`);
  }
  const common = settingsText(felixSettings(snapshot, undefined));
  const different = bound.find(
    ({ node }) => settingsText(felixSettings(snapshot, node)) !== common,
  );
  if (different !== undefined) refuse(different, "is on a node with settings of its own");
  const podInterfaces = new Map<string, string[]>();
  for (const { endpoint, interfaceName } of local) {
    if (endpoint.node === undefined) continue;
    const own = podInterfaces.get(endpoint.node);
    if (own === undefined) podInterfaces.set(endpoint.node, [interfaceName]);
    else own.push(interfaceName);
  }
  return bindAllHostEndpoints(snapshot, podInterfaces, onDiagnostic);
}

/** Settings without the places where they stand. */
function settingsText(settings: FelixSettings): string {
  return JSON.stringify(settings, (key, value: unknown) => (key === "place" ? undefined : value));
}

/** Pods that Felix leaves alone in one family have no chains there, and others' policies still mean them. */
function refuseIpv6(local: readonly LocalEndpoint[], onDiagnostic: OnDiagnostic): void {
  const first = local.find(({ endpoint: { addresses } }) =>
    addresses.some(({ family }) => family === 6),
  );
  if (first === undefined) return;
  onDiagnostic({
    severity: "error",
    code: "UNSUPPORTED_FEATURE",
    message: `${endpointName(first.endpoint)} has an IPv6 address, which Felix does not police: its ipv6Support is false`,
    place: first.endpoint.place,
  });
}

function isOpen([first]: HostEndpoint["profiles"]): boolean {
  return first !== undefined && builtInProfile(first.name) === "allows";
}

function reportUnknownProfiles(
  { bound, everywhere }: HostBinding,
  profiles: ReadonlyMap<string, Profile>,
  onDiagnostic: OnDiagnostic,
): void {
  const all = bound.map(({ hostEndpoint }) => hostEndpoint);
  for (const { name: endpoint, profiles: own } of everywhere === undefined
    ? all
    : [...all, everywhere]) {
    for (const { name, place } of own) {
      if (profiles.has(name) || builtInProfile(name) !== undefined) continue;
      onDiagnostic({
        severity: "warning",
        code: "UNKNOWN_PROFILE",
        message: `there is no Profile "${name}": host endpoint ${endpoint} is taken to deny what reaches it`,
        place,
      });
    }
  }
}

function interfaceOf(interfaces: InterfaceByEndpoint, endpoint: Endpoint): string {
  const name = interfaces.get(endpoint);
  if (name === undefined) throw new Error(`bug: ${endpointName(endpoint)} has no interface`);
  return name;
}
