/** Policy rules and the exact rules they become, as iptables-save prints them. */
import { describe, expect, it } from "vitest";
import type { Family } from "../../src/net/address.ts";
import { DEFAULT_DIALECT } from "../../src/policy/dialects.ts";
import type { Direction, PolicyPeer } from "../../src/policy/model.ts";
import { renderRule } from "../../src/tables/iptables.ts";
import { compilePolicyChain } from "../../src/tables/policy-chain.ts";
import { PeerMeanings } from "../../src/tables/peer-meanings.ts";
import { SetCollector } from "../../src/tables/sets.ts";
import {
  address,
  block,
  HERE,
  namespace,
  node,
  pod,
  pods,
  policy,
  port,
  prefix,
  selector,
  snapshot,
} from "./cluster.ts";
import type { RuleText } from "./cluster.ts";

const CLUSTER = snapshot({
  namespaces: [namespace("a"), namespace("b", "team=b")],
  endpoints: [
    pod("a/web", {
      labels: "app=web",
      addresses: ["10.0.0.1", "fd00::1"],
      ports: [{ name: "http", protocol: "TCP", port: 8080 }],
    }),
    pod("b/db", {
      labels: "app=db",
      addresses: ["10.0.0.2"],
      ports: [
        { name: "http", protocol: "UDP", port: 53 },
        { name: "http", protocol: "TCP", port: 81 },
      ],
    }),
  ],
});

/** The chain's rules without chain name and title; set names become their descriptions. */
function compile(
  direction: Direction,
  rules: readonly RuleText[],
  family: Family = 4,
  cluster = CLUSTER,
): string[] {
  const sets = new SetCollector(family, new PeerMeanings(cluster));
  const chain = compilePolicyChain(policy("a/p", { [direction]: rules }), direction, {
    family,
    sets,
    dialect: DEFAULT_DIALECT,
  });
  return chain.rules.map((rule) => {
    const text = renderRule(chain.name, rule, family)
      .replace(`-A ${chain.name}`, "")
      .replace(` -m comment --comment "KubernetesNetworkPolicy a/p ${direction}"`, "")
      .trim();
    return sets
      .sets()
      .reduce((line, set) => line.replace(set.name, `{${set.origin?.description}}`), text);
  });
}

const ALLOW = "-j MARK --set-xmark 0x10000/0x10000";
const RETURN = "-m mark --mark 0x10000/0x10000 -j RETURN";

