/**
 * One packet explained, as text: what the policies of each end say, then the walk, one line for each
 * rule that was tried.
 */
import { escapeControls } from "../errors.ts";
import { formatAddress } from "../net/address.ts";
import type { PacketVerdict, TraceStep } from "../engine/verdict.ts";
import type { Rule } from "../tables/model.ts";
import { PLAIN, layoutColumns, wrapText } from "./layout.ts";
import type { Palette } from "./layout.ts";
import { explainReason, policyPoint, policyPointOf } from "./reason.ts";
import type { CaptureNature } from "./reason.ts";
import type { NearestMiss } from "./nearest-miss.ts";
import { nearestText, pointLines, pointText } from "./text.ts";
import { bareRuleText, failedTexts } from "./trace.ts";
import type { BackendAnswers, DirectionOutcome, Explanation } from "./trace.ts";
import { portText } from "./workload.ts";

/** Rules in a row that do not match and are printed; the others of the run are counted. */
const RUN_SHOWN = 6;

/** Formats an explanation for people; ends in a line end. */
export function explanationText(explanation: Explanation, palette: Palette = PLAIN): string {
  const { packet, nature, place, directions, nearest, backends, steps } = explanation;
  const reasons = directions.map(({ sentence }) => sentence);
  const reason = explainReason(packet, nature);
  const verdict = reasons.includes(reason) ? packet.verdict : `${packet.verdict}: ${reason}`;
  const colour = packet.verdict === "drop" ? palette.red : palette.bold;
  const lines = wrapText(`${endsText(packet)}: ${verdict}`, 0).map(colour);
  if (place !== undefined) {
    lines.push(
      `packet ${packet.number} of all, ${place.packet ?? 0} of ${escapeControls(place.file)}`,
    );
  }
  if (backends !== undefined) lines.push("", ...backendLines(backends, nature));
  // Without manifests there are no ends of which policies could say something.
  const named = directions.some(({ endpoint }) => endpoint !== undefined);
  if (steps.length > 0 && named) lines.push("", ...directionLines(directions, nearest));
  if (steps.length > 0) {
    lines.push("", palette.bold("WALK (+ matches, - does not match, ? not known)"));
    lines.push(...walkLines(steps, palette));
  }
  return `${lines.join("\n")}\n`;
}

function backendLines({ packets, more }: BackendAnswers, nature: CaptureNature): string[] {
  const rows = packets.map(({ verdict, translated, destinationRoute, ...rest }) => {
    const { address, port } = translated ?? {
      address: rest.destination,
      port: rest.destinationPort,
    };
    const where = address === undefined ? "-" : formatAddress(address);
    return [destinationRoute?.owner ?? "-", where, String(port ?? "-"), verdict];
  });
  const [heading = "", ...lines] = layoutColumns(
    [
      { heading: "BACKEND", align: "left" },
      { heading: "ADDRESS", align: "left" },
      { heading: "PORT", align: "left" },
      { heading: "VERDICT", align: "left" },
    ],
    rows,
  );
  return [
    heading,
    ...lines.flatMap((line, index) => {
      const backend = packets[index];
      if (backend === undefined || backend.verdict === "allow") return [line];
      const point = policyPoint(backend);
      const points = point === undefined ? [] : pointLines([point]);
      return [line, ...wrapText(explainReason(backend, nature), 2), ...points];
    }),
    ...(more === 0 ? [] : [`and ${more} more, which were not asked`]),
  ];
}

function endsText(packet: PacketVerdict): string {
  const { source, destination, translated } = packet;
  const name = (owner: string | undefined, address: string): string =>
    owner === undefined ? address : `${owner} (${address})`;
  const text = (address: PacketVerdict["source"], host: string | undefined): string =>
    address === undefined ? (host ?? "?") : formatAddress(address);
  const from = name(packet.sourceRoute?.owner, text(source, packet.sourceName));
  const via =
    translated === undefined ? "" : ` by way of ${text(destination, packet.destinationName)}`;
  const end = text(translated?.address ?? destination, packet.destinationName);
  const to = name(packet.destinationRoute?.owner, end);
  const known = packet.protocol !== undefined;
  return `${from} -> ${to}${known ? ` ${portText(packet)}` : ""}${via}`;
}

