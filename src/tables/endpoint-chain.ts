/**
 * The chain of one endpoint in one direction: what conntrack knows, then the tiers with policies that
 * select it, then the profiles of its namespace and service account.
 * Source: Felix rules/endpoints.go, a normal workload endpoint chain.
 */
import { PathMap } from "../cluster/path-map.ts";
import { endpointName } from "../cluster/snapshot.ts";
import type { Endpoint, FelixSettings } from "../cluster/snapshot.ts";
import { PROTOCOL_UDP } from "../net/protocol.ts";
import type { Dialect } from "../policy/dialect.ts";
import type { CalicoVersion, Direction, Policy } from "../policy/model.ts";
import { conntrackRules, dropInvalid } from "./conntrack-rules.ts";
import { compileDroppedJump } from "./dialect-protocols.ts";
import { doesRule, openRule } from "./dialect-rule.ts";
import { isPrinted } from "./model.ts";
import type { Chain, Rule } from "./model.ts";
import { accountProfileName, endpointChainName, namespaceProfileName } from "./names.ts";
import type { PolicyGroups } from "./policy-group.ts";
import { ACCEPT, DROP, interfaceIs, makeRule, protocolIs, stateIs } from "./rule.ts";
import { BEGIN_POLICY, END_UNACCEPTED, SharedRules } from "./shared-rules.ts";
import { tierRules } from "./tier-rules.ts";

/** An endpoint and what its chain in one direction is made of. */
export interface EndpointPolicies {
  readonly endpoint: Endpoint;
  readonly interfaceName: string;
  readonly direction: Direction;
  /** Those that select it and apply to this direction, as `sortPolicies` orders them. */
  readonly policies: readonly Policy[];
}

/**
 * Compiles the chains of endpoints, each in one direction. Rules that are the same are one object, and chains of
 * endpoints that have all in common have one list of them.
 */
export class EndpointChains {
  readonly #settings: FelixSettings;
  readonly #encapsulation: readonly Rule[];
  readonly #shared: SharedRules;
  /** By all that they are made of but the endpoint. */
  readonly #chains = new PathMap<Policy | string, EndpointRules>();

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
    const { endpoint, interfaceName, direction } = given;
    return {
      ...this.#rulesOf(given),
      name: endpointChainName(direction, interfaceName),
      owner: endpointName(endpoint),
    };
  }

  #rulesOf(given: EndpointPolicies): EndpointRules {
    const { endpoint, direction, policies } = given;
    if (namesInterface(this.#shared.dialect, direction)) return this.#make(given);
    let path = this.#chains.at(direction).at(endpoint.namespace).at(endpoint.serviceAccount);
    for (const policy of policies) path = path.at(policy);
    return path.entry(() => this.#make(given));
  }

  #make(given: EndpointPolicies): EndpointRules {
    return compileEndpointRules(given, {
      shared: this.#shared,
      settings: this.#settings,
      encapsulation: this.#encapsulation,
    });
  }
}

/** What a chain has but its names. */
type EndpointRules = Omit<Chain, "name" | "owner">;

function compileEndpointRules(
  given: EndpointPolicies,
  {
    shared,
    settings,
    encapsulation,
  }: {
    readonly shared: SharedRules;
    readonly settings: FelixSettings;
    readonly encapsulation: readonly Rule[];
  },
): EndpointRules {
  const { endpoint, interfaceName, direction, policies } = given;
  const { dialect } = shared;
  const { namespace, serviceAccount } = endpoint;
  const rules = [
    ...compileDroppedJump(dialect),
    ...conntrackRules(direction, settings),
    ...(dialect.invalid === "open" ? openInvalidRules(dialect, direction) : []),
    BEGIN_POLICY,
    ...(direction === "egress" ? toItselfRules(dialect, interfaceName) : []),
    ...(direction === "egress" ? encapsulation : []),
    ...tierRules({ direction, policies }, shared, "own"),
    ...shared.profile(namespaceProfileName(namespace), direction),
    ...shared.profile(accountProfileName({ namespace, name: serviceAccount }), direction),
    END_UNACCEPTED,
  ];
  return {
    policy: undefined,
    ...(rules.every(isPrinted) ? {} : { partlyPrinted: true }),
    rules,
  };
}

/** Conntrack of another make may know the packet's connection. */
function openInvalidRules(dialect: Dialect, direction: Direction): Rule[] {
  return [
    openRule(dialect, "invalid", { matches: [stateIs("INVALID")], target: ACCEPT }),
    dropInvalid(direction),
  ];
}

/** Tells whether rules of endpoints' chains name the interface. */
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
