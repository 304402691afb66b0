/**
 * Services of a cluster seen as one node, against the nodes one by one: what each translates, whose
 * address the next one sees, and what the policies of both ends then say.
 */
import { describe, expect, it } from "vitest";

import { AffinityWorlds, DrawnAffinity, type Way, type Word } from "./affinity-worlds.ts";
import { buildPacket, buildPcap, START_NS, type PacketSpec } from "./frames.ts";
import { compileObjects, judgeCapture } from "./judge.ts";
import { isPodAddress, translateConnection } from "./oracle-services.ts";
import { judgeAttempt, type World } from "./oracle.ts";
import { makeRandom, type Random } from "./random.ts";
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

describe("Services between nodes", () => {
  it("fare as the nodes one by one let them", async () => {
    const counts = { allow: 0, drop: 0, unknown: 0, aside: 0, cautious: 0, drawn: 0, recalled: 0 };
    const wrong: string[] = [];
    for (let seed = FIRST_SEED; seed < FIRST_SEED + ROUNDS; seed++) {
      const random = makeRandom(seed);
      const world = randomServiceWorld(random, "wrapped");
      const packets = makeCapture(random, world);
      const verdicts = await judgeCapture({
        compiled: compileObjects(world.objects),
        capture: buildPcap(
          packets.map(({ now, spec }, index) => ({
            bytes: buildPacket({ ...spec, id: index + 1 }),
            timestampNs: START_NS + BigInt(now) * 1000n,
          })),
          LINK_TYPE_RAW,
        ),
      });
      for (const [index, { flow, outcomes, really, alone, again }] of packets.entries()) {
        const verdict = verdicts[index]!;
        // What shows a backend is judged as well, and asked of nobody.
        if (flow === undefined) continue;
        const words =
          `seed ${seed}, packet ${index + 1}: ${flow.source} > ${flow.destination}:${flow.port} ` +
          `(${flow.service.name}): ${verdict.verdict} (${verdict.reason} ${verdict.rule?.chain})`;
        if (really !== undefined) {
          counts.drawn++;
          if (verdict.verdict !== "unknown" && verdict.verdict !== really)
            wrong.push(`${words}, fared as ${really}`);
        }
        const [only, other] = outcomes ?? [];
        if (only === undefined) {
          counts.aside++;
          continue;
        }
        const expected = other === undefined ? only : "unknown";
        counts[expected]++;
        if (verdict.verdict === expected) {
          if (alone?.size === 2 && expected !== "unknown") counts.recalled++;
          continue;
        }
        // Where pods are of which nothing tells it, is asked in several places, each by itself; a backend is only
        // learnt where nothing else is missing, and a packet that comes again may come by another node.
        if (
          verdict.verdict === "unknown" &&
          (openPods(world, flow).length > 0 ||
            isOpenPort(world, flow) ||
            alone?.size === 2 ||
            again === true)
        ) {
          counts.cautious++;
          continue;
        }
        wrong.push(`${words}, expected ${expected}`);
      }
    }
    console.log(
      `Services between nodes, seeds ${FIRST_SEED} to ${FIRST_SEED + ROUNDS - 1}: ` +
        `${JSON.stringify(counts)}, ${wrong.length} disagreements`,
    );
    expect(wrong.slice(0, 20)).toEqual([]);
    expect(counts.unknown).toBeGreaterThan(ROUNDS);
    expect(counts.recalled).toBeGreaterThan(ROUNDS / 3);
    expect(counts.cautious).toBeLessThan(counts.unknown / 5);
  });
});

/** A packet of the capture. */
interface Packet {
  /** Microseconds from its begin. */
  readonly now: number;
  readonly spec: PacketSpec;
  /** Undefined: it only shows a backend. */
  readonly flow?: Flow;
  /** What may become of it; undefined: the test has no word on it. */
  readonly outcomes?: ReadonlySet<Word> | undefined;
  /** The same by itself, without what nodes remember. */
  readonly alone?: ReadonlySet<Word> | undefined;
  /** Its connection has begun before. */
  readonly again?: boolean;
  /** What did become of it. */
  readonly really?: Word | undefined;
}

