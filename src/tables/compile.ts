/**
 * Policies and a snapshot to rule tables in Calico's shape. Rules become mark bits in `policy-chain.ts`,
 * tiers the order of jumps in `tier-rules.ts`; this puts the chains together.
 */
import { FELIX_DEFAULTS, felixSettings } from "../cluster/felix-configuration.ts";
import { endpointName } from "../cluster/snapshot.ts";
import type { Endpoint, FelixSettings, Snapshot } from "../cluster/snapshot.ts";
import type { OnDiagnostic } from "../errors.ts";
import type { Family } from "../net/address.ts";
import { compareText } from "../net/compare-text.ts";
import type { CalicoVersion, Direction, Policy } from "../policy/model.ts";
import type { Dialect } from "../policy/dialect.ts";
import { DEFAULT_DIALECT } from "../policy/dialects.ts";
import { refuseAddedLabels } from "../policy/added-labels.ts";
import { refuseOpenLabels } from "../policy/open-labels.ts";
import { comparePoliciesByName, NEWEST_CALICO, sortPolicies } from "../policy/order.ts";
import type { Profile } from "../policy/profile.ts";
import { EndpointIndex } from "../policy/endpoint-index.ts";
import { bindCluster } from "./cluster-binding.ts";
import {
  checkNode,
  refuseForeignEndpoints,
  refuseFloating,
  refuseHostEncryption,
  refuseIpv6,
  refuseUnplacedFloating,
  reportUnknownProfiles,
  widerReporter,
} from "./compile-checks.ts";
import {
  compileDispatch,
  compileHookChains,
  compileMangleChains,
  compileRawChains,
  spoofedRule,
} from "./dispatch.ts";
import { EndpointChains } from "./endpoint-chain.ts";
import { bindHostEndpoints, UNBOUND } from "./host-binding.ts";
import { compileProtocolChains } from "./dialect-protocols.ts";
import { compileFailsafe } from "./host-chain.ts";
import { compileHostPorts, planHostPorts } from "./host-ports.ts";
import { compileHostTables, reportUntrackedEverywhere } from "./host-tables.ts";
import type { HostTableName } from "./host-tables.ts";
import { assignInterfaces } from "./endpoint-interface.ts";
import type { InterfaceByEndpoint } from "./endpoint-interface.ts";
import type { Chain, Ruleset, Topology } from "./model.ts";
import { accountProfileName, policyChainName } from "./names.ts";
import { compileNatChains } from "./nat-chains.ts";
import { PeerMeanings } from "./peer-meanings.ts";
import {
  compilePolicyChain,
  compileProfileChain,
  counterpartOf,
  isAlikeInFamilies,
  type ChainWithSets,
} from "./policy-chain.ts";
import type { PolicyContext } from "./policy-context.ts";
import { compileEmptyProfile, compileNamespaceProfile } from "./profile-chain.ts";
import { asOfRelease, checkNames } from "./release.ts";
import { routerPods, selectionsOf } from "./selections.ts";
import type { LocalEndpoint, Selection } from "./selections.ts";
import { compileServices } from "./services.ts";
import { SetCollector } from "./sets.ts";
import {
  CHAIN_CALICO,
  compareChains,
  filterTable,
  MANGLE_JUMPS,
  natTable,
  RAW_JUMPS,
  tableOf,
} from "./table-order.ts";
import { CHAIN_ROUTER, compileRouter } from "./kube-router.ts";
import { KUBE_PROXY_SWITCHES, type ConnectionSwitches } from "./switches.ts";
import { compileTopology, withPolicies } from "./topology.ts";
import { compileTunnels, usesVxlan } from "./tunnels.ts";

/** What a snapshot and its policies compile to. */
export interface CompiledCluster {
  /** IPv4, then IPv6. */
  readonly rulesets: readonly [Ruleset, Ruleset];
  readonly topology: Topology;
  readonly connectionSwitches: ConnectionSwitches;
}

