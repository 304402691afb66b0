/** What `verify` says: packets on which this machine's kernel and the matcher differ, as text and JSON. */
import type { PacketVerdict } from "../engine/verdict.ts";
import { escapeControls } from "../errors.ts";
import { formatAddress } from "../net/address.ts";
import { protocolName } from "../net/protocol.ts";
import { packetJson, stringifyJson } from "./json.ts";
import type { Json } from "./json.ts";
import { countText } from "./layout.ts";
import type { CaptureNature } from "./reason.ts";

/** Why a packet of the capture is not sent. */
export type LeftOut =
  | "not IP, or addressed to another host"
  | "seen a second time or leaving"
  | "without bytes in the capture"
  | "of which the capture does not show where they arrive";

/** A packet on which the two differ. */
export interface Difference {
  /** Position in the capture, from 1. */
  readonly number: number;
  /** An interface, `local` or `drop`. */
  readonly kernel: string;
  readonly verdict: PacketVerdict;
}

/** What became of the packets. */
export interface Verified {
  /** Through the kernel and by the matcher. */
  readonly sent: number;
  readonly agreed: number;
  /** By reason. */
  readonly unknown: ReadonlyMap<string, number>;
  readonly leftOut: ReadonlyMap<LeftOut, number>;
  readonly differences: readonly Difference[];
}

/** The same, with what the report says besides. */
export interface VerifyReport extends Verified {
  /** Its release. */
  readonly kernel: string;
  readonly nature: CaptureNature;
  readonly partial: "interrupted" | "damaged" | undefined;
  readonly notes: readonly string[];
}

/** The report for people. */
export function verifyText(report: VerifyReport): string {
  const { sent, agreed, unknown, leftOut, differences, kernel, notes, partial } = report;
  const doubted = [...unknown.values()].reduce((sum, each) => sum + each, 0);
  const reasons = [...unknown].map(([reason, packets]) => `${reason} ${packets}`).join(", ");
  const lines = [
    ...differences.map(differenceText),
    `${countText(sent, "packet")} sent through Linux ${kernel}: ${agreed} as netverdict says, ${differences.length} otherwise, ` +
      `${doubted} unknown to netverdict${doubted === 0 ? "" : ` (${reasons})`}`,
    ...[...leftOut].map(([why, packets]) => `not sent: ${countText(packets, "packet")} ${why}`),
    ...notes.map((note) => `note: ${note}`),
    ...(partial === undefined ? [] : [`the capture was not followed to its end: ${partial}`]),
  ];
  return lines.map((line) => `${escapeControls(line)}\n`).join("");
}

function differenceText({ number, kernel, verdict }: Difference): string {
  const end = (side: "source" | "destination"): string => {
    const address = verdict[side];
    const port = verdict[`${side}Port`];
    const text = address === undefined ? "?" : formatAddress(address);
    return port === undefined ? text : `${text} port ${port}`;
  };
  const protocol = verdict.protocol === undefined ? "" : ` ${protocolName(verdict.protocol)}`;
  const by = verdict.inInterface === undefined ? "" : ` arriving by ${verdict.inInterface}`;
  const { rule } = verdict;
  const where = rule === undefined ? "" : ` (${rule.table}:${rule.chain}:${rule.number})`;
  return `packet ${number}${protocol} ${end("source")} to ${end("destination")}${by}: kernel ${inWords(kernel)}, netverdict ${inWords(placeOf(verdict))}${where}`;
}

function inWords(place: string): string {
  if (place === "drop") return "drops it";
  return place === "local" ? "delivers it to the node" : `lets it out by ${place}`;
}

/** The report as one object. */
export function verifyJson(verified: VerifyReport): string {
  const { sent, agreed, unknown, leftOut, differences, kernel, nature, notes, partial } = verified;
  const report: Json = {
    kernel,
    packets: sent,
    agreed,
    unknown: Object.fromEntries(unknown),
    notSent: Object.fromEntries(leftOut),
    differences: differences.map(({ number, kernel: place, verdict }) => ({
      packet: number,
      kernel: {
        verdict: place === "drop" ? "drop" : "allow",
        outInterface: place === "drop" || place === "local" ? null : place,
      },
      netverdict: packetJson(verdict, nature),
    })),
    notes,
    partial,
  };
  return `${stringifyJson(report, 2)}\n`;
}

/** Where it is by the matcher: an interface, `local`, or a verdict that is no way out. */
export function placeOf({ verdict, outInterface }: PacketVerdict): string {
  return verdict === "allow" ? (outInterface ?? "local") : verdict;
}