describe("an ingress rule", () => {
  it.each<[string, RuleText, string[]]>([
    ["without peers and ports allows everything", {}, [ALLOW]],
    ["with a port", { ports: [port("tcp:80")] }, [`-p tcp -m multiport --dports 80 ${ALLOW}`]],
    ["with every port of a protocol", { ports: [port("sctp")] }, [`-p sctp ${ALLOW}`]],
    [
      "with every port of a protocol takes in its other ports",
      { ports: [port("tcp:80"), port("tcp"), port("tcp:http")] },
      [`-p tcp ${ALLOW}`],
    ],
    [
      "with ports of several protocols, by protocol name",
      { ports: [port("udp:53"), port("tcp:53"), port("sctp:1-9")] },
      [
        `-p sctp -m multiport --dports 1:9 ${ALLOW}`,
        RETURN,
        `-p tcp -m multiport --dports 53 ${ALLOW}`,
        RETURN,
        `-p udp -m multiport --dports 53 ${ALLOW}`,
      ],
    ],
    [
      "with ports that touch or overlap",
      { ports: [port("tcp:82"), port("tcp:80-81"), port("tcp:90-99"), port("tcp:95")] },
      [`-p tcp -m multiport --dports 80:82,90:99 ${ALLOW}`],
    ],
    [
      "with pods of the policy's namespace",
      { peers: [pods("app=web")] },
      [`-m set --match-set {pods with app=web in namespace a} src ${ALLOW}`],
    ],
    [
      "with peers, each of which is enough",
      { peers: [pods("", undefined), pods(undefined, "team=b"), pods("app=db", "")] },
      [
        `-m set --match-set {every pod in namespace a} src ${ALLOW}`,
        RETURN,
        `-m set --match-set {every pod in namespaces with team=b} src ${ALLOW}`,
        RETURN,
        `-m set --match-set {pods with app=db in every namespace} src ${ALLOW}`,
      ],
    ],
    ["with a block", { peers: [block("10.0.0.0/8")] }, [`-s 10.0.0.0/8 ${ALLOW}`]],
    ["with a block of every address", { peers: [block("0.0.0.0/0")] }, [ALLOW]],
    ["with a block of the other family", { peers: [block("fd00::/8")] }, []],
    [
      "with a block, exceptions and ports",
      {
        peers: [block("10.0.0.0/8", ["10.1.0.0/16", "10.2.0.0/16"])],
        ports: [port("tcp:80"), port("tcp:443")],
      },
      [
        "-j MARK --set-xmark 0x80000/0x180000",
        "-s 10.1.0.0/16 -j MARK --set-xmark 0x0/0x80000",
        "-s 10.2.0.0/16 -j MARK --set-xmark 0x0/0x80000",
        `-s 10.0.0.0/8 -p tcp -m multiport --dports 80,443 -m mark --mark 0x80000/0x80000 ${ALLOW}`,
      ],
    ],
    [
      "with a named port, of whichever pod it is",
      { ports: [port("tcp:http")] },
      [`-p tcp -m set --match-set {port http/TCP of every pod} dst,dst ${ALLOW}`],
    ],
    [
      "with a named port from pods",
      { peers: [pods("app=db", "")], ports: [port("tcp:http")] },
      [
        "-p tcp -m set --match-set {pods with app=db in every namespace} src " +
          `-m set --match-set {port http/TCP of every pod} dst,dst ${ALLOW}`,
      ],
    ],
    [
      "with a named and a numbered port",
      { ports: [port("tcp:http"), port("tcp:443")] },
      [
        "-j MARK --set-xmark 0x0/0x180000",
        "-p tcp -m multiport --dports 443 -j MARK --set-xmark 0x80000/0x80000",
        "-m set --match-set {port http/TCP of every pod} dst,dst -j MARK --set-xmark 0x80000/0x80000",
        `-p tcp -m mark --mark 0x80000/0x80000 ${ALLOW}`,
      ],
    ],
  ])("%s", (_, rule, expected) => {
    expect(compile("ingress", [rule]).filter((line) => line !== "")).toEqual(expected);
  });

  it("splits more than 15 slots, a range taking two", () => {
    const ports = [1, 11, 21, 31, 41, 51, 61].map((first) => port(`tcp:${first}-${first + 1}`));
    const fifteen = compile("ingress", [{ ports: [...ports, port("tcp:99")] }]);
    expect(fifteen).toEqual([
      `-p tcp -m multiport --dports 1:2,11:12,21:22,31:32,41:42,51:52,61:62,99 ${ALLOW}`,
    ]);
    const sixteen = compile("ingress", [{ ports: [...ports, port("tcp:71-72")] }]);
    expect(sixteen).toEqual([
      "-j MARK --set-xmark 0x0/0x180000",
      "-p tcp -m multiport --dports 1:2,11:12,21:22,31:32,41:42,51:52,61:62 -j MARK --set-xmark 0x80000/0x80000",
      "-p tcp -m multiport --dports 71:72 -j MARK --set-xmark 0x80000/0x80000",
      `-p tcp -m mark --mark 0x80000/0x80000 ${ALLOW}`,
    ]);
  });

  it("joins a port block with exceptions in the same scratch bit", () => {
    const rule = {
      peers: [block("10.0.0.0/8", ["10.1.0.0/16"])],
      ports: [port("tcp:http"), port("tcp:443")],
    };
    expect(compile("ingress", [rule])).toEqual([
      "-j MARK --set-xmark 0x0/0x180000",
      "-p tcp -m multiport --dports 443 -j MARK --set-xmark 0x80000/0x80000",
      "-m set --match-set {port http/TCP of every pod} dst,dst -j MARK --set-xmark 0x80000/0x80000",
      "-s 10.1.0.0/16 -j MARK --set-xmark 0x0/0x80000",
      `-s 10.0.0.0/8 -p tcp -m mark --mark 0x80000/0x80000 ${ALLOW}`,
    ]);
  });
});