/**
 * Compiles for one node (`node` given: only its endpoints have chains), or for the whole cluster seen as
 * one node that has every endpoint. The order of the input does not matter. Reports BAD_VALUE for a node
 * that nothing names, UNKNOWN_LABEL for policies that choose pods by what is not known of them,
 * DUPLICATE_OBJECT for policies of one name in the release, MISSING_FIELD for pods of which it is not known
 * whether they are on the node (an error where they have floating addresses), WIDER_RULE for rules that match
 * more than their policy says, UNSUPPORTED_FEATURE for selectors in Kubernetes' words that ask for labels which
 * Calico adds, for pods of a family that Felix does not police and, where all nodes are seen as one, for host
 * endpoints of which only one node's point of view tells and for pods with floating addresses. Of host endpoints
 * also what binding them reports, and UNKNOWN_PROFILE.
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
  /** The topology of another snapshot, without what policies say of it. */
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
  refuseOpenLabels(policies, snapshot, onDiagnostic);
  if (dialect.tables === "felix") refuseAddedLabels(policies, onDiagnostic);
  const interfaces = assignInterfaces(snapshot.endpoints);
  const local = snapshot.endpoints
    .filter((endpoint) => node === undefined || endpoint.node === node)
    .map((endpoint) => ({ endpoint, interfaceName: interfaceOf(interfaces, endpoint) }));
  const index = new EndpointIndex(snapshot);
  const inNewestOrder = sortPolicies(policies);
  const ordered =
    dialect.equalPriorities === "by-name"
      ? policies.toSorted(comparePoliciesByName)
      : calicoVersion === NEWEST_CALICO
        ? inNewestOrder
        : sortPolicies(policies, calicoVersion);
  checkNames(ordered, calicoVersion, onDiagnostic);
  const selected = new Map(ordered.map((policy) => [policy, index.chosenBy(policy.subject)]));
  const selections = DIRECTIONS.flatMap((direction) => selectionsOf(local, selected, direction));
  const usedPolicies = DIRECTIONS.map((direction) => {
    const used = policiesOf(selections, direction);
    const own = inNewestOrder.filter((policy) => used.has(policy));
    return { direction, policies: own, places: placesByChain(own, direction) };
  });
  const interfaceNames = local.map(({ interfaceName }) => interfaceName);
  const settings = settingsOf(snapshot, node, dialect);
  if (!settings.policesIpv6) refuseIpv6(local, onDiagnostic);
  if (node === undefined && dialect.tables === "felix") refuseFloating(snapshot, onDiagnostic);
  if (node !== undefined && settings.floatingAddresses) {
    refuseUnplacedFloating(snapshot, node, onDiagnostic);
  }
  if (dialect.tables !== "felix") refuseForeignEndpoints(snapshot, dialect, onDiagnostic);
  const hosts = new Map(
    ordered.map((policy) => [policy, index.hostEndpointsChosenBy(policy.subject)]),
  );
  const binding =
    node === undefined
      ? bindCluster(snapshot, { hosts, local }, onDiagnostic)
      : bindHostEndpoints(snapshot, node, onDiagnostic);
  refuseHostEncryption(binding, settings, onDiagnostic);
  reportUntrackedEverywhere(binding, hosts, onDiagnostic);
  reportUnknownProfiles(binding, profiles, onDiagnostic);
  const hostTables = compileHostTables(binding, hosts, { settings, version: calicoVersion });
  const chainsOfEndpoints = new EndpointChains(settings, dialect, calicoVersion);
  // The same in both families, and in the order that tables have.
  const endpointChains = [
    ...DIRECTIONS.flatMap((direction) => compileDispatch(direction, interfaceNames)),
    ...selections.map((selection) => chainsOfEndpoints.compile(selection)),
    ...chainsOfEndpoints.groups.chains(),
    ...profileChains(local),
  ].sort(compareChains);
  const hostPorts = planHostPorts(snapshot, node, dialect);
  const meanings = new PeerMeanings(snapshot, index);
  const onWider = widerReporter(onDiagnostic);
  const toRelease = asOfRelease(ordered, calicoVersion);
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
        natChains: compileNatChains(snapshot, settings, {
          ...{ family, sets, tunnels, version: calicoVersion },
          local: local.map(({ endpoint }) => endpoint),
        }),
      };
    });
    const { services, tunnels, natChains } = result;
    const hostPortRules = compileHostPorts(hostPorts, family);
    const own = { sets, fixedSets, compiled, chainOf };
    if (dialect.tables === "kube-router") {
      const given = { family, dialect, meanings, wholeCluster: node === undefined };
      const router = compileRouter(routerPods(local, selected), given);
      const tables = [
        tableOf("raw", { PREROUTING: [spoofedRule(dialect)] }, []),
        natTable(services.nat, undefined, hostPortRules),
        filterTable(family, CHAIN_ROUTER, [...router.chains, ...services.filterChains]),
      ];
      const all = [...sets.sets(), ...router.sets];
      return [{ family, backend: "legacy", tables, sets: all }, own];
    }
    const filter = filterTable(family, CHAIN_CALICO, [
      ...compileHookChains(family, settings.endpointToHost, tunnels, dialect),
      ...compileProtocolChains(dialect, family),
      ...endpointChains,
      ...usedPolicies.flatMap(({ direction, policies: own, places }) => {
        // Made in the order that diagnostics and sets have, and put in that of the table.
        const chains = own.map((policy) => chainOf(policy, direction));
        return places.flatMap((at) => chains[at] ?? []);
      }),
      ...services.filterChains,
      ...ofHosts("filter"),
    ]);
    const tables = [
      tableOf("raw", RAW_JUMPS, [...compileRawChains(tunnels, dialect), ...ofHosts("raw")]),
      tableOf("mangle", MANGLE_JUMPS, [...compileMangleChains(), ...ofHosts("mangle")]),
      natTable(services.nat, natChains, hostPortRules),
      filter,
    ];
    const ruleset: Ruleset = { family, backend: "legacy", tables, sets: sets.sets() };
    return [toRelease(ruleset), own];
  };
  const [ipv4, chains4] = compileFamily(4);
  const [ipv6, chains6] = compileFamily(6, chains4);
  const topologyOf = (given: Snapshot): Topology =>
    compileTopology(given, interfaces, {
      node,
      binding,
      untold: hostPorts.untold,
      sparesNodes: settings.spareNodes,
      podsMayIpip: settings.podsMayIpip,
      // Without either, no verdict hangs on what is tracked of wrapped packets.
      untracks:
        hostTables.raw.failsafe.length > 0 ||
        ((binding !== UNBOUND || settings.podsMayVxlan) &&
          FAMILIES.some((family) => usesVxlan(given, settings, family))),
    });
  return {
    cluster: {
      rulesets: [ipv4, ipv6],
      topology: withPolicies(topologyOf(snapshot), snapshot, policies),
      connectionSwitches: KUBE_PROXY_SWITCHES,
    },
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
  readonly fixedSets: readonly string[];
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

const NO_PROFILES: ReadonlyMap<string, Profile> = new Map();

const FAMILIES: readonly Family[] = [4, 6];

const DIRECTIONS: readonly Direction[] = ["ingress", "egress"];

/** The policies that select an endpoint here, of those that apply to a direction. */
function policiesOf(selections: readonly Selection[], direction: Direction): Set<Policy> {
  const used = new Set<Policy>();
  for (const selection of selections) {
    if (selection.direction !== direction) continue;
    for (const policy of selection.policies) used.add(policy);
  }
  return used;
}

/** The places of policies in a list, in the order of the names of their chains. */
function placesByChain(policies: readonly Policy[], direction: Direction): number[] {
  return policies
    .map(({ ref }, at) => ({ at, name: policyChainName(direction, ref) }))
    .sort((one, other) => compareText(one.name, other.name))
    .map(({ at }) => at);
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

function interfaceOf(interfaces: InterfaceByEndpoint, endpoint: Endpoint): string {
  const name = interfaces.get(endpoint);
  if (name === undefined) throw new Error(`bug: ${endpointName(endpoint)} has no interface`);
  return name;
}
