/** Each lint on a policy that falls into its trap, and on ones that nearly do. */
import { describe, expect, it } from "vitest";

import type { LintCode } from "../../src/lint/codes.ts";
import { findingsOf } from "./manifests.ts";

const namespace = (name: string, labels = "{}"): string =>
  `{apiVersion: v1, kind: Namespace, metadata: {name: ${name}, labels: ${labels}}}`;
const pod = (name: string, labels: string, more = ""): string => {
  const [home, own] = name.split("/");
  return `{apiVersion: v1, kind: Pod, metadata: {namespace: ${home}, name: ${own}, labels: ${labels}}, spec: {containers: [{name: c, image: i, ports: [{name: http, containerPort: 80}]}], nodeName: n1 ${more}}, status: {phase: Running}}`;
};
const addressed = (name: string, labels: string, ip: string): string =>
  pod(name, labels).replace("status: {", `status: {podIPs: [{ip: ${ip}}], `);
const policy = (spec: string, home = "shop"): string =>
  `{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {namespace: ${home}, name: p}, spec: ${spec}}`;
const calico = (spec: string, kind = "NetworkPolicy"): string =>
  `{apiVersion: projectcalico.org/v3, kind: ${kind}, metadata: {${kind.includes("Global") ? "" : "namespace: shop, "}name: c}, spec: ${spec}}`;
const admin = (name: string, priority: number, spec: string): string =>
  `{apiVersion: policy.networking.k8s.io/v1alpha1, kind: AdminNetworkPolicy, metadata: {name: ${name}}, spec: {priority: ${priority}, subject: {namespaces: {}}, ${spec}}}`;
const service = (name: string, ip: string): string => {
  const [home, own] = name.split("/");
  return `{apiVersion: v1, kind: Service, metadata: {namespace: ${home}, name: ${own}}, spec: {type: ClusterIP, clusterIP: ${ip}, clusterIPs: [${ip}], selector: {k8s-app: kube-dns}, ports: [{name: dns, port: 53, protocol: UDP}]}}`;
};
const node = `{apiVersion: v1, kind: Node, metadata: {name: n1}, status: {addresses: [{type: InternalIP, address: 192.168.7.1}]}}`;

const SHOP = [
  node,
  namespace("shop", "{team: shop}"),
  namespace("payments", "{team: payments}"),
  namespace("kube-system"),
  addressed("shop/web-1", "{app: web}", "10.1.1.2"),
  addressed("shop/db-1", "{app: db}", "10.1.1.3"),
  addressed("payments/api-1", "{app: api}", "10.1.1.4"),
  addressed("kube-system/dns-1", "{k8s-app: kube-dns}", "10.1.1.5"),
  service("kube-system/kube-dns", "10.96.0.10"),
];
const WEB = "podSelector: {matchLabels: {app: web}}";
const FROM = (peers: string): string => `{${WEB}, ingress: [{from: ${peers}}]}`;
const TO = (rules: string): string => `{${WEB}, policyTypes: [Egress], egress: ${rules}}`;

