/** The public API: everything that works without Node, from manifests and bytes to verdicts and reports. */
export { InputError, escapeControls, formatDiagnostic, formatPlace } from "./errors.ts";
export type { Diagnostic, DiagnosticCode, OnDiagnostic, Place } from "./errors.ts";
export { formatAddress, formatPrefix, parseAddress, parsePrefix } from "./net/address.ts";
export type { Address, Family, Prefix } from "./net/address.ts";
export { PacketBatch } from "./capture/batch.ts";
export { detectFormat } from "./capture/index.ts";
export { mergeCaptures } from "./capture/merge.ts";
export type { MergeOptions, MergedStream } from "./capture/merge.ts";
export { appendOpening } from "./capture/opening.ts";
export type { Opening } from "./capture/opening.ts";
export { CaptureStream, openCapture } from "./capture/stream.ts";
export type { Block, ByteSource, PacketStream, StreamOptions } from "./capture/stream.ts";
export { buildSnapshot } from "./cluster/build.ts";
export type { SnapshotOptions } from "./cluster/build.ts";
export { parseManifests } from "./cluster/manifest.ts";
export type { ManifestObject, ManifestText } from "./cluster/manifest-object.ts";
export type { TextBytes } from "./cluster/text-bytes.ts";
export { resolveClusterName } from "./cluster/names.ts";
export type { Endpoint, Service, Snapshot } from "./cluster/snapshot.ts";
export { checkPolicies } from "./policy/check.ts";
export { lowerPolicies } from "./policy/index.ts";
export type { Direction, Policy, PolicyRef } from "./policy/model.ts";
export { compileCluster } from "./tables/compile.ts";
export type { CompiledCluster, CompileOptions } from "./tables/compile.ts";
export { ClusterCompiler } from "./tables/recompile.ts";
export { renderIpsets } from "./tables/ipset.ts";
export { renderIptables } from "./tables/iptables.ts";
export type { Chain, Route, Rule, Ruleset, Table, Topology } from "./tables/model.ts";
export { CaptureOrder } from "./engine/capture-order.ts";
export type { SettledPacket } from "./engine/capture-order.ts";
export { loadMatcher } from "./engine/matcher.ts";
export type { Matcher, MatcherOptions } from "./engine/matcher.ts";
export type { Program } from "./engine/program.ts";
export type {
  FlowVerdict,
  PacketVerdict,
  Reason,
  RuleCount,
  Totals,
  TraceStep,
  Verdict,
} from "./engine/verdict.ts";
export { packetJson, replayJson, stringifyJson } from "./report/json.ts";
export type { Json, ReplayReport } from "./report/json.ts";
export { explainReason, policyPoint } from "./report/reason.ts";
export type { CaptureNature, PolicyPoint } from "./report/reason.ts";
export { replayText } from "./report/text.ts";
export type { TextContext } from "./report/text.ts";
export { explainPacket, explanationJson } from "./report/trace.ts";
export type { Explanation } from "./report/trace.ts";
export { explanationText } from "./report/trace-text.ts";
export { endpointFinder } from "./report/workload.ts";
