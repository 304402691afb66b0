/**
 * Manifest files and folders to the compiled cluster. Everything wrong with them is printed; any error
 * ends the command, because a policy that is half understood must not produce a verdict.
 */
import { readdirSync, realpathSync, statSync } from "node:fs";
import { join } from "node:path";
import { CAPTURE_FORMATS, DETECT_SIZE } from "../capture/index.ts";
import { buildSnapshot } from "../cluster/build.ts";
import { suggestionFor } from "../cluster/fields.ts";
import { overlayManifests, parseManifests } from "../cluster/manifest.ts";
import type { ManifestObject, ManifestText } from "../cluster/manifest-object.ts";
import { rollOut } from "../cluster/roll-out.ts";
import type { HostEndpoint, Snapshot } from "../cluster/snapshot.ts";
import { checkPolicies } from "../policy/check.ts";
import type { Address } from "../net/address.ts";
import { DIALECTS } from "../policy/dialects.ts";
import { lowerPolicies } from "../policy/index.ts";
import { builtInProfile, lowerProfiles, type Profile } from "../policy/profile.ts";
import { isStaged } from "../policy/staged.ts";
import type { Policy } from "../policy/model.ts";
import type { OnDiagnostic } from "../errors.ts";
import { compileCluster } from "../tables/compile.ts";
import type { CompiledCluster } from "../tables/compile.ts";
import type { DiagnosticLog } from "./diagnostics.ts";
import { Failure, systemErrorText } from "./failure.ts";
import { isGitPath, readGit } from "./git.ts";
import { readHosts } from "./hosts.ts";
import { ManifestBytes } from "./manifest-bytes.ts";
import { MANIFEST_NAME } from "./manifest-name.ts";
import type { ClusterOptions, GivenAddress } from "./options.ts";
import { readWhole } from "./read-whole.ts";
import { boundYoungGeneration } from "./young-generation.ts";

/** What the manifests say. */
export interface Manifests {
  readonly snapshot: Snapshot;
  readonly policies: readonly Policy[];
}

/** The same, with what only some commands ask for. */
export interface LoadedManifests extends Manifests {
  /** As written, in the order in which they count. */
  readonly objects: readonly ManifestObject[];
  /** Of host endpoints, by name. */
  readonly profiles: ReadonlyMap<string, Profile>;
  /** How many staged policies are left out. */
  readonly stagedOut: number;
}

/** The same, with the tables that it becomes. */
export interface Cluster extends Manifests {
  readonly compiled: CompiledCluster;
  readonly written: WrittenCluster;
  /** The same, with what DNS answers tell, too. */
  readonly withAnswers: (answers: Snapshot["answersByDomain"]) => Cluster;
  /** The same, with other Services. */
  readonly withServices: (services: Snapshot["services"]) => Cluster;
}

/** What the manifests are written like, and how they are read once they are changed. */
export interface WrittenCluster {
  readonly objects: readonly ManifestObject[];
  /** Compiles changed policies; everything else is taken to be as it was. Undefined: they are refused. */
  readonly recompile: (
    objects: readonly ManifestObject[],
  ) => { readonly policies: readonly Policy[]; readonly program: CompiledCluster } | undefined;
}

/** Gives addresses to endpoints that have none, where the command needs one. */
export type GiveAddresses = (snapshot: Snapshot) => readonly GivenAddress[];

