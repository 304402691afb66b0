/** The `compile` command: manifests in, the tables of a node out. */
import { escapeLines, formatPlace } from "../errors.ts";
import type { Json } from "../report/json.ts";
import { policyJson, stringifyJson } from "../report/json.ts";
import { policyPointOf } from "../report/reason.ts";
import { ruleText } from "../report/trace.ts";
import { DIALECTS } from "../policy/dialects.ts";
import type { CompiledCluster } from "../tables/compile.ts";
import { renderIpsets } from "../tables/ipset.ts";
import { isPrinted } from "../tables/model.ts";
import { renderHashedTables } from "../tables/rule-hash.ts";
import type { Ruleset, Table } from "../tables/model.ts";
import { DiagnosticLog } from "./diagnostics.ts";
import { EXIT_DONE, Failure } from "./failure.ts";
import { loadCluster } from "./manifests.ts";
import type { ClusterOptions } from "./options.ts";
import { openDestinations } from "./output.ts";
import type { Output } from "./output.ts";

/** The formats of `compile -o`. */
export type CompileFormat = "iptables-save" | "ip6tables-save" | "ipset-save" | "json";

/** Options of `compile`. */
export interface CompileOptions extends ClusterOptions {
  readonly output?: readonly Output<CompileFormat>[];
}

/** Runs `compile` and gives its exit code. */
export async function compile(options: CompileOptions): Promise<number> {
  if (DIALECTS[options.dialect].tables === "none") {
    throw new Failure(
      `--dialect ${options.dialect}: there are no tables to print, it enforces by something else`,
    );
  }
  const log = new DiagnosticLog((text) => process.stderr.write(text));
  const { compiled, snapshot } = loadCluster(options, log);
  if (compiled.topology.uplinkByNode !== undefined) {
    const [first] = snapshot.hostEndpoints;
    const place = first === undefined ? "" : `${formatPlace(first.place)}: `;
    throw new Failure(
      `${place}host endpoints bind interfaces of one node: name it with --node ${first?.node ?? "NAME"}`,
    );
  }
  const outputs = options.output ?? [{ format: "iptables-save", file: undefined }];
  const inputs = [...options.filename, ...(options.dns === undefined ? [] : [options.dns])];
  for (const { format, sink } of openDestinations(outputs, inputs)) {
    await sink.write(formatTables(format, compiled));
    await sink.finish();
  }
  return EXIT_DONE;
}

/** Chain and set names are derived and comments cleaned: nothing is escaped, unless one of them should ever not be. */
function formatTables(format: CompileFormat, compiled: CompiledCluster): string {
  const [four, six] = compiled.rulesets;
  switch (format) {
    case "iptables-save":
      return escapeLines(renderHashedTables(four));
    case "ip6tables-save":
      return escapeLines(renderHashedTables(six));
    case "ipset-save":
      return escapeLines(renderIpsets([four, six]));
    case "json":
      return `${stringifyJson({ rulesets: compiled.rulesets.map(rulesetJson) }, 1)}\n`;
  }
}

function rulesetJson(ruleset: Ruleset): Json {
  return {
    family: ruleset.family,
    tables: ruleset.tables.map((table) => tableJson(ruleset, table)),
    sets: ruleset.sets.map((set) => ({
      name: set.name,
      kind: set.kind,
      members: set.kind === "entries" ? set.entries.length : set.members.length,
      description: set.origin?.description,
    })),
  };
}

function tableJson({ family }: Ruleset, table: Table): Json {
  return {
    name: table.name,
    chains: table.chains.map(({ name: chain, policy, owner, rules }) => ({
      name: chain,
      policy,
      rules: rules.filter(isPrinted).map((rule, index) => {
        const point = rule.origin === undefined ? undefined : policyPointOf(rule.origin);
        const ref = { family, table: table.name, chain, owner, number: index + 1, rule };
        return {
          number: ref.number,
          rule: ruleText(ref),
          policy: point === undefined ? undefined : policyJson(point),
        };
      }),
    })),
  };
}
