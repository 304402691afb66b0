/**
 * Random clusters, compiled for one node, in a real Linux kernel: every packet of random sequences must
 * fare there as our matcher says, and first packets as the independent evaluator says.
 */
import { describe, expect, it } from "vitest";

import { buildFrame, buildPcap, buildPacket, timed, type PacketSpec } from "../frames.ts";
import { compileObjects, judgeCapture } from "../judge.ts";
import { judgeOnNode } from "../oracle-hosts.ts";
import { judgeAttempt, podAt } from "../oracle.ts";
import { makeRandom } from "../random.ts";
import { randomWorld, worldObjects, type RandomWorld } from "../random-cluster.ts";
import { renderIpsets } from "../../src/tables/ipset.ts";
import { renderIptables } from "../../src/tables/iptables.ts";
import { vethName } from "../../src/tables/names.ts";
import type { PacketVerdict } from "../../src/engine/verdict.ts";
import type { CompiledCluster } from "../../src/tables/compile.ts";
import { startLab, type LabNode, type LabPacket } from "../../src/lab/lab.ts";
import type { Backend } from "../../src/match/extension.ts";
import { haveLab } from "./have-lab.ts";
import { numberOf } from "./packets.ts";
import { arrivalOf, randomTraffic, type Draft } from "./traffic.ts";

const NODE = "node-1";
/** More rounds for a longer run: each is one cluster on each backend. */
const ROUNDS = Number(process.env["NETVERDICT_LAB_ROUNDS"] ?? "6");
const FIRST_SEED = Number(process.env["NETVERDICT_LAB_SEED"] ?? "1");
const FLOWS = Number(process.env["NETVERDICT_LAB_FLOWS"] ?? "250");

interface Scene {
  readonly world: RandomWorld;
  readonly compiled: CompiledCluster;
  readonly drafts: readonly Draft[];
  /** As they are sent; each has its position, from 1, as its number. */
  readonly packets: readonly LabPacket[];
  /** The node without rules. */
  readonly node: Omit<LabNode, "tables" | "ipsets">;
}

/** Where a packet came out. */
interface Sight {
  /** The interface it left by, or `local`. */
  readonly place: string;
  /** As it left; 0 for protocols without ports. */
  readonly sourcePort: number;
}

describe.runIf(haveLab())("kernel lab", () => {
  it("lets every packet through where there are no rules", async () => {
    const scene = makeScene(FIRST_SEED);
    const seen = await runScene(scene, undefined);
    const lost = scene.drafts.filter((_, index) => !seen.has(index + 1));
    expect(lost.map(inWords)).toEqual([]);
  });

  it.each(["legacy", "nft"] as const)(
    "agrees with the matcher packet by packet, and with the evaluator (%s)",
    async (backend) => {
      let compared = 0;
      let opening = 0;
      let dropped = 0;
      let leftAside = 0;
      const states = new Map<string, number>();
      const wrong: string[] = [];
      for (let seed = FIRST_SEED; seed < FIRST_SEED + ROUNDS; seed++) {
        const scene = makeScene(seed);
        const seen = await runScene(scene, backend);
        const drawn = scene.drafts.map((draft, index) => buildPacket({ ...draft, id: index + 1 }));
        const capture = buildPcap(timed(drawn), LINK_TYPE_RAW);
        const verdicts = await judgeCapture({ compiled: scene.compiled, capture });
        const aside = new Set<number | undefined>();
        for (const [index, draft] of scene.drafts.entries()) {
          if (aside.has(draft.flow)) {
            leftAside++;
            continue;
          }
          const sight = seen.get(index + 1);
          const kernel = sight?.place ?? "drop";
          if (gotAnotherPort(draft, sight)) aside.add(draft.flow);
          if (kernel === "drop") dropped++;
          compared++;
          for (const what of traitsOf(verdicts[index]))
            states.set(what, (states.get(what) ?? 0) + 1);
          const verdict = verdicts[index];
          const ours =
            verdict?.verdict === "allow" ? (verdict.outInterface ?? "local") : verdict?.verdict;
          // The node's own errors: those of its IP stack have the connection of what they answer, the lab's none.
          if (ours !== kernel && verdict?.reason !== "answered") {
            if (process.env["NETVERDICT_LAB_HISTORY"] !== undefined) {
              printHistory(scene, index, { seen, verdicts });
            }
            const why = `${verdict?.reason} ${verdict?.ctState} ${verdict?.hook}`;
            wrong.push(
              `seed ${seed}, packet ${index + 1}: ${ours} (${why}), kernel ${kernel}: ${inWords(draft)}`,
            );
          }
          if (draft.opens === true && !goesOn(draft, verdict) && knows(scene.world, draft)) {
            opening++;
            const allowed = judgeHere(scene.world, draft);
            if (allowed !== undefined && allowed !== (kernel !== "drop")) {
              wrong.push(
                `seed ${seed}, packet ${index + 1}: evaluator ${allowed}, kernel ${kernel}: ${inWords(draft)}`,
              );
            }
          }
        }
      }
      console.log(
        `kernel lab, ${backend}: ${compared} packets of seeds ${FIRST_SEED} to ${FIRST_SEED + ROUNDS - 1}, ` +
          `${dropped} dropped, ${opening} asked of the evaluator, ${leftAside} left aside, ${wrong.length} disagreements; ` +
          [...states].map(([what, count]) => `${what} ${count}`).join(", "),
      );
      expect(wrong.slice(0, 20)).toEqual([]);
      expect(dropped).toBeGreaterThan(compared / 10);
      expect(leftAside).toBeLessThan(compared / 50);
      // Each of these says something only if it happens.
      for (const what of [
        "NEW",
        "ESTABLISHED",
        "RELATED",
        "INVALID",
        "IPv6",
        "translated",
        "INPUT",
        "OUTPUT",
        "by host-closed",
      ]) {
        expect(states.get(what) ?? 0, what).toBeGreaterThan(0);
      }
    },
  );
});

