/**
 * Host endpoints in a cluster seen as one node, against the nodes one by one: what passes between two nodes
 * needs the word of both.
 */
import { describe, expect, it } from "vitest";

import { buildPacket, buildPcap, timed } from "./frames.ts";
import { judgeCapture } from "./judge.ts";
import { judgeOnNode } from "./oracle-hosts.ts";
import { podAt, sameAddress, type Attempt } from "./oracle-objects.ts";
import { backendsOf } from "./oracle.ts";
import { makeRandom, type Random } from "./random.ts";
import { randomWorld, type RandomWorld } from "./random-cluster.ts";
import { addressesOf, compileSeveral, onTwoNodes, unplaced } from "./random-hosts.ts";

/** One round is one cluster. */
const ROUNDS = Number(process.env["NETVERDICT_DIFFERENTIAL_ROUNDS"] ?? "30");
const FIRST_SEED = Number(process.env["NETVERDICT_DIFFERENTIAL_SEED"] ?? "1");
const FLOWS = 300;
const LINK_TYPE_RAW = 101;
const OUTSIDE = ["8.8.8.8", "203.0.113.9", "2001:4860::8"];

describe("host endpoints of a cluster", () => {
  it("have the say that each node's have, of openings and of answers", async () => {
    const counts = { allow: 0, drop: 0, unknown: 0, between: 0, refused: 0, cautious: 0 };
    const wrong: string[] = [];
    for (let seed = FIRST_SEED; seed < FIRST_SEED + ROUNDS; seed++) {
      const random = makeRandom(seed);
      const drawn = randomWorld(random, {
        pods: 6 + random.below(10),
        policies: 2 + random.below(6),
        calico: 8 + random.below(12),
        hostsOn: "node-1",
      });
      const world = unplaced(random, onTwoNodes(random, drawn));
      const placedBy = new Map<string, RandomWorld>();
      const compiled = compileSeveral(world);
      if (compiled === undefined) {
        counts.refused++;
        continue;
      }
      const trials = Array.from({ length: FLOWS }, (_, index) => ({
        ...randomFlow(random, world),
        sourcePort: 20_000 + index,
      })).flatMap((attempt) => {
        const expected = expectationWherever(world, attempt, placedBy);
        return expected === undefined ? [] : [{ attempt, ...expected }];
      });
      const packets = trials.flatMap(({ attempt }) => {
        const { source, destination, protocol, port: destinationPort = 0, sourcePort } = attempt;
        const opening = { source, destination, protocol, sourcePort, destinationPort };
        return [
          buildPacket(opening),
          buildPacket({
            source: destination,
            destination: source,
            protocol,
            sourcePort: destinationPort,
            destinationPort: sourcePort,
            flags: "SA",
          }),
        ];
      });
      const capture = buildPcap(timed(packets), LINK_TYPE_RAW);
      const verdicts = await judgeCapture({ compiled, capture });
      for (const [index, { attempt, word, between, open }] of trials.entries()) {
        counts[word]++;
        if (between) counts.between++;
        const [opening, answer] = [verdicts[2 * index]!, verdicts[2 * index + 1]!];
        const answered = word !== "allow" || answer.verdict === "allow";
        if (opening.verdict === word && answered) continue;
        if (open && opening.verdict === "unknown") {
          counts.cautious++;
          continue;
        }
        wrong.push(
          `seed ${seed}: ${attempt.source} > ${attempt.destination}:${attempt.port} (${attempt.protocol}): ` +
            `${opening.verdict} (${opening.reason} ${opening.hook} ${opening.rule?.chain}), answer ` +
            `${answer.verdict} (${answer.reason} ${answer.hook} ${answer.rule?.chain}), expected ${word}`,
        );
      }
    }
    console.log(
      `hosts between nodes, seeds ${FIRST_SEED} to ${FIRST_SEED + ROUNDS - 1}: ` +
        `${JSON.stringify(counts)}, ${wrong.length} disagreements`,
    );
    expect(wrong.slice(0, 10)).toEqual([]);
    expect(counts.drop).toBeGreaterThan(counts.allow / 10);
    expect(counts.between).toBeGreaterThan(ROUNDS);
    expect(counts.cautious).toBeLessThan((counts.allow + counts.drop) / 20);
  });
});

