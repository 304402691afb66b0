/**
 * Seeded clusters for the kernel, as they really are and as manifests tell them (where pods are, and what nodes
 * masquerade, manifests need not tell), and who talks to whom in them.
 */
import { vethName } from "../../src/tables/names.ts";
import type { CompiledCluster } from "../../src/tables/compile.ts";
import { compileObjects } from "../judge.ts";
import { podAt } from "../oracle-objects.ts";
import { translateConnection } from "../oracle-services.ts";
import { makeRandom, type Random } from "../random.ts";
import { randomAttempt, randomWorld, worldObjects, type RandomWorld } from "../random-cluster.ts";
import {
  CLIENTS,
  placePods,
  randomServiceWorld,
  withObjects,
  type ServiceWorld,
} from "../random-services.ts";
import { addressesOf, compileSeveral, onTwoNodes, unplaced } from "../random-hosts.ts";
import { placeOf, UPLINK, type ClusterGround } from "./cluster-lab.ts";
import type { Opening } from "./conversations.ts";

/** A cluster, what is told of it, and what goes on in it. */
export interface ClusterScene {
  readonly ground: ClusterGround;
  /** All nodes seen as one. */
  readonly told: CompiledCluster;
  readonly openings: readonly Opening[];
}

const PROTOCOLS = { TCP: 6, UDP: 17, SCTP: 132 } as const;

/** Services of every kind, policies that tell clients apart, pods of which nothing tells where they are. */
export function servicesScene(seed: number, flows: number): ClusterScene {
  const random = makeRandom(seed);
  const world = randomServiceWorld(random, "bare");
  const nodes = world.nodes.map(({ name }) => name);
  const places = new Map(world.pods.map(({ name }) => [name, random.pick(nodes)]));
  const truth = withObjects({
    ...placePods(world, (pod) => places.get(pod)),
    outgoing: world.outgoing ?? random.pick(["masqueraded", "kept"]),
  });
  const ground: ClusterGround = {
    nodes: truth.nodes.map(({ name, addresses }) => ({
      name,
      addresses,
      compiled: compileObjects(truth.objects, name),
    })),
    pods: truth.pods.map(({ name, node, addresses }) => ({
      node: node!,
      interface: vethName("a", name),
      addresses,
    })),
  };
  return {
    ground,
    told: compileObjects(world.objects),
    openings: Array.from({ length: flows }, (_, index) =>
      serviceOpening(random, { truth, ground }, index),
    ),
  };
}

/** Mostly to one of a Service's addresses, and mostly to its port. */
function serviceOpening(
  random: Random,
  { truth, ground }: { readonly truth: ServiceWorld; readonly ground: ClusterGround },
  index: number,
): Opening {
  const six = random.chance(0.4);
  if (random.chance(0.2)) return hostPortOpening(random, { truth, ground }, { six, index });
  const service = random.pick(truth.services);
  const own = (addresses: readonly string[]): string[] =>
    addresses.filter((address) => address.includes(":") === six);
  const portals = own([
    ...service.clusterIPs,
    ...service.externalIPs,
    ...service.balancer.filter(({ ipMode }) => ipMode !== "Proxy").map(({ ip }) => ip),
  ]);
  const nodes = own(truth.nodes.flatMap(({ addresses }) => addresses));
  const pods = own(truth.pods.flatMap(({ addresses }) => addresses));
  const toService = random.chance(0.85);
  const toNodePort = toService && service.nodePort !== undefined && random.chance(0.5);
  const destination = random.pick(
    toNodePort ? nodes : toService && portals.length > 0 ? portals : [...pods, ...own(CLIENTS)],
  );
  const sources = CLIENTS.includes(destination)
    ? [...pods, ...nodes]
    : [...own(CLIENTS), ...own(CLIENTS), ...pods, ...nodes];
  // What a pod sends to itself never leaves it.
  const source = random.pick(sources.filter((one) => one !== destination || nodes.includes(one)));
  const protocol = PROTOCOLS[service.protocol];
  const usual = toNodePort ? service.nodePort : toService ? service.port : service.targetPort;
  const destinationPort = random.chance(0.95) ? usual : 81;
  const connection = { source, destination, protocol, port: destinationPort };
  const open = truth.nodes
    .map(({ name }) => name)
    .filter((name) => translateConnection(truth, name, connection).kind === "backends");
  // A load balancer knows which nodes have backends.
  const isCluster = service.clusterIPs.includes(destination);
  const entries = isCluster || open.length === 0 ? truth.nodes.map(({ name }) => name) : open;
  return makeOpening(random, ground, {
    source,
    destination,
    protocol,
    sourcePort: 20_000 + index,
    destinationPort,
    entries,
  });
}

