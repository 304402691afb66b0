/** The lab's node for `verify`: the node whose dumps are judged by, or the tables that manifests become. */
import { isSetListing } from "../dump/ipset-save.ts";
import { parseIptablesSave } from "../dump/iptables-save.ts";
import type { NodeText } from "../dump/node-text.ts";
import { sysctlPaths } from "../dump/sysctl.ts";
import type { FamilyTexts, LabNode } from "../lab/lab.ts";
import type { LabGround } from "../lab/node.ts";
import type { Backend } from "../match/extension.ts";
import { renderIpsets } from "../tables/ipset.ts";
import { renderIptables } from "../tables/iptables.ts";
import type { ConnectionSwitches } from "../tables/switches.ts";
import type { DiagnosticLog } from "./diagnostics.ts";
import { namesNode } from "./judge.ts";
import type { Judge } from "./judge.ts";
import { readNodeFiles } from "./node-files.ts";
import type { ClusterOptions, NodeOptions } from "./options.ts";

/** Captures are often cut, and hold checksums that a network card had yet to fill in (CT-6). */
const SYSCTLS = { "netfilter/nf_conntrack_checksum": 0 };

/** Makes the node that the lab starts. */
export function labNode(
  options: NodeOptions & Pick<ClusterOptions, "filename">,
  { program }: Judge,
  { ground, log }: { readonly ground: LabGround; readonly log: DiagnosticLog },
): LabNode {
  const { interfaces, routes } = ground;
  const base = { interfaces, routes, sysctls: SYSCTLS };
  if (!namesNode(options)) {
    const textOf = (family: 4 | 6): string =>
      program.rulesets
        .filter((ruleset) => ruleset.family === family)
        .map(renderIptables)
        .join("");
    const ipsets = renderIpsets(program.rulesets);
    const own = program.connectionSwitches;
    const sysctls = { ...SYSCTLS, ...(own === undefined ? {} : connectionPaths(own)) };
    return { ...base, sysctls, ipsets, tables: { legacy: { 4: textOf(4), 6: textOf(6) } } };
  }
  // The very words of the dumps: what we made of them is what is to be proved.
  const texts = readNodeFiles(options, log);
  const tables: Partial<Record<Backend, FamilyTexts>> = {};
  for (const [family, files] of [
    [4, texts.iptables],
    [6, texts.ip6tables],
  ] as const) {
    for (const { file, text, backend = texts.backend } of files) {
      const quiet = (): void => undefined;
      const sets = program.rulesets.flatMap((ruleset) => ruleset.sets);
      const own = parseIptablesSave({ file, text, family, backend }, sets, quiet).backend;
      const before = tables[own] ?? { 4: "", 6: "" };
      tables[own] = { ...before, [family]: before[family] + text };
    }
  }
  const sysctls = { ...SYSCTLS, ...sysctlPaths(texts.sysctl ?? []) };
  return { ...base, sysctls, ipsets: setsText(texts.ipset, program), tables };
}

/** The paths under /proc/sys/net of what says how connections are followed. */
function connectionPaths({
  tcpLiberal,
  tcpLoose,
  tcpIgnoreInvalidResets,
  tcpRetransmissionsMax,
  timeouts,
}: ConnectionSwitches): Record<string, number> {
  const values = {
    tcp_be_liberal: Number(tcpLiberal),
    tcp_loose: Number(tcpLoose),
    tcp_ignore_invalid_rst: Number(tcpIgnoreInvalidResets),
    tcp_max_retrans: tcpRetransmissionsMax,
    ...Object.fromEntries(timeouts),
  };
  return Object.fromEntries(
    Object.entries(values).map(([name, value]) => [`netfilter/nf_conntrack_${name}`, value]),
  );
}

/** > ipset restores what ipset save prints, not what ipset list does. Every ruleset has all sets. */
function setsText(files: readonly NodeText[], { rulesets }: Judge["program"]): string {
  const listed = files.some(({ text }) => isSetListing(text));
  if (listed) return renderIpsets(rulesets.slice(0, 1));
  return files.map(({ text }) => text).join("");
}
