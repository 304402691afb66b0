/** Seeded Calico objects for a random cluster: tiers, policies, network sets and service accounts. */
import type {
  RawCalico,
  RawCalicoPolicy,
  RawCalicoRule,
  RawEntity,
  RawFailsafe,
  RawHostEndpoint,
  RawTier,
} from "./oracle-calico.ts";
import type { World } from "./oracle.ts";
import type { Random } from "./random.ts";

const KEYS = ["app", "tier", "env"];
const VALUES = ["web", "db", "x"];
const PORTS = [80, 81, 443, 8080, 53];
const PORT_NAMES = ["http", "dns", "metrics"];
export const ACCOUNTS = ["default", "robot", "admin"];

/** What a rule's blocks and network sets are drawn around. */
export interface CalicoDraw {
  readonly random: Random;
  /** Its optional lists are there. */
  readonly world: Required<World>;
  readonly policies: number;
  /** A block around an address that packets come from. */
  readonly block: () => string;
  /** There are host endpoints on this node, and policies for them. */
  readonly hostsOn?: string | undefined;
}

/** Draws the Calico objects of a cluster. */
export function randomCalico(draw: CalicoDraw): RawCalico {
  const { random, world } = draw;
  const tiers = ["first", "second", "third"].map((name): RawTier => {
    // Before, beside and behind those of the cluster-wide policies and the default one.
    const order = random.pick([10, 10, 500, 2000, 2_000_000, 20_000_000, undefined]);
    const action = random.pick([undefined, "Deny", "Pass", "Pass"]);
    return {
      metadata: { name },
      spec: {
        ...(order === undefined ? {} : { order }),
        ...(action === undefined ? {} : { defaultAction: action }),
      },
    };
  });
  const names = world.namespaces.map(({ metadata }) => metadata.name);
  return {
    tiers,
    policies: Array.from({ length: draw.policies }, (_, index) => randomPolicy(draw, index)),
    networkSets: Array.from({ length: 4 }, (_, index) => ({
      metadata: {
        name: `set-${index}`,
        labels: labels(random),
        ...(index < 2 ? {} : { namespace: random.pick(names) }),
      },
      spec: { nets: Array.from({ length: random.below(4) }, draw.block) },
    })),
    serviceAccounts: names.flatMap((namespace) =>
      ACCOUNTS.map((name) => ({ metadata: { name, namespace, labels: labels(random) } })),
    ),
    ...(draw.hostsOn === undefined ? {} : randomHosts(draw, draw.hostsOn)),
  };
}

/** Host endpoints on a node that has eth0 beside its pods' interfaces, with what belongs to them. */
function randomHosts(
  draw: CalicoDraw,
  node: string,
): Required<Pick<RawCalico, "hostEndpoints" | "profiles" | "felix">> {
  const { random, world } = draw;
  const addresses = world.nodes
    .find(({ metadata }) => metadata.name === node)!
    .status!.addresses!.filter(({ type }) => type === "InternalIP")
    .map(({ address }) => address);
  const kinds = random.pick([
    ["named"],
    ["everywhere"],
    ["found"],
    ["named", "everywhere"],
    ["found", "named"],
  ]);
  const hostEndpoints = kinds.map((kind, index): RawHostEndpoint => ({
    metadata: { name: `host-${random.below(1000)}-${index}`, labels: labels(random) },
    spec: {
      node,
      ...(kind === "named" ? { interfaceName: "eth0" } : {}),
      ...(kind === "everywhere" ? { interfaceName: "*" } : {}),
      ...(kind !== "everywhere" || random.chance(0.5)
        ? { expectedIPs: random.some(addresses, 1, 2) }
        : {}),
      ...(random.chance(0.6)
        ? { profiles: random.some(["projectcalico-default-allow", "own", "other", "gone"], 0, 2) }
        : {}),
      ports: random.some(PORT_NAMES, 0, 2).map((name) => ({
        name,
        protocol: random.pick(["TCP", "UDP", "SCTP"]),
        port: random.pick(PORTS),
      })),
    },
  }));
  const rules = (direction: "ingress" | "egress"): RawCalicoRule[] =>
    Array.from({ length: random.below(3) }, () => randomRule(draw, undefined, direction)).map(
      (rule) => (rule.action === "Pass" ? { ...rule, action: "Allow" } : rule),
    );
  const failsafe = (): RawFailsafe[] =>
    Array.from({ length: random.below(3) }, () => ({
      protocol: random.pick(["tcp", "udp"]),
      port: random.pick(PORTS),
      ...(random.chance(0.4) ? { net: draw.block() } : {}),
    }));
  return {
    hostEndpoints,
    profiles: ["own", "other"].map((name) => ({
      metadata: { name },
      spec: { labelsToApply: labels(random), ingress: rules("ingress"), egress: rules("egress") },
    })),
    felix: random.chance(0.5)
      ? []
      : [
          {
            metadata: { name: random.pick(["default", `node.${node}`]) },
            spec: { failsafeInboundHostPorts: failsafe(), failsafeOutboundHostPorts: failsafe() },
          },
        ],
  };
}

