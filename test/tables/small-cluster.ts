/**
 * The shop: a front end that may reach the database's named port, DNS by Service, a Service that has
 * no backends, both families, two nodes, and a workload that has no pods.
 */
import { block, namespace, node, pod, pods, policy, port, service, snapshot } from "./cluster.ts";

export const SHOP = snapshot({
  namespaces: [namespace("shop", "team=a"), namespace("kube-system"), namespace("other", "team=b")],
  nodes: [node("n1", ["172.18.0.2", "fd00:172::2"]), node("n2", ["172.18.0.3", "fd00:172::3"])],
  endpoints: [
    pod("kube-system/dns-0", {
      labels: "k8s-app=kube-dns",
      addresses: ["10.244.1.2", "fd00:10:244:1::2"],
      node: "n1",
      ports: [{ name: "dns", protocol: "UDP", port: 53 }],
    }),
    pod("other/batch", { labels: "app=batch", kind: "CronJob" }),
    pod("shop/db-0", {
      labels: "role=db",
      addresses: ["10.244.2.3", "fd00:10:244:2::3"],
      node: "n2",
      ports: [{ name: "redis", protocol: "TCP", port: 6379 }],
    }),
    pod("shop/web-0", {
      labels: "role=frontend",
      addresses: ["10.244.1.4", "fd00:10:244:1::4"],
      node: "n1",
    }),
    pod("shop/web-1", {
      labels: "role=frontend",
      addresses: ["10.244.2.4", "fd00:10:244:2::4"],
      node: "n2",
    }),
  ],
  services: [
    service("kube-system/kube-dns", {
      addresses: ["10.96.0.10", "fd00:10:96::a"],
      ports: [
        {
          name: "dns",
          protocol: "UDP",
          port: 53,
          backends: [
            ["10.244.1.2", 53],
            ["fd00:10:244:1::2", 53],
          ],
        },
      ],
    }),
    service("shop/gone", { addresses: ["10.96.0.11"], ports: [{ port: 80, backends: [] }] }),
    service("shop/web", {
      addresses: ["10.96.0.12"],
      ports: [
        {
          port: 80,
          backends: [
            ["10.244.1.4", 8080],
            ["10.244.2.4", 8080],
          ],
        },
      ],
    }),
  ],
});

export const SHOP_POLICIES = [
  policy("shop/db", {
    pods: "role=db",
    ingress: [
      {
        peers: [block("172.17.0.0/16", ["172.17.1.0/24"]), pods("role=frontend")],
        ports: [port("tcp:redis")],
      },
    ],
  }),
  policy("shop/default-deny", { ingress: [], egress: [] }),
  policy("shop/web-egress", {
    pods: "role=frontend",
    egress: [
      { peers: [pods("role=db")], ports: [port("tcp:redis"), port("tcp:9000-9100")] },
      { peers: [pods("k8s-app=kube-dns", "")], ports: [port("udp:dns")] },
    ],
  }),
  policy("shop/web-ingress", { pods: "role=frontend", ingress: [{ ports: [port("tcp:8080")] }] }),
];
