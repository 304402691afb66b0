import { describe, expect, it } from "vitest";

import { formatSelector } from "../../src/cluster/selector.ts";
import { formatPlace } from "../../src/errors.ts";
import { formatPrefix } from "../../src/net/address.ts";
import type {
  LabelledPods,
  PeerRule,
  Policy,
  PolicyPeer,
  PolicyPort,
  PolicyRule,
} from "../../src/policy/model.ts";
import { load } from "../cluster/load.ts";

const HEAD = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: p}\n";

/** One policy from its spec in flow style, on line 4. */
function lower(spec: string): { policy: Policy | undefined; said: readonly string[] } {
  const { policies, said } = load(`${HEAD}spec: ${spec}\n`);
  return { policy: policies[0], said };
}

function fine(spec: string): Policy {
  const { policy, said } = lower(spec);
  expect(said).toEqual([]);
  return policy!;
}

/** Both directions in one line; `-` is a direction that the policy does not apply to. */
function shape({ ingress, egress }: Policy): string {
  const rules = (list: readonly PolicyRule[] | undefined): string =>
    list === undefined ? "-" : `[${list.map(showRule).join(" ")}]`;
  return `ingress ${rules(ingress)} egress ${rules(egress)}`;
}

function showRule(rule: PolicyRule): string {
  const { peers, ports } = rule as PeerRule;
  const peersText = peers === undefined ? "any" : peers.map(showPeer).join("|");
  const portsText = ports === undefined ? "any" : ports.map(showPort).join("|");
  return `${peersText}:${portsText}`;
}

function showPeer(peer: PolicyPeer): string {
  if (peer.kind === "block") {
    return [peer.prefix, ...peer.except].map(formatPrefix).join("-");
  }
  if (peer.kind !== "pods") throw new Error(`a NetworkPolicy has no peer of kind ${peer.kind}`);
  const [namespaces, pods] = [peer.selector.namespaceSelector, peer.selector.podSelector].map(
    (selector) => (selector === undefined ? "" : formatSelector(selector)),
  );
  return `{${namespaces}/${pods}}`;
}

function showPort(port: PolicyPort): string {
  return port.kind === "named"
    ? `${port.protocol}/${port.name}`
    : `${port.protocol}/${port.first}-${port.last}`;
}

