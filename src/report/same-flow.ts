/**
 * Flow rows that belong to one flow: a flow whose packets got different verdicts has a row for each, and
 * the rows' tuples may be each other's reply.
 */
import type { FlowVerdict } from "../engine/verdict.ts";
import { formatAddress } from "../net/address.ts";

/** The rows of each flow, in the order of the flows' first packets. */
export function rowsByFlow(flows: readonly FlowVerdict[]): FlowVerdict[][] {
  const rowsByKey = new Map<string, FlowVerdict[]>();
  for (const flow of flows) {
    const key = flowKey(flow);
    const rows = rowsByKey.get(key);
    if (rows === undefined) rowsByKey.set(key, [flow]);
    else rows.push(flow);
  }
  return [...rowsByKey.values()];
}

/** Packets that pass although their flow's opening packet was dropped: live, nobody would send them. */
export function packetsBehindDrops(flows: readonly FlowVerdict[]): number {
  return rowsByFlow(flows)
    .flatMap((rows) => {
      const [first] = [...rows].sort((one, other) => one.firstPacket - other.firstPacket);
      return first?.verdict === "drop" ? rows.filter(({ verdict }) => verdict === "allow") : [];
    })
    .reduce((sum, flow) => sum + flow.packets, 0);
}

/** Equal for both directions. Echo requests and replies are one flow by their addresses. */
function flowKey(flow: FlowVerdict): string {
  const end = (address: FlowVerdict["source"], name: string | undefined, port?: number): string =>
    `${address === undefined ? (name ?? "") : formatAddress(address)} ${port ?? ""}`;
  const ends = [
    end(flow.source, flow.sourceName, flow.sourcePort),
    end(flow.destination, flow.destinationName, flow.destinationPort),
  ];
  return `${flow.protocol ?? ""} ${ends.sort().join(" ")}`;
}