/** Which traffic of hosts a cluster-wide policy is for. */
function randomLayer(random: Random): RawCalicoPolicy["spec"] {
  return random.pick([
    {},
    {},
    { applyOnForward: true },
    { applyOnForward: true },
    { applyOnForward: true, preDNAT: true },
    { applyOnForward: true, doNotTrack: true },
  ]);
}

function labels(random: Random): Record<string, string> {
  return Object.fromEntries(random.some(KEYS, 0, 3).map((key) => [key, random.pick(VALUES)]));
}

function randomPolicy(draw: CalicoDraw, index: number): RawCalicoPolicy {
  const { random, world } = draw;
  const forHosts = draw.hostsOn !== undefined;
  const namespace = random.chance(forHosts ? 0.8 : 0.5)
    ? undefined
    : random.pick(world.namespaces).metadata.name;
  const global = namespace === undefined;
  const tier = random.pick([undefined, "default", "first", "second", "third"]);
  const order = random.pick([undefined, -1.5, 5, 5, 1000, 2000]);
  const types = random.pick([undefined, [], ["Ingress"], ["Egress"], ["Ingress", "Egress"]]);
  const rules = (direction: "ingress" | "egress"): RawCalicoRule[] =>
    Array.from({ length: random.below(5) }, () => randomRule(draw, namespace, direction));
  const layer = global && forHosts ? randomLayer(random) : {};
  const preDnat = layer.preDNAT === true;
  return {
    kind: global ? "GlobalNetworkPolicy" : "NetworkPolicy",
    metadata: {
      name: `calico-${index}`,
      ...(global ? {} : { namespace }),
    },
    spec: {
      ...(tier === undefined ? {} : { tier }),
      ...(order === undefined ? {} : { order }),
      ...(types === undefined || (preDnat && types.includes("Egress")) ? {} : { types }),
      ...layer,
      ...(random.chance(0.7) ? { selector: randomSelector(random, 2) } : {}),
      ...(global && random.chance(0.3) ? { namespaceSelector: namespaces(draw) } : {}),
      ...(random.chance(0.2) ? { serviceAccountSelector: randomSelector(random, 1) } : {}),
      ...(random.chance(0.8) ? { ingress: rules("ingress") } : {}),
      ...(random.chance(0.7) && !preDnat ? { egress: rules("egress") } : {}),
    },
  };
}

function randomRule(
  draw: CalicoDraw,
  policyNamespace: string | undefined,
  direction: "ingress" | "egress",
): RawCalicoRule {
  const { random } = draw;
  const protocol = random.pick([
    undefined,
    undefined,
    "TCP",
    "tcp",
    "UDP",
    "SCTP",
    "ICMP",
    "ICMPv6",
    6,
    1,
    47,
  ]);
  const word = `${protocol}`.toLowerCase();
  const ports = ["tcp", "udp", "sctp", "6"].includes(word);
  const icmp = word === "icmp" ? 8 : word === "icmpv6" ? 128 : undefined;
  const shape = (): object =>
    random.pick([{ type: icmp }, { type: icmp, code: 0 }, { type: icmp, code: 1 }, { type: 3 }]);
  const version = icmp === undefined && random.chance(0.1) ? random.pick([4, 6]) : undefined;
  // Three lists that need match blocks are rendered wider than the policy: no more than two have many items.
  const many = random.some(
    ["source ports", "destination ports", "source nets", "destination nets"],
    0,
    2,
  );
  const entity = (side: "source" | "destination"): RawEntity =>
    randomEntity(draw, { policyNamespace, direction, side, ports, many });
  return {
    action: random.pick(["Allow", "Allow", "Allow", "Deny", "Deny", "Pass", "Log"]),
    ...(version === undefined ? {} : { ipVersion: version }),
    ...(protocol === undefined ? {} : { protocol }),
    ...(random.chance(0.08) ? { notProtocol: random.pick(["TCP", "UDP", 1, 47]) } : {}),
    ...(icmp !== undefined && random.chance(0.5) ? { icmp: shape() } : {}),
    ...(icmp !== undefined && random.chance(0.2) ? { notICMP: shape() } : {}),
    ...(random.chance(0.6) ? { source: entity("source") } : {}),
    ...(random.chance(0.6) ? { destination: entity("destination") } : {}),
  };
}