/** The code; what has it; what nearly has it. */
const TRAPS: readonly (readonly [LintCode, readonly string[], readonly string[]])[] = [
  [
    "SELECTS_NOTHING",
    [...SHOP, policy("{podSelector: {matchLabels: {app: wbe}}}")],
    [...SHOP, policy(`{${WEB}}`)],
  ],
  // Nobody said who lives there.
  [
    "SELECTS_NOTHING",
    [...SHOP, policy("{podSelector: {matchLabels: {app: x}}}")],
    [policy(`{${WEB}}`)],
  ],
  [
    "SELECTS_NOTHING",
    [...SHOP, calico("{selector: app == 'x'}")],
    [...SHOP, calico("{selector: app == 'web'}")],
  ],
  [
    "NAMESPACE_UNKNOWN",
    [...SHOP, policy(`{${WEB}}`, "shopp")],
    [...SHOP, namespace("empty"), policy("{podSelector: {}}", "empty")],
  ],
  [
    "NAMESPACE_UNKNOWN",
    [...SHOP, policy(`{${WEB}}`, "elsewhere")],
    [pod("shop/web-1", "{app: web}"), policy(`{${WEB}}`, "elsewhere")],
  ],
  [
    "HOST_NETWORK_SELECTED",
    [
      ...SHOP,
      pod("shop/agent", "{app: agent}", ", hostNetwork: true"),
      policy("{podSelector: {matchLabels: {app: agent}}}"),
    ],
    [
      ...SHOP,
      pod("shop/agent", "{app: agent}", ", hostNetwork: true"),
      policy("{podSelector: {}}"),
    ],
  ],
  [
    "CONTRADICTION",
    [
      policy(
        "{podSelector: {matchLabels: {app: web}, matchExpressions: [{key: app, operator: In, values: [db, x]}]}}",
      ),
    ],
    [
      policy(
        "{podSelector: {matchLabels: {app: web}, matchExpressions: [{key: app, operator: In, values: [db, web]}]}}",
      ),
    ],
  ],
  [
    "CONTRADICTION",
    [
      policy(
        FROM(
          "[{podSelector: {matchExpressions: [{key: app, operator: Exists}, {key: app, operator: DoesNotExist}]}}]",
        ),
      ),
    ],
    [
      policy(
        FROM(
          "[{podSelector: {matchExpressions: [{key: app, operator: Exists}, {key: tier, operator: DoesNotExist}]}}]",
        ),
      ),
    ],
  ],
  [
    "PEER_MATCHES_NOTHING",
    [...SHOP, policy(FROM("[{podSelector: {matchLabels: {app: api}}}]"))],
    [...SHOP, policy(FROM("[{namespaceSelector: {}, podSelector: {matchLabels: {app: api}}}]"))],
  ],
  [
    "PEER_MATCHES_NOTHING",
    [
      ...SHOP,
      calico(
        "{selector: app == 'web', ingress: [{action: Allow, source: {selector: app == 'api'}}]}",
      ),
    ],
    [
      ...SHOP,
      calico(
        "{selector: app == 'web', ingress: [{action: Allow, source: {selector: app == 'db'}}]}",
      ),
    ],
  ],
  [
    "PEER_MATCHES_NOTHING",
    [
      ...SHOP,
      calico(
        "{selector: app == 'web', ingress: [{action: Allow, source: {selector: has(app), notSelector: has(app)}}]}",
      ),
    ],
    [
      ...SHOP,
      calico(
        "{selector: app == 'web', ingress: [{action: Allow, source: {selector: has(app), notSelector: app == 'web'}}]}",
      ),
    ],
  ],
  [
    "PEER_MATCHES_NOTHING",
    [
      ...SHOP,
      calico(
        "{selector: app == 'web', ingress: [{action: Allow, destination: {selector: app == 'db'}}]}",
      ),
    ],
    [
      ...SHOP,
      calico(
        "{selector: app == 'web', ingress: [{action: Allow, destination: {selector: app == 'web'}}]}",
      ),
    ],
  ],
  [
    "NAMESPACE_LABEL_UNKNOWN",
    [
      ...SHOP,
      policy(FROM("[{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: payment}}}]")),
    ],
    [
      ...SHOP,
      policy(FROM("[{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: payments}}}]")),
    ],
  ],
  // A part of a cluster has no say in what else there is.
  [
    "NAMESPACE_LABEL_UNKNOWN",
    [...SHOP, policy(FROM("[{namespaceSelector: {matchLabels: {team: ops}}}]"))],
    [
      namespace("shop", "{team: shop}"),
      pod("shop/web-1", "{app: web}"),
      policy(FROM("[{namespaceSelector: {matchLabels: {team: ops}}}]")),
    ],
  ],
  [
    "PEERS_APART",
    [
      ...SHOP,
      policy(
        FROM(
          "[{namespaceSelector: {matchLabels: {team: payments}}}, {podSelector: {matchLabels: {app: api}}}]",
        ),
      ),
    ],
    [
      ...SHOP,
      policy(
        FROM(
          "[{namespaceSelector: {matchLabels: {team: payments}}}, {podSelector: {matchLabels: {app: db}}}]",
        ),
      ),
    ],
  ],
  [
    "PEERS_APART",
    [
      policy(
        TO(
          "[{to: [{namespaceSelector: {matchLabels: {a: b}}}, {podSelector: {matchLabels: {k8s-app: kube-dns}}}, {ipBlock: {cidr: 1.0.0.0/8}}]}]",
        ),
      ),
    ],
    [
      policy(
        TO(
          "[{to: [{namespaceSelector: {matchLabels: {a: b}}, podSelector: {matchLabels: {k8s-app: kube-dns}}}]}]",
        ),
      ),
    ],
  ],
  [
    "SERVICE_ADDRESS_IN_BLOCK",
    [
      ...SHOP,
      policy(TO("[{to: [{ipBlock: {cidr: 10.96.0.10/32}}], ports: [{port: 53, protocol: UDP}]}]")),
    ],
    [
      ...SHOP,
      policy(TO("[{to: [{ipBlock: {cidr: 10.0.0.0/8}}], ports: [{port: 53, protocol: UDP}]}]")),
    ],
  ],
  [
    "SERVICE_ADDRESS_IN_BLOCK",
    [
      ...SHOP,
      policy(TO("[{to: [{ipBlock: {cidr: 10.96.0.0/12}}], ports: [{port: 53, protocol: UDP}]}]")),
    ],
    [
      service("kube-system/kube-dns", "10.96.0.10"),
      policy(TO("[{to: [{ipBlock: {cidr: 0.0.0.0/0}}]}]")),
    ],
  ],
  [
    "POD_ADDRESS_IN_BLOCK",
    [...SHOP, policy(FROM("[{ipBlock: {cidr: 10.1.1.4/32}}]"))],
    [...SHOP, policy(FROM("[{ipBlock: {cidr: 10.1.1.4/31}}]"))],
  ],
  [
    "EXCEPT_COVERS_ALL",
    [policy(FROM("[{ipBlock: {cidr: 10.0.0.0/8, except: [10.0.0.0/9, 10.128.0.0/9]}}]"))],
    [policy(FROM("[{ipBlock: {cidr: 10.0.0.0/8, except: [10.0.0.0/9, 10.128.0.0/10]}}]"))],
  ],
  [
    "EXCEPT_USELESS",
    [policy(FROM("[{ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16, 10.1.2.0/24]}}]"))],
    [policy(FROM("[{ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16, 10.2.2.0/24]}}]"))],
  ],
  [
    "EXCEPT_UNDONE",
    [
      policy(
        FROM(
          "[{ipBlock: {cidr: 0.0.0.0/0, except: [10.1.0.0/16]}}, {ipBlock: {cidr: 10.0.0.0/8}}]",
        ),
      ),
    ],
    [
      policy(
        FROM(
          "[{ipBlock: {cidr: 0.0.0.0/0, except: [10.1.0.0/16]}}, {ipBlock: {cidr: 10.1.2.0/24}}]",
        ),
      ),
    ],
  ],
  // Only some of what was left out, as it is on one port.
  [
    "EXCEPT_UNDONE",
    [
      policy(
        `{${WEB}, ingress: [{from: [{ipBlock: {cidr: 0.0.0.0/0, except: [10.1.0.0/16]}}], ports: [{port: 80}]}, {ports: [{port: 1, endPort: 99}]}]}`,
      ),
    ],
    [
      policy(
        `{${WEB}, ingress: [{from: [{ipBlock: {cidr: 0.0.0.0/0, except: [10.1.0.0/16]}}]}, {ports: [{port: 80}]}]}`,
      ),
    ],
  ],
  [
    "NAMED_PORT_UNKNOWN",
    [...SHOP, policy(`{${WEB}, ingress: [{ports: [{port: htpp}]}]}`)],
    [...SHOP, policy(`{${WEB}, ingress: [{ports: [{port: http}]}]}`)],
  ],
  [
    "NAMED_PORT_PROTOCOL",
    [...SHOP, policy(`{${WEB}, ingress: [{ports: [{port: http, protocol: UDP}]}]}`)],
    [...SHOP, policy(`{${WEB}, ingress: [{ports: [{port: http, protocol: TCP}]}]}`)],
  ],
  [
    "NAMED_PORT_PARTIAL",
    [
      ...SHOP,
      pod("shop/web-2", "{app: web}").replace("name: http", "name: other"),
      policy(`{${WEB}, ingress: [{ports: [{port: http}]}]}`),
    ],
    [
      ...SHOP,
      pod("shop/web-2", "{app: web}").replace("name: http", "name: other"),
      policy("{podSelector: {}, ingress: [{ports: [{port: http}]}]}"),
    ],
  ],
  [
    "EMPTY_LIST_OPENS",
    [policy(`{${WEB}, ingress: [{from: []}]}`)],
    [policy(`{${WEB}, ingress: []}`)],
  ],
  [
    "TYPES_OMITTED",
    [policy(`{${WEB}, egress: [{}]}`)],
    [policy(`{${WEB}, ingress: [], egress: [{}]}`)],
  ],
  [
    "RULES_IGNORED",
    [policy(`{${WEB}, policyTypes: [Ingress], ingress: [{}], egress: [{}]}`)],
    [policy(`{${WEB}, policyTypes: [Ingress], ingress: [{}], egress: []}`)],
  ],
  [
    "EGRESS_CLOSED",
    [policy(`{${WEB}, policyTypes: [Ingress, Egress], ingress: [{}]}`)],
    [policy(`{${WEB}, policyTypes: [Ingress, Egress]}`)],
  ],
  [
    "EGRESS_CLOSED",
    [policy(`{${WEB}, policyTypes: [Ingress, Egress], ingress: [{}]}`)],
    [
      policy(`{${WEB}, policyTypes: [Ingress, Egress], ingress: [{}]}`),
      policy("{podSelector: {}, policyTypes: [Egress], egress: [{}]}").replace(
        "name: p",
        "name: q",
      ),
    ],
  ],
  [
    "DNS_FORGOTTEN",
    [policy(TO("[{to: [{podSelector: {matchLabels: {app: db}}}], ports: [{port: 5432}]}]"))],
    [
      policy(
        TO(
          "[{to: [{podSelector: {matchLabels: {app: db}}}], ports: [{port: 5432}]}, {ports: [{port: 53, protocol: UDP}]}]",
        ),
      ),
    ],
  ],
  [
    "DNS_FORGOTTEN",
    [policy(TO("[{ports: [{port: 53}]}]"))],
    [policy(TO("[{ports: [{port: 53}, {port: 53, protocol: UDP}]}]"))],
  ],
  [
    "DNS_FORGOTTEN",
    [policy(TO("[{ports: [{port: 443}]}]"))],
    [
      policy(TO("[{ports: [{port: 443}]}]")),
      policy(
        "{podSelector: {}, policyTypes: [Egress], egress: [{to: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: kube-system}}}]}]}",
      ).replace("name: p", "name: dns"),
    ],
  ],
  [
    "DNS_FORGOTTEN",
    [
      ...SHOP,
      policy(TO("[{to: [{ipBlock: {cidr: 10.96.0.10/32}}], ports: [{port: 53, protocol: UDP}]}]")),
    ],
    [
      ...SHOP,
      policy(TO("[{to: [{ipBlock: {cidr: 10.1.0.0/16}}], ports: [{port: 53, protocol: UDP}]}]")),
    ],
  ],
  // Nothing may go out at all: that is no slip.
  [
    "DNS_FORGOTTEN",
    [
      calico(
        "{selector: app == 'web', egress: [{action: Allow, protocol: TCP, destination: {ports: [443]}}]}",
      ),
    ],
    [
      calico("{selector: app == 'web', types: [Egress], egress: [{action: Deny}]}"),
      policy(`{${WEB}, policyTypes: [Egress]}`),
    ],
  ],
  [
    "LOG_ONLY",
    [calico("{selector: app == 'web', ingress: [{action: Log}]}")],
    [calico("{selector: app == 'web', ingress: [{action: Log}, {action: Allow}]}")],
  ],
  [
    "LOG_ONLY",
    [
      ...SHOP,
      calico("{selector: app == 'web', ingress: [{action: Log}]}"),
      policy("{podSelector: {matchLabels: {app: db}}}"),
    ],
    [
      ...SHOP,
      calico("{selector: app == 'web', ingress: [{action: Log}]}"),
      policy("{podSelector: {}}"),
    ],
  ],
  [
    "STAGED",
    [calico("{selector: app == 'web', ingress: [{action: Allow}]}", "StagedNetworkPolicy")],
    [calico("{selector: app == 'web', ingress: [{action: Allow}]}")],
  ],
  [
    "PRIORITY_TIE",
    [
      admin("a", 5, "ingress: [{action: Allow, from: [{namespaces: {}}]}]"),
      admin("b", 5, "ingress: [{action: Deny, from: [{namespaces: {}}]}]"),
    ],
    [
      admin("a", 5, "ingress: [{action: Allow, from: [{namespaces: {}}]}]"),
      admin("b", 6, "ingress: [{action: Deny, from: [{namespaces: {}}]}]"),
    ],
  ],
  [
    "PRIORITY_TIE",
    [
      admin("a", 5, "ingress: [{action: Allow, from: [{namespaces: {}}]}]"),
      admin("b", 5, "ingress: [{action: Deny, from: [{namespaces: {}}]}]"),
    ],
    [
      admin("a", 5, "ingress: [{action: Deny, from: [{namespaces: {}}]}]"),
      admin("b", 5, "ingress: [{action: Deny, from: [{namespaces: {}}]}]"),
    ],
  ],
  [
    "REDUNDANT_ITEM",
    [policy(FROM("[{ipBlock: {cidr: 10.0.0.0/8}}, {ipBlock: {cidr: 10.1.0.0/16}}]"))],
    [
      policy(
        FROM(
          "[{ipBlock: {cidr: 10.0.0.0/8, except: [10.1.2.0/24]}}, {ipBlock: {cidr: 10.1.0.0/16}}]",
        ),
      ),
    ],
  ],
  [
    "REDUNDANT_ITEM",
    [
      policy(
        `{${WEB}, ingress: [{ports: [{port: 1, endPort: 80}, {port: 81, endPort: 99}, {port: 70, endPort: 90}]}]}`,
      ),
    ],
    [
      policy(
        `{${WEB}, ingress: [{ports: [{port: 1, endPort: 80}, {port: 82, endPort: 99}, {port: 70, endPort: 90}]}]}`,
      ),
    ],
  ],
  [
    "REDUNDANT_ITEM",
    [policy(FROM("[{podSelector: {}}, {podSelector: {matchLabels: {app: db}}}]"))],
    [
      policy(
        FROM("[{podSelector: {}}, {namespaceSelector: {}, podSelector: {matchLabels: {app: db}}}]"),
      ),
    ],
  ],
];

