/**
 * Flow rows that belong to one flow: a flow whose packets got different verdicts has a row for each, and
 * the rows' tuples may be each other's reply.
 */
import type { FlowVerdict } from "../engine/verdict.ts";
import type { Address } from "../net/address.ts";

/** Tells flows from rows; takes the rows in the order of their first packets. */
export class FlowRows {
  /** Packets that pass although their flow's opening packet was dropped. */
  behindDrops = 0;
  readonly #openingDropped = new Map<string, boolean>();

  /** How many flows the rows are of. */
  get flows(): number {
    return this.#openingDropped.size;
  }

  /** Takes the next row. */
  add(flow: FlowVerdict): void {
    const key = flowKey(flow);
    const dropped = this.#openingDropped.get(key);
    if (dropped === undefined) this.#openingDropped.set(key, flow.verdict === "drop");
    else if (dropped && flow.verdict === "allow") this.behindDrops += flow.packets;
  }
}

/** What flows are told apart by. Equal for both directions: echo requests and replies are one flow, too. */
export function flowKey(flow: FlowVerdict): string {
  const source = endKey(flow.source, flow.sourceName, flow.sourcePort);
  const destination = endKey(flow.destination, flow.destinationName, flow.destinationPort);
  const protocol = flow.protocol ?? "";
  return source < destination
    ? `${protocol} ${source} ${destination}`
    : `${protocol} ${destination} ${source}`;
}

function endKey(
  address: Address | undefined,
  name: string | undefined,
  port: number | undefined,
): string {
  const where = address === undefined ? (name ?? "") : addressKey(address);
  return `${where} ${port ?? ""}`;
}

/** Short, as there is one for each end of a million flows. */
function addressKey({ family, words }: Address): string {
  return family === 4 ? words[0].toString(36) : words.map((word) => word.toString(36)).join(":");
}
