/**
 * Services of a cluster seen as one node, against the nodes one by one: what each translates, whose
 * address the next one sees, and what the policies of both ends then say.
 */
import { describe, expect, it } from "vitest";

import { buildPacket, buildPcap, timed } from "./frames.ts";
import { compileObjects, judgeCapture } from "./judge.ts";
import { isPodAddress, translateConnection } from "./oracle-services.ts";
import { judgeAttempt, type World } from "./oracle.ts";
import { makeRandom, type Random } from "./random-cluster.ts";
import {
  CLIENTS,
  placePods,
  randomServiceWorld,
  type RandomService,
  type ServiceWorld,
} from "./random-services.ts";

/** One round is one cluster. */
const ROUNDS = Number(process.env["NETVERDICT_DIFFERENTIAL_ROUNDS"] ?? "30");
const FIRST_SEED = Number(process.env["NETVERDICT_DIFFERENTIAL_SEED"] ?? "1");
const FLOWS = 300;
const LINK_TYPE_RAW = 101;
const PROTOCOLS = { TCP: 6, UDP: 17, SCTP: 132 } as const;

interface Flow {
  readonly source: string;
  readonly destination: string;
  readonly protocol: number;
  readonly port: number;
  readonly service: RandomService;
}

/** What may become of a connection; nothing: the test has no word on it. */
type Outcomes = ReadonlySet<"allow" | "drop">;

describe("Services between nodes", () => {
  it("fare as the nodes one by one let them", async () => {
    const counts = { allow: 0, drop: 0, unknown: 0, aside: 0, cautious: 0 };
    const wrong: string[] = [];
    for (let seed = FIRST_SEED; seed < FIRST_SEED + ROUNDS; seed++) {
      const random = makeRandom(seed);
      const world = randomServiceWorld(random, "wrapped");
      const flows = Array.from({ length: FLOWS }, () => randomFlow(random, world));
      const packets = flows.map(({ source, destination, protocol, port }, index) =>
        buildPacket({
          source,
          destination,
          protocol,
          sourcePort: 20_000 + index,
          destinationPort: port,
          id: index + 1,
          ...(protocol === PROTOCOLS.SCTP ? { chunk: 1 } : {}),
        }),
      );
      const verdicts = await judgeCapture({
        compiled: compileObjects(world.objects),
        capture: buildPcap(timed(packets), LINK_TYPE_RAW),
      });
      for (const [index, flow] of flows.entries()) {
        const outcomes = outcomesWherever(world, flow);
        const [only, other] = outcomes;
        if (only === undefined) {
          counts.aside++;
          continue;
        }
        const expected = other === undefined ? only : "unknown";
        counts[expected]++;
        const verdict = verdicts[index]!;
        if (verdict.verdict === expected) continue;
        // Where pods are of which nothing tells it, is asked in several places, each by itself.
        if (verdict.verdict === "unknown" && openPods(world, flow).length > 0) {
          counts.cautious++;
          continue;
        }
        wrong.push(
          `seed ${seed}: ${flow.source} > ${flow.destination}:${flow.port} (${flow.service.name}): ` +
            `${verdict.verdict} (${verdict.reason} ${verdict.rule?.chain}), expected ${expected}`,
        );
      }
    }
    console.log(
      `Services between nodes, seeds ${FIRST_SEED} to ${FIRST_SEED + ROUNDS - 1}: ` +
        `${JSON.stringify(counts)}, ${wrong.length} disagreements`,
    );
    expect(wrong.slice(0, 20)).toEqual([]);
    expect(counts.unknown).toBeGreaterThan(ROUNDS);
    expect(counts.cautious).toBeLessThan(counts.unknown / 5);
  });
});