describe("lintManifests", () => {
  it("names ports of a list only as long as others are left that mean them", () => {
    const ports = "[{port: 80, endPort: 85}, {port: 83, endPort: 90}, {port: 80, endPort: 90}]";
    const found = findingsOf(policy(`{${WEB}, ingress: [{ports: ${ports}}]}`));
    expect(
      found.filter(({ code }) => code === "REDUNDANT_ITEM").map(({ message }) => message),
    ).toEqual([
      "NetworkPolicy shop/p ingress[0]: port 80-85/TCP is among the other ports of the list",
      "NetworkPolicy shop/p ingress[0]: port 83-90/TCP is among the other ports of the list",
    ]);
  });

  it("leaves alone a Service's external address that is a node's, or from which others may send", () => {
    const node = (ip: string): string =>
      `{apiVersion: v1, kind: Node, metadata: {name: n1}, status: {addresses: [{type: InternalIP, address: ${ip}}]}}`;
    const external =
      "{apiVersion: v1, kind: Service, metadata: {namespace: shop, name: s}, spec: {clusterIP: 10.96.0.9, externalIPs: [192.0.2.1], selector: {app: web}, ports: [{port: 80}]}}";
    const codes = (...texts: readonly string[]): string[] =>
      findingsOf([external, ...texts].join("\n---\n")).map(({ code }) => code);
    const to = policy(TO("[{to: [{ipBlock: {cidr: 192.0.2.1/32}}]}]"));
    const from = policy(FROM("[{ipBlock: {cidr: 192.0.2.1/32}}]"));
    expect(codes(node("192.0.2.2"), to)).toContain("SERVICE_ADDRESS_IN_BLOCK");
    expect(codes(node("192.0.2.2"), from)).not.toContain("SERVICE_ADDRESS_IN_BLOCK");
    expect(codes(node("192.0.2.1"), to)).not.toContain("SERVICE_ADDRESS_IN_BLOCK");
  });

  it.each(TRAPS)("tells %s from what is none (%#)", (code, trapped, free) => {
    const codes = (texts: readonly string[]): string[] =>
      findingsOf(texts.join("\n---\n")).map((finding) => finding.code);
    expect(codes(trapped)).toContain(code);
    expect(codes(free)).not.toContain(code);
  });

  it.each([
    [policy("{podSelector: {matchLabels: {app: webb}}}"), 'did you mean "app: web"?'],
    [policy("{podSelector: {matchLabels: {ap: web}}}"), 'did you mean "app: web"?'],
    [
      policy(FROM("[{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: payment}}}]")),
      'did you mean "payments"?',
    ],
    [
      policy(FROM("[{namespaceSelector: {matchLabels: {name: payments}}}]")),
      'did you mean "kubernetes.io/metadata.name: payments"?',
    ],
    [policy(`{${WEB}, ingress: [{ports: [{port: htpp}]}]}`), 'did you mean "http"?'],
    [
      policy(TO("[{to: [{ipBlock: {cidr: 10.96.0.10/32}}]}]")),
      "select the pods: namespaceSelector {matchLabels: {kubernetes.io/metadata.name: kube-system}} with podSelector {matchLabels: {k8s-app: kube-dns}}",
    ],
  ])("says what may have been meant: %s", (text, suggestion) => {
    const found = findingsOf([...SHOP, text].join("\n---\n"));
    expect(found.map((finding) => finding.suggestion)).toContain(suggestion);
  });

  it("finds the same whatever the order of the manifests", () => {
    const own = new Set(
      TRAPS.flatMap(([, trapped]) => trapped.filter((text) => text.includes("name: p}"))),
    );
    const texts = [
      ...SHOP,
      ...[...own].map((text, at) => text.replace("name: p}", `name: p${at}}`)),
    ];
    const one = findingsOf(texts.join("\n---\n"));
    const other = findingsOf(texts.toReversed().join("\n---\n"));
    const said = (found: typeof one): string[] =>
      found.map(({ code, message }) => `${code} ${message.replace(/lint.yaml:\d+/, "")}`).sort();
    expect(said(other)).toEqual(said(one));
    expect(one.length).toBeGreaterThan(20);
  });
});
