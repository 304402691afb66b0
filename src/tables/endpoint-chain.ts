/**
 * The chain of one endpoint in one direction: what conntrack knows, then the tiers with policies that
 * select it, then the profiles of its namespace and service account. Here a tier's default action becomes
 * DROP. The chains of host endpoints have parts of it in common.
 * Source: Felix rules/endpoints.go, a normal workload endpoint chain.
 */
import { endpointName } from "../cluster/snapshot.ts";
import type { Endpoint, FelixSettings } from "../cluster/snapshot.ts";
import { PROTOCOL_UDP } from "../net/protocol.ts";
import { policyKey } from "../policy/model.ts";
import type { CalicoVersion, Direction, Policy, Tier } from "../policy/model.ts";
import type { Dialect } from "../policy/dialect.ts";
import { DEFAULT_DIALECT } from "../policy/dialects.ts";
import { DEFAULT_TIER, NEWEST_CALICO } from "../policy/order.ts";
import { groupByOrder } from "../policy/ties.ts";
import type { OrderGroup } from "../policy/ties.ts";
import { compileDroppedJump, compileOpenJump } from "./dialect-protocols.ts";
import { doesRule, openRule } from "./dialect-rule.ts";
import { isPrinted } from "./model.ts";
import type { Chain, Rule, RuleOrigin } from "./model.ts";
import {
  accountProfileName,
  endpointChainName,
  namespaceProfileName,
  policyChainName,
  profileChainName,
} from "./names.ts";
import { PolicyGroups } from "./policy-group.ts";
import {
  ACCEPT,
  bitsClear,
  bitsSet,
  clearBits,
  DROP,
  interfaceIs,
  jump,
  makeRule,
  MARK_ACCEPT,
  MARK_PASS,
  MARK_TRIED,
  MARK_TRYING,
  NOTRACK,
  protocolIs,
  RETURN,
  setBits,
  stateIs,
} from "./rule.ts";
import { entryOf } from "./entry.ts";

/** An endpoint and what its chain in one direction is made of. */
export interface EndpointPolicies {
  readonly endpoint: Endpoint;
  readonly interfaceName: string;
  readonly direction: Direction;
  /** Those that select it and apply to this direction, as `sortPolicies` orders them. */
  readonly policies: readonly Policy[];
}

/**
 * Compiles the chains of endpoints, each in one direction. Rules that are the same are one object; chains of
 * endpoints that have all in common differ in the rules that name the endpoint, and are alike.
 */
export class EndpointChains {
  readonly #settings: FelixSettings;
  readonly #encapsulation: readonly Rule[];
  readonly #shared: SharedRules;
  readonly #alike = new ChainsAlike();

  constructor(settings: FelixSettings, dialect?: Dialect, version?: CalicoVersion) {
    this.#settings = settings;
    this.#encapsulation = encapsulationRules(settings);
    this.#shared = new SharedRules(dialect, version);
  }

  /** The groups that the chains jump to which were compiled until now. */
  get groups(): PolicyGroups {
    return this.#shared.groups;
  }

  compile(given: EndpointPolicies): Chain {
    if (namesInterface(this.#shared.dialect, given.direction)) return this.#make(given);
    const place = this.#alike.placeOf(given);
    if (place.chain !== undefined) return likeChain(place.chain, given);
    place.chain = this.#make(given);
    return place.chain;
  }

  #make(given: EndpointPolicies): Chain {
    return compileEndpointChain(given, {
      shared: this.#shared,
      settings: this.#settings,
      encapsulation: this.#encapsulation,
    });
  }
}

/** Chains that were compiled already, by all that they are made of but the endpoint. */
class ChainsAlike {
  readonly #root: AlikePlace = { next: new Map(), chain: undefined };

