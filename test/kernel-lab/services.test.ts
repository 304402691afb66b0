/**
 * Random Services of every kind, compiled for one node, in a real Linux kernel: every packet must fare
 * there as our matcher says, and be translated to a backend that the independent evaluator names.
 */
import { describe, expect, it } from "vitest";

import { startLab, type LabPacket } from "../../src/lab/lab.ts";
import type { Backend } from "../../src/match/extension.ts";
import { renderIpsets } from "../../src/tables/ipset.ts";
import { renderIptables } from "../../src/tables/iptables.ts";
import { formatSocket, vethName } from "../../src/tables/names.ts";
import { buildFrame, buildPacket, buildPcap, timed, type PacketSpec } from "../frames.ts";
import { compileObjects, judgeCapture } from "../judge.ts";
import { isPodAddress, translateConnection } from "../oracle-services.ts";
import { makeRandom, type Random } from "../random.ts";
import { CLIENTS, randomServiceWorld, type ServiceWorld } from "../random-services.ts";
import { haveLab } from "./have-lab.ts";
import { numberOf, readView } from "./packets.ts";

const NODE = "node-1";
/** More rounds for a longer run: each is one cluster on each backend. */
const ROUNDS = Number(process.env["NETVERDICT_LAB_ROUNDS"] ?? "4");
const FIRST_SEED = Number(process.env["NETVERDICT_LAB_SEED"] ?? "1");
const FLOWS = Number(process.env["NETVERDICT_LAB_FLOWS"] ?? "400");
const NODE_MAC = "02:00:00:00:01:00";
const LINK_TYPE_RAW = 101;
const PROTOCOLS = { TCP: 6, UDP: 17, SCTP: 132 } as const;

/** Where a packet came out, and to whom. */
interface Sight {
  /** An interface, or `local`. */
  readonly place: string;
  readonly source: string;
  /** `ADDRESS:PORT`. */
  readonly destination: string;
}

interface Scene {
  readonly world: ServiceWorld;
  readonly packets: readonly PacketSpec[];
  readonly compiled: ReturnType<typeof compileObjects>;
}

describe.runIf(haveLab())("Services in the kernel", () => {
  it.each(["legacy", "nft"] as const)(
    "fare packet by packet as the matcher says, to backends that the evaluator names (%s)",
    async (backend) => {
      const counts = { packets: 0, translated: 0, dropped: 0, chosen: 0, outgoing: 0, unknown: 0 };
      const wrong: string[] = [];
      for (let seed = FIRST_SEED; seed < FIRST_SEED + ROUNDS; seed++) {
        const scene = makeScene(seed);
        const seen = await runScene(scene, backend);
        for (const fault of await faultsOf(scene, seen, counts))
          wrong.push(`seed ${seed}, ${fault}`);
      }
      console.log(
        `Services in the kernel, ${backend}, seeds ${FIRST_SEED} to ${FIRST_SEED + ROUNDS - 1}: ` +
          `${JSON.stringify(counts)}, ${wrong.length} disagreements`,
      );
      expect(wrong.slice(0, 20)).toEqual([]);
      expect(counts.translated).toBeGreaterThan(counts.packets / 5);
      expect(counts.dropped).toBeGreaterThan(counts.packets / 20);
      expect(counts.unknown).toBeLessThan(counts.packets / 4);
      expect(counts.outgoing).toBeGreaterThan(0);
    },
  );
});

