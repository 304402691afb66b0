/** The packet that opens a flow, to be asked about. */
import type { Opening } from "../capture/opening.ts";
import type { Tuple } from "./verdict.ts";

/** The packet that opens a flow; undefined where its ends are not known. */
export function openingOf(flow: Tuple): Opening | undefined {
  const { source, destination, protocol, destinationPort, sourcePort, icmp } = flow;
  if (source === undefined || destination === undefined) return undefined;
  return {
    ...{ source, destination, protocol, destinationPort },
    ...(sourcePort === undefined ? {} : { sourcePort }),
    ...(icmp === undefined ? {} : { icmpType: icmp.type, icmpCode: icmp.code }),
  };
}
