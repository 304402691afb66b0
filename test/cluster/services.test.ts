import { describe, expect, it } from "vitest";

import { formatAddress, formatPrefix } from "../../src/net/address.ts";
import { load, texts } from "./load.ts";

const service = (spec: string, name = "web"): string =>
  `{apiVersion: v1, kind: Service, metadata: {name: ${name}}, spec: {${spec}}}`;
const slice = (name: string, body: string): string =>
  `{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: ${name}, labels: {kubernetes.io/service-name: web}}, ${body}}`;
const pod = (name: string, address: string, rest = ""): string =>
  `{apiVersion: v1, kind: Pod, metadata: {name: ${name}, labels: {app: web}}, spec: {containers: [{ports: [{name: http, containerPort: 8080}]}]}, status: {podIP: "${address}", ${rest}}}`;

/** The first port's backends, `~` before those that terminate, and the missing fact. */
function backends(...objects: string[]): string {
  const { snapshot, said } = load(objects.join("\n---\n"));
  expect(said).toEqual([]);
  const [port] = snapshot.services[0]!.ports;
  if (port!.missing !== undefined) {
    expect(port!.backends).toEqual([]);
    return port!.missing;
  }
  const told = port!.backends.map(
    ({ address, port, ready }) => `${ready ? "" : "~"}${formatAddress(address)}>${port}`,
  );
  return [...told, ...(port!.unplaced === undefined ? [] : [port!.unplaced])].join(" ");
}

/** Whom policies mean by the Service: addresses; then addresses with ports; then the missing fact. */
function members(...objects: string[]): string[] {
  const { snapshot, said } = load(objects.join("\n---\n"));
  expect(said).toEqual([]);
  const { addresses, ports, missing } = snapshot.membersByService.get("default/web")!;
  return [
    texts(addresses).join(" "),
    ports
      .map(({ address, protocol, port }) => `${formatAddress(address)}>${protocol}:${port}`)
      .join(" "),
    ...(missing === undefined ? [] : [missing]),
  ];
}

describe("the members of a Service", () => {
  const one = "endpoints: [{addresses: [10.0.0.1], conditions: {ready: false}}]";
  const tcp = "addressType: IPv4, ports: [{name: p, port: 5432}]";
  const http = service("selector: {app: web}, ports: [{port: 80, targetPort: http}]");

  it.each<[string, string[], string[]]>([
    ["a slice alone", [slice("s", `${tcp}, ${one}`)], ["10.0.0.1", "10.0.0.1>TCP:5432"]],
    [
      "a slice whose port the Service names otherwise",
      [service("ports: [{name: other, port: 5432}]"), slice("s", `${tcp}, ${one}`)],
      ["10.0.0.1", "10.0.0.1>TCP:5432"],
    ],
    [
      "a headless Service without ports",
      [service("clusterIP: None"), slice("s", `addressType: IPv4, ports: [], ${one}`)],
      ["10.0.0.1", ""],
    ],
    [
      "several slices",
      [
        slice("s", `${tcp}, ${one}`),
        slice(
          "t",
          'addressType: IPv6, ports: [{port: 53, protocol: UDP}], endpoints: [{addresses: ["fd00::1"]}]',
        ),
      ],
      ["10.0.0.1 fd00::1", "10.0.0.1>TCP:5432 fd00::1>UDP:53"],
    ],
    ["a slice without endpoints", [http, slice("s", tcp), pod("a", "10.0.0.9")], ["", ""]],
    [
      "Endpoints, ready or not",
      [
        "{apiVersion: v1, kind: Endpoints, metadata: {name: web}, subsets: [{ports: [{port: 8080}], addresses: [{ip: 10.0.0.1}], notReadyAddresses: [{ip: 10.0.0.2}]}]}",
      ],
      ["10.0.0.1 10.0.0.2", "10.0.0.1>TCP:8080 10.0.0.2>TCP:8080"],
    ],
    [
      "the selector's pods, ready or not",
      [
        http,
        pod("a", "10.0.0.1"),
        pod("b", "10.0.0.2", "conditions: [{type: Ready, status: 'False'}]"),
      ],
      ["10.0.0.1 10.0.0.2", "10.0.0.1>TCP:8080 10.0.0.2>TCP:8080"],
    ],
    [
      "pods without the port",
      [
        service("selector: {app: web}, ports: [{port: 80, targetPort: nope}]"),
        pod("a", "10.0.0.1"),
      ],
      ["10.0.0.1", ""],
    ],
    [
      "a pod whose address is not known",
      [http, pod("a", "10.0.0.1"), pod("b", "")],
      ["10.0.0.1", "10.0.0.1>TCP:8080", "it has no EndpointSlice, and Pod b has no address"],
    ],
    [
      "local traffic only",
      [
        service("internalTrafficPolicy: Local, selector: {app: web}, ports: [{port: 80}]"),
        pod("a", "10.0.0.1"),
      ],
      ["10.0.0.1", "10.0.0.1>TCP:80"],
    ],
    [
      "nothing but the Service",
      [service("ports: [{port: 80}]")],
      ["", "", "it has no EndpointSlice, and its selector chooses no pod"],
    ],
  ])(
    "are those of its slices, else of its Endpoints or selector: %s (A-14)",
    (_, given, expected) => {
      expect(members(...given)).toEqual(expected);
    },
  );
});

