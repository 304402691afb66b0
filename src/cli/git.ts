/** Files as a commit has them: `git:REF:PATH`, PATH from the folder that the command runs in. */
import { execFileSync } from "node:child_process";
import { posix } from "node:path";
import { Failure, systemErrorCode } from "./failure.ts";

/** One file of a commit. */
export interface GitFile {
  /** `git:REF:PATH`. */
  readonly file: string;
  readonly bytes: Buffer;
}

const GIT_PATH = /^git:(?<ref>[^:]+):(?<path>.*)$/s;
/** `MODE TYPE OBJECT<tab>NAME`. */
const TREE_ENTRY = /(?<mode>\d+) \w+ [0-9a-f]+\t(?<name>[^\0]+)\0/g;
/** The mode of a symbolic link. */
const LINK = "120000";
const OUTPUT_MAX = 1 << 30;

/** Tells whether a path names files of a commit. */
export function isGitPath(path: string): boolean {
  return path.startsWith("git:");
}

/**
 * Reads the file, or the files of the folder and those below it, ordered by path.
 *
 * @param wanted chooses among a folder's files by name
 */
export function readGit(path: string, wanted: (name: string) => boolean): GitFile[] {
  const { ref, path: inside } = GIT_PATH.exec(path)?.groups ?? {};
  if (ref === undefined || inside === undefined || ref.startsWith("-")) {
    throw new Failure(`${path}: expected git:REF:PATH, such as git:main:policies/`);
  }
  const within = posix.normalize(inside === "" ? "." : inside);
  const commit = git(path, "rev-parse", "--verify", "--quiet", `${ref}^{commit}`)
    ?.toString()
    .trim();
  if (commit === undefined) throw new Failure(`${path}: ${noCommitText(path, ref)}`);
  const listed = git(path, "ls-tree", "-r", "-z", commit, "--", within)?.toString() ?? "";
  const entries = [...listed.matchAll(TREE_ENTRY)].map(({ groups }) => groups ?? {});
  const names = entries.flatMap(({ name }) => name ?? []);
  if (names.length === 0) throw new Failure(`${path}: ${ref} has no such file or folder`);
  const single = names.length === 1 && names[0] === within;
  const files = single ? names : names.filter((name) => wanted(name)).sort();
  if (files.length === 0) {
    throw new Failure(`${path}: the folder has no *.yaml, *.yml or *.json file`);
  }
  const links = new Set(entries.flatMap(({ mode, name }) => (mode === LINK ? (name ?? []) : [])));
  return files.map((name) => {
    const bytes = git(path, "cat-file", "blob", `${commit}:./${name}`);
    if (bytes === undefined) throw new Failure(`${path}: git cannot read ${name}`);
    if (links.has(name)) {
      const target = posix.join(posix.dirname(name), bytes.toString());
      throw new Failure(
        `${path}: ${name} is a symbolic link, which is not followed in a commit: name git:${ref}:${target}`,
      );
    }
    return { file: `git:${ref}:${name}`, bytes };
  });
}

/** Why there is no such commit, as far as git tells. */
function noCommitText(path: string, ref: string): string {
  if (git(path, "rev-parse", "--git-dir") === undefined) return "this is no git repository";
  if (git(path, "rev-list", "--all", "--max-count=1")?.length === 0)
    return "the git repository has no commit yet";
  const shallow = git(path, "rev-parse", "--is-shallow-repository")?.toString().trim() === "true";
  const fetched = shallow
    ? ": this is a shallow clone, which has only some (git fetch gets others)"
    : "";
  return `git knows no commit ${ref} here${fetched}`;
}

/** What git prints; undefined when it fails. */
function git(path: string, ...words: readonly string[]): Buffer | undefined {
  try {
    return execFileSync("git", words, {
      maxBuffer: OUTPUT_MAX,
      stdio: ["ignore", "pipe", "ignore"],
    });
  } catch (error) {
    if (systemErrorCode(error) === "ENOENT") throw new Failure(`${path}: git is not installed`);
    return undefined;
  }
}