  /** Where the chain of such an endpoint is, or is to be kept. */
  placeOf({ endpoint, direction, policies }: EndpointPolicies): AlikePlace {
    const { namespace, serviceAccount } = endpoint;
    return [direction, namespace, serviceAccount, ...policies].reduce(
      (place, part) =>
        entryOf(place.next, part, (): AlikePlace => ({ next: new Map(), chain: undefined })),
      this.#root,
    );
  }
}

interface AlikePlace {
  readonly next: Map<Policy | string, AlikePlace>;
  chain: Chain | undefined;
}

/** The chain of an endpoint that has all in common with another's. */
function likeChain(chain: Chain, { endpoint, interfaceName, direction }: EndpointPolicies): Chain {
  const owner = endpointName(endpoint);
  return {
    ...chain,
    name: endpointChainName(direction, interfaceName),
    rules: chain.rules.map((rule) =>
      rule.origin !== undefined && "endpoint" in rule.origin
        ? { ...rule, origin: { ...rule.origin, endpoint: owner } }
        : rule,
    ),
  };
}

function compileEndpointChain(
  { endpoint, interfaceName, direction, policies }: EndpointPolicies,
  {
    shared,
    settings,
    encapsulation,
  }: {
    readonly shared: SharedRules;
    readonly settings: FelixSettings;
    readonly encapsulation: readonly Rule[];
  },
): Chain {
  const owner = endpointName(endpoint);
  const { dialect } = shared;
  const { namespace, serviceAccount } = endpoint;
  const rules = [
    ...compileDroppedJump(dialect),
    ...conntrackRules(owner, direction, settings),
    ...(dialect.invalid === "open" ? openInvalidRules(dialect, owner, direction) : []),
    BEGIN_POLICY,
    ...(direction === "egress" ? toItselfRules(dialect, interfaceName) : []),
    ...(direction === "egress" ? encapsulation : []),
    ...tierRules({ owner, direction, policies }, shared, "own"),
    ...shared.profile(namespaceProfileName(namespace), direction),
    ...shared.profile(accountProfileName({ namespace, name: serviceAccount }), direction),
    END_UNACCEPTED,
  ];
  return {
    name: endpointChainName(direction, interfaceName),
    policy: undefined,
    ...(rules.every(isPrinted) ? {} : { partlyPrinted: true }),
    rules,
    ...(namesInterface(dialect, direction) ? {} : { likeness: {} }),
  };
}

/** Conntrack of another make may know the packet's connection. */
function openInvalidRules(dialect: Dialect, owner: string, direction: Direction): Rule[] {
  return [
    openRule(dialect, "invalid", { matches: [stateIs("INVALID")], target: ACCEPT }),
    dropInvalid(owner, direction),
  ];
}

/** Tells whether endpoints' chains differ in more than their names and whom their rules stand for. */
function namesInterface(dialect: Dialect, direction: Direction): boolean {
  return direction === "egress" && dialect.toItself !== "by-rules";
}

/** What leaves by the interface it came from goes back to the pod: no address of its own ever leaves it. */
function toItselfRules(dialect: Dialect, interfaceName: string): Rule[] {
  const matches = [interfaceIs("out", interfaceName)];
  switch (dialect.toItself) {
    case "by-rules":
      return [];
    case "allowed":
      return [doesRule(dialect, "to-itself", "allow", { matches, target: ACCEPT })];
    case "open":
      return [openRule(dialect, "to-itself", { matches, target: ACCEPT })];
  }
}

/** The rules that every endpoint has that the same policies select. */
export class SharedRules {
  readonly dialect: Dialect;
  readonly groups: PolicyGroups;
  readonly #jumps = {
    ingress: new Map<Policy, readonly [Rule, Rule]>(),
    egress: new Map<Policy, readonly [Rule, Rule]>(),
  };
  readonly #profiles = {
    ingress: new Map<string, readonly Rule[]>(),
    egress: new Map<string, readonly Rule[]>(),
  };
  readonly #groupJumps = new Map<string, readonly [Rule, Rule]>();
  readonly #begins = new Map<string, Rule>();
  readonly #ties = new Map<
    string,
    { readonly group: OrderGroup; readonly rules: readonly Rule[] }
  >();

  constructor(dialect: Dialect = DEFAULT_DIALECT, version: CalicoVersion = NEWEST_CALICO) {
    this.dialect = dialect;
    this.groups = new PolicyGroups(version, dialect);
  }

  /** The jump to a policy's chain, and what ends the endpoint's chain when the policy has accepted. */
  jump(policy: Policy, direction: Direction): readonly [Rule, Rule] {
    return entryOf(this.#jumps[direction], policy, () => [
      { ...IF_NOT_PASSED, target: jump(policyChainName(direction, policy.ref)) },
      END_IF_POLICY_ACCEPTED,
    ]);
  }

  /** The same of a group's chain. */
  groupJump(chain: string): readonly [Rule, Rule] {
    return entryOf(this.#groupJumps, chain, () => [
      { ...IF_NOT_PASSED, target: jump(chain) },
      END_IF_POLICY_ACCEPTED,
    ]);
  }

  /** The jump to a profile's chain, and what ends the endpoint's chain when it has accepted. */
  profile(name: string, direction: Direction): readonly Rule[] {
    return entryOf(this.#profiles[direction], name, () => [
      { ...ALWAYS, target: jump(profileChainName(direction, name)) },
      END_IF_PROFILE_ACCEPTED,
    ]);
  }

  /** What begins a tier. */
  begin(tier: Tier): Rule {
    return entryOf(this.#begins, tier.name, () =>
      makeRule({ comment: `Start of tier ${tier.name}`, target: clearBits(MARK_PASS) }),
    );
  }

  /**
   * What tries other orders. In one direction a packet meets one endpoint, so that a rule that others have,
   * too, asks for a fact of its own.
   */
  tie(group: OrderGroup, direction: Direction): readonly Rule[] {
    if (group.rivals.length === 0 || this.dialect.equalPriorities === "by-name") return [];
    const key = [direction, ...group.policies.map(({ ref }) => policyKey(ref))].join("\n");
    const before = this.#ties.get(key);
    // Policies of the same names may have been edited since.
    if (
      before?.group.policies.every((policy, index) => policy === group.policies[index]) === true
    ) {
      return before.rules;
    }
    const rules = tieRules(group, direction);
    this.#ties.set(key, { group, rules });
    return rules;
  }
}