async function faultsOf(
  scene: Scene,
  seen: ReadonlyMap<number, Sight>,
  counts: Record<"packets" | "translated" | "dropped" | "chosen" | "outgoing" | "unknown", number>,
): Promise<string[]> {
  const { packets, world, compiled } = scene;
  const frames = packets.map((spec, index) => buildPacket({ ...spec, id: index + 1 }));
  const verdicts = await judgeCapture({
    compiled,
    capture: buildPcap(timed(frames), LINK_TYPE_RAW),
  });
  return packets.flatMap((spec, index) => {
    const verdict = verdicts[index]!;
    const sight = seen.get(index + 1);
    const kernel = sight?.place ?? "drop";
    const { source = "", destination = "", protocol, destinationPort = 0 } = spec;
    const words = `packet ${index + 1}, ${source} > ${destination}:${destinationPort} (${protocol})`;
    counts.packets++;
    if (kernel === "drop") counts.dropped++;
    const told = translateConnection(world, NODE, {
      source,
      destination,
      protocol,
      port: destinationPort,
    });
    const faults: string[] = [];
    if (told.kind === "backends") {
      if (told.backends.length > 1) counts.chosen++;
      if (sight !== undefined) {
        counts.translated++;
        if (!told.backends.includes(sight.destination)) {
          faults.push(
            `${words}: kernel to ${sight.destination}, evaluator ${told.backends.join(" or ")}`,
          );
        }
      }
    } else if (told.kind !== "untouched" && !told.softly && sight !== undefined) {
      faults.push(`${words}: evaluator ${told.kind}, kernel ${kernel}`);
    }
    if (sight !== undefined) {
      const expected = outgoingSource(world, spec, { sight, touched: told.kind !== "untouched" });
      if (expected !== undefined) counts.outgoing++;
      if (expected !== undefined && sight.source !== expected) {
        faults.push(`${words}: leaves as ${sight.source}, by the pools ${expected}`);
      }
    }
    if (verdict.verdict === "unknown") {
      counts.unknown++;
      // Neither end is the cluster's: nobody asks.
      const passing = told.kind === "untouched" && verdict.reason === "no-endpoint";
      if (!passing && (told.kind !== "backends" || told.backends.length < 2)) {
        faults.push(`${words}: unknown (${verdict.reason}), kernel ${kernel}`);
      }
      return faults;
    }
    // Where it leaves is not told where several ways come to the same.
    const several = told.kind === "backends" && told.backends.length > 1;
    const untold = (verdict.hook !== "INPUT" || several) && verdict.outInterface === undefined;
    const place = untold ? "somewhere" : (verdict.outInterface ?? "local");
    const ours = verdict.verdict === "allow" ? place : "drop";
    if (ours === "somewhere" ? kernel === "drop" : ours !== kernel) {
      const why = `${verdict.reason} ${verdict.rule?.chain}`;
      faults.push(`${words}: ours ${ours} (${why}), kernel ${kernel}`);
    }
    const { translated } = verdict;
    if (translated !== undefined && sight !== undefined) {
      const to = formatSocket(translated);
      const choice = told.kind === "backends" ? told.backends : [];
      if (to !== sight.destination && (choice.length < 2 || !choice.includes(to))) {
        faults.push(`${words}: ours to ${to}, kernel to ${sight.destination}`);
      }
    }
    return faults;
  });
}

/** The source that what a pod of the node sends out of the pods' ranges leaves with; undefined: nobody says. */
function outgoingSource(
  { pods, nodes, outgoing }: ServiceWorld,
  { source = "" }: PacketSpec,
  { sight, touched }: { readonly sight: Sight; readonly touched: boolean },
): string | undefined {
  const isHere = pods.some(({ node, addresses }) => node === NODE && addresses.includes(source));
  const [, destination = ""] = /^\[?(.*?)\]?:\d+$/.exec(sight.destination)!;
  if (!isHere || sight.place !== "eth0" || isPodAddress(destination)) return undefined;
  if (outgoing === "masqueraded") return nodes[0]!.addresses[source.includes(":") ? 1 : 0];
  // kube-proxy masquerades some of what it translates.
  return touched ? undefined : source;
}

function makeScene(seed: number): Scene {
  const random = makeRandom(seed);
  const world = randomServiceWorld(random);
  const packets = Array.from({ length: FLOWS }, (_, index) => randomPacket(random, world, index));
  return { world, packets, compiled: compileObjects(world.objects, NODE) };
}