function randomFlow(random: Random, world: ServiceWorld): Flow {
  const service = random.pick(world.services);
  const six = service.clusterIPs.some((ip) => ip.includes(":")) && random.chance(0.4);
  const own = (addresses: readonly string[]): string[] =>
    addresses.filter((address) => address.includes(":") === six);
  const portals = own([
    ...service.clusterIPs,
    ...service.externalIPs,
    ...service.balancer.filter(({ ipMode }) => ipMode !== "Proxy").map(({ ip }) => ip),
  ]);
  const node = random.pick(world.nodes);
  const nodePort = service.nodePort !== undefined && random.chance(0.5);
  const destination =
    nodePort || portals.length === 0 ? node.addresses[six ? 1 : 0] : random.pick(portals);
  const source = random.pick(
    own([
      ...CLIENTS,
      ...CLIENTS,
      ...world.pods.flatMap(({ addresses }) => addresses),
      ...world.nodes.flatMap(({ addresses }) => addresses),
    ]).filter((address) => address !== destination),
  );
  const port = nodePort ? service.nodePort : service.port;
  return { source, destination, protocol: PROTOCOLS[service.protocol], port, service };
}

/** The same, wherever the pods are of which nothing tells it. */
function outcomesWherever(world: ServiceWorld, flow: Flow): Outcomes {
  const places = openPods(world, flow).reduce<ReadonlyMap<string, string>[]>(
    (all, { name }) =>
      all.flatMap((each) => world.nodes.map((node) => new Map([...each, [name, node.name]]))),
    [new Map()],
  );
  const all = places.map((place) => {
    const placed = place.size === 0 ? world : placePods(world, (pod) => place.get(pod));
    const service = placed.services.find(({ name }) => name === flow.service.name)!;
    return outcomesOf(placed, { ...flow, service });
  });
  return all.some(({ size }) => size === 0) ? new Set() : new Set(all.flatMap((each) => [...each]));
}

/** The pods of which nothing tells where they are, and the flow's outcome may hang on it. */
function openPods(world: ServiceWorld, { source, service }: Flow): ServiceWorld["pods"] {
  const ends = [source, ...service.endpoints.flatMap(({ addresses }) => addresses)];
  return world.pods.filter(
    ({ node, addresses }) => node === undefined && addresses.some((own) => ends.includes(own)),
  );
}

function outcomesOf(world: ServiceWorld, flow: Flow): Outcomes {
  const from = nodeOf(world, flow.source);
  const to = nodeOf(world, flow.destination);
  if (from !== undefined) return atNode(world, from, flow, flow.source);
  if (to !== undefined) return atNode(world, to, flow, flow.source);
  const names = world.nodes.map(({ name }) => name);
  const isCluster = flow.service.clusterIPs.includes(flow.destination);
  // A load balancer knows which nodes have backends.
  const open = names.filter((name) => translateConnection(world, name, flow).kind === "backends");
  const by = isCluster || open.length === 0 ? names : open;
  return new Set(by.flatMap((name) => [...atNode(world, name, flow, flow.source)]));
}

/** What becomes of it at a node; `source`: as this node sees it. */
function atNode(world: ServiceWorld, node: string, flow: Flow, source: string): Outcomes {
  const { destination } = flow;
  const translation = translateConnection(world, node, { ...flow, source });
  switch (translation.kind) {
    case "refused":
    case "dropped":
      return translation.softly ? new Set() : new Set(["drop"]);
    case "untouched": {
      const to = nodeOf(world, destination);
      if (to === undefined) return new Set();
      const leaves = policies(world, { ...flow, source });
      if (to === node || !leaves) return new Set([leaves ? "allow" : "drop"]);
      const masked = isPodAddress(source) ? sourcesAt(world, node, destination) : [source];
      const shown =
        world.outgoing === undefined
          ? [source, ...masked]
          : world.outgoing === "masqueraded"
            ? masked
            : [source];
      return new Set(shown.flatMap((each) => [...atNode(world, to, flow, each)]));
    }
    case "backends": {
      const outcomes = translation.backends.flatMap((text) => {
        const [, address = "", port = ""] = /^\[?(.*?)\]?:(\d+)$/.exec(text)!;
        const there = nodeOf(world, address)!;
        const hairpin = address === source;
        const masked = (hairpin || masquerades(world, node, flow, source)) && there !== node;
        const backend = { ...flow, destination: address, port: Number(port) };
        // The pod's own node asks what it may send to; where it is translated elsewhere, that was asked.
        const sends =
          nodeOf(world, source) !== node ||
          policies(world, { ...backend, source, egressOnly: true });
        const shown = masked ? sourcesAt(world, node, address) : [source];
        const takes = (each: string): boolean =>
          policies(world, { ...backend, source: each, ingressOnly: true });
        return shown.map((each) => (sends && takes(each) ? "allow" : "drop"));
      });
      return new Set(outcomes);
    }
  }
}

