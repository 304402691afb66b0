/** Questions leave nothing behind: each is answered as by a matcher that has seen nothing before. */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";

import { appendOpening, type Opening } from "../../src/capture/opening.ts";
import { assignInterface, markArriving } from "../../src/capture/record.ts";
import { parseNode } from "../../src/dump/node.ts";
import { loadMatcher, type Matcher } from "../../src/engine/matcher.ts";
import type { Program } from "../../src/engine/program.ts";
import { formatDiagnostic } from "../../src/errors.ts";
import type { Backend } from "../../src/match/extension.ts";
import { parseAddress } from "../../src/net/address.ts";
import type { Address, Family } from "../../src/net/address.ts";
import { compileManifests, compileObjects } from "../judge.ts";
import { HOSTS, INTERFACES, OWN, ROUTES, SERVER_PORTS, VIRTUAL } from "../kernel-lab/ground.ts";
import { FEATURES, randomRules, rulesText } from "../kernel-lab/random-rules.ts";
import { makeRandom, type Random } from "../random.ts";
import { randomAttempt, randomWorld, worldObjects } from "../random-cluster.ts";

const WASM = new Uint8Array(readFileSync(new URL("../../build/matcher.wasm", import.meta.url)));

interface Question extends Opening {
  readonly inInterface?: string | undefined;
}

function load(program: Program): Matcher {
  const options = { midstream: "cold", conntrackMax: 64, tracePacket: undefined } as const;
  return loadMatcher(WASM, program, options);
}

function put(matcher: Matcher, question: Question): void {
  appendOpening(matcher.batch, question);
  if (question.inInterface === undefined) return;
  assignInterface(matcher.batch, 0);
  markArriving(matcher.batch, 0);
  matcher.nameInterfaces([question.inInterface]);
}

/** Compares every answer, asked twice in different order, with what a new matcher makes of the packet. */
function expectIndependent(program: Program, questions: readonly Question[]): Map<string, number> {
  const asked = load(program);
  const verdicts = new Map<string, number>();
  const told = questions.map((question) => {
    const alone = load(program);
    put(alone, question);
    alone.replay();
    const wanted = alone.packetVerdict(0, []);
    verdicts.set(wanted.verdict, (verdicts.get(wanted.verdict) ?? 0) + 1);
    return { question, wanted };
  });
  for (const { question, wanted } of [...told, ...told.toReversed()]) {
    asked.batch.clear();
    put(asked, question);
    asked.ask();
    const answer = asked.packetVerdict(0, []);
    expect(answer).toEqual({ ...wanted, number: answer.number });
  }
  expect(asked.totals().packets).toBe(0);
  return verdicts;
}

const [CLIENT, OPEN, SHUT, SERVICE] = ["10.1.0.5", "10.1.0.6", "10.1.0.7", "10.96.0.10"] as const;
const pod = (name: string, ip: string): string =>
  `{apiVersion: v1, kind: Pod, metadata: {name: ${name}, namespace: a, labels: {app: ${name}}}, ` +
  `spec: {nodeName: n}, status: {podIP: ${ip}}}`;
/** One of the backends takes nobody. */
const TWO_BACKENDS = [
  "{apiVersion: v1, kind: Namespace, metadata: {name: a}}",
  "{apiVersion: v1, kind: Node, metadata: {name: n}, status: {addresses: [{type: InternalIP, address: 192.168.0.1}]}}",
  ...[pod("client", CLIENT), pod("open", OPEN), pod("shut", SHUT)],
  `{apiVersion: v1, kind: Service, metadata: {name: web, namespace: a}, ` +
    `spec: {clusterIP: ${SERVICE}, sessionAffinity: ClientIP, ports: [{port: 80, targetPort: 8080}]}}`,
  "{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: web, namespace: a, " +
    "labels: {kubernetes.io/service-name: web}}, addressType: IPv4, " +
    `endpoints: [{addresses: [${OPEN}]}, {addresses: [${SHUT}]}], ports: [{port: 8080, name: "", protocol: TCP}]}`,
  "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: nobody, namespace: a}, " +
    "spec: {podSelector: {matchLabels: {app: shut}}, policyTypes: [Ingress]}}",
].join("\n---\n");

const from = (source: string, sourcePort: number) => ({ source: addressOf(source), sourcePort });
const to = (destination: string, destinationPort: number) => ({
  ...{ destination: addressOf(destination), destinationPort },
});

function addressOf(text: string): Address {
  const address = parseAddress(text);
  if (address === undefined) throw new Error(`${text} is no address`);
  return address;
}