const LINK_TYPE_RAW = 101;
const NODE_MAC = "02:00:00:00:01:00";

/**
 * What the matcher leaves out by design, as the settings that make the kernel leave it out too: captures
 * hold checksums that the sender's hardware had yet to fill in (CT-6).
 */
const UNTRACKED = {
  "netfilter/nf_conntrack_checksum": 0,
};

function makeScene(seed: number): Scene {
  const random = makeRandom(seed);
  const world = randomWorld(random, {
    pods: 4 + random.below(12),
    policies: 2 + random.below(8),
    clusterPolicies: seed % 2 === 0 ? 1 + random.below(6) : 0,
    ...(seed % 3 === 0 ? {} : { calico: 1 + random.below(10) }),
    ...(seed % 3 === 2 ? { calico: 1 + random.below(16), hostsOn: NODE } : {}),
    grouped: seed % 4 < 2,
  });
  const compiled = compileObjects(worldObjects(world), NODE);
  const view = { node: NODE, interfaceOf: vethName };
  const local = world.pods.filter(
    (pod) => pod.spec?.nodeName === NODE && podAt(world, pod.status!.podIPs![0]!.ip) === pod,
  );
  const drafts = randomTraffic(random, world, {
    flows: FLOWS,
    // Only what crosses this node, and is not a pod talking to its own address.
    passes: (source, target) => {
      if (source === target) return false;
      const ends = [source, target].map((address) => arrivalOf(world, address, view));
      return ends.some((end) => end !== "eth0") && !ends.every((end) => end === "local");
    },
  });
  const packets = drafts.map((draft, index): LabPacket => {
    const arrival = arrivalOf(world, draft.source, view);
    const spec = { ...draft, id: index + 1 };
    return arrival === "local"
      ? { arrival: undefined, bytes: buildPacket(spec) }
      : { arrival, bytes: buildFrame({ ...spec, destinationMac: NODE_MAC }) };
  });
  const veth = (pod: (typeof local)[number]): string =>
    vethName(pod.metadata.namespace ?? "default", pod.metadata.name);
  const isSix = (address: string): boolean => address.includes(":");
  const addresses = world.nodes[0]!.status!.addresses!.map(({ address }) => address).filter(
    (address) => /[.:]/.test(address),
  );
  const podRoutes = local.flatMap((pod) =>
    pod.status!.podIPs!.map(({ ip }) => ({ ip, line: `${ip} dev ${veth(pod)}` })),
  );
  const routesOf = (six: boolean): string[] =>
    podRoutes.filter(({ ip }) => isSix(ip) === six).map(({ line }) => line);
  return {
    world,
    compiled,
    drafts,
    packets,
    node: {
      interfaces: [
        {
          name: "eth0",
          mac: NODE_MAC,
          addresses: addresses.map((address) => `${address}/${isSix(address) ? 128 : 32}`),
        },
        ...local.map((pod) => ({ name: veth(pod), mac: NODE_MAC, addresses: [] })),
      ],
      routes: {
        4: ["default via 169.254.1.1 dev eth0 onlink", ...routesOf(false)],
        6: ["default via fe80::1 dev eth0 onlink", ...routesOf(true)],
      },
      sysctls: UNTRACKED,
    },
  };
}

/** Sends all packets through the kernel; no backend: without rules. By number; a dropped one is absent. */
async function runScene(
  { node, compiled, packets }: Scene,
  backend: Backend | undefined,
): Promise<ReadonlyMap<number, Sight>> {
  const [four, six] = compiled.rulesets.map(renderIptables);
  const lab = await startLab({
    ...node,
    ipsets: backend === undefined ? "" : renderIpsets(compiled.rulesets),
    tables: backend === undefined ? {} : { [backend]: { 4: four ?? "", 6: six ?? "" } },
  });
  try {
    const { sights } = await lab.cross(packets);
    const seen = new Map<number, Sight>();
    for (const { place = "local", packet } of sights) {
      const number = numberOf(packet);
      const before = seen.get(number);
      if (before !== undefined) {
        throw new Error(`packet ${number} was seen at ${before.place} and at ${place}`);
      }
      seen.set(number, { place, sourcePort: sourcePortOf(packet) });
    }
    return seen;
  } finally {
    await lab.close();
  }
}