function masquerades(world: ServiceWorld, node: string, flow: Flow, source: string): boolean {
  if (flow.service.clusterIPs.includes(flow.destination)) return !isPodAddress(source);
  if (flow.service.external === "Cluster") return true;
  return !isPodAddress(source) && nodeOf(world, source) === node;
}

function policies(
  world: ServiceWorld,
  attempt: Flow & { readonly egressOnly?: boolean; readonly ingressOnly?: boolean },
): boolean {
  // A Service's name: what reaches the pod that it comes from went through its node.
  const asked = { ...attempt, sourcePort: 1, service: attempt.service.name };
  const { egress, ingress } = judgeAttempt(rawWorld(world), asked);
  const says = [
    attempt.ingressOnly === true ? undefined : egress,
    attempt.egressOnly === true ? undefined : ingress,
  ];
  return says.every((decision) => decision?.allowed !== false);
}

const worlds = new WeakMap<ServiceWorld["objects"], World>();

/** Without Services: what they do is asked of the other evaluator. */
function rawWorld(world: ServiceWorld): World {
  const known = worlds.get(world.objects);
  if (known !== undefined) return known;
  const of = (kind: string): never =>
    world.objects.filter((each) => "kind" in each && each.kind === kind) as never;
  const raw: World = {
    namespaces: of("Namespace"),
    nodes: of("Node"),
    pods: of("Pod"),
    policies: of("NetworkPolicy"),
  };
  worlds.set(world.objects, raw);
  return raw;
}

function nodeOf(world: ServiceWorld, address: string): string | undefined {
  const pod = world.pods.find(({ addresses }) => addresses.some((own) => own === address));
  const node = world.nodes.find(({ addresses }) => addresses.some((own) => own === address));
  return pod?.node ?? node?.name;
}

/** The addresses of which a node may give one to what it masquerades, by where that goes. */
function sourcesAt(world: ServiceWorld, node: string, destination: string): string[] {
  const family = destination.includes(":") ? 1 : 0;
  const { addresses, tunnels } = world.nodes.find(({ name }) => name === node)!;
  const own = addresses[family];
  const tunnel = tunnels[family];
  if (!isPodAddress(destination)) return [own];
  // Without pools nothing tells how packets are wrapped, but by the tunnels that nodes have.
  const anyTold = world.nodes.some((node) => node.tunnels[family] !== undefined);
  const given = world.wrapping[family];
  const taken = given === "WireGuard" || anyTold ? "CrossSubnet" : "Never";
  const mode = world.outgoing === undefined ? taken : given;
  if (mode === "Never") return [own];
  const others = world.nodes.map((node) => node.tunnels[family]);
  const untold = UNTOLD[family].filter((each) => !others.includes(each));
  const wrapped = tunnel === undefined ? untold : [tunnel];
  return mode === "Always" ? [...wrapped] : [own, ...wrapped];
}

/** A tunnel's address that nothing tells is some address of the pods' ranges that nobody else has. */
const UNTOLD = [
  ["10.244.0.1", "10.244.0.250", "10.244.1.250", "10.244.2.250", "10.244.9.9"],
  ["fd00:244:0:2::250", "fd00:244:0:3::250", "fd00:244:0:4::250", "fd00:244:0:9::9"],
] as const;