const ALWAYS = makeRule({});
/** No policy has said anything yet. */
export const BEGIN_POLICY = makeRule({ target: clearBits(MARK_ACCEPT | MARK_PASS) });
const IF_NOT_PASSED = makeRule({ matches: [bitsClear(MARK_PASS)] });
const DROP_UNLESS_PASSED = makeRule({
  comment: "Drop if no policies passed packet",
  matches: [bitsClear(MARK_PASS)],
  target: DROP,
});
const END_IF_POLICY_ACCEPTED = makeRule({
  comment: "Return if policy accepted",
  matches: [bitsSet(MARK_ACCEPT)],
  target: RETURN,
});
const END_IF_PROFILE_ACCEPTED = makeRule({
  comment: "Return if profile accepted",
  matches: [bitsSet(MARK_ACCEPT)],
  target: RETURN,
});
/** Nothing has let the packet through. */
export const END_UNACCEPTED = makeRule({ comment: "Drop if no profiles matched", target: DROP });

/** Compiles the chain of a namespace's profile: it lets everything through. */
export function compileNamespaceProfile(direction: Direction, namespace: string): Chain {
  const name = namespaceProfileName(namespace);
  return {
    name: profileChainName(direction, name),
    policy: undefined,
    rules: [
      makeRule({
        comment: `Profile ${name} ${direction}`,
        target: setBits(MARK_ACCEPT),
        origin: { kind: "not-isolated", direction, namespace },
      }),
    ],
  };
}

