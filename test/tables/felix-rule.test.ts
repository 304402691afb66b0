/** One rule of a policy and the exact iptables rules it becomes; Felix's own expectations among them. */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { renderMatch } from "../../src/match/index.ts";
import { parsePrefix } from "../../src/net/address.ts";
import type { Family, Prefix } from "../../src/net/address.ts";
import { protocolNumber } from "../../src/net/protocol.ts";
import type { RuleAction } from "../../src/policy/model.ts";
import { renderFelixRule, ruleMatches } from "../../src/tables/felix-rule.ts";
import type { FelixRule, FelixSide, IcmpType } from "../../src/tables/felix-rule.ts";
import { renderRule } from "../../src/tables/iptables.ts";
import { setName } from "../../src/tables/names.ts";
import { haveOracle, oraclePath } from "../corpus.ts";

const prefix = (text: string): Prefix => parsePrefix(text)!.prefix;
const ports = (text: string) =>
  text.split(",").map((item) => {
    const [first, last] = item.split("-").map(Number);
    return { first: first!, last: last ?? first! };
  });
const side = (given: {
  nets?: string;
  notNets?: string;
  ports?: string;
  notPorts?: string;
  sets?: readonly string[];
  portSets?: readonly string[];
  serviceSet?: string;
}): FelixSide => ({
  ...(given.nets === undefined ? {} : { nets: given.nets.split(",").map(prefix) }),
  ...(given.notNets === undefined ? {} : { notNets: given.notNets.split(",").map(prefix) }),
  ...(given.ports === undefined ? {} : { ports: ports(given.ports) }),
  ...(given.notPorts === undefined ? {} : { notPorts: ports(given.notPorts) }),
  ...(given.sets === undefined ? {} : { sets: given.sets }),
  ...(given.portSets === undefined ? {} : { portSets: given.portSets }),
  ...(given.serviceSet === undefined ? {} : { serviceSet: given.serviceSet }),
});

/** The rules as iptables-save prints them, without the chain's name. */
function rendered(
  rule: Partial<FelixRule>,
  action: RuleAction = "allow",
): { lines: string[]; wider: boolean } {
  const whole: FelixRule = { source: {}, destination: {}, ...rule };
  const { rules, wider } = renderFelixRule(whole, {
    action,
    family: 4,
    origin: () => ({ kind: "node-traffic" }),
  });
  return { lines: rules.map((one) => renderRule("x", one, 4).replace("-A x ", "")), wider };
}

const ALLOW = "-j MARK --set-xmark 0x10000/0x10000";
const RETURN = "-m mark --mark 0x10000/0x10000 -j RETURN";
const S0 = "-m mark --mark 0x80000/0x80000";
const SET_S0 = "-j MARK --set-xmark 0x80000/0x80000";
const SET_S1 = "-j MARK --set-xmark 0x100000/0x100000";
const AND_S1 = "-m mark --mark 0x0/0x100000 -j MARK --set-xmark 0x0/0x80000";
const CLEAR_S0 = "-j MARK --set-xmark 0x0/0x80000";
const BEGIN = "-j MARK --set-xmark 0x0/0x180000";
const BEGIN_NEGATED = "-j MARK --set-xmark 0x80000/0x180000";