function directionLines(
  directions: readonly DirectionOutcome[],
  nearest: NearestMiss | undefined,
): string[] {
  const rows = directions.map(({ direction, endpoint, outcome }) => [
    direction,
    endpoint ?? "-",
    outcome,
  ]);
  const [heading = "", ...lines] = layoutColumns(
    [
      { heading: "DIRECTION", align: "left" },
      { heading: "ENDPOINT", align: "left" },
      { heading: "VERDICT", align: "left" },
    ],
    rows,
  );
  return [
    heading,
    ...lines.flatMap((line, index) => {
      const { direction, outcome, sentence, points = [] } = directions[index] ?? {};
      const reason = sentence ?? OUTCOME_WORDS[outcome ?? "not-asked"];
      const missed = nearest !== undefined && nearest.direction === direction;
      const hint = missed ? wrapText(nearestText(nearest), 2) : [];
      return [line, ...wrapText(reason, 2), ...pointLines(points), ...hint];
    }),
  ];
}

const OUTCOME_WORDS: Readonly<Record<DirectionOutcome["outcome"], string>> = {
  allow: "",
  drop: "",
  unknown: "a rule asks for what is not known",
  "not-asked": "the walk met no policy of this end",
};

function walkLines(steps: readonly TraceStep[], palette: Palette): string[] {
  const lines: string[] = [];
  let chains: string[] = [];
  let skipped = 0;
  const tellSkipped = (): void => {
    if (skipped > RUN_SHOWN) {
      const indent = "  ".repeat(chains.length);
      lines.push(palette.dim(`${indent}- ${skipped - RUN_SHOWN} more that do not match`));
    }
    skipped = 0;
  };
  for (const step of steps) {
    if (step.kind === "table") {
      tellSkipped();
      chains = [step.chain];
      const state = step.ctState === undefined ? "" : `, state ${step.ctState}`;
      const assumed = step.assumed ? " (one of several possible ways)" : "";
      lines.push(
        palette.bold(`${step.hook} ${step.table}${state}, mark ${hex(step.mark)}${assumed}`),
      );
      continue;
    }
    const { chain } = step.rule;
    if (chains.at(-1) !== chain) tellSkipped();
    chains = enterChain(chains, chain);
    const plain = step.kind === "rule" && step.outcome === "not-matched";
    skipped = plain ? skipped + 1 : skipped;
    if (!plain) tellSkipped();
    if (skipped > RUN_SHOWN) continue;
    const text = wrapText(stepText(step), 2 * chains.length);
    lines.push(...(plain ? text.map(palette.dim) : text));
  }
  tellSkipped();
  return lines;
}

/** A jump goes one deeper; a return goes back to a chain that was entered before. */
function enterChain(chains: readonly string[], chain: string): string[] {
  const at = chains.lastIndexOf(chain);
  return at < 0 ? [...chains, chain] : chains.slice(0, at + 1);
}

function stepText(step: TraceStep & { readonly kind: "rule" | "end" }): string {
  const { table, chain, number } = step.rule;
  if (step.kind === "end") {
    const what = step.what === "return" ? "back to the chain before" : "the chain's policy";
    return `. ${table}:${chain}:${step.what}:${number} ${what}`;
  }
  const sign = { matched: "+", "not-matched": "-", unknown: "?", hotdrop: "!" }[step.outcome];
  const parts = [`${sign} ${table}:${chain}:rule:${number}`];
  const { rule } = step.rule;
  const text = bareRuleText(step.rule);
  if (text !== "") parts.push(text);
  if (rule?.target?.kind === "MARK" && step.outcome === "matched") {
    parts.push(`(mark ${hex(step.mark)})`);
  }
  if (step.outcome === "hotdrop") parts.push("(finds the packet malformed, and drops it)");
  const failed = step.outcome === "hotdrop" ? "" : failedTexts(step).join(", ");
  // A rule of one condition says itself what does not hold.
  if (failed !== "" && failed !== text.replace(/ ?-[jg] .*/, "")) parts.push(`(not: ${failed})`);
  const remark = remarkOf(rule);
  if (remark !== "") parts.push(`# ${remark}`);
  return parts.join(" ");
}

/** The policy a rule comes from; the comment of one that comes from none. */
function remarkOf(rule: Rule | undefined): string {
  const point = rule?.origin === undefined ? undefined : policyPointOf(rule.origin);
  const comments = (rule?.matches ?? []).flatMap((match) =>
    match.kind === "comment" ? [match.text] : [],
  );
  // The policies of an isolation are listed above.
  if (point?.rule === undefined) return comments.join(" ");
  return pointText(point).replace("  ", " ");
}

function hex(mark: number): string {
  return `0x${(mark >>> 0).toString(16)}`;
}