/** Compiles the chain of a profile without rules, such as a service account's. */
export function compileEmptyProfile(direction: Direction, name: string): Chain {
  const rules = [makeRule({ comment: `Profile ${name} ${direction}` })];
  return { name: profileChainName(direction, name), policy: undefined, rules };
}

const ACCEPT_ESTABLISHED = makeRule({
  matches: [stateIs("RELATED", "ESTABLISHED")],
  target: ACCEPT,
});
const DROP_INVALID = makeRule({ matches: [stateIs("INVALID")], target: DROP });

/** ACCEPT ends the table: the other endpoint's chain is not asked about an established flow. */
export function conntrackRules(
  endpoint: string,
  direction: Direction,
  { dropsInvalid }: FelixSettings,
): Rule[] {
  return [
    { ...ACCEPT_ESTABLISHED, origin: { kind: "established", direction, endpoint } },
    ...(dropsInvalid ? [dropInvalid(endpoint, direction)] : []),
  ];
}

/** Drops what conntrack can make nothing of. */
export function dropInvalid(endpoint: string, direction: Direction): Rule {
  return { ...DROP_INVALID, origin: { kind: "invalid", direction, endpoint } };
}

const PROTOCOL_IPIP = 4;

/** A pod could tunnel around its own egress policy. */
function encapsulationRules({ podsMayVxlan, podsMayIpip, vxlanPort }: FelixSettings): Rule[] {
  const ports = [{ first: vxlanPort, last: vxlanPort }];
  const vxlan = makeRule({
    comment: "Drop VXLAN encapped packets originating in workloads",
    matches: [protocolIs(PROTOCOL_UDP), { kind: "multiport", side: "dst", ports, invert: false }],
    target: DROP,
  });
  const ipip = makeRule({
    comment: "Drop IPinIP encapped packets originating in workloads",
    matches: [protocolIs(PROTOCOL_IPIP)],
    target: DROP,
  });
  return [...(podsMayVxlan ? [] : [vxlan]), ...(podsMayIpip ? [] : [ipip])];
}

/**
 * In a tier the first policy that decides ends it. Where none does, the packet goes on to the next tier
 * if this one's default is to pass; if not, that is the isolation of the Kubernetes policies:
 *
 * > By default, a pod is non-isolated. A pod is isolated if there is any NetworkPolicy that selects it
 * > and has the direction in its policyTypes; then only what the policies allow gets through.
 */
export function tierRules(
  given: PoliciesOf,
  shared: SharedRules,
  traffic: "own" | "forwarded" | "pre-dnat" | "untracked",
): Rule[] {
  const { direction } = given;
  // > Without following connections, and before translation, other rules are still to come.
  const ends = traffic === "own" || traffic === "forwarded";
  const ask = ([enter, leave]: readonly [Rule, Rule]): Rule[] =>
    traffic === "untracked" ? [enter, UNTRACK_IF_ACCEPTED, leave] : [enter, leave];
  // No policies: not isolated, the profile decides.
  return tiersOf(given.policies).flatMap(({ tier, policies }) => {
    const ties = tiesBefore(policies, shared, direction);
    const before = (policy: Policy | undefined): readonly Rule[] =>
      (policy && ties.get(policy)) ?? [];
    return [
      shared.begin(tier),
      ...(tier.name === DEFAULT_TIER.name ? compileOpenJump(shared.dialect) : []),
      ...shared.groups
        .runsOf(policies, direction, ties)
        .flatMap(({ group, policies: run }) =>
          group === undefined
            ? run.flatMap((policy) => [...before(policy), ...ask(shared.jump(policy, direction))])
            : [...before(run[0]), ...ask(shared.groupJump(group))],
        ),
      ...(ends && tier.defaultAction === "deny" ? [endOfTier(tier, policies, given)] : []),
    ];
  });
}