/** Reads, builds and compiles what `-f` names. */
export function loadCluster(
  options: ClusterOptions,
  log: DiagnosticLog,
  give?: GiveAddresses,
): Cluster {
  if (options.filename.length === 0) {
    throw new Failure("no manifests: name the policies and pods with -f PATH");
  }
  const dialect = DIALECTS[options.dialect];
  if (dialect.tables !== "felix" && options.calicoVersion !== undefined) {
    throw new Failure(`--calico-version is of Calico's tables: --dialect ${dialect.name} has none`);
  }
  const manifests = loadManifests(options, log, give);
  const { snapshot, policies, profiles } = manifests;
  reportAbsences(manifests, namesOf(options), log);
  const node = checkNode(snapshot, options.node);
  const asked = { node, calicoVersion: options.calicoVersion, profiles, dialect };
  const recompileIn = (told: Snapshot, objects: readonly ManifestObject[]) => {
    let fine = true;
    const report: OnDiagnostic = ({ severity }) => {
      if (severity === "error") fine = false;
    };
    const changed = lowerPolicies(objects, report, { staged: options.staged, dialect });
    checkPolicies(changed, told, report);
    if (!fine) return undefined;
    const program = compileCluster(told, changed, asked, report);
    return fine ? { policies: changed, program } : undefined;
  };
  const assemble = (told: Snapshot, report: OnDiagnostic): Cluster => ({
    snapshot: told,
    policies,
    compiled: compileCluster(told, policies, asked, report),
    written: {
      objects: manifests.objects,
      recompile: (objects) => recompileIn(told, objects),
    },
    // What it reports was reported before.
    withAnswers: (answersByDomain) => assemble({ ...snapshot, answersByDomain }, () => undefined),
    withServices: (services) => assemble({ ...told, services }, () => undefined),
  });
  const cluster = assemble(snapshot, log.report);
  stopOnErrors(log);
  return cluster;
}

/** Reads and builds what `-f` names; nothing named is an empty cluster. */
export function loadManifests(
  options: ClusterOptions,
  log: DiagnosticLog,
  give?: GiveAddresses,
): LoadedManifests {
  // Not before: with the code that is loaded it has grown to some MiB, and smaller it costs time.
  boundYoungGeneration();
  const parse = (paths: readonly string[]): ManifestObject[] => {
    const overlayable = new Set<string>();
    const texts = paths.flatMap((path) => {
      const found = readManifests(path);
      if (options.overlayable?.includes(path) === true) {
        for (const { file } of found) overlayable.add(file);
      }
      return found;
    });
    for (const text of texts) log.addText(text);
    return parseManifests(texts, log.report, ({ place }, first) =>
      overlayable.has(place.file) && !overlayable.has(first.place.file)
        ? "with --overlay it takes the other's place"
        : undefined,
    );
  };
  const written = parse(options.filename);
  const overlaid =
    options.overlay === undefined ? written : overlayManifests(written, parse(options.overlay));
  const objects =
    options.rolledOutFrom === undefined ? overlaid : rollOut(options.rolledOutFrom, overlaid);
  const { staged } = options;
  const policies = lowerPolicies(objects, log.report, {
    staged,
    dialect: DIALECTS[options.dialect],
  });
  const profiles = lowerProfiles(objects, log.report);
  const clusterPrefixes = options.clusterCidr;
  let endpoints = options.endpoint;
  const addressesByDomain =
    options.dns === undefined ? new Map<string, Address[]>() : readHosts(options.dns, log);
  const told = { clusterPrefixes, addressesByDomain };
  let snapshot = buildSnapshot(objects, { ...told, endpoints }, log.report);
  stopOnErrors(log);
  const given = give?.(snapshot) ?? [];
  if (given.length > 0) {
    endpoints = [...endpoints, ...given];
    // What it reports was reported before.
    snapshot = buildSnapshot(objects, { ...told, endpoints }, () => undefined);
  }
  checkPolicies(policies, snapshot, log.report);
  stopOnErrors(log);
  const stagedOut = options.staged === "ignore" ? objects.filter(isStaged).length : 0;
  return { objects, snapshot, policies, profiles, stagedOut };
}

/** Ends the command when something was wrong, which was said already. */
export function stopOnErrors(log: DiagnosticLog): void {
  if (log.errors > 0) throw new Failure("");
}

/** Where the manifests come from, for messages: commands that compare read several. */
function namesOf({ filename, overlay = [] }: ClusterOptions): string {
  const [first = "", second, ...others] = [...filename, ...overlay];
  if (second === undefined) return first;
  return others.length === 0 ? `${first} and ${second}` : `${first}, ${second} and others`;
}