/** A node that no kernel has: rules as drawn, with the addresses and routes that they are drawn for. */
function randomNode(random: Random, backend: Backend): Program {
  const allowed = new Set(FEATURES);
  const { tables, ipsets } = rulesText(randomRules(random, backend, allowed));
  const textsOf = (family: Family) =>
    Object.entries(tables).map(([name, texts]) => ({
      file: `${name}-${family}`,
      // As iptables-save writes it.
      text: texts[family].replaceAll(/(--ctstatus \S*)NONE/g, "$1SEEN_REPLY"),
      backend: name as Backend,
    }));
  const addresses = INTERFACES.map(({ name, mac, addresses: own, group }, index) => ({
    ifname: name,
    ifindex: index + 2,
    group: String(group ?? "default"),
    flags: ["UP"],
    link_type: "ether",
    address: mac,
    addr_info: own.map((each) => {
      const [local, length] = each.split("/");
      const family = each.includes(":") ? "inet6" : "inet";
      return { family, local, prefixlen: Number(length), scope: "global" };
    }),
  }));
  const routes = [...ROUTES[4], ...ROUTES[6]].map((line) => {
    const words = line.split(" ");
    const after = (word: string) => words[words.indexOf(word) + 1];
    const gateway = words.includes("via") ? { gateway: after("via") } : {};
    return { dst: words[0], ...gateway, dev: after("dev") };
  });
  return parseNode(
    {
      iptables: textsOf(4),
      ip6tables: textsOf(6),
      ipset: [{ file: "sets", text: ipsets ?? "" }],
      addresses: [{ file: "addresses", text: JSON.stringify(addresses) }],
      routes: [{ file: "routes", text: JSON.stringify(routes) }],
      backend: undefined,
    },
    (diagnostic) => {
      if (diagnostic.severity === "error") throw new Error(formatDiagnostic(diagnostic));
    },
  );
}

function randomQuestion(random: Random): Question {
  const family: Family = random.chance(0.3) ? 6 : 4;
  const source = random.pick(HOSTS);
  const far = [...HOSTS, ...OWN].map(({ address }) => address[family]);
  const destination = random.pick([...far, ...VIRTUAL.map((each) => each[family])]);
  const protocol = random.pick([6, 6, 17, family === 4 ? 1 : 58, 132]);
  const icmp = protocol === 1 || protocol === 58;
  return {
    source: addressOf(source.address[family]),
    destination: addressOf(destination),
    protocol,
    destinationPort: icmp ? undefined : random.pick(SERVER_PORTS),
    inInterface: random.chance(0.8) ? source.place : undefined,
  };
}

describe("asking a matcher", () => {
  it("leaves connections as they were whose backends the questions would show", () => {
    const program = compileManifests([{ file: "a.yaml", text: TWO_BACKENDS }]);
    const opening = { ...from(CLIENT, 4000), ...to(SERVICE, 80), protocol: 6 };
    const answer = (backend: string): Opening => ({
      ...{ ...from(backend, 8080), ...to(CLIENT, 4000), protocol: 6 },
      later: { tcpFlags: 0x12 },
    });
    const shown = (backend: string): Opening => ({
      ...{ ...from(CLIENT, 4000), ...to(backend, 8080), protocol: 6 },
    });
    const judge = (matcher: Matcher, packet: Opening): string => {
      matcher.batch.clear();
      put(matcher, packet);
      matcher.replay();
      return matcher.packetVerdict(0, []).verdict;
    };
    const ask = (matcher: Matcher, question: Opening): string => {
      matcher.batch.clear();
      put(matcher, question);
      matcher.ask();
      return matcher.packetVerdict(0, []).verdict;
    };
    const opened = (): Matcher => {
      const matcher = load(program);
      expect(judge(matcher, opening)).toBe("unknown");
      return matcher;
    };
    for (const last of [OPEN, SHUT]) {
      const asked = opened();
      for (const question of [OPEN, SHUT, OPEN].flatMap((each) => [answer(each), shown(each)])) {
        expect(ask(asked, question)).toBe(ask(opened(), question));
      }
      const unasked = opened();
      const later = { ...opening, sourcePort: 4001 };
      for (const packet of [answer(last), opening, later, answer(OPEN), answer(SHUT)]) {
        expect(judge(asked, packet)).toBe(judge(unasked, packet));
      }
      expect([...asked.connections(0n)]).toEqual([...unasked.connections(0n)]);
    }
  });

  it.each([1, 2, 3])("answers of a cluster are those of a new matcher (seed %i)", (seed) => {
    const random = makeRandom(seed);
    const world = randomWorld(random, { pods: 8, policies: 6 });
    const questions = Array.from({ length: 30 }, () => randomAttempt(random, world)).map(
      ({ source, destination, protocol, port }) => ({
        source: addressOf(source),
        destination: addressOf(destination),
        protocol,
        destinationPort: port,
      }),
    );
    expect(expectIndependent(compileObjects(worldObjects(world)), questions).size).toBeGreaterThan(
      1,
    );
  });

  it.each(["legacy", "nft"] as const)(
    "so are those of nodes whose rules remember (%s)",
    (backend) => {
      const verdicts = new Map<string, number>();
      for (let seed = 1; seed <= 10; seed++) {
        const random = makeRandom(seed);
        const program = randomNode(random, backend);
        const questions = Array.from({ length: 12 }, () => randomQuestion(random));
        for (const [verdict, count] of expectIndependent(program, questions)) {
          verdicts.set(verdict, (verdicts.get(verdict) ?? 0) + count);
        }
      }
      for (const verdict of ["allow", "drop", "unknown"]) {
        expect(verdicts.get(verdict)).toBeGreaterThan(5);
      }
    },
  );
});