/** Connections, some of which show their backends, and some of which are tried twice. */
function makeCapture(random: Random, world: ServiceWorld): Packet[] {
  const packets: Packet[] = [];
  const really = placePods(world, () => random.pick(world.nodes).name);
  const drawn = new DrawnAffinity(random, 0);
  const stories = new Map<string, AffinityWorlds>();
  const lost = new Set<string>();
  let now = 0;
  for (let index = 0; index < FLOWS; index++) {
    const before = packets.findLast(({ flow }) => flow !== undefined)?.flow;
    const flow =
      before !== undefined && random.chance(0.7)
        ? { ...before, ...random.pick([{}, { ...randomFlow(random, world, before) }]) }
        : randomFlow(random, world);
    const { service, source } = flow;
    const places = placesOf(world, flow);
    const trueWays = waysOf(really, flow);
    const aside = places.some((ways) => ways.length === 0);
    const alone = aside ? undefined : wordsOf(places.flat());
    const clients = [source, ...places.flat().flatMap(({ chain }) => chain?.client ?? [])];
    const keys = clients.map((client) => `${service.name} ${client}`);
    // What has the address of a node that it has left is followed in no stories, nor is what the test has no word on.
    if (aside || clients.some((client) => client !== source)) keys.forEach((key) => lost.add(key));
    const story = storyOf(stories, flow, places.length);
    const followable = !keys.some((key) => lost.has(key));
    const spec: PacketSpec = {
      source,
      destination: flow.destination,
      protocol: flow.protocol,
      sourcePort: 20_000 + index,
      destinationPort: flow.port,
    };
    let sent: ReturnType<DrawnAffinity["draw"]> | undefined;
    for (let attempt = random.chance(0.1) ? 2 : 1; attempt > 0; attempt--) {
      // Who got through is there: the node draws once.
      if (sent?.word !== "allow" && trueWays.length > 0) sent = drawn.draw(service, trueWays, now);
      const followed = followable ? story?.follow({ flow: index, now, places }) : undefined;
      packets.push({
        now,
        spec,
        flow,
        outcomes: aside || story === undefined ? alone : followed,
        alone,
        again: packets.at(-1)?.spec === spec,
        really: sent?.word,
      });
      now += 1000 * (1 + random.below(20));
    }
    const shows = sent?.word === "allow" && sent.way.bare === true && random.chance(0.7);
    const shown = shows ? sent?.way.backend : undefined;
    if (followable) story?.show(index, shown);
    if (shown !== undefined) {
      packets.push({ now, spec: shownTo(spec, shown) });
      now += 1000 * (1 + random.below(20));
    }
    const life = 1_000_000 * random.pick([5, 5, 60, 10_800]);
    if (random.chance(0.05)) now += life + random.pick([-1_000_000, -60_000, 0, 1000, 1_000_000]);
  }
  return packets;
}

function wordsOf(ways: readonly Way[]): ReadonlySet<Word> {
  return new Set(ways.flatMap(({ words }) => words));
}

function storyOf(
  stories: Map<string, AffinityWorlds>,
  { service, source }: Flow,
  places: number,
): AffinityWorlds | undefined {
  const { name, affinitySeconds } = service;
  if (affinitySeconds === undefined) return undefined;
  const key = `${name} ${source}`;
  const story =
    stories.get(key) ?? new AffinityWorlds(source, affinitySeconds, { start: 0, places });
  stories.set(key, story);
  return story;
}

/** The same packet behind the translation. */
function shownTo(spec: PacketSpec, backend: string): PacketSpec {
  const [, destination = "", port = ""] = /^\[?(.*?)\]?:(\d+)$/.exec(backend)!;
  return { ...spec, destination, destinationPort: Number(port) };
}

/** `before`: of the same client to the same Service. */
function randomFlow(random: Random, world: ServiceWorld, before?: Flow): Flow {
  if (before === undefined ? random.chance(0.2) : before.service.endpoints === NOBODY)
    return hostPortFlow(random, world);
  const service = before?.service ?? random.pick(world.services);
  const six =
    before?.source.includes(":") ??
    (service.clusterIPs.some((ip) => ip.includes(":")) && random.chance(0.4));
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
  const others = random.pick(
    own([
      ...CLIENTS,
      ...CLIENTS,
      ...world.pods.flatMap(({ addresses }) => addresses),
      ...world.nodes.flatMap(({ addresses }) => addresses),
    ]),
  );
  const port = nodePort ? service.nodePort : service.port;
  const source = before?.source ?? others;
  return { source, destination, protocol: PROTOCOLS[service.protocol], port, service };
}

