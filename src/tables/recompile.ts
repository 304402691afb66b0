/**
 * Compiling again after small changes, at the cost of what they touch: a policy that was edited, added or
 * taken away, a pod that was added. What else is different is compiled from scratch. Either way the result is
 * what `compileCluster` makes of the same snapshot and policies.
 */
import type { Endpoint, Snapshot } from "../cluster/snapshot.ts";
import type { OnDiagnostic } from "../errors.ts";
import { DEFAULT_DIALECT } from "../policy/dialects.ts";
import type { Direction, Policy } from "../policy/model.ts";
import { compareText } from "../net/compare-text.ts";
import { comparePolicies } from "../policy/order.ts";
import { refuseAddedLabels } from "../policy/added-labels.ts";
import { refuseOpenLabels } from "../policy/open-labels.ts";
import { SelectorIndex } from "../policy/selector-index.ts";
import { selectsEndpoint } from "../policy/selects.ts";
import { compileWhole, profileChains } from "./compile.ts";
import type { Compilation, CompiledCluster, CompileOptions, FamilyChains } from "./compile.ts";
import { compileDispatch, dispatchRule } from "./dispatch.ts";
import { EndpointChains } from "./endpoint-chain.ts";
import type { Chain, IpSet, Rule, Ruleset, Topology } from "./model.ts";
import { CHAIN_DISPATCH, isPolicyGroupChain, vethName } from "./names.ts";
import { appliesTo } from "./selections.ts";
import type { Selection } from "./selections.ts";
import { placeInOrder } from "./set-members.ts";
import { withEndpoint, withPolicies } from "./topology.ts";

/**
 * Compiles clusters that are mostly the one before. What was not touched must be the same object as before:
 * policies, endpoints, and the snapshot's other parts.
 */
export class ClusterCompiler {
  readonly #options: CompileOptions;
  readonly #onDiagnostic: OnDiagnostic;
  #state: State | undefined;

  constructor(options: CompileOptions, onDiagnostic: OnDiagnostic) {
    this.#options = options;
    this.#onDiagnostic = onDiagnostic;
  }

  /**
   * Compiles a cluster. Reports what `compileCluster` does; where little was touched, only what is wrong with
   * that. The lists of chains and sets that it gave before may be changed; chains, rules and sets never are.
   */
  compile(snapshot: Snapshot, policies: readonly Policy[]): CompiledCluster {
    return this.#change(snapshot, policies) ?? this.#compileWhole(snapshot, policies);
  }

  #compileWhole(snapshot: Snapshot, policies: readonly Policy[]): CompiledCluster {
    const whole = compileWhole(snapshot, policies, this.#options, this.#onDiagnostic);
    const { calicoVersion, dialect = DEFAULT_DIALECT } = this.#options;
    // Other tables are made of these: that is not followed.
    const plain =
      calicoVersion === undefined &&
      dialect === DEFAULT_DIALECT &&
      snapshot.hostEndpoints.length === 0;
    this.#state = plain ? new State(snapshot, policies, this.#options.node, whole) : undefined;
    return this.#state?.cluster ?? whole.cluster;
  }