describe("an egress rule", () => {
  it.each<[string, RuleText, string[]]>([
    [
      "matches the destination",
      { peers: [pods("app=db", "")] },
      [`-m set --match-set {pods with app=db in every namespace} dst ${ALLOW}`],
    ],
    ["with a block", { peers: [block("10.0.0.0/8")] }, [`-d 10.0.0.0/8 ${ALLOW}`]],
    [
      "with a named port means the peer's, which says the peer as well",
      { peers: [pods("app=db", "")], ports: [port("tcp:http")] },
      [
        "-p tcp -m set --match-set {port http/TCP of pods with app=db in every namespace} dst,dst " +
          ALLOW,
      ],
    ],
    [
      "with a named and a numbered port still says the peer",
      { peers: [pods("app=db", "")], ports: [port("tcp:http"), port("tcp:1")] },
      [
        "-j MARK --set-xmark 0x0/0x180000",
        "-p tcp -m multiport --dports 1 -j MARK --set-xmark 0x80000/0x80000",
        "-m set --match-set {port http/TCP of pods with app=db in every namespace} dst,dst -j MARK --set-xmark 0x80000/0x80000",
        `-p tcp -m set --match-set {pods with app=db in every namespace} dst -m mark --mark 0x80000/0x80000 ${ALLOW}`,
      ],
    ],
    [
      "with a named port to a block means the ports of pods in it",
      { peers: [block("10.0.0.0/8")], ports: [port("tcp:http")] },
      [`-d 10.0.0.0/8 -p tcp -m set --match-set {port http/TCP of every pod} dst,dst ${ALLOW}`],
    ],
  ])("%s", (_, rule, expected) => {
    expect(compile("egress", [rule])).toEqual(expected);
  });
});

describe("a peer of a cluster-wide policy", () => {
  const networks: PolicyPeer = {
    kind: "networks",
    prefixes: [prefix("10.0.0.0/8"), prefix("fd00::/8"), prefix("192.168.0.0/16")],
    place: HERE,
  };
  const nodes: PolicyPeer = { kind: "nodes", nodeSelector: selector("a=b"), place: HERE };
  const domains: PolicyPeer = { kind: "domains", domainNames: ["a.b", "*.c.d"], place: HERE };

  it("is any of its networks of the family, in a match block where there are several", () => {
    expect(compile("egress", [{ peers: [networks] }])).toEqual([
      "-j MARK --set-xmark 0x0/0x180000",
      "-d 10.0.0.0/8 -j MARK --set-xmark 0x80000/0x80000",
      "-d 192.168.0.0/16 -j MARK --set-xmark 0x80000/0x80000",
      `-m mark --mark 0x80000/0x80000 ${ALLOW}`,
    ]);
    expect(compile("egress", [{ peers: [networks] }], 6)).toEqual([`-d fd00::/8 ${ALLOW}`]);
  });

  it("is a set of nodes' addresses, that no pod has where not all nodes are known", () => {
    const [rule] = compile("egress", [{ peers: [nodes], ports: [port("tcp:80")] }]);
    expect(rule).toBe(
      "-p tcp -m set --match-set {nodes with a=b} dst -m multiport --dports 80 " +
        `-m set ! --match-set {every pod in every namespace} dst ${ALLOW}`,
    );
    const known = { ...CLUSTER, nodeByName: new Map([["n", node("n", ["10.9.9.9"])]]) };
    expect(compile("egress", [{ peers: [nodes] }], 4, known)).toEqual([
      `-m set --match-set {nodes with a=b} dst ${ALLOW}`,
    ]);
  });

  it("is a set for each domain name, with the addresses that are known", () => {
    expect(compile("egress", [{ peers: [domains] }])).toEqual([
      `-m set --match-set {a.b} dst ${ALLOW}`,
      RETURN,
      `-m set --match-set {*.c.d} dst ${ALLOW}`,
    ]);
    const told = {
      ...CLUSTER,
      addressesByDomain: new Map([
        ["x.c.d", [address("10.5.5.5")]],
        ["*.y.c.d", [address("10.5.5.6")]],
      ]),
    };
    const sets = new SetCollector(4, new PeerMeanings(told));
    for (const name of ["*.C.d.", "c.d", "X.c.d", "*.y.c.d"]) sets.domainSet(name);
    const said = sets
      .sets()
      .map((set) => [
        set.origin?.description,
        set.kind === "hash:net" ? set.members.length : undefined,
        set.origin?.unknown,
      ]);
    expect(said).toHaveLength(4);
    expect(said).toEqual(
      expect.arrayContaining([
        // What is told of one such name does not say what others have.
        ["*.C.d.", 2, true],
        ["c.d", 0, true],
        ["X.c.d", 1, undefined],
        ["*.y.c.d", 1, undefined],
      ]),
    );
  });

  it("has no ports by name where it is no pod", () => {
    const ports = [port("tcp:http"), port("tcp:80")];
    expect(compile("egress", [{ peers: [nodes], ports: [port("tcp:http")] }])).toEqual([""]);
    expect(compile("egress", [{ peers: [domains], ports }])[0]).toBe(
      `-p tcp -m set --match-set {a.b} dst -m multiport --dports 80 ${ALLOW}`,
    );
  });
});