function reportAbsences(
  { snapshot, policies, stagedOut }: LoadedManifests,
  where: string,
  log: DiagnosticLog,
): void {
  const said = new Set(log.found.map(({ code }) => code));
  if (stagedOut > 0 && !said.has("STAGED_POLICIES")) {
    const what = stagedOut === 1 ? "1 staged policy is" : `${stagedOut} staged policies are`;
    const message = `${what} left out: --staged enforce judges as if they were enforced`;
    log.report({ severity: "warning", code: "STAGED_POLICIES", message });
  }
  if (policies.length === 0 && !said.has("NO_POLICIES")) {
    const what = stagedOut > 0 ? "no policy that is enforced" : "no policy";
    const rest = snapshot.hostEndpoints.some(mayDrop)
      ? ", but what host endpoints drop that no profile allows"
      : "";
    const message = `there is ${what} in ${where}: everything is allowed${rest}`;
    log.report({ severity: "warning", code: "NO_POLICIES", message });
  }
  if (snapshot.endpoints.length === 0 && !said.has("NO_ENDPOINTS")) {
    const message = `there is no pod in ${where}: no address can be told to be one`;
    log.report({ severity: "warning", code: "NO_ENDPOINTS", message });
  }
}

/** > Without policies its profiles decide, and without one that allows it drops. */
function mayDrop({ node, profiles: [first] }: HostEndpoint): boolean {
  return node !== undefined && (first === undefined || builtInProfile(first.name) !== "allows");
}

/** Nodes have objects, or are only named by their pods. */
function checkNode(snapshot: Snapshot, node: string | undefined): string | undefined {
  if (node === undefined) return undefined;
  const known = new Set(snapshot.nodeByName.keys());
  for (const { node: name } of [...snapshot.endpoints, ...snapshot.hostEndpoints]) {
    if (name !== undefined) known.add(name);
  }
  if (known.has(node)) return node;
  const suggestion = suggestionFor(node, [...known]);
  const hint =
    suggestion ??
    (known.size === 0
      ? "the manifests name no node"
      : `there ${known.size === 1 ? "is" : "are"} ${[...known].slice(0, 5).join(", ")}`);
  throw new Failure(`--node ${node}: there is no such node (${hint})`);
}

/** Reads a file, the YAML and JSON files of a folder and those below it, what a commit has, or `-`. */
export function readManifests(path: string): ManifestText[] {
  if (path === "-") return [toText("-", readWhole("-"))];
  if (isGitPath(path)) {
    const files = readGit(path, (name) => MANIFEST_NAME.test(name));
    return files.map(({ file, bytes }) => toText(file, bytes));
  }
  let folder: boolean;
  try {
    folder = statSync(path).isDirectory();
  } catch (error) {
    throw new Failure(`${path}: ${systemErrorText(error)}`);
  }
  if (!folder) return [toText(path, readWhole(path))];
  const files = listFolder(path, new Set());
  if (files.length === 0) {
    throw new Failure(`${path}: the folder has no *.yaml, *.yml or *.json file`);
  }
  return files.map((file) => toText(file, readWhole(file)));
}

/** Manifests below a folder, ordered by path; folders that links lead to a second time are left out. */
function listFolder(folder: string, seen: Set<string>): string[] {
  try {
    const real = realpathSync(folder);
    if (seen.has(real)) return [];
    seen.add(real);
    const names = readdirSync(folder).sort();
    return names.flatMap((name) => {
      const path = join(folder, name);
      if (statSync(path).isDirectory()) return listFolder(path, seen);
      return MANIFEST_NAME.test(name) ? [path] : [];
    });
  } catch (error) {
    throw new Failure(`${folder}: ${systemErrorText(error)}`);
  }
}

function toText(path: string, bytes: Buffer): ManifestText {
  const start = bytes.subarray(0, DETECT_SIZE);
  // Manifests may quote tcpdump's lines in comments: their name says what they are.
  const named = MANIFEST_NAME.test(path);
  const formats = CAPTURE_FORMATS.filter(({ name }) => !(named && name === "tcpdump"));
  if (formats.some((format) => format.detect(start))) {
    throw new Failure(`${path}: this is a capture, not a manifest (did you mean -r ${path}?)`);
  }
  const text = ManifestBytes.of(path, bytes);
  if (text === undefined) throw new Failure(`${path}: not a manifest: it is not UTF-8 text`);
  return text;
}