  #change(snapshot: Snapshot, policies: readonly Policy[]): CompiledCluster | undefined {
    const state = this.#state;
    if (state === undefined || !isSameBeside(state.snapshot, snapshot)) return undefined;
    const added = addedTo(state.snapshot.endpoints, snapshot.endpoints);
    if (added === undefined || !state.canAdd(added)) return undefined;
    for (const endpoint of added) state.addEndpoint(endpoint, snapshot);
    const changed = state.changePolicies(policies);
    refuseOpenLabels(changed, snapshot, this.#onDiagnostic);
    refuseAddedLabels(changed, this.#onDiagnostic);
    return state.finish(snapshot, policies);
  }
}

const DIRECTIONS: readonly Direction[] = ["ingress", "egress"];

/** Tells whether two snapshots have all in common but endpoints, and what no table is made of. */
function isSameBeside(one: Snapshot, other: Snapshot): boolean {
  const { endpoints, blindSpots } = other;
  const moved: Snapshot = { ...one, endpoints, blindSpots };
  return Object.entries(moved).every(([name, part]) => other[name as keyof Snapshot] === part);
}

/** What a list has more than another; undefined where it does not have all of that, in its order. */
function addedTo<T>(before: readonly T[], after: readonly T[]): T[] | undefined {
  if (before === after) return [];
  const [others, all] = whereDifferent(before, after);
  const added: T[] = [];
  let at = 0;
  for (const one of all) {
    if (at < others.length && one === others[at]) at += 1;
    else added.push(one);
  }
  return at === others.length ? added : undefined;
}

/** Two lists without what both begin and end with. */
function whereDifferent<T>(one: readonly T[], other: readonly T[]): [readonly T[], readonly T[]] {
  const most = Math.min(one.length, other.length);
  let begin = 0;
  while (begin < most && one[begin] === other[begin]) begin++;
  let end = 0;
  while (end < most - begin && one[one.length - 1 - end] === other[other.length - 1 - end]) end++;
  return [one.slice(begin, one.length - end), other.slice(begin, other.length - end)];
}

/** What changes of one family. Undefined: it is there no more. */
interface FamilyChange {
  readonly family: FamilyChains;
  /** The lists of the compiled cluster: the filter table's chains, and the sets. */
  readonly own: { readonly chains: Chain[]; readonly sets: IpSet[] };
  readonly chains: Map<string, Chain | undefined>;
  readonly sets: Map<string, IpSet | undefined>;
  /** How many chains of policies ask for a set, and whether others do. */
  readonly setUsers: Map<string, number>;
}

/** A compiled cluster that changes. */
class State {
  snapshot: Snapshot;
  #policies: readonly Policy[];
  #cluster: CompiledCluster;
  /** Undefined: it is made anew when all endpoints are known. */
  #topology: Topology | undefined;
  #endpointChains: EndpointChains;
  readonly #whole: Compilation;
  readonly #node: string | undefined;
  readonly #choosing = new SelectorIndex<Policy>();
  readonly #selections: Readonly<Record<Direction, Map<Endpoint, Selection>>>;
  readonly #users: Readonly<Record<Direction, Map<Policy, number>>>;
  readonly #interfaceNames: string[];
  readonly #taken: Set<string>;
  readonly #nodes: Set<string | undefined>;
  readonly #families: readonly [FamilyChange, FamilyChange];
  /** Chains of both families that change. */
  readonly #chains = new Map<string, Chain | undefined>();
  readonly #touched = new Set<Selection>();
  /** How many chains of endpoints jump to the chain of each policy group. */
  readonly #groupUsers = new Map<string, number>();
  /** Policies that chains were compiled of which are kept for others alike. */
  #kept = 0;

