/**
 * The verdict on one packet in one line, for a comment beside its bytes. No control or bidirectional
 * character is in it.
 */
import { escapeControls, formatPlace } from "../errors.ts";
import type { PacketVerdict } from "../engine/verdict.ts";
import { formatPolicyRef } from "../policy/model.ts";
import { decidingOrigin, explainReason, policyPointsOf } from "./reason.ts";
import type { PolicyPoint } from "./reason.ts";
import { destinationEnd, sourceEnd } from "./workload.ts";
import type { FindEndpoint } from "./workload.ts";

/** `DROP shop/web -> kube-system/coredns: NetworkPolicy shop/web egress policies.yaml:26 (no egress rule ...)`. */
export function packetComment(packet: PacketVerdict, find: FindEndpoint): string {
  const line = `${verdictText(packet)}${endsText(packet, find)}: ${causeText(packet)}${notes(packet)}`;
  return escapeControls(line);
}

/** The same, with what becomes of the packet by other policies. */
export function changedComment(
  before: PacketVerdict,
  after: PacketVerdict,
  find: FindEndpoint,
): string {
  const earlier = `${verdictText(before)}: ${causeText(before)}`;
  const now = `${verdictText(after)}: ${causeText(after)}`;
  const rest = earlier === now ? "as before" : `before: ${earlier}`;
  return escapeControls(
    `${verdictText(after)}${endsText(after, find)}: ${causeText(after)}${notes(after)}; ${rest}`,
  );
}

function verdictText({ verdict, reject }: PacketVerdict): string {
  const word = verdict.toUpperCase();
  return reject === undefined ? word : `${word} (${reject})`;
}

function endsText(packet: PacketVerdict, find: FindEndpoint): string {
  if (packet.source === undefined && packet.destination === undefined) return "";
  return ` ${sourceEnd(packet, find).name} -> ${destinationEnd(packet, find).name}`;
}

/** Most policies that are named for one isolation. */
const POINTS_MAX = 4;

/** The policies and their lines, then what they leave open of the reason. */
function causeText(packet: PacketVerdict): string {
  const origin = decidingOrigin(packet);
  const points = origin === undefined ? [] : policyPointsOf(origin);
  if (points.length === 0) return explainReason(packet);
  const more = points.length > POINTS_MAX ? [`${points.length - POINTS_MAX} more`] : [];
  const policies = [...points.slice(0, POINTS_MAX).map(pointText), ...more].join(", ");
  const decided = packet.verdict === "allow" || packet.verdict === "drop";
  // The verdict says what the rule does.
  const plain = decided && packet.reason === "rule" && origin?.kind === "policy-rule";
  return plain ? policies : `${policies} (${explainReason(packet)})`;
}

function pointText({ policy, direction, rule, place }: PolicyPoint): string {
  const where = rule === undefined ? direction : `${direction}[${rule}]`;
  const line = formatPlace(
    place.line === undefined ? { file: place.file } : { file: place.file, line: place.line },
  );
  return `${formatPolicyRef(policy)} ${where} ${line}`;
}

function notes(packet: PacketVerdict): string {
  const { duplicateOf, verdict, observed, midstream, timestampNs } = packet;
  const seen = duplicateOf === undefined ? "" : `; seen before as packet ${duplicateOf}`;
  const contradicted =
    verdict === "drop" && observed ? "; it was let through when it was captured" : "";
  const underWay = midstream ? "; its flow was under way when the capture began" : "";
  const timeless = timestampNs === undefined ? "; the capture gives no time that can be" : "";
  return `${seen}${contradicted}${underWay}${timeless}`;
}