/** To a port of a node by which a pod is reached, mostly of the pod's own. */
function hostPortOpening(
  random: Random,
  { truth, ground }: { readonly truth: ServiceWorld; readonly ground: ClusterGround },
  { six, index }: { readonly six: boolean; readonly index: number },
): Opening {
  const pods = truth.pods.filter(({ hostPorts }) => hostPorts.length > 0);
  const pod = pods.length === 0 ? undefined : random.pick(pods);
  const { protocol, port } = pod?.hostPorts[0] ?? { protocol: "TCP", port: 9999 };
  const node =
    truth.nodes.find(({ name }) => name === pod?.node && random.chance(0.9)) ??
    random.pick(truth.nodes);
  const sources = [
    ...CLIENTS,
    ...CLIENTS,
    ...truth.pods.flatMap(({ addresses }) => addresses),
    ...truth.nodes.flatMap(({ addresses }) => addresses),
  ].filter((address) => address.includes(":") === six);
  return makeOpening(random, ground, {
    source: random.pick(sources),
    destination: node.addresses[six ? 1 : 0],
    protocol: PROTOCOLS[protocol],
    sourcePort: 20_000 + index,
    destinationPort: port,
    entries: [node.name],
  });
}

interface Draft {
  readonly source: string;
  readonly destination: string;
  readonly protocol: number;
  readonly sourcePort: number;
  readonly destinationPort: number | undefined;
  /** The nodes by which it may come from outside. */
  readonly entries: readonly string[];
}

function makeOpening(random: Random, ground: ClusterGround, draft: Draft): Opening {
  const { source, destination, entries, ...rest } = draft;
  const at = placeOf(ground, source) ?? {
    node: placeOf(ground, destination)?.node ?? random.pick(entries),
    interface: UPLINK,
  };
  return { source, at, destination, ...rest };
}

/** Policies of every kind, some for the nodes' own interfaces, and pods of which nothing tells where they are. */
export function policiesScene(seed: number, flows: number): ClusterScene {
  for (let draw = 0; ; draw++) {
    const scene = drawPolicies(seed, makeRandom(1000 * seed + draw), flows);
    if (scene !== undefined) return scene;
  }
}

/** Undefined: a cluster of one node, or one that cannot be judged as a whole. */
function drawPolicies(seed: number, random: Random, flows: number): ClusterScene | undefined {
  const drawn = randomWorld(random, {
    pods: 6 + random.below(10),
    policies: 2 + random.below(6),
    clusterPolicies: seed % 2 === 0 ? 1 + random.below(6) : 0,
    calico: 8 + random.below(12),
    ...(seed % 3 === 0 ? {} : { hostsOn: "node-1" }),
  });
  const truth = onTwoNodes(random, drawn);
  const told = compileSeveral(unplaced(random, truth));
  if (told === undefined || truth.nodes.length < 2) return undefined;
  const objects = worldObjects(truth);
  const ground: ClusterGround = {
    nodes: truth.nodes.map((node) => ({
      name: node.metadata.name,
      addresses: addressesOf(node),
      compiled: compileObjects(objects, node.metadata.name),
    })),
    pods: truth.pods.flatMap(({ metadata, spec, status }) => {
      const { namespace = "default", name } = metadata;
      const addresses = (status?.podIPs ?? [])
        .map(({ ip }) => ip)
        .filter((ip) => podAt(truth, ip)?.metadata === metadata);
      return [{ node: spec!.nodeName!, interface: vethName(namespace, name), addresses }];
    }),
  };
  return { ground, told, openings: policyOpenings(random, { truth, ground }, flows) };
}

function policyOpenings(
  random: Random,
  { truth, ground }: { readonly truth: RandomWorld; readonly ground: ClusterGround },
  count: number,
): Opening[] {
  const openings: Opening[] = [];
  const plain = new Set<string>();
  const entries = truth.nodes.map(({ metadata }) => metadata.name);
  while (openings.length < count) {
    const { source, destination, protocol, port } = randomAttempt(random, truth);
    const ends = [source, destination];
    if (source === destination || ends.every((end) => placeOf(ground, end) === undefined)) continue;
    // Packets without ports are of one connection where they have the same ends.
    const key = [...ends.toSorted(), protocol].join();
    if (port === undefined && plain.has(key)) continue;
    plain.add(key);
    openings.push(
      makeOpening(random, ground, {
        source,
        destination,
        protocol,
        sourcePort: 20_000 + openings.length,
        destinationPort: port,
        entries,
      }),
    );
  }
  return openings;
}