  constructor(
    snapshot: Snapshot,
    policies: readonly Policy[],
    node: string | undefined,
    whole: Compilation,
  ) {
    this.snapshot = snapshot;
    this.#policies = policies;
    this.#node = node;
    this.#whole = whole;
    this.#topology = whole.cluster.topology;
    this.#endpointChains = whole.endpointChains;
    for (const policy of policies) this.#choosing.add(policy.subject, policy);
    const own = (direction: Direction): Selection[] =>
      whole.selections.filter((selection) => selection.direction === direction);
    const byEndpoint = (direction: Direction): Map<Endpoint, Selection> =>
      new Map(own(direction).map((selection) => [selection.endpoint, selection]));
    const usersOf = (direction: Direction): Map<Policy, number> => {
      const users = new Map<Policy, number>();
      for (const { policies: all } of own(direction)) {
        for (const policy of all) users.set(policy, (users.get(policy) ?? 0) + 1);
      }
      return users;
    };
    this.#selections = { ingress: byEndpoint("ingress"), egress: byEndpoint("egress") };
    this.#users = { ingress: usersOf("ingress"), egress: usersOf("egress") };
    this.#interfaceNames = own("ingress")
      .map(({ interfaceName }) => interfaceName)
      .sort();
    this.#taken = new Set(whole.interfaces.values());
    this.#nodes = new Set([
      undefined,
      ...snapshot.nodeByName.keys(),
      ...snapshot.endpoints.map((endpoint) => endpoint.node),
    ]);
    const [family4, family6] = whole.families;
    const [ipv4, ipv6] = whole.cluster.rulesets;
    const [own4, own6] = [ownLists(ipv4), ownLists(ipv6)];
    this.#families = [changeOf(family4, own4), changeOf(family6, own6)];
    for (const name of own4.chains.flatMap(groupsOf)) {
      this.#groupUsers.set(name, (this.#groupUsers.get(name) ?? 0) + 1);
    }
    this.#cluster = {
      ...whole.cluster,
      rulesets: [withLists(ipv4, own4), withLists(ipv6, own6)],
    };
  }

  get cluster(): CompiledCluster {
    return this.#cluster;
  }

  /** Tells whether endpoints change nothing beside their own chains and the sets that they belong to. */
  canAdd(endpoints: readonly Endpoint[]): boolean {
    if (endpoints.length === 0) return true;
    const { settings, meanings } = this.#whole;
    if (!settings.policesIpv6 || meanings.asksForPlaces) return false;
    const names = endpoints.map(({ namespace, name }) => vethName(namespace, name));
    return (
      new Set(names).size === names.length &&
      names.every((name) => !this.#taken.has(name)) &&
      endpoints.every(
        ({ floatingAddresses, hostPorts, openLabels }) =>
          floatingAddresses === undefined && hostPorts === undefined && openLabels === undefined,
      ) &&
      // Also tables of Services are made of what nodes there are.
      endpoints.every(
        ({ node }) => this.#nodes.has(node) && (this.#node === undefined || node !== undefined),
      )
    );
  }

  addEndpoint(endpoint: Endpoint, snapshot: Snapshot): void {
    const { index, meanings, interfaces, selected } = this.#whole;
    const interfaceName = vethName(endpoint.namespace, endpoint.name);
    const here = this.#node === undefined || endpoint.node === this.#node;
    interfaces.set(endpoint, interfaceName);
    this.#taken.add(interfaceName);
    index.add(endpoint, snapshot);
    const chosen = meanings.add(endpoint, snapshot);
    for (const { family, sets } of this.#families) {
      for (const set of family.sets.add(endpoint, chosen)) sets.set(set.name, set);
    }
    const policies = [...this.#choosing.candidates(endpoint)]
      .filter(({ subject }) => selectsEndpoint(subject, endpoint, snapshot))
      .sort(comparePolicies);
    for (const policy of policies) selected.get(policy)?.push(endpoint);
    this.#topology &&= withEndpoint(this.#topology, endpoint, { here, interfaceName, snapshot });
    if (!here) return;
    for (const direction of DIRECTIONS) {
      this.#dispatchTo(interfaceName, direction);
      const own = policies.filter((policy) => appliesTo(policy, direction));
      this.#select({ endpoint, interfaceName, direction, policies: own });
      for (const policy of own) this.#use(policy, direction, 1);
    }
    this.#interfaceNames.splice(
      placeInOrder(this.#interfaceNames, (one) => compareText(one, interfaceName)),
      0,
      interfaceName,
    );
    for (const chain of profileChains([{ endpoint }])) {
      if (this.#chainNamed(chain.name) === undefined) this.#chains.set(chain.name, chain);
    }
  }

  /** @returns those that are new */
  changePolicies(policies: readonly Policy[]): Policy[] {
    if (policies === this.#policies) return [];
    const [before, after] = whereDifferent(this.#policies, policies);
    const [known, wanted] = [new Set(before), new Set(after)];
    for (const policy of before) if (!wanted.has(policy)) this.#removePolicy(policy);
    const added = after.filter((policy) => !known.has(policy));
    for (const policy of added) this.#addPolicy(policy);
    return added;
  }

  /** The tables with all changes since the last time. */
  finish(snapshot: Snapshot, policies: readonly Policy[]): CompiledCluster {
    for (const selection of this.#touched) {
      // Others may have been made of the same endpoint since.
      if (this.#selections[selection.direction].get(selection.endpoint) !== selection) continue;
      const chain = this.#endpointChains.compile(selection);
      const before = this.#chainNamed(chain.name);
      if (before !== undefined) this.#useGroups(before, -1);
      this.#useGroups(chain, 1);
      this.#chains.set(chain.name, chain);
    }
    this.snapshot = snapshot;
    const topology = this.#topology ?? this.#whole.topologyOf(snapshot);
    const same = topology === this.#topology && policies === this.#policies;
    this.#topology = same ? topology : withPolicies(topology, snapshot, policies);
    this.#policies = policies;
    for (const { own, chains, sets } of this.#families) {
      for (const [name, chain] of this.#chains) chains.set(name, chain);
      applyChanges(own.chains, firstUserChain(own.chains), chains);
      applyChanges(own.sets, 0, sets);
      chains.clear();
      sets.clear();
    }
    this.#touched.clear();
    this.#chains.clear();
    this.#cluster = { ...this.#cluster, topology: this.#topology };
    return this.#cluster;
  }

  #removePolicy(policy: Policy): void {
    const { selected } = this.#whole;
    this.#choosing.remove(policy.subject, policy);
    for (const endpoint of selected.get(policy) ?? []) {
      for (const direction of DIRECTIONS) {
        const selection = this.#selections[direction].get(endpoint);
        if (selection === undefined || !appliesTo(policy, direction)) continue;
        const policies = selection.policies.filter((other) => other !== policy);
        this.#select({ ...selection, policies });
        this.#use(policy, direction, -1);
      }
    }
    selected.delete(policy);
  }

  #addPolicy(policy: Policy): void {
    const { selected, index } = this.#whole;
    this.#choosing.add(policy.subject, policy);
    const endpoints = index.chosenBy(policy.subject);
    selected.set(policy, endpoints);
    for (const endpoint of endpoints) {
      for (const direction of DIRECTIONS) {
        const selection = this.#selections[direction].get(endpoint);
        if (selection === undefined || !appliesTo(policy, direction)) continue;
        const at = placeInOrder(selection.policies, (other) => comparePolicies(other, policy));
        this.#select({ ...selection, policies: selection.policies.toSpliced(at, 0, policy) });
        this.#use(policy, direction, 1);
      }
    }
    this.#kept += 1;
    if (this.#kept < KEPT_MAX) return;
    this.#kept = 0;
    this.#endpointChains = new EndpointChains(this.#whole.settings);
  }

  #select(selection: Selection): void {
    const { endpoint, direction } = selection;
    this.#touched.delete(this.#selections[direction].get(endpoint) ?? selection);
    this.#touched.add(selection);
    this.#selections[direction].set(endpoint, selection);
  }

  /** Counts those whom a policy selects: its chain is there as long as there are any. */
  #use(policy: Policy, direction: Direction, more: number): void {
    const users = this.#users[direction];
    const before = users.get(policy) ?? 0;
    const count = before + more;
    if (count === 0) users.delete(policy);
    else users.set(policy, count);
    for (const change of this.#families) {
      if (before === 0) addChain(change, policy, direction);
      if (count === 0) removeChain(change, policy, direction);
    }
  }

  /** Counts the jumps to the groups of policies: the chain of one is there as long as there are any. */
  #useGroups(chain: Chain, more: number): void {
    for (const name of groupsOf(chain)) {
      const count = (this.#groupUsers.get(name) ?? 0) + more;
      if (count === 0) {
        this.#groupUsers.delete(name);
        this.#chains.set(name, undefined);
        continue;
      }
      if (count === 1 && more === 1) {
        this.#chains.set(name, this.#endpointChains.groups.chainNamed(name));
      }
      this.#groupUsers.set(name, count);
    }
  }

  #dispatchTo(interfaceName: string, direction: Direction): void {
    const added = dispatchRule(direction, this.#interfaceNames, interfaceName);
    const chain = added && this.#chainNamed(added.chain);
    if (added !== undefined && chain !== undefined) {
      const rules = chain.rules.toSpliced(added.at, 0, added.rule);
      this.#chains.set(chain.name, { ...chain, rules });
      return;
    }
    const root = CHAIN_DISPATCH[direction];
    for (const { name } of this.#families[0].own.chains) {
      if (name === root || name.startsWith(`${root}-`)) this.#chains.set(name, undefined);
    }
    const names = [...this.#interfaceNames, interfaceName];
    for (const made of compileDispatch(direction, names)) this.#chains.set(made.name, made);
  }

  /** A chain of both families as it is now. */
  #chainNamed(name: string): Chain | undefined {
    if (this.#chains.has(name)) return this.#chains.get(name);
    const { chains } = this.#families[0].own;
    const at = placeOf(chains, firstUserChain(chains), name);
    return chains[at]?.name === name ? chains[at] : undefined;
  }
}

/** The chains of policy groups that a chain jumps to. Many chains have the same rules. */
function groupsOf({ rules }: Chain): readonly string[] {
  const known = groupsByRules.get(rules);
  if (known !== undefined) return known;
  const groups = rules.flatMap(({ target }) =>
    target?.kind === "JUMP" && isPolicyGroupChain(target.chain) ? [target.chain] : [],
  );
  groupsByRules.set(rules, groups);
  return groups;
}

const groupsByRules = new WeakMap<readonly Rule[], readonly string[]>();

/** Policies that were edited are kept for so many changes. */
const KEPT_MAX = 256;

function ownLists(ruleset: Ruleset): FamilyChange["own"] {
  return { chains: [...filterOf(ruleset).chains], sets: [...ruleset.sets] };
}

function withLists(ruleset: Ruleset, { chains, sets }: FamilyChange["own"]): Ruleset {
  const tables = ruleset.tables.map((table) =>
    table.name === "filter" ? { ...table, chains } : table,
  );
  return { ...ruleset, tables, sets };
}

function changeOf(family: FamilyChains, own: FamilyChange["own"]): FamilyChange {
  const setUsers = new Map(family.fixedSets.map((name) => [name, 1]));
  for (const direction of DIRECTIONS) {
    for (const { sets } of family.compiled[direction].values()) {
      for (const name of sets) setUsers.set(name, (setUsers.get(name) ?? 0) + 1);
    }
  }
  return { family, own, chains: new Map(), sets: new Map(), setUsers };
}

function addChain(
  { family, chains, sets, setUsers }: FamilyChange,
  policy: Policy,
  direction: Direction,
): void {
  const chain = family.chainOf(policy, direction);
  chains.set(chain.name, chain);
  for (const name of family.compiled[direction].get(policy)?.sets ?? []) {
    setUsers.set(name, (setUsers.get(name) ?? 0) + 1);
    sets.set(name, family.sets.find(name));
  }
}

function removeChain(
  { family, chains, sets, setUsers }: FamilyChange,
  policy: Policy,
  direction: Direction,
): void {
  const made = family.compiled[direction].get(policy);
  if (made === undefined) throw new Error("bug: a policy without a chain");
  family.compiled[direction].delete(policy);
  chains.set(made.chain.name, undefined);
  for (const name of made.sets) {
    const users = (setUsers.get(name) ?? 0) - 1;
    setUsers.set(name, users);
    if (users > 0) continue;
    setUsers.delete(name);
    sets.set(name, undefined);
    family.sets.forget(name);
  }
}

function filterOf({ tables }: Ruleset): Ruleset["tables"][number] {
  const filter = tables.find(({ name }) => name === "filter");
  if (filter === undefined) throw new Error("bug: tables without a filter");
  return filter;
}

/** Behind the built-in chains, which come first. */
function firstUserChain(chains: readonly Chain[]): number {
  return chains.findIndex(({ policy }) => policy === undefined);
}

interface Named {
  readonly name: string;
}

/** Where something of a name is, or would be, among what is behind `first`, ordered by name. */
function placeOf(all: readonly Named[], first: number, name: string): number {
  let low = first;
  for (let end = all.length; low < end;) {
    const middle = (low + end) >>> 1;
    if ((all[middle]?.name ?? "") < name) low = middle + 1;
    else end = middle;
  }
  return low;
}

/** Puts things into their places, or takes them away: in place, as copying the others would take longest. */
function applyChanges<T extends Named>(
  all: T[],
  first: number,
  changes: ReadonlyMap<string, T | undefined>,
): void {
  const moving: { readonly name: string; readonly place: number; readonly one: T | undefined }[] =
    [];
  for (const [name, one] of changes) {
    const place = placeOf(all, first, name);
    const isThere = all[place]?.name === name;
    if (isThere && one !== undefined) all[place] = one;
    else if (isThere || one !== undefined) moving.push({ name, place, one });
  }
  // From the back on: what is in front of a change has its place still.
  for (const { place, one } of moving.sort((a, b) => (a.name < b.name ? 1 : -1))) {
    if (one === undefined) all.splice(place, 1);
    else all.splice(place, 0, one);
  }
}
