/** A comparison of dialects as JSON, in the shape that scripts depend on. */
import type { DialectReport, Difference } from "./dialects.ts";
import { attributionJson, diagnosticJson, stringifyJson, tupleJson } from "./json.ts";
import type { Json } from "./json.ts";

/** The one object of `replay --compare-dialects -o json`, indented, and a line end. */
export function dialectsJson(report: DialectReport): string {
  const { totals, names, refused, alike, differ, lost, partial } = report;
  const whole: Json = {
    packets: totals.packets,
    dialects: [...names],
    refused: refused.map(({ name, why }) => ({ dialect: name, why: diagnosticJson(why) })),
    alike: { ...alike },
    differ: { ...differ },
    flowsLost: lost > 0 ? lost : undefined,
    partial,
    differences: report.groups.flatMap((group) =>
      group.differences.map((each) => differenceJson(each, group, report)),
    ),
    diagnostics: report.diagnostics.map(diagnosticJson),
  };
  return `${stringifyJson(whole, 1)}\n`;
}

function differenceJson(
  { flows, packets, firstPacket, certain }: Difference,
  { from, to, port }: { readonly from: string; readonly to: string; readonly port: string },
  { names, nature }: DialectReport,
): Json {
  const [first] = flows;
  if (first === undefined) throw new Error("bug: a difference without a flow");
  const verdicts = flows.map((flow, index) => [
    names[index] ?? "",
    { verdict: flow.verdict, reject: flow.reject, ...attributionJson(flow, nature) },
  ]);
  return {
    certain,
    ...tupleJson(first),
    pair: { from, to, port },
    packets,
    firstPacket,
    verdicts: Object.fromEntries(verdicts) as Json,
  };
}