function sourcePortOf(packet: Uint8Array): number {
  const start = packet[0]! >> 4 === 4 ? (packet[0]! & 15) * 4 : 40;
  return ((packet[start] ?? 0) << 8) | (packet[start + 1] ?? 0);
}

/** The evaluator sees both ends; this node has the say of its own pods only. */
function judgeHere(world: RandomWorld, draft: Draft): boolean | undefined {
  const attempt = {
    source: draft.source,
    destination: draft.destination,
    protocol: draft.protocol,
    port: draft.destinationPort,
    sourcePort: draft.sourcePort,
  };
  if (world.calico?.hostEndpoints !== undefined) return judgeOnNode(world, NODE, attempt);
  const answer = judgeAttempt(world, attempt);
  const here = (address: string): boolean => podAt(world, address)?.spec?.nodeName === NODE;
  if (answer.egress === undefined && answer.ingress === undefined) return answer.allowed;
  const egress = answer.egress !== undefined && here(draft.source) ? answer.egress.allowed : true;
  const ingressHere = answer.ingress !== undefined && hereAfterTranslation(world, draft, here);
  const ingress = ingressHere ? answer.ingress.allowed : true;
  return egress === undefined || ingress === undefined ? undefined : egress && ingress;
}

function hereAfterTranslation(
  world: RandomWorld,
  draft: Draft,
  here: (address: string) => boolean,
): boolean {
  if (podAt(world, draft.destination) !== undefined) return here(draft.destination);
  const service = world.services.find(({ spec }) => spec.clusterIPs.includes(draft.destination));
  const slice = world.endpointSlices.find(
    (one) =>
      one.addressType === (draft.destination.includes(":") ? "IPv6" : "IPv4") &&
      one.metadata.labels?.["kubernetes.io/service-name"] === service?.metadata.name,
  );
  const backend = slice?.endpoints[0]?.addresses[0];
  return backend !== undefined && here(backend);
}

/** Without ports all that two addresses send each other is one connection, which another flow may have begun. */
function goesOn({ protocol }: Draft, verdict: PacketVerdict | undefined): boolean {
  return ![1, 6, 17, 58, 132].includes(protocol) && verdict?.ctState === "ESTABLISHED";
}

function knows(world: RandomWorld, draft: Draft): boolean {
  // A node's packet to a Service's pod is judged after OUTPUT's translation, where it is not policed.
  const service = world.services.some(({ spec }) => spec.clusterIPs.includes(draft.destination));
  return !(service && podAt(world, draft.source) === undefined);
}

/**
 * Where two connections would share a tuple after translation, the kernel gives one another source port,
 * which nobody can foretell (N-5). The server would answer to that port: the script's answers are wrong.
 */
function gotAnotherPort(draft: Draft, sight: Sight | undefined): boolean {
  if (draft.clientPort === undefined || sight === undefined || sight.place === "local")
    return false;
  return [6, 17, 132].includes(draft.protocol) && sight.sourcePort !== draft.clientPort;
}

function traitsOf(verdict: PacketVerdict | undefined): string[] {
  return [
    verdict?.ctState ?? "no state",
    verdict?.hook ?? "no hook",
    `IPv${verdict?.family}`,
    verdict?.translated === undefined ? "not translated" : "translated",
    `by ${verdict?.decider?.rule?.origin?.kind ?? "no policy"}`,
  ];
}

/** The packets of one flow up to one of them, and what became of each. */
function printHistory(
  scene: Scene,
  last: number,
  told: { readonly seen: ReadonlyMap<number, Sight>; readonly verdicts: readonly PacketVerdict[] },
): void {
  const portsOf = (draft: Draft): string =>
    [draft.sourcePort, draft.destinationPort].map(Number).sort().join();
  const { protocol } = scene.drafts[last]!;
  const client = Math.max(...portsOf(scene.drafts[last]!).split(",").map(Number));
  for (const [index, draft] of scene.drafts.slice(0, last + 1).entries()) {
    if (draft.protocol !== protocol || !portsOf(draft).split(",").includes(`${client}`)) continue;
    const verdict = told.verdicts[index];
    console.log(
      `  ${index + 1} ${inWords(draft)} seq ${draft.seq} ack ${draft.ack} len ${draft.payload?.length}: ` +
        `${verdict?.verdict} ${verdict?.ctState}, kernel ${told.seen.get(index + 1)?.place ?? "drop"}`,
    );
  }
}

function inWords(spec: PacketSpec): string {
  const { source, destination, protocol, sourcePort, destinationPort, flags, icmp, chunk } = spec;
  const detail =
    protocol === 6 ? `[${flags}]` : icmp ? `icmp ${icmp.type}/${icmp.code ?? 0}` : (chunk ?? "");
  return `${source}:${sourcePort ?? ""} > ${destination}:${destinationPort ?? ""} proto ${protocol} ${detail}`;
}