describe("renderFelixRule", () => {
  it.each<[string, Partial<FelixRule>, string[]]>([
    [
      "everything in one rule where it fits, in Felix's order",
      {
        protocol: 6,
        source: { ...side({ nets: "10.0.0.0/8", sets: ["a"], ports: "1", portSets: [] }) },
        destination: {
          ...side({ sets: ["b"], serviceSet: "s", ports: "80,443", notPorts: "1-2" }),
          notSets: ["c"],
        },
      },
      [
        `-s 10.0.0.0/8 -p tcp -m set --match-set a src -m multiport --sports 1 -m set --match-set b dst -m set --match-set s dst,dst -m multiport --dports 80,443 -m set ! --match-set c dst -m multiport ! --dports 1:2 ${ALLOW}`,
        RETURN,
      ],
    ],
    [
      "exceptions of one prefix (R-15)",
      {
        protocol: 6,
        source: side({ nets: "10.0.0.0/8", notNets: "10.1.0.0/16" }),
        destination: side({ ports: "80,443" }),
      },
      [
        BEGIN_NEGATED,
        `-s 10.1.0.0/16 ${CLEAR_S0}`,
        `-s 10.0.0.0/8 -p tcp -m multiport --dports 80,443 ${S0} ${ALLOW}`,
        RETURN,
      ],
    ],
    [
      "one negated prefix",
      { source: side({ notNets: "10.1.0.0/16" }) },
      [`! -s 10.1.0.0/16 ${ALLOW}`, RETURN],
    ],
    [
      "two negated prefixes",
      { destination: side({ notNets: "10.1.0.0/16,10.2.0.0/16" }) },
      [
        BEGIN_NEGATED,
        `-d 10.1.0.0/16 ${CLEAR_S0}`,
        `-d 10.2.0.0/16 ${CLEAR_S0}`,
        `${S0} ${ALLOW}`,
        RETURN,
      ],
    ],
    [
      "a positive block, then a negated one",
      { source: side({ nets: "10.0.0.0/16,11.0.0.0/16", notNets: "10.0.1.0/24,11.0.1.0/24" }) },
      [
        BEGIN,
        `-s 10.0.0.0/16 ${SET_S0}`,
        `-s 11.0.0.0/16 ${SET_S0}`,
        `-s 10.0.1.0/24 ${CLEAR_S0}`,
        `-s 11.0.1.0/24 ${CLEAR_S0}`,
        `${S0} ${ALLOW}`,
        RETURN,
      ],
    ],
    [
      "two positive prefixes and one negated keep the negated one in the rule",
      { source: side({ nets: "10.0.0.0/16,11.0.0.0/16", notNets: "10.0.1.0/24" }) },
      [
        BEGIN,
        `-s 10.0.0.0/16 ${SET_S0}`,
        `-s 11.0.0.0/16 ${SET_S0}`,
        `! -s 10.0.1.0/24 ${S0} ${ALLOW}`,
        RETURN,
      ],
    ],
    [
      "numeric and named ports together",
      { protocol: 17, destination: side({ ports: "53", portSets: ["n"] }) },
      [
        BEGIN,
        `-p udp -m multiport --dports 53 ${SET_S0}`,
        `-m set --match-set n dst,dst ${SET_S0}`,
        `-p udp ${S0} ${ALLOW}`,
        RETURN,
      ],
    ],
    [
      "sixteen ports",
      { protocol: 6, source: side({ ports: "1,2,3,4,5,6,7,8,9,10,11,12,13,14-15,16" }) },
      [
        BEGIN,
        `-p tcp -m multiport --sports 1,2,3,4,5,6,7,8,9,10,11,12,13,14:15 ${SET_S0}`,
        `-p tcp -m multiport --sports 16 ${SET_S0}`,
        `-p tcp ${S0} ${ALLOW}`,
        RETURN,
      ],
    ],
    [
      "two positive blocks",
      { protocol: 6, source: side({ nets: "10.0.0.0/16,11.0.0.0/16", portSets: ["n", "m"] }) },
      [
        BEGIN,
        `-m set --match-set n src,src ${SET_S0}`,
        `-m set --match-set m src,src ${SET_S0}`,
        `-s 10.0.0.0/16 ${SET_S1}`,
        `-s 11.0.0.0/16 ${SET_S1}`,
        AND_S1,
        `-p tcp ${S0} ${ALLOW}`,
        RETURN,
      ],
    ],
  ])("has %s", (_, rule, lines) => {
    expect(rendered(rule)).toEqual({ lines, wider: false });
  });

  it("does not clear the second scratch bit between blocks, and says what follows (R-14)", () => {
    const { lines, wider } = rendered({
      protocol: 6,
      source: side({ nets: "10.0.0.0/16,11.0.0.0/16", portSets: ["n", "m"] }),
      destination: side({ nets: "12.0.0.0/16,13.0.0.0/16" }),
    });
    expect(wider).toBe(true);
    expect(lines).toEqual([
      BEGIN,
      `-m set --match-set n src,src ${SET_S0}`,
      `-m set --match-set m src,src ${SET_S0}`,
      `-s 10.0.0.0/16 ${SET_S1}`,
      `-s 11.0.0.0/16 ${SET_S1}`,
      AND_S1,
      `-d 12.0.0.0/16 ${SET_S1}`,
      `-d 13.0.0.0/16 ${SET_S1}`,
      AND_S1,
      `-p tcp ${S0} ${ALLOW}`,
      RETURN,
    ]);
  });

  it.each<[RuleAction, string[]]>([
    ["allow", [`-p tcp ${ALLOW}`, RETURN]],
    [
      "pass",
      ["-p tcp -j MARK --set-xmark 0x20000/0x20000", "-m mark --mark 0x20000/0x20000 -j RETURN"],
    ],
    [
      "deny",
      ["-p tcp -j MARK --set-xmark 0x40000/0x40000", "-m mark --mark 0x40000/0x40000 -j DROP"],
    ],
    ["log", ['-p tcp -j LOG --log-prefix "calico-packet: " --log-level 5']],
  ])("ends in what the action %s is", (action, lines) => {
    expect(rendered({ protocol: 6 }, action).lines).toEqual(lines);
  });
});