/** To a port of a node by which a pod is reached, or to the same port of another. */
function hostPortFlow(random: Random, world: ServiceWorld): Flow {
  const pods = world.pods.filter(
    ({ node, hostPorts }) => node !== undefined && hostPorts.length > 0,
  );
  const pod = pods.length === 0 ? undefined : random.pick(pods);
  const { protocol, port } = pod?.hostPorts[0] ?? { protocol: "TCP", port: 9999 };
  const family = random.below(2);
  const node =
    world.nodes.find(({ name }) => name === pod?.node && random.chance(0.8)) ??
    random.pick(world.nodes);
  const sources = [
    ...CLIENTS,
    ...world.pods.flatMap(({ addresses }) => addresses),
    ...world.nodes.flatMap(({ addresses }) => addresses),
  ].filter((address) => address.includes(":") === (family === 1));
  return {
    source: random.pick(sources),
    destination: node.addresses[family]!,
    protocol: PROTOCOLS[protocol],
    port,
    service: { ...NO_SERVICE, name: `host port of ${pod?.name}` },
  };
}

const NOBODY: RandomService["endpoints"] = [];
/** Whoever asks it for its rules gets none. */
const NO_SERVICE: RandomService = {
  name: "none",
  protocol: "TCP",
  port: 0,
  targetPort: 0,
  nodePort: undefined,
  clusterIPs: [],
  externalIPs: [],
  balancer: [],
  sourceRanges: [],
  internal: "Cluster",
  external: "Cluster",
  affinitySeconds: undefined,
  endpoints: NOBODY,
};

/** The ways there are, wherever the pods are of which nothing tells it. */
function placesOf(world: ServiceWorld, flow: Flow): (readonly Way[])[] {
  const places = openPods(world, flow).reduce<ReadonlyMap<string, string>[]>(
    (all, { name }) =>
      all.flatMap((each) => world.nodes.map((node) => new Map([...each, [name, node.name]]))),
    [new Map()],
  );
  return places.map((place) =>
    waysOf(place.size === 0 ? world : placePods(world, (pod) => place.get(pod)), flow),
  );
}

/** The pods of which nothing tells where they are, and the flow's outcome may hang on it. */
function openPods(world: ServiceWorld, { source, service }: Flow): ServiceWorld["pods"] {
  const ends = [source, ...service.endpoints.flatMap(({ addresses }) => addresses)];
  return world.pods.filter(
    ({ node, addresses }) => node === undefined && addresses.some((own) => ends.includes(own)),
  );
}

/** Nothing tells on which node the pod is that has this port of it. */
function isOpenPort({ pods }: ServiceWorld, { port }: Flow): boolean {
  return pods.some(
    ({ node, hostPorts }) => node === undefined && hostPorts.some((own) => own.port === port),
  );
}

/** None: the test has no word on it. */
function waysOf(world: ServiceWorld, given: Flow): readonly Way[] {
  const service = world.services.find(({ name }) => name === given.service.name) ?? given.service;
  const flow = { ...given, service };
  const from = nodeOf(world, flow.source);
  const to = nodeOf(world, flow.destination);
  if (from !== undefined) return atNode(world, from, flow, flow.source);
  if (to !== undefined) return atNode(world, to, flow, flow.source);
  const names = world.nodes.map(({ name }) => name);
  const isCluster = flow.service.clusterIPs.includes(flow.destination);
  // A load balancer knows which nodes have backends.
  const open = names.filter((name) => translateConnection(world, name, flow).kind === "backends");
  const by = isCluster || open.length === 0 ? names : open;
  return by.flatMap((name) => atNode(world, name, flow, flow.source));
}

/** What becomes of it at a node; `source`: as this node sees it. */
function atNode(world: ServiceWorld, node: string, flow: Flow, source: string): readonly Way[] {
  const { destination } = flow;
  const translation = translateConnection(world, node, { ...flow, source });
  switch (translation.kind) {
    case "refused":
    case "dropped":
      return translation.softly ? [] : [{ words: ["drop"] }];
    case "untouched": {
      const to = nodeOf(world, destination);
      if (to === undefined) return [];
      const leaves = policies(world, { ...flow, source });
      if (to === node || !leaves) return [{ words: [leaves ? "allow" : "drop"] }];
      const masked = isPodAddress(source) ? sourcesAt(world, node, destination) : [source];
      const shown =
        world.outgoing === undefined
          ? [source, ...masked]
          : world.outgoing === "masqueraded"
            ? masked
            : [source];
      return shown.flatMap((each) => atNode(world, to, flow, each));
    }
    case "backends": {
      const chain = { node, client: source, backends: translation.backends.toSorted() };
      return chain.backends.map((text) => {
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
        const words = new Set(shown.map((each) => (sends && takes(each) ? "allow" : "drop")));
        const bare = !masked && !hairpin && source === flow.source;
        // Nobody remembers who came to a port of the node.
        const remembered = translation.isHostPort === true ? {} : { chain, backend: text };
        return { words: [...words], ...remembered, bare };
      });
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