describe("readServices", () => {
  it("reads virtual addresses, types and ports with their defaults", () => {
    const { snapshot } = load(
      [
        service(
          'clusterIP: 10.96.0.1, clusterIPs: [10.96.0.1, "fd00::1"], ports: [{port: 80, name: http}, {port: 53, protocol: UDP, name: dns}]',
          "a",
        ),
        service("clusterIP: 10.96.0.2, type: NodePort, ports: [{port: 80}]", "b"),
        service("clusterIP: None", "c"),
        service("type: ExternalName, externalName: x.example", "d"),
        service("ports: [{port: 80}]", "e"),
      ].join("\n---\n"),
    );
    expect(
      snapshot.services.map(({ name, type, clusterAddresses, ports }) => [
        name,
        type,
        texts(clusterAddresses).join(),
        ports.map(({ name, protocol, port }) => `${name} ${protocol} ${port}`).join(),
      ]),
    ).toEqual([
      ["a", "ClusterIP", "10.96.0.1,fd00::1", "http TCP 80,dns UDP 53"],
      ["b", "NodePort", "10.96.0.2", "undefined TCP 80"],
      ["c", "ClusterIP", "", ""],
      ["d", "ExternalName", "", ""],
      ["e", "ClusterIP", "", "undefined TCP 80"],
    ]);
  });

  const plain = service(
    "clusterIP: 10.96.0.1, selector: {app: web}, ports: [{port: 80, targetPort: http}]",
  );
  const ports = "addressType: IPv4, ports: [{port: 8080}]";

  it.each([
    [
      "ready by default",
      "{addresses: [10.0.0.2]}, {addresses: [10.0.0.1]}",
      "10.0.0.1>8080 10.0.0.2>8080",
    ],
    [
      "not ready ones left out",
      "{addresses: [10.0.0.1], conditions: {ready: false}}, {addresses: [10.0.0.2]}",
      "10.0.0.2>8080",
    ],
    [
      "terminating ones that still serve",
      "{addresses: [10.0.0.1], conditions: {ready: false, serving: true, terminating: true}}, {addresses: [10.0.0.2], conditions: {ready: false, serving: false}}",
      "~10.0.0.1>8080",
    ],
    [
      "terminating ones of which nothing says that they do not serve",
      "{addresses: [10.0.0.1], conditions: {ready: false, terminating: true}}",
      "~10.0.0.1>8080",
    ],
    [
      "terminating ones beside a ready one",
      "{addresses: [10.0.0.1], conditions: {ready: false, serving: true, terminating: true}}, {addresses: [10.0.0.2], conditions: {ready: true}}",
      "~10.0.0.1>8080 10.0.0.2>8080",
    ],
    [
      "none usable: refused, and that is known",
      "{addresses: [10.0.0.1], conditions: {ready: false}}",
      "",
    ],
    ["no endpoints: refused, and that is known", "", ""],
  ])("takes EndpointSlices first: %s (KP-5)", (_, endpoints, expected) => {
    expect(
      backends(plain, slice("s", `${ports}, endpoints: [${endpoints}]`), pod("p", "10.0.0.9")),
    ).toBe(expected);
  });

  it("leaves out what is labelled as headless", () => {
    const spec = "clusterIP: 10.96.0.1, selector: {app: web}, ports: [{port: 80}]";
    const labelled = (labels: string): string =>
      `{apiVersion: v1, kind: Service, metadata: {name: web, labels: {${labels}}}, spec: {${spec}}}`;
    const families = (labels: string): unknown =>
      load(labelled(labels)).snapshot.services.map((one) => [one.families, one.ports[0]?.missing]);
    expect(families('service.kubernetes.io/headless: ""')).toEqual([[[], undefined]]);
    expect(
      families("service.kubernetes.io/headless: x, service.kubernetes.io/service-proxy-name: y"),
    ).toEqual([[[], "it is left to y, which is not kube-proxy"]]);
    const body = "addressType: IPv4, ports: [{port: 8080}], endpoints: [{addresses: [10.0.0.1]}]";
    const hidden = slice("s", body).replace("web}}", 'web, service.kubernetes.io/headless: ""}}');
    const web = service("clusterIP: 10.96.0.1, ports: [{port: 80, targetPort: 8080}]");
    expect(backends(web, slice("s", body))).toBe("10.0.0.1>8080");
    expect(backends(web, hidden)).toBe("");
    // Policies mean them all the same.
    expect(members(web, hidden)).toEqual(["10.0.0.1", "10.0.0.1>TCP:8080"]);
  });

  it("joins slices, and drops names and doubles", () => {
    const dying = "conditions: {ready: false, serving: true, terminating: true}";
    expect(
      backends(
        plain,
        slice(
          "a",
          `${ports}, endpoints: [{addresses: [10.0.0.1]}, {addresses: [10.0.0.2], ${dying}}]`,
        ),
        slice("b", `${ports}, endpoints: [{addresses: [10.0.0.1]}, {addresses: [9.0.0.1]}]`),
        slice(
          "c",
          `addressType: IPv6, ports: [{port: 8080}], endpoints: [{addresses: ["fd00::2"], ${dying}}]`,
        ),
        slice(
          "d",
          "addressType: FQDN, ports: [{port: 8080}], endpoints: [{addresses: [x.example]}]",
        ),
      ),
    ).toBe("10.0.0.1>8080 ~10.0.0.2>8080 9.0.0.1>8080 ~fd00::2>8080");
  });

  it.each([
    ["conditions: {ready: false}", true],
    ["conditions: {ready: true}", false],
    ["hints: {forZones: [{name: a}]}", true],
  ])("knows no backends where slices differ about one: %s", (words, missing) => {
    const slices = ["", `, ${words}`].map((more, index) =>
      slice(`s${index}`, `${ports}, endpoints: [{addresses: [10.0.0.1]${more}}]`),
    );
    for (const order of [slices, slices.toReversed()]) {
      const { snapshot } = load([plain, ...order].join("\n---\n"));
      expect(snapshot.services[0]!.ports[0]!.missing).toBe(
        missing ? "its EndpointSlices differ about 10.0.0.1:8080" : undefined,
      );
    }
  });

  it("takes the first address of an endpoint; policies mean all of them", () => {
    const two = slice("s", `${ports}, endpoints: [{addresses: [10.0.0.1, 10.0.0.2]}]`);
    expect(backends(plain, two)).toBe("10.0.0.1>8080");
    expect(members(plain, two)[0]).toBe("10.0.0.1 10.0.0.2");
  });

  it("has an endpoint whose slice names no node on no node, wherever its pod is", () => {
    const local = service(
      "clusterIP: 10.96.0.1, internalTrafficPolicy: Local, ports: [{port: 80, targetPort: 8080}]",
    );
    const placed = pod("p", "10.0.0.1").replace("spec: {", "spec: {nodeName: n1, ");
    const place = (endpoint: string): unknown => {
      const body = `${ports}, endpoints: [{addresses: [10.0.0.1], ${endpoint}}]`;
      const { snapshot } = load([local, slice("s", body), placed].join("\n---\n"));
      const [{ node, nowhere } = {}] = snapshot.services[0]!.ports[0]!.backends;
      return nowhere ?? node;
    };
    expect(place("nodeName: n2")).toBe("n2");
    expect(place("")).toBe(true);
    expect(place('nodeName: ""')).toBe(true);
    // Nothing is missing to tell that.
    const body = `${ports}, endpoints: [{addresses: [10.0.0.1]}]`;
    expect(backends(local, slice("s", body))).toBe("10.0.0.1>8080");
  });

  it("has no node for what somebody wrote into Endpoints, wherever its pod is", () => {
    const placed = pod("p", "10.0.0.1").replace("spec: {", "spec: {nodeName: n1, ");
    const place = (selector: string, nodeName: string): unknown => {
      const object =
        "{apiVersion: v1, kind: Endpoints, metadata: {name: web}, subsets: [{" +
        `addresses: [{ip: 10.0.0.1${nodeName}}], ports: [{port: 8080}]}]}`;
      const own = service(`clusterIP: 10.96.0.1, ${selector}ports: [{port: 80}]`);
      const { snapshot } = load([own, object, placed].join("\n---\n"));
      const [{ node, nowhere } = {}] = snapshot.services[0]!.ports[0]!.backends;
      return nowhere ?? node;
    };
    expect(place("", "")).toBe(true);
    expect(place("", ", nodeName: n2")).toBe("n2");
    expect(place("selector: {app: web}, ", "")).toBe("n1");
  });

  it("matches ports by name and protocol", () => {
    const named = service(
      "ports: [{port: 53, name: dns, protocol: UDP}, {port: 53, name: dns-tcp}]",
    );
    const body =
      "ports: [{port: 5353, name: dns, protocol: UDP}, {port: 5354, name: dns-tcp}], endpoints: [{addresses: [10.0.0.1]}]";
    const { snapshot } = load(`${named}\n---\n${slice("s", body)}`);
    expect(
      snapshot.services[0]!.ports.map(({ backends }) => backends.map(({ port }) => port)),
    ).toEqual([[5353], [5354]]);
  });

  it("finds a port by the name that a container has which goes on running", () => {
    const plainPod = (init: string): string =>
      `{apiVersion: v1, kind: Pod, metadata: {name: a, labels: {app: web}}, spec: {initContainers: [{${init} ports: [{name: http, containerPort: 81}]}]}, status: {podIP: 10.0.0.1, conditions: [{type: Ready, status: 'True'}]}}`;
    const named = service("selector: {app: web}, ports: [{port: 80, targetPort: http}]");
    expect(backends(named, plainPod("restartPolicy: Always,"))).toBe("10.0.0.1>81");
    expect(backends(named, plainPod(""))).toBe("");
  });

  it("takes Endpoints when there is no slice, without the addresses that are not ready", () => {
    const object =
      "{apiVersion: v1, kind: Endpoints, metadata: {name: web}, subsets: [{ports: [{port: 8080}], addresses: [{ip: 10.0.0.1}], notReadyAddresses: [{ip: 10.0.0.2}]}]}";
    expect(backends(plain, object, pod("p", "10.0.0.9"))).toBe("10.0.0.1>8080");
    const empty = slice("s", `${ports}, endpoints: null`);
    expect(backends(plain, object, empty)).toBe("");
  });

  const notReady = "conditions: [{type: Ready, status: 'False'}]";
  it.each([
    [
      "a named port",
      plain,
      [pod("a", "10.0.0.2"), pod("b", "10.0.0.1")],
      "10.0.0.1>8080 10.0.0.2>8080",
    ],
    [
      "a number",
      service("selector: {app: web}, ports: [{port: 80, targetPort: 81}]"),
      [pod("a", "10.0.0.1")],
      "10.0.0.1>81",
    ],
    [
      "the port itself",
      service("selector: {app: web}, ports: [{port: 80}]"),
      [pod("a", "10.0.0.1")],
      "10.0.0.1>80",
    ],
    [
      "a name that no pod has",
      service("selector: {app: web}, ports: [{port: 80, targetPort: nope}]"),
      [pod("a", "10.0.0.1")],
      "",
    ],
    [
      "pods that are not ready",
      plain,
      [pod("a", "10.0.0.1", notReady), pod("b", "fd00::2")],
      "fd00::2>8080",
    ],
    [
      "not ready but published",
      service("publishNotReadyAddresses: true, selector: {app: web}, ports: [{port: 80}]"),
      [pod("a", "10.0.0.1", notReady)],
      "10.0.0.1>80",
    ],
    [
      "finished pods",
      plain,
      [pod("a", "10.0.0.1", "phase: Succeeded"), pod("b", "10.0.0.2")],
      "10.0.0.2>8080",
    ],
    ["nobody", plain, [], "it has no EndpointSlice, and its selector chooses no pod"],
    [
      "no selector",
      service("ports: [{port: 80}]"),
      [pod("a", "10.0.0.1")],
      "it has no EndpointSlice, and its selector chooses no pod",
    ],
    [
      "a pod without address",
      plain,
      [pod("a", "10.0.0.1"), pod("b", "")],
      "it has no EndpointSlice, and Pod b has no address",
    ],
    [
      "a pod that waits for its address",
      plain,
      [pod("a", "10.0.0.1"), pod("b", "", "phase: Pending")],
      "10.0.0.1>8080",
    ],
    [
      "local traffic only",
      service("internalTrafficPolicy: Local, selector: {app: web}, ports: [{port: 80}]"),
      [pod("a", "10.0.0.1")],
      "10.0.0.1>80 internalTrafficPolicy is Local, and nothing tells on which node 10.0.0.1 is",
    ],
  ])("falls back on the selector: %s", (_, object, pods, expected) => {
    expect(backends(object, ...pods)).toBe(expected);
  });

  it("reads ports and ranges as an API server does that takes them", () => {
    const { snapshot, said } = load(
      service(
        'loadBalancerSourceRanges: [" 10.0.0.0/8 "], ports: [{port: 53, name: a, targetPort: 0}, {port: 53, name: b, protocol: UDP, targetPort: ""}]',
      ),
    );
    expect(said).toEqual([]);
    expect(snapshot.services[0]!.balancerSources.map(formatPrefix)).toEqual(["10.0.0.0/8"]);
    expect(snapshot.services[0]!.ports).toHaveLength(2);
  });

  it("says which Service has a node port already", () => {
    const port = (rest: string, name: string): string =>
      service(`type: NodePort, ports: [{port: 80, nodePort: 30080${rest}}]`, name);
    const { said } = load(
      [port("", "a"), port(", protocol: UDP", "b"), port("", "c")].join("\n---\n"),
    );
    expect(said).toEqual([
      "a.yaml:5:106: error: spec.ports[0].nodePort: TCP 30080 is the node port of Service default/a at a.yaml:1:106, too [BAD_VALUE]",
    ]);
  });

  it.each([
    [
      "type: Clusterip",
      'spec.type: "Clusterip" is no Service type: one of ClusterIP, NodePort, LoadBalancer, ExternalName (did you mean "ClusterIP"?) [BAD_VALUE]',
    ],
    [
      "clusterIP: 10.96.0.300",
      'spec.clusterIP: "10.96.0.300" is no IPv4 or IPv6 address [BAD_ADDRESS]',
    ],
    [
      "externalTrafficPolicy: local",
      'spec.externalTrafficPolicy: "local" is no externalTrafficPolicy: one of Cluster, Local (did you mean "Local"?) [BAD_VALUE]',
    ],
    [
      "externalIP: [1.2.3.4]",
      'spec.externalIP: unknown field "externalIP" (did you mean "externalIPs"?) [UNKNOWN_FIELD]',
    ],
    [
      "ports: [{port: 80, nodeport: 1}]",
      'spec.ports[0].nodeport: unknown field "nodeport" (did you mean "nodePort"?) [UNKNOWN_FIELD]',
    ],
    [
      "sessionAffinity: ClientIP, sessionAffinityConfig: {clientIP: {timeoutSeconds: 90000}}",
      "spec.sessionAffinityConfig.clientIP.timeoutSeconds: 90000 is not 1 to 86400 seconds [BAD_VALUE]",
    ],
    ["ports: [{name: x}]", "spec.ports[0].port: is required [MISSING_FIELD]"],
    [
      'ports: [{port: 80, targetPort: "8080"}]',
      'spec.ports[0].targetPort: "8080" in quotes is a port name, and a name needs a letter: write 8080 [BAD_PORT]',
    ],
    [
      "ports: [{port: 80, targetPort: my_port}]",
      'spec.ports[0].targetPort: "my_port" is no port name: at most 15 lower-case letters, digits and single "-", one letter at least [BAD_PORT]',
    ],
    [
      "ports: [{port: 80, name: a}, {port: 81}]",
      "spec.ports[1].name: is required of each of several ports [MISSING_FIELD]",
    ],
    [
      "ports: [{port: 80, name: a}, {port: 81, name: a}]",
      `spec.ports[1].name: "a" is another port's name, too [BAD_VALUE]`,
    ],
    [
      "ports: [{port: 80, name: a}, {port: 80, protocol: TCP, name: b}]",
      "spec.ports[1].port: TCP 80 is another port's, too [BAD_VALUE]",
    ],
    [
      "type: NodePort, ports: [{port: 80, name: a, nodePort: 30080}, {port: 81, name: b, nodePort: 30080}]",
      "spec.ports[1].nodePort: TCP 30080 is another port's node port, too [BAD_VALUE]",
    ],
    [
      "ports: [{port: 80, nodePort: 30080}]",
      "spec.ports[0].nodePort: is not allowed where type is ClusterIP, which it is by itself (type: NodePort) [BAD_VALUE]",
    ],
    [
      "clusterIP: 10.96.0.1, clusterIPs: [10.96.0.2]",
      "spec.clusterIPs[0]: is 10.96.0.2, and clusterIP is 10.96.0.1: they must be the same [BAD_VALUE]",
    ],
    ['loadBalancerSourceRanges: [" "]', "spec.loadBalancerSourceRanges[0]: is empty [BAD_PREFIX]"],
    ["ports: [{port: 70000}]", "spec.ports[0].port: 70000 is no port: 1 to 65535 [BAD_PORT]"],
  ])("says what is wrong with {%s}", (spec, sentence) => {
    const { said } = load(service(spec));
    expect(said).toHaveLength(1);
    expect(said[0]).toContain(sentence);
  });
});
