/** Classes of traffic: packets of one class fare alike, and all classes that change are found. */
import { describe, expect, it } from "vitest";

import { appendOpening } from "../../src/capture/opening.ts";
import type { Matcher } from "../../src/engine/matcher.ts";
import type { Program } from "../../src/engine/program.ts";
import { parseAddress } from "../../src/net/address.ts";
import { classifyTraffic, notUnderstood } from "../../src/workload/classes.ts";
import { probeClasses } from "../../src/workload/probe.ts";
import { loadProgramMatcher } from "../../src/cli/matcher.ts";
import { compileObjects } from "../judge.ts";
import { makeRandom } from "../random.ts";
import { randomAttempt, randomWorld, worldObjects } from "../random-cluster.ts";

const ROUNDS = Number(process.env["NETVERDICT_CLASSES_ROUNDS"] ?? "8");
const ATTEMPTS = 3000;
const GROUPS = ["224.0.0.251", "239.255.1.2", "255.255.255.255", "ff02::fb", "fe80::1"];
const PAUSE_NS = 700_000_000_000n;

function load(program: Program): Matcher {
  return loadProgramMatcher(program, {
    midstream: "cold",
    conntrackMax: 1024,
    tracePacket: undefined,
  });
}

describe("classes of traffic", () => {
  it("tell of every packet whether it fares otherwise, as two matchers do", () => {
    let [packets, changed, outside] = [0, 0, 0];
    for (let seed = 1; seed <= ROUNDS; seed++) {
      const random = makeRandom(seed * 17);
      const world = randomWorld(random, {
        ...{ pods: 4 + random.below(10), policies: 8, clusterPolicies: seed % 3, calico: seed % 5 },
        nodeless: seed % 6 === 5,
      });
      const objects = worldObjects(world);
      const kindOf = (object: object): string => (object as { kind: string }).kind;
      const side = (): Program =>
        compileObjects(
          objects.filter((object) => !/Policy$/.test(kindOf(object)) || random.below(10) < 7),
        );
      const programs: [Program, Program] = [side(), side()];
      const owners = new Map<string, string>();
      for (const { metadata, spec } of world.pods) {
        owners.set(`${metadata.namespace}/${metadata.name}`, JSON.stringify(spec));
      }
      const subjects = { programs, workloadOf: (owner: string) => owners.get(owner) ?? owner };
      expect(notUnderstood(subjects), `seed ${seed}`).toBeUndefined();
      const classes = classifyTraffic(subjects);
      const probed = probeClasses([load(programs[0]), load(programs[1])], classes, 5_000_000);
      if (probed === undefined) throw new Error(`seed ${seed}: too many classes`);
      const found = new Set(
        probed.map(({ source, destination, service }) =>
          [source.number, destination.number, service.number].join(),
        ),
      );
      const matchers = [load(programs[0]), load(programs[1])] as const;
      for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
        const drawn = randomAttempt(random, world);
        // Pods send to groups and to link-local addresses, too.
        const group = random.below(20) === 0 ? random.pick(GROUPS) : undefined;
        const isReached = group?.includes(":") === drawn.source.includes(":");
        const asked = isReached ? (group ?? "") : drawn.destination;
        const [source, destination] = [parseAddress(drawn.source), parseAddress(asked)];
        if (source === undefined || destination === undefined) continue;
        // Any port may be at the end of a range.
        const port = random.below(3) === 0 ? random.below(65_536) : drawn.port;
        const { protocol } = drawn;
        if (port === undefined && [6, 17, 132].includes(protocol)) continue;
        // Rules of Calico's name ports of clients as well.
        const named = [53, 80, 81, 443, 8080];
        const sourcePort =
          random.below(2) === 0 ? 40_000 : random.pick([random.below(65_536), random.pick(named)]);
        const icmp = protocol === 1 || protocol === 58;
        const type = protocol === 1 ? 8 : random.pick([128, 139]);
        const code = random.pick([0, 0, 1, 2]);
        const opening = {
          ...{ source, destination, protocol, sourcePort },
          ...(icmp ? { icmpType: type, icmpCode: code } : {}),
          destinationPort: icmp || ![6, 17, 132].includes(protocol) ? undefined : port,
          timestampNs: BigInt(attempt + 1) * PAUSE_NS,
        };
        for (const matcher of matchers) {
          matcher.batch.clear();
          appendOpening(matcher.batch, opening);
          matcher.replay();
        }
        const [before, after] = matchers.map((matcher) => matcher.verdictAt(0));
        const from = classes.addressClass(source);
        const to = classes.addressClass(destination);
        if (from === undefined || to === undefined || !from.sends) {
          outside++;
          continue;
        }
        // What an endpoint says to itself never leaves it.
        if (drawn.source === asked) continue;
        const service = classes.serviceClass(source.family, {
          protocol,
          port: icmp ? type : opening.destinationPort,
          sourcePort: icmp ? code : sourcePort,
        });
        const key = [from.number, to.number, service?.number].join();
        packets++;
        if (before !== after) changed++;
        expect(
          found.has(key),
          `seed ${seed}: ${drawn.source} -> ${asked} ${protocol}/${port} from ${sourcePort}: ${before} ${after}`,
        ).toBe(before !== after);
      }
    }
    console.log(`classes: ${packets} packets, ${changed} fare otherwise; ${outside} of no class`);
    expect(changed).toBeGreaterThan(100 * ROUNDS);
  });

  it("tell apart clients by ports that rules name", () => {
    const pod = (name: string, ip: string): object => ({
      ...{ apiVersion: "v1", kind: "Pod", metadata: { namespace: "a", name } },
      spec: {
        nodeName: "n",
        containers: [{ name: "c", ports: [{ name: "http", containerPort: 81, protocol: "UDP" }] }],
      },
      status: { phase: "Running", podIPs: [{ ip }] },
    });
    const side = (action: string): Program =>
      compileObjects([
        pod("one", "10.1.1.2"),
        pod("two", "10.1.1.3"),
        {
          ...{ apiVersion: "projectcalico.org/v3", kind: "NetworkPolicy" },
          metadata: { namespace: "a", name: "p" },
          spec: {
            ingress: [
              { action, protocol: "UDP", source: { ports: ["http"] } },
              { action: "Allow" },
            ],
          },
        },
      ]);
    const programs: [Program, Program] = [side("Allow"), side("Deny")];
    const classes = classifyTraffic({ programs, workloadOf: (owner) => owner });
    const probed = probeClasses([load(programs[0]), load(programs[1])], classes, 100_000) ?? [];
    expect(new Set(probed.map(({ service }) => JSON.stringify(service.sourcePorts)))).toEqual(
      new Set(['[{"first":81,"last":81}]']),
    );
  });

  it("tell apart ICMP's codes that rules name", () => {
    const side = (code: number): Program =>
      compileObjects([
        {
          ...{ apiVersion: "v1", kind: "Pod", metadata: { namespace: "a", name: "one" } },
          ...{ spec: { nodeName: "n" }, status: { phase: "Running", podIP: "10.1.1.2" } },
        },
        {
          ...{ apiVersion: "projectcalico.org/v3", kind: "NetworkPolicy" },
          metadata: { namespace: "a", name: "p" },
          spec: {
            ingress: [
              { action: "Deny", protocol: "ICMP", icmp: { type: 8, code } },
              { action: "Allow" },
            ],
          },
        },
      ]);
    const programs: [Program, Program] = [side(0), side(3)];
    const classes = classifyTraffic({ programs, workloadOf: (owner) => owner });
    const probed = probeClasses([load(programs[0]), load(programs[1])], classes, 100_000) ?? [];
    const changes = probed.map(({ service, before, after }) =>
      [service.sourcePorts?.map(({ first }) => first), before.verdict, after.verdict].join(" "),
    );
    expect(new Set(changes)).toEqual(new Set(["0 drop allow", "3 allow drop"]));
  });

  it("tell what a node sends to its own pods from what others send", () => {
    const node = (name: string, address: string): object => ({
      ...{ apiVersion: "v1", kind: "Node", metadata: { name } },
      status: { addresses: [{ type: "InternalIP", address }] },
    });
    const pod = (name: string, nodeName: string, podIP: string): object => ({
      ...{ apiVersion: "v1", kind: "Pod", metadata: { namespace: "a", name } },
      ...{ spec: { nodeName }, status: { podIP } },
    });
    const cluster = [
      ...[node("n1", "192.168.0.1"), node("n2", "192.168.0.2")],
      ...[pod("w1", "n1", "10.1.1.2"), pod("w2", "n2", "10.1.2.2")],
    ];
    const deny = {
      ...{ apiVersion: "networking.k8s.io/v1", kind: "NetworkPolicy" },
      ...{ metadata: { namespace: "a", name: "deny" }, spec: { podSelector: {} } },
    };
    const programs: [Program, Program] = [
      compileObjects(cluster),
      compileObjects([...cluster, deny]),
    ];
    const classes = classifyTraffic({
      programs,
      workloadOf: (owner) => (owner.startsWith("a/") ? "workload" : owner),
    });
    const probed = probeClasses([load(programs[0]), load(programs[1])], classes, 100_000) ?? [];
    const places = (isNode: boolean): Set<string | undefined> =>
      new Set(
        probed
          .filter(({ source }) => (source.owner?.startsWith("node ") === true) === isNode)
          .map(({ where }) => where),
      );
    expect(places(true)).toEqual(new Set(["between-nodes"]));
    expect(places(false)).toEqual(new Set([undefined]));
  });

  it("know of groups that rules name", () => {
    const side = (cidr: string): Program =>
      compileObjects([
        {
          ...{ apiVersion: "v1", kind: "Pod", metadata: { namespace: "a", name: "one" } },
          ...{ spec: { nodeName: "n" }, status: { podIP: "10.1.1.2" } },
        },
        {
          ...{ apiVersion: "networking.k8s.io/v1", kind: "NetworkPolicy" },
          metadata: { namespace: "a", name: "p" },
          spec: {
            ...{ podSelector: {}, policyTypes: ["Egress"] },
            egress: [{ to: [{ ipBlock: { cidr } }] }],
          },
        },
      ]);
    const programs: [Program, Program] = [side("224.0.0.251/32"), side("224.0.0.252/32")];
    const classes = classifyTraffic({ programs, workloadOf: (owner) => owner });
    const probed = probeClasses([load(programs[0]), load(programs[1])], classes, 100_000) ?? [];
    const changes = new Set(
      probed.map(({ before, after }) => `${before.verdict} ${after.verdict}`),
    );
    expect(changes).toEqual(new Set(["allow drop", "drop allow"]));
  });
});