describe("NetworkPolicy", () => {
  it.each([
    // K-3: policyTypes
    ["{podSelector: {}}", "ingress [] egress -"],
    ["{podSelector: {}, policyTypes: []}", "ingress [] egress -"],
    ["{podSelector: {}, policyTypes: null, egress: null}", "ingress [] egress -"],
    ["{podSelector: {}, egress: []}", "ingress [] egress -"],
    ["{podSelector: {}, egress: [{}]}", "ingress [] egress [any:any]"],
    ["{podSelector: {}, policyTypes: [Egress]}", "ingress - egress []"],
    ["{podSelector: {}, policyTypes: [Egress], ingress: [{}]}", "ingress - egress []"],
    ["{podSelector: {}, policyTypes: [Ingress], egress: [{}]}", "ingress [] egress -"],
    ["{podSelector: {}, policyTypes: [Egress, Ingress]}", "ingress [] egress []"],
    ["{podSelector: {}, policyTypes: [Ingress, Ingress]}", "ingress [] egress -"],
    // K-4: emptiness of rules, peers and ports
    ["{podSelector: {}, ingress: [{}]}", "ingress [any:any] egress -"],
    ["{podSelector: {}, ingress: [null]}", "ingress [any:any] egress -"],
    ["{podSelector: {}, ingress: [{from: [], ports: []}]}", "ingress [any:any] egress -"],
    ["{podSelector: {}, ingress: [{from: null, ports: null}]}", "ingress [any:any] egress -"],
    // K-5: ports
    ["{podSelector: {}, ingress: [{ports: [{}]}]}", "ingress [any:TCP/0-65535] egress -"],
    [
      "{podSelector: {}, ingress: [{ports: [{protocol: UDP}]}]}",
      "ingress [any:UDP/0-65535] egress -",
    ],
    [
      "{podSelector: {}, ingress: [{ports: [{port: 80}, {port: 53, protocol: UDP}]}]}",
      "ingress [any:TCP/80-80|UDP/53-53] egress -",
    ],
    [
      "{podSelector: {}, ingress: [{ports: [{port: 80, endPort: 80}]}]}",
      "ingress [any:TCP/80-80] egress -",
    ],
    [
      "{podSelector: {}, ingress: [{ports: [{port: 1, endPort: 65535, protocol: SCTP}]}]}",
      "ingress [any:SCTP/1-65535] egress -",
    ],
    [
      "{podSelector: {}, ingress: [{ports: [{port: http-2}]}]}",
      "ingress [any:TCP/http-2] egress -",
    ],
    // K-6: peers
    [
      "{podSelector: {}, ingress: [{from: [{podSelector: {}}]}]}",
      "ingress [{/<all>}:any] egress -",
    ],
    [
      "{podSelector: {}, ingress: [{from: [{namespaceSelector: {}}]}]}",
      "ingress [{<all>/<all>}:any] egress -",
    ],
    [
      "{podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {a: b}}, podSelector: {matchLabels: {c: d}}}]}]}",
      "ingress [{a=b/c=d}:any] egress -",
    ],
    [
      "{podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {a: b}}}, {podSelector: {matchLabels: {c: d}}}]}]}",
      "ingress [{a=b/<all>}|{/c=d}:any] egress -",
    ],
    // K-8: blocks
    [
      "{podSelector: {}, egress: [{to: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16, 10.2.0.0/16]}}]}]}",
      "ingress [] egress [10.0.0.0/8-10.1.0.0/16-10.2.0.0/16:any]",
    ],
    [
      "{podSelector: {}, egress: [{to: [{ipBlock: {cidr: '::/0', except: []}}]}]}",
      "ingress [] egress [::/0:any]",
    ],
    [
      "{podSelector: {}, egress: [{to: [{ipBlock: {cidr: 0.0.0.0/0}}]}]}",
      "ingress [] egress [0.0.0.0/0:any]",
    ],
  ])("reads %s", (spec, expected) => {
    expect(shape(fine(spec))).toBe(expected);
  });

  it.each([
    ["{}", "<all>"],
    ["{matchLabels: {}, matchExpressions: []}", "<all>"],
    ["{matchLabels: {a: b, x.io/c: ''}}", "a=b,x.io/c="],
    ["{matchLabels: {a: null}}", "a="],
    [
      "{matchExpressions: [{key: a, operator: In, values: [x, y]}, {key: b, operator: NotIn, values: [z]}]}",
      "a in (x,y),b!=z",
    ],
    [
      "{matchExpressions: [{key: a, operator: Exists}, {key: b, operator: DoesNotExist, values: []}]}",
      "a,!b",
    ],
    ["{matchLabels: {constructor: toString}}", "constructor=toString"],
  ])("reads selector %s (K-7)", (selector, expected) => {
    expect(
      formatSelector((fine(`{podSelector: ${selector}}`).subject as LabelledPods).podSelector!),
    ).toBe(expected);
  });

  // K-13, in the words of the API server where it has some.
  it.each([
    [
      "{podSelecter: {}}",
      '1:podSelecter spec.podSelecter: unknown field "podSelecter" (did you mean "podSelector"?) [UNKNOWN_FIELD]',
    ],
    [
      "{podSelector: {}, ingres: []}",
      '1:ingres spec.ingres: unknown field "ingres" (did you mean "ingress"?) [UNKNOWN_FIELD]',
    ],
    [
      "{podSelector: {}, ingress: [{ports: [{protocl: TCP}]}]}",
      '1:protocl spec.ingress[0].ports[0].protocl: unknown field "protocl" (did you mean "protocol"?) [UNKNOWN_FIELD]',
    ],
    [
      "{podSelector: {}, ingress: [{to: []}]}",
      '1:to: spec.ingress[0].to: unknown field "to" (did you mean "from"?) [UNKNOWN_FIELD]',
    ],
    [
      "{podSelector: {}, egress: [{from: []}]}",
      '1:from spec.egress[0].from: unknown field "from" (did you mean "to"?) [UNKNOWN_FIELD]',
    ],
    [
      "{podSelector: {app: web}}",
      '1:app: spec.podSelector.app: unknown field "app" [UNKNOWN_FIELD]',
    ],
    [
      "{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8, excepts: []}}]}]}",
      '1:excepts spec.ingress[0].from[0].ipBlock.excepts: unknown field "excepts" (did you mean "except"?) [UNKNOWN_FIELD]',
    ],
    [
      "{podSelector: [], ingress: []}",
      "1:[] spec.podSelector: must be a map, not a list [BAD_VALUE]",
    ],
    ["{podSelector: {}, ingress: {}}", "2:{} spec.ingress: must be a list, not a map [BAD_VALUE]"],
    ["{podSelector: {}, ingress: [x]}", '1:x] spec.ingress[0]: must be a map, not "x" [BAD_VALUE]'],
    [
      "{podSelector: {}, policyTypes: [ingress]}",
      '1:ingress spec.policyTypes[0]: "ingress" is no policy type: Ingress or Egress (did you mean "Ingress"?) [BAD_VALUE]',
    ],
    [
      "{podSelector: {}, policyTypes: [null]}",
      '1:null spec.policyTypes[0]: "" is no policy type: Ingress or Egress [BAD_VALUE]',
    ],
    [
      "{podSelector: {}, policyTypes: [Ingress, Egress, Ingress]}",
      "1:[Ing spec.policyTypes: may not specify more than two policyTypes [BAD_VALUE]",
    ],
    [
      "{podSelector: {}, policyTypes: Ingress}",
      '1:Ingress spec.policyTypes: must be a list, not "Ingress" [BAD_VALUE]',
    ],
    // ports
    [
      "{podSelector: {}, ingress: [{ports: [{port: 0}]}]}",
      "1:0}] spec.ingress[0].ports[0].port: 0 is no port: 1 to 65535 [BAD_PORT]",
    ],
    [
      "{podSelector: {}, ingress: [{ports: [{port: 70000}]}]}",
      "1:70000 spec.ingress[0].ports[0].port: 70000 is no port: 1 to 65535 [BAD_PORT]",
    ],
    [
      "{podSelector: {}, ingress: [{ports: [{port: -1}]}]}",
      "1:-1 spec.ingress[0].ports[0].port: -1 is no port: 1 to 65535 [BAD_PORT]",
    ],
    [
      "{podSelector: {}, ingress: [{ports: [{port: 80.5}]}]}",
      "1:80.5 spec.ingress[0].ports[0].port: must be a whole number or a port name [BAD_PORT]",
    ],
    [
      "{podSelector: {}, ingress: [{ports: [{port: true}]}]}",
      "1:true spec.ingress[0].ports[0].port: must be a whole number or a port name [BAD_PORT]",
    ],
    [
      "{podSelector: {}, ingress: [{ports: [{port: '80'}]}]}",
      `1:'80' spec.ingress[0].ports[0].port: "80" in quotes is a port name, and a name needs a letter: write 80 [BAD_PORT]`,
    ],
    [
      "{podSelector: {}, ingress: [{ports: [{port: HTTP}]}]}",
      '1:HTTP spec.ingress[0].ports[0].port: "HTTP" is no port name: at most 15 lower-case letters, digits and single "-", one letter at least [BAD_PORT]',
    ],
    [
      "{podSelector: {}, ingress: [{ports: [{port: a--b}]}]}",
      '1:a--b spec.ingress[0].ports[0].port: "a--b" is no port name: at most 15 lower-case letters, digits and single "-", one letter at least [BAD_PORT]',
    ],
    [
      "{podSelector: {}, ingress: [{ports: [{port: abcdefghijklmnop}]}]}",
      '1:abcdef spec.ingress[0].ports[0].port: "abcdefghijklmnop" is no port name: at most 15 lower-case letters, digits and single "-", one letter at least [BAD_PORT]',
    ],
    [
      "{podSelector: {}, ingress: [{ports: [{port: ''}]}]}",
      `1:'' spec.ingress[0].ports[0].port: "" is no port name: at most 15 lower-case letters, digits and single "-", one letter at least [BAD_PORT]`,
    ],
    [
      "{podSelector: {}, ingress: [{ports: [{port: 90, endPort: 80}]}]}",
      "1:80}] spec.ingress[0].ports[0].endPort: port range 90-80: end is below start [BAD_PORT_RANGE]",
    ],
    [
      "{podSelector: {}, ingress: [{ports: [{port: 90, endPort: 65536}]}]}",
      "1:65536 spec.ingress[0].ports[0].endPort: 65536 is no port: 1 to 65535 [BAD_PORT]",
    ],
    [
      "{podSelector: {}, ingress: [{ports: [{port: 90, endPort: '99'}]}]}",
      `1:'99' spec.ingress[0].ports[0].endPort: must be a whole number, not "99" [BAD_VALUE]`,
    ],
    [
      "{podSelector: {}, ingress: [{ports: [{endPort: 80}]}]}",
      "1:80} spec.ingress[0].ports[0].endPort: may not be specified when `port` is not specified [BAD_PORT]",
    ],
    [
      "{podSelector: {}, ingress: [{ports: [{port: http, endPort: 80}]}]}",
      "1:80} spec.ingress[0].ports[0].endPort: may not be specified when `port` is non-numeric [BAD_PORT]",
    ],
    [
      "{podSelector: {}, ingress: [{ports: [{protocol: tcp}]}]}",
      '1:tcp spec.ingress[0].ports[0].protocol: "tcp" is no protocol: TCP, UDP or SCTP (did you mean "TCP"?) [BAD_VALUE]',
    ],
    [
      "{podSelector: {}, ingress: [{ports: [{protocol: ICMP}]}]}",
      '1:ICMP spec.ingress[0].ports[0].protocol: "ICMP" is no protocol: TCP, UDP or SCTP [BAD_VALUE]',
    ],
    [
      "{podSelector: {}, ingress: [{ports: [{protocol: 6}]}]}",
      "1:6}] spec.ingress[0].ports[0].protocol: must be a string, not the number 6: put it in quotes [BAD_VALUE]",
    ],
    // peers
    [
      "{podSelector: {}, ingress: [{from: [{}]}]}",
      "1:{}] spec.ingress[0].from[0]: must specify a peer: podSelector, namespaceSelector or ipBlock [BAD_PEER]",
    ],
    [
      "{podSelector: {}, ingress: [{from: [{podSelector: null}]}]}",
      "1:{podSelector: null spec.ingress[0].from[0]: must specify a peer: podSelector, namespaceSelector or ipBlock [BAD_PEER]",
    ],
    [
      "{podSelector: {}, ingress: [{from: [{podSelector: {}, ipBlock: {cidr: 10.0.0.0/8}}]}]}",
      "1:{cidr spec.ingress[0].from[0].ipBlock: may not specify both ipBlock and another peer [BAD_PEER]",
    ],
    [
      "{podSelector: {}, ingress: [{from: [{namespaceSelector: {}, ipBlock: {cidr: 10.0.0.0/8}}]}]}",
      "1:{cidr spec.ingress[0].from[0].ipBlock: may not specify both ipBlock and another peer [BAD_PEER]",
    ],
    // blocks
    [
      "{podSelector: {}, ingress: [{from: [{ipBlock: {}}]}]}",
      "1:{}}]}]} spec.ingress[0].from[0].ipBlock.cidr: is required [MISSING_FIELD]",
    ],
    [
      "{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: ''}}]}]}",
      `1:'' spec.ingress[0].from[0].ipBlock.cidr: "" is no prefix: ADDRESS/BITS, without leading zeros [BAD_PREFIX]`,
    ],
    [
      "{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/33}}]}]}",
      '1:10.0 spec.ingress[0].from[0].ipBlock.cidr: "10.0.0.0/33" is no prefix: ADDRESS/BITS, without leading zeros [BAD_PREFIX]',
    ],
    [
      "{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.1}}]}]}",
      '1:10.0 spec.ingress[0].from[0].ipBlock.cidr: "10.0.0.1" is no prefix: ADDRESS/BITS, without leading zeros [BAD_PREFIX]',
    ],
    [
      "{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 010.0.0.0/8}}]}]}",
      '1:010 spec.ingress[0].from[0].ipBlock.cidr: "010.0.0.0/8" is no prefix: ADDRESS/BITS, without leading zeros [BAD_PREFIX]',
    ],
    [
      "{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: '::ffff:10.0.0.0/104'}}]}]}",
      `1:'::ffff spec.ingress[0].from[0].ipBlock.cidr: "::ffff:10.0.0.0/104" is no prefix: ADDRESS/BITS, without leading zeros [BAD_PREFIX]`,
    ],
    [
      "{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8, except: [11.0.0.0/16]}}]}]}",
      "1:11.0 spec.ingress[0].from[0].ipBlock.except[0]: 11.0.0.0/16 is not a strict subset of 10.0.0.0/8 [BAD_PREFIX]",
    ],
    [
      "{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.0.0.0/8]}}]}]}",
      "2:10.0 spec.ingress[0].from[0].ipBlock.except[0]: 10.0.0.0/8 is not a strict subset of 10.0.0.0/8 [BAD_PREFIX]",
    ],
    [
      "{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8, except: ['fd00::/64']}}]}]}",
      "1:'fd00 spec.ingress[0].from[0].ipBlock.except[0]: fd00::/64 is not a strict subset of 10.0.0.0/8 [BAD_PREFIX]",
    ],
    [
      "{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8, except: [null]}}]}]}",
      "1:null spec.ingress[0].from[0].ipBlock.except[0]: is empty [BAD_PREFIX]",
    ],
    // selectors
    [
      "{podSelector: {matchExpressions: [{key: a, operator: in, values: [b]}]}}",
      '1:in, spec.podSelector.matchExpressions[0].operator: "in" is no operator: one of In, NotIn, Exists, DoesNotExist [BAD_SELECTOR]',
    ],
    [
      "{podSelector: {matchExpressions: [{key: a}]}}",
      "1:{key spec.podSelector.matchExpressions[0].operator: is required: one of In, NotIn, Exists, DoesNotExist [BAD_SELECTOR]",
    ],
    [
      "{podSelector: {matchExpressions: [{key: a, operator: In}]}}",
      "1:{key spec.podSelector.matchExpressions[0].values: operator In needs at least one value [BAD_SELECTOR]",
    ],
    [
      "{podSelector: {matchExpressions: [{key: a, operator: NotIn, values: []}]}}",
      "1:[]} spec.podSelector.matchExpressions[0].values: operator NotIn needs at least one value [BAD_SELECTOR]",
    ],
    [
      "{podSelector: {matchExpressions: [{key: a, operator: Exists, values: [b]}]}}",
      "1:[b] spec.podSelector.matchExpressions[0].values: operator Exists takes no values [BAD_SELECTOR]",
    ],
    [
      "{podSelector: {matchLabels: {a: -b}}}",
      '1:-b spec.podSelector.matchLabels.a: "-b" is no label value: at most 63 letters, digits, "-", "_" and ".", a letter or digit at both ends [BAD_SELECTOR]',
    ],
    [
      "{podSelector: {matchLabels: {a/b/c: d}}}",
      '1:d}} spec.podSelector.matchLabels[a/b/c]: "a/b/c" is no label key: an optional DNS name and "/", then at most 63 letters, digits, "-", "_" and "." [BAD_SELECTOR]',
    ],
    [
      "{podSelector: {matchLabels: {a: 1}}}",
      "1:1}} spec.podSelector.matchLabels.a: must be a string, not the number 1: put it in quotes [BAD_VALUE]",
    ],
    [
      "{podSelector: {matchLabels: [a]}}",
      "1:[a] spec.podSelector.matchLabels: must be a map, not a list [BAD_VALUE]",
    ],
    [
      "{podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {a: b}, matchExpression: []}}]}]}",
      '1:matchExpression spec.ingress[0].from[0].namespaceSelector.matchExpression: unknown field "matchExpression" (did you mean "matchExpressions"?) [UNKNOWN_FIELD]',
    ],
  ])("refuses %s (K-13)", (spec, expected) => {
    // `2:{} rest`: the sentence's place is the second `{}` of the line.
    const [, occurrence, anchor] = /^(\d):(.+?) (?=spec)/.exec(expected)!;
    let column = "spec: ".length;
    for (let count = Number(occurrence); count > 0; count--) {
      column = `spec: ${spec}`.indexOf(anchor!, column) + 1;
    }
    const { policy, said } = lower(spec);
    expect(said).toEqual([
      `a.yaml:4:${column}: error: ${expected.slice(expected.indexOf(" spec") + 1)}`,
    ]);
    expect(policy).toBeUndefined();
  });

  it("reports every fault of a policy, not only the first", () => {
    const { said } = lower(
      "{podSelector: {}, ingress: [{ports: [{port: 0}, {port: 0}]}], egres: []}",
    );
    expect(said).toHaveLength(3);
  });

  it.each([
    [
      "{policyTypes: [Ingress]}",
      "a.yaml:4:7: warning: spec.podSelector: absent, which selects every pod of namespace default: write {} to say so [MISSING_FIELD]",
    ],
    [
      "{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.1.2.3/8}}]}]}",
      "a.yaml:4:60: warning: spec.ingress[0].from[0].ipBlock.cidr: 10.1.2.3/8 has bits behind the prefix: read as 10.0.0.0/8 [BAD_PREFIX]",
    ],
  ])("warns of %s and goes on", (spec, sentence) => {
    const { policy, said } = lower(spec);
    expect(said).toEqual([sentence]);
    expect(policy?.ref.kind).toBe("networking.k8s.io NetworkPolicy");
  });

  it("takes a name that an API server would refuse, and says so", () => {
    const { policies, said } = load(
      `${HEAD.replace("p}", "a_b, namespace: X}")}spec: {podSelector: {}}\n`,
    );
    expect(policies).toHaveLength(1);
    expect(said).toEqual([
      'a.yaml:3:18: warning: metadata.name: "a_b" is no object name: lower-case letters, digits, "-" and ".", at most 253 [BAD_VALUE]',
      'a.yaml:3:34: warning: metadata.namespace: "X" is no namespace name: lower-case letters, digits and "-", at most 63 [BAD_VALUE]',
    ]);
  });

  it("refuses unknown fields beside the spec, and takes what kubectl prints", () => {
    const metadata = "{name: p, creationTimestamp: null, managedFields: [], uid: x, lables: {}}";
    const { said } = load(
      `${HEAD.replace("{name: p}", metadata)}spec: {podSelector: {}}\nstatus: {}\nspce: 1\n`,
    );
    expect(said).toEqual([
      'a.yaml:6:1: error: spce: unknown field "spce" (did you mean "spec"?) [UNKNOWN_FIELD]',
      'a.yaml:3:73: error: metadata.lables: unknown field "lables" (did you mean "labels"?) [UNKNOWN_FIELD]',
    ]);
  });

  it("keeps the place of the name, of each direction, rule, peer and port", () => {
    const text = `${HEAD}spec:
  podSelector: {}
  policyTypes:
  - Egress
  - Ingress
  ingress:
  - from:
    - podSelector: {}
    ports:
    - port: 80
`;
    const [policy] = load(text).policies;
    expect(formatPlace(policy!.ref.place)).toBe("a.yaml:3:18");
    expect(formatPlace(policy!.ingressPlace)).toBe("a.yaml:8:5");
    expect(formatPlace(policy!.egressPlace)).toBe("a.yaml:7:5");
    const [rule] = policy!.ingress as readonly PeerRule[];
    expect(rule!.index).toBe(0);
    expect(formatPlace(rule!.place)).toBe("a.yaml:10:5");
    expect(formatPlace(rule!.peers![0]!.place)).toBe("a.yaml:11:7");
    expect(formatPlace(rule!.ports![0]!.place)).toBe("a.yaml:13:7");
  });

  it("places an isolation without policyTypes at the spec, and egress at its rules", () => {
    const { policy } = lower("{podSelector: {}, egress: [{}]}");
    expect(formatPlace(policy!.ingressPlace)).toBe("a.yaml:4:7");
    expect(formatPlace(policy!.egressPlace)).toBe("a.yaml:4:25");
  });
});
