/** A node's switches to the matcher. */
import * as layout from "../../assembly/layout.ts";
import { TIMEOUT_NAMES } from "../tables/switches.ts";
import type {
  ConnectionSwitches,
  InterfaceSwitches,
  NodeSwitches,
  TimeoutName,
} from "../tables/switches.ts";
import type { MatcherExports } from "./exports.ts";
import type { InterfaceNumbers } from "./topology.ts";

/** Positions of TCP's and SCTP's are the numbers of their states, and TCP's two special ones. */
const TIMEOUTS: Readonly<Record<TimeoutName, number>> = {
  tcp_timeout_syn_sent: layout.TIMEOUT_TCP + 1,
  tcp_timeout_syn_recv: layout.TIMEOUT_TCP + 2,
  tcp_timeout_established: layout.TIMEOUT_TCP + 3,
  tcp_timeout_fin_wait: layout.TIMEOUT_TCP + 4,
  tcp_timeout_close_wait: layout.TIMEOUT_TCP + 5,
  tcp_timeout_last_ack: layout.TIMEOUT_TCP + 6,
  tcp_timeout_time_wait: layout.TIMEOUT_TCP + 7,
  tcp_timeout_close: layout.TIMEOUT_TCP + 8,
  tcp_timeout_max_retrans: layout.TIMEOUT_TCP + 10,
  tcp_timeout_unacknowledged: layout.TIMEOUT_TCP + 11,
  sctp_timeout_closed: layout.TIMEOUT_SCTP + 1,
  sctp_timeout_cookie_wait: layout.TIMEOUT_SCTP + 2,
  sctp_timeout_cookie_echoed: layout.TIMEOUT_SCTP + 3,
  sctp_timeout_established: layout.TIMEOUT_SCTP + 4,
  sctp_timeout_shutdown_sent: layout.TIMEOUT_SCTP + 5,
  sctp_timeout_shutdown_recd: layout.TIMEOUT_SCTP + 6,
  sctp_timeout_shutdown_ack_sent: layout.TIMEOUT_SCTP + 7,
  sctp_timeout_heartbeat_sent: layout.TIMEOUT_SCTP + 8,
  udp_timeout: layout.TIMEOUT_UDP,
  udp_timeout_stream: layout.TIMEOUT_UDP_STREAM,
  icmp_timeout: layout.TIMEOUT_ICMP,
  icmpv6_timeout: layout.TIMEOUT_ICMPV6,
  gre_timeout: layout.TIMEOUT_GRE,
  gre_timeout_stream: layout.TIMEOUT_GRE_STREAM,
  generic_timeout: layout.TIMEOUT_GENERIC,
};

/** Hands the switches over. Precondition: every interface has its number. */
export function packSwitches(
  exports: MatcherExports,
  switches: NodeSwitches,
  { names }: InterfaceNumbers,
): void {
  packConnectionSwitches(exports, switches);
  const bytes = exports.allocate(names.length);
  const view = new DataView(exports.memory.buffer);
  names.forEach((name, number) => {
    view.setUint8(bytes + number, bitsOf(switches.interfaces.get(name) ?? switches.others));
  });
  exports.setInterfaceSwitches(bytes, names.length);
}

/** Hands over how connections are followed. */
export function packConnectionSwitches(
  exports: MatcherExports,
  switches: ConnectionSwitches,
): void {
  for (const name of TIMEOUT_NAMES) {
    const seconds = switches.timeouts.get(name);
    if (seconds !== undefined) exports.setTimeout(TIMEOUTS[name], seconds);
  }
  exports.setTcpSwitches(
    switches.tcpLiberal,
    switches.tcpLoose,
    switches.tcpIgnoreInvalidResets,
    switches.tcpRetransmissionsMax,
  );
}

function bitsOf(own: InterfaceSwitches): number {
  return (
    (own.forwarding ? layout.SWITCH_FORWARDING : 0) |
    (own.forwarding6 ? layout.SWITCH_FORWARDING6 : 0) |
    (own.rpFilter === "strict" ? layout.SWITCH_RP_STRICT : 0) |
    (own.rpFilter === "loose" ? layout.SWITCH_RP_LOOSE : 0) |
    (own.acceptLocal ? layout.SWITCH_ACCEPT_LOCAL : 0) |
    (own.routeLocalnet ? layout.SWITCH_ROUTE_LOCALNET : 0) |
    (own.acceptSourceRoute ? layout.SWITCH_SOURCE_ROUTE : 0) |
    (own.sendRedirects ? layout.SWITCH_REDIRECTS : 0)
  );
}