interface EntityDraw {
  /** Undefined: the policy is cluster-wide. */
  readonly policyNamespace: string | undefined;
  readonly direction: "ingress" | "egress";
  readonly side: "source" | "destination";
  /** The rule's protocol has ports. */
  readonly ports: boolean;
  readonly many: readonly string[];
}

function randomEntity(
  draw: CalicoDraw,
  { policyNamespace, direction, side, ports, many }: EntityDraw,
): RawEntity {
  const { random, world } = draw;
  // Only the far side of a rule may be a Service.
  if (side === (direction === "ingress" ? "source" : "destination") && random.chance(0.16)) {
    const { name, namespace = "" } = random.pick(world.services).metadata;
    // Of a Service that is not there nothing would be known.
    const own = namespace === policyNamespace;
    return { services: own && random.chance(0.5) ? { name } : { name, namespace } };
  }
  const list = (what: string, one: () => number | string): (number | string)[] => {
    const count = many.includes(`${side} ${what}`)
      ? 1 + random.below(what === "ports" ? 18 : 3)
      : 1;
    return [...new Set(Array.from({ length: count }, one))];
  };
  // Several prefixes of one family would be many.
  const nets = (): string[] => list("nets", draw.block).map(String);
  const port = (): number | string => randomPort(random, side);
  return {
    ...(random.chance(0.25) ? { nets: nets() } : {}),
    ...(random.chance(0.2)
      ? { notNets: Array.from({ length: 1 + random.below(2) }, draw.block) }
      : {}),
    ...(random.chance(0.35) ? { selector: randomSelector(random, 2) } : {}),
    ...(random.chance(0.15) ? { notSelector: randomSelector(random, 1) } : {}),
    ...(random.chance(0.2) ? { namespaceSelector: namespaces(draw) } : {}),
    ...(random.chance(0.12) ? { serviceAccounts: accounts(random) } : {}),
    ...(ports && random.chance(0.6) ? { ports: list("ports", port) } : {}),
    ...(ports && random.chance(0.3)
      ? { notPorts: Array.from({ length: 1 + random.below(3) }, port) }
      : {}),
  };
}

function accounts(random: Random): NonNullable<RawEntity["serviceAccounts"]> {
  const names = random.some(ACCOUNTS, 0, 2);
  return {
    ...(names.length > 0 ? { names } : {}),
    ...(names.length === 0 || random.chance(0.3) ? { selector: randomSelector(random, 1) } : {}),
  };
}

function randomPort(random: Random, side: "source" | "destination"): number | string {
  if (random.chance(0.3)) return random.pick(PORT_NAMES);
  if (side === "source") {
    const first = 20_000 + random.below(1200);
    return random.chance(0.8) ? `${first}:${first + random.below(800)}` : first;
  }
  const first = random.pick([...PORTS, 1, 79, 1000 + random.below(50)]);
  if (random.chance(0.3)) return `${first}:${first + 1 + random.below(3)}`;
  return random.chance(0.2) ? `${first}` : first;
}

function namespaces({ random, world }: CalicoDraw): string {
  if (random.chance(0.15)) return "all()";
  if (random.chance(0.4)) {
    const { name } = random.pick(world.namespaces).metadata;
    return `projectcalico.org/name ${random.pick(["==", "!="])} '${name}'`;
  }
  return randomSelector(random, 1);
}

/** Selectors of every operator, with and without blanks. */
export function randomSelector(random: Random, depth: number): string {
  const label = random.pick([
    ...KEYS,
    ...KEYS,
    "projectcalico.org/namespace",
    "pcns.app",
    "pcsa.app",
  ]);
  const value = random.pick([...VALUES, "", "never"]);
  const quote = random.pick(["'", '"']);
  const string = quote + value + quote;
  const inner = (): string => randomSelector(random, depth - 1);
  switch (random.below(depth > 0 ? 12 : 9)) {
    case 0:
      return random.chance(0.3) ? "all()" : `has(${label})`;
    case 1:
      return `${label} != ${string}`;
    case 2:
      return `${label} contains ${string}`;
    case 3:
      return `${label} starts with ${string}`;
    case 4:
      return `${label} endswith ${string}`;
    case 5:
      return `${label} in {${random
        .some(VALUES, 0, 2)
        .map((one) => `'${one}'`)
        .join(",")}}`;
    case 6:
      return `${label} not in { ${random
        .some(VALUES, 0, 2)
        .map((one) => `"${one}"`)
        .join(", ")} }`;
    case 7:
      return `!has( ${label} )`;
    case 9:
      return `${inner()} && ${inner()}`;
    case 10:
      return `(${inner()}) || !(${inner()})`;
    case 11:
      return `!(${inner()} || ${inner()})`;
    default:
      return `${label} == ${string}`;
  }
}
