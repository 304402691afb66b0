// The node's timeouts of connections, of whatever protocol.
import { setEntryTimeout } from "./entry-life";
import { TIMEOUT_SCTP, TIMEOUT_TCP, TIMEOUT_UDP } from "./layout";
import { setSctpTimeout } from "./sctp-lifetime";
import { setTcpTimeout } from "./tcp-lifetime";

/** Sets a timeout of TIMEOUT_*, seconds. */
export function setTimeout(index: u32, seconds: u32): void {
  if (index >= <u32>TIMEOUT_UDP) setEntryTimeout(index, seconds);
  else if (index >= <u32>TIMEOUT_SCTP) setSctpTimeout(index - TIMEOUT_SCTP, seconds);
  else setTcpTimeout(index - TIMEOUT_TCP, seconds);
}