/** The first packet of a connection to one of a Service's addresses, mostly to its port. */
function randomPacket(random: Random, world: ServiceWorld, index: number): PacketSpec {
  const service = random.pick(world.services);
  const [node, other] = world.nodes;
  const six = random.chance(0.4);
  const own = (addresses: readonly string[]): string[] =>
    addresses.filter((address) => address.includes(":") === six);
  const portals = own([
    ...service.clusterIPs,
    ...service.externalIPs,
    ...service.balancer.map(({ ip }) => ip),
  ]);
  const nodePort = service.nodePort !== undefined && random.chance(0.5);
  const destination =
    nodePort || portals.length === 0 ? node!.addresses[six ? 1 : 0] : random.pick(portals);
  const source = random.pick(
    own([
      ...CLIENTS,
      ...CLIENTS,
      ...world.pods.flatMap(({ addresses }) => addresses),
      ...node!.addresses,
      ...other!.addresses,
    ]),
  );
  const pods = world.pods.filter((pod) => pod.node === NODE && pod.hostPorts.length > 0);
  const hostPort =
    pods.length > 0 && random.chance(0.2) ? random.pick(pods).hostPorts[0] : undefined;
  const { protocol } = hostPort ?? service;
  const port = nodePort ? service.nodePort : service.port;
  return {
    source,
    destination: hostPort === undefined ? destination : node!.addresses[six ? 1 : 0],
    protocol: PROTOCOLS[protocol],
    sourcePort: 20_000 + index,
    destinationPort: hostPort?.port ?? (random.chance(0.95) ? port : 81),
    ...(protocol === "SCTP" ? { chunk: 1 } : {}),
  };
}

async function runScene(
  { world, packets, compiled }: Scene,
  backend: Backend,
): Promise<Map<number, Sight>> {
  const local = world.pods.filter(({ node }) => node === NODE);
  const veth = (name: string): string => vethName("a", name);
  const [node] = world.nodes;
  const isSix = (address: string): boolean => address.includes(":");
  const routes = local.flatMap(({ name, addresses }) =>
    addresses.map((address) => ({ address, line: `${address} dev ${veth(name)}` })),
  );
  const routesOf = (six: boolean): string[] =>
    routes.filter(({ address }) => isSix(address) === six).map(({ line }) => line);
  const [four, six] = compiled.rulesets.map(renderIptables);
  const lab = await startLab({
    interfaces: [
      {
        name: "eth0",
        mac: NODE_MAC,
        addresses: node!.addresses.map((address) => `${address}/${isSix(address) ? 128 : 32}`),
      },
      ...local.map(({ name }) => ({ name: veth(name), mac: NODE_MAC, addresses: [] })),
    ],
    routes: {
      4: ["default via 169.254.1.1 dev eth0 onlink", ...routesOf(false)],
      6: ["default via fe80::1 dev eth0 onlink", ...routesOf(true)],
    },
    sysctls: { "netfilter/nf_conntrack_checksum": 0 },
    ipsets: renderIpsets(compiled.rulesets),
    tables: { [backend]: { 4: four ?? "", 6: six ?? "" } },
  });
  try {
    const sent = packets.map((spec, index): LabPacket => {
      const numbered = { ...spec, id: index + 1 };
      const pod = local.find(({ addresses }) => addresses.includes(spec.source ?? ""));
      if (node!.addresses.includes(spec.source ?? "")) {
        return { arrival: undefined, bytes: buildPacket(numbered) };
      }
      const arrival = pod === undefined ? "eth0" : veth(pod.name);
      return { arrival, bytes: buildFrame({ ...numbered, destinationMac: NODE_MAC }) };
    });
    const seen = new Map<number, Sight>();
    for (const { place = "local", packet } of (await lab.cross(sent)).sights) {
      const { source, destination, destinationPort } = readView(packet);
      const text = isSix(destination) ? `[${destination}]` : destination;
      seen.set(numberOf(packet), { place, source, destination: `${text}:${destinationPort}` });
    }
    return seen;
  } finally {
    await lab.close();
  }
}
