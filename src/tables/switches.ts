/**
 * A node's own switches, as sysctl tells them; what was not told is as the kernel has it by itself, or as kube-proxy sets
 * it.
 */

/** Timeouts of connections, by what follows `net.netfilter.nf_conntrack_`. */
export const TIMEOUT_NAMES = [
  "tcp_timeout_syn_sent",
  "tcp_timeout_syn_recv",
  "tcp_timeout_established",
  "tcp_timeout_fin_wait",
  "tcp_timeout_close_wait",
  "tcp_timeout_last_ack",
  "tcp_timeout_time_wait",
  "tcp_timeout_close",
  "tcp_timeout_max_retrans",
  "tcp_timeout_unacknowledged",
  "sctp_timeout_closed",
  "sctp_timeout_cookie_wait",
  "sctp_timeout_cookie_echoed",
  "sctp_timeout_established",
  "sctp_timeout_shutdown_sent",
  "sctp_timeout_shutdown_recd",
  "sctp_timeout_shutdown_ack_sent",
  "sctp_timeout_heartbeat_sent",
  "udp_timeout",
  "udp_timeout_stream",
  "icmp_timeout",
  "icmpv6_timeout",
  "gre_timeout",
  "gre_timeout_stream",
  "generic_timeout",
] as const;

export type TimeoutName = (typeof TIMEOUT_NAMES)[number];

/** How connections are followed. */
export interface ConnectionSwitches {
  readonly tcpLiberal: boolean;
  readonly tcpLoose: boolean;
  readonly tcpIgnoreInvalidResets: boolean;
  readonly tcpRetransmissionsMax: number;
  /** Seconds, of those that were told. */
  readonly timeouts: ReadonlyMap<TimeoutName, number>;
}

/**
 * How kube-proxy has a node follow them where nothing else is configured.
 * Source: kubernetes pkg/proxy/apis/config/v1alpha1/defaults.go, SetDefaults_KubeProxyConfiguration().
 */
export const KUBE_PROXY_SWITCHES: ConnectionSwitches = {
  tcpLiberal: false,
  tcpLoose: true,
  tcpIgnoreInvalidResets: false,
  tcpRetransmissionsMax: 3,
  timeouts: new Map([
    ["tcp_timeout_established", 86_400],
    ["tcp_timeout_close_wait", 3600],
  ]),
};

export interface NodeSwitches extends ConnectionSwitches {
  /** MTU for IPv6 by interface, bytes, of those that were told. */
  readonly mtus6: ReadonlyMap<string, number>;
  /** Whether a family's rules see what bridges hand from port to port; undefined: not told. */
  readonly bridgeCalls: Readonly<Record<4 | 6, boolean | undefined>>;
  /** Of interfaces that have their own. */
  readonly interfaces: ReadonlyMap<string, InterfaceSwitches>;
  /** Of all others. */
  readonly others: InterfaceSwitches;
}

/** What is switched for each interface; `conf.all` is counted in. */
export interface InterfaceSwitches {
  readonly forwarding: boolean;
  readonly forwarding6: boolean;
  readonly rpFilter: "off" | "strict" | "loose";
  readonly acceptLocal: boolean;
  readonly routeLocalnet: boolean;
  readonly acceptSourceRoute: boolean;
  readonly sendRedirects: boolean;
}