/** What tries other orders, by the policy before whose jump it stands. */
function tiesBefore(
  policies: readonly Policy[],
  shared: SharedRules,
  direction: Direction,
): ReadonlyMap<Policy, readonly Rule[]> {
  if (policies.every(({ tier }) => tier.tiesUndefined !== true)) return NO_TIES;
  const ties = new Map<Policy, readonly Rule[]>();
  for (const tied of groupByOrder(policies, direction)) {
    const [first] = tied.policies;
    const rules = shared.tie(tied, direction);
    if (first !== undefined && rules.length > 0) ties.set(first, rules);
  }
  return ties;
}

const NO_TIES: ReadonlyMap<Policy, readonly Rule[]> = new Map();

const UNTRACK_IF_ACCEPTED = makeRule({
  matches: [bitsSet(MARK_ACCEPT)],
  target: NOTRACK,
});

/** Policies of whomever, who is named so. */
export interface PoliciesOf {
  readonly owner: string;
  readonly direction: Direction;
  readonly policies: readonly Policy[];
}

/** The policies of one tier that select an endpoint: at least one. */
interface TierPolicies {
  readonly tier: Tier;
  readonly policies: readonly Policy[];
}

/** Policies come ordered, those of a tier together. */
function tiersOf(policies: readonly Policy[]): TierPolicies[] {
  const tiers: { tier: Tier; policies: Policy[] }[] = [];
  for (const policy of policies) {
    const last = tiers.at(-1);
    if (last?.tier.name === policy.tier.name) last.policies.push(policy);
    else tiers.push({ tier: policy.tier, policies: [policy] });
  }
  return tiers;
}

/**
 * Where the API leaves open which of several policies decides, Felix asks them by name; here each rival is
 * also tried before the others, so that a verdict stands only if all orders come to it:
 *
 *     no order tried, not passed   trying
 *     trying, unknown fact         not trying: the order by name comes first
 *     trying                       the rival's chain
 *     accept bit                   returns
 *     trying                       tried: no second rival before the others
 *
 * These rules are in no text: a kernel has one order.
 */
function tieRules({ policies, rivals }: OrderGroup, direction: Direction): Rule[] {
  const origin: RuleOrigin = {
    kind: "tie",
    direction,
    policies: policies.map((policy) => placed(policy, direction)),
  };
  return [
    makeRule({ target: clearBits(MARK_TRYING | MARK_TRIED), origin }),
    ...rivals.flatMap((rival) => [
      makeRule({
        matches: [bitsClear(MARK_TRIED | MARK_PASS)],
        target: setBits(MARK_TRYING),
        origin,
      }),
      makeRule({
        matches: [bitsSet(MARK_TRYING), { kind: "opaque", name: "tie", text: "" }],
        target: clearBits(MARK_TRYING),
        origin,
      }),
      makeRule({
        matches: [bitsSet(MARK_TRYING)],
        target: jump(policyChainName(direction, rival.ref)),
        origin,
      }),
      { ...END_IF_POLICY_ACCEPTED, origin },
      makeRule({
        matches: [bitsSet(MARK_TRYING)],
        target: { kind: "MARK", value: MARK_TRIED, mask: MARK_TRIED | MARK_TRYING },
        origin,
      }),
    ]),
  ];
}

function placed(
  policy: Policy,
  direction: Direction,
): { readonly policy: Policy["ref"]; readonly place: Policy["ingressPlace"] } {
  const place = direction === "ingress" ? policy.ingressPlace : policy.egressPlace;
  return { policy: policy.ref, place };
}

function endOfTier(
  tier: Tier,
  policies: readonly Policy[],
  { owner, direction }: PoliciesOf,
): Rule {
  return {
    ...DROP_UNLESS_PASSED,
    origin: {
      kind: "isolation",
      tier: tier.name,
      direction,
      endpoint: owner,
      policies: policies.map((policy) => placed(policy, direction)),
    },
  };
}