// ── Felix's own unit tests ───────────────────────────────────────────────────────────────────────────

interface Vector {
  readonly name: string;
  readonly ipVersion: Family;
  readonly rule: VectorRule;
  readonly expectedMatch: string;
}

interface VectorRule {
  readonly [key: string]: unknown;
  readonly Protocol?: string | number;
  readonly NotProtocol?: string | number;
  readonly Icmp?: IcmpType;
  readonly NotIcmp?: IcmpType;
}

/** Felix writes long options, and the protocol as the policy does. */
function asSaved(text: string): string {
  return text
    .replaceAll("--source ", "-s ")
    .replaceAll("--destination ", "-d ")
    .replaceAll("--source-ports ", "--sports ")
    .replaceAll("--destination-ports ", "--dports ")
    .replace("-p 8", "-p egp");
}

function vectorRule(rule: VectorRule, family: Family): FelixRule {
  const texts = (key: string) => (rule[key] ?? []) as readonly string[];
  const ranges = (key: string) =>
    ((rule[key] ?? []) as readonly { First: number; Last: number }[]).map(({ First, Last }) => ({
      first: First,
      last: Last,
    }));
  const sideOf = (name: "Src" | "Dst"): FelixSide => ({
    nets: texts(`${name}Net`).map(prefix),
    notNets: texts(`Not${name}Net`).map(prefix),
    sets: texts(`${name}IpSetIds`).map((id) => setName(family, id)),
    notSets: texts(`Not${name}IpSetIds`).map((id) => setName(family, id)),
    ports: ranges(`${name}Ports`),
    notPorts: ranges(`Not${name}Ports`),
  });
  const number = (protocol: string | number | undefined) =>
    typeof protocol === "string" ? protocolNumber(protocol) : protocol;
  return {
    protocol: number(rule.Protocol),
    notProtocol: number(rule.NotProtocol),
    icmp: rule.Icmp,
    notIcmp: rule.NotIcmp,
    source: sideOf("Src"),
    destination: sideOf("Dst"),
  };
}

function vectors(): readonly Vector[] {
  if (!haveOracle("calico-felix-rule-render")) return [];
  const text = readFileSync(oraclePath("calico-felix-rule-render", "vectors.json"), "utf8");
  return (JSON.parse(text) as { readonly cases: readonly Vector[] }).cases;
}

describe("Felix's expectations for single rules", () => {
  const all = vectors();
  it.runIf(all.length > 0)("are all here", () => expect(all).toHaveLength(37));

  it.each(all.map((vector, index) => ({ title: `${index + 1}: ${vector.name}`, ...vector })))(
    "hold: $title",
    ({ rule, ipVersion, expectedMatch }) => {
      const given = vectorRule(rule, ipVersion);
      const known = ["Protocol", "NotProtocol", "Icmp", "NotIcmp"];
      expect(
        Object.keys(rule).filter(
          (key) => !known.includes(key) && !/^(Not)?(Src|Dst)(Net|IpSetIds|Ports)$/.test(key),
        ),
      ).toEqual([]);
      const matches = ruleMatches(given, {
        source: given.source,
        destination: given.destination,
        family: ipVersion,
      });
      const text = matches.map((match) => renderMatch(match, ipVersion)).join(" ");
      expect(text).toBe(asSaved(expectedMatch));
    },
  );
});