describe("a rule's action", () => {
  const blocked = { peers: [block("10.0.0.0/8", ["10.1.0.0/16"])] };

  it("denies by a bit and a drop, in whatever place", () => {
    expect(compile("ingress", [{ action: "deny", ports: [port("tcp:80")] }, {}])).toEqual([
      "-p tcp -m multiport --dports 80 -j MARK --set-xmark 0x40000/0x40000",
      "-m mark --mark 0x40000/0x40000 -j DROP",
      ALLOW,
    ]);
  });

  it("passes by a bit of its own, behind match blocks too", () => {
    expect(compile("egress", [{ action: "pass", ...blocked }, { action: "deny" }])).toEqual([
      "-j MARK --set-xmark 0x80000/0x180000",
      "-d 10.1.0.0/16 -j MARK --set-xmark 0x0/0x80000",
      "-d 10.0.0.0/8 -m mark --mark 0x80000/0x80000 -j MARK --set-xmark 0x20000/0x20000",
      "-m mark --mark 0x20000/0x20000 -j RETURN",
      "-j MARK --set-xmark 0x40000/0x40000",
      "-m mark --mark 0x40000/0x40000 -j DROP",
    ]);
  });

  it("logs and goes on", () => {
    expect(compile("ingress", [{ action: "log" }, {}])).toEqual([
      '-j LOG --log-prefix "calico-packet: " --log-level 5',
      ALLOW,
    ]);
  });
});

describe("compilePolicyChain", () => {
  it("has one rule that only names the policy when nothing is allowed", () => {
    const chain = compilePolicyChain(policy("a/p", { ingress: [] }), "ingress", {
      family: 4,
      sets: new SetCollector(4, new PeerMeanings(CLUSTER)),
      dialect: DEFAULT_DIALECT,
    });
    expect(chain.rules.map((rule) => renderRule(chain.name, rule, 4))).toEqual([
      '-A cali-pi-knp/a/p -m comment --comment "KubernetesNetworkPolicy a/p ingress"',
    ]);
  });

  it("renders the same policy for IPv6 with sets of that family", () => {
    expect(compile("ingress", [{ peers: [block("10.0.0.0/8"), block("fd00::/8")] }], 6)).toEqual([
      `-s fd00::/8 ${ALLOW}`,
    ]);
    const sets = new SetCollector(6, new PeerMeanings(CLUSTER));
    compilePolicyChain(policy("a/p", { ingress: [{ peers: [pods("", "")] }] }), "ingress", {
      family: 6,
      sets,
      dialect: DEFAULT_DIALECT,
    });
    expect(sets.sets()).toMatchObject([{ family: 6, members: [{ bits: 128 }] }]);
  });

  it("marks preparations as parts and names rule and policy", () => {
    const given = policy("a/p", {
      ingress: [{}, { peers: [block("10.0.0.0/8", ["10.1.0.0/16"])] }],
    });
    const chain = compilePolicyChain(given, "ingress", {
      family: 4,
      sets: new SetCollector(4, new PeerMeanings(CLUSTER)),
      dialect: DEFAULT_DIALECT,
    });
    const origins = chain.rules.map(({ origin }) =>
      origin?.kind === "policy-rule" ? `${origin.effect} ${origin.rule}` : "none",
    );
    expect(origins).toEqual(["allow 0", "none", "part 1", "part 1", "allow 1"]);
  });
});

describe("SetCollector", () => {
  it("puts the ports so named, with their protocol, into a set", () => {
    const sets = new SetCollector(4, new PeerMeanings(CLUSTER));
    sets.portSet({ name: "http", protocol: "TCP" }, undefined);
    expect(sets.sets()).toMatchObject([
      {
        kind: "hash:ip,port",
        members: [
          { protocol: 6, port: 8080 },
          { protocol: 6, port: 81 },
        ],
        origin: { incomplete: true },
      },
    ]);
  });
});