interface Expectation {
  readonly word: "allow" | "drop" | "unknown";
  readonly between: boolean;
  /** It may hang on where pods are of which nothing tells it. */
  readonly open: boolean;
}

/** What all nodes on the way say, wherever the pods are of which nothing tells it. */
function expectationWherever(
  world: RandomWorld,
  attempt: Attempt,
  placedBy: Map<string, RandomWorld>,
): Expectation | undefined {
  const ends = [attempt, ...(backendsOf(world, attempt) ?? [])];
  const pods = [attempt.source, ...ends.map(({ destination }) => destination)]
    .map((address) => podAt(world, address))
    .filter((pod) => pod !== undefined && pod.spec?.nodeName === undefined);
  const names = [...new Set(pods.map((pod) => nameOf(pod!)))];
  const nodes = world.nodes.map(({ metadata }) => metadata.name);
  const places = names.reduce<ReadonlyMap<string, string>[]>(
    (all, name) => all.flatMap((each) => nodes.map((node) => new Map([...each, [name, node]]))),
    [new Map()],
  );
  const all = places.map((place) => {
    const key = JSON.stringify([...place]);
    const placed = placedBy.get(key) ?? placedWorld(world, place);
    placedBy.set(key, placed);
    return expectationOf(placed, attempt);
  });
  const [first] = all;
  if (first === undefined || all.includes(undefined)) return undefined;
  const same = all.every((each) => each?.allowed === first.allowed);
  const word = !same ? "unknown" : first.allowed ? "allow" : "drop";
  return { word, between: first.between, open: names.length > 0 };
}

function placedWorld(world: RandomWorld, place: ReadonlyMap<string, string>): RandomWorld {
  if (place.size === 0) return world;
  const pods = world.pods.map((pod) => {
    const nodeName = place.get(nameOf(pod));
    return nodeName === undefined ? pod : { ...pod, spec: { ...pod.spec, nodeName } };
  });
  return { ...world, pods };
}

function nameOf({ metadata }: RandomWorld["pods"][number]): string {
  return `${metadata.namespace}/${metadata.name}`;
}

function randomFlow(random: Random, world: RandomWorld): Attempt {
  const six = random.chance(0.4);
  const own = (addresses: readonly string[]): string[] =>
    addresses.filter((address) => address.includes(":") === six);
  const pods = own(
    world.pods.flatMap(({ status }) => status?.podIPs?.map(({ ip }) => ip) ?? []),
  ).filter((address) => podAt(world, address) !== undefined);
  const nodes = own(world.nodes.flatMap(addressesOf));
  const services = own(world.services.flatMap(({ spec }) => [...spec.clusterIPs]));
  const ends = [pods, nodes, own(OUTSIDE)].filter(({ length }) => length > 0);
  const source = random.pick(random.pick(ends));
  const others = ends.map((some) => some.filter((one) => one !== source));
  const destinations = [...others, services].filter(({ length }) => length > 0);
  const destination = random.pick(random.pick(destinations));
  return {
    source,
    destination,
    protocol: random.pick([6, 17]),
    port: random.pick([22, 53, 80, 80, 443, 5432, 8080, 179]),
  };
}

/** What all nodes on the way say; undefined where the evaluator has no word on it. */
function expectationOf(
  world: RandomWorld,
  attempt: Attempt,
): { readonly allowed: boolean; readonly between: boolean } | undefined {
  const { source } = attempt;
  const backends = backendsOf(world, attempt);
  // Whoever is no pod may be masqueraded, or come by any node.
  if (backends !== undefined && podAt(world, source) === undefined) return undefined;
  const from = nodeOf(world, source);
  const ways = (backends ?? [attempt]).map((translated) => {
    const to = nodeOf(world, translated.destination);
    const first = from === undefined ? [] : [judgeOnNode(world, from, attempt)];
    const second = to === undefined || to === from ? [] : [judgeOnNode(world, to, translated)];
    const says = [...first, ...second];
    if (says.length === 0 || says.includes(undefined)) return undefined;
    return { allowed: !says.includes(false), between: says.length === 2 };
  });
  const [one] = ways;
  return ways.every((way) => way?.allowed === one?.allowed) ? one : undefined;
}

function nodeOf(world: RandomWorld, address: string): string | undefined {
  const node = world.nodes.find((one) => addressesOf(one).some((own) => sameAddress(own, address)));
  return podAt(world, address)?.spec?.nodeName ?? node?.metadata.name;
}
