/** The files of a node's state, read as text: those that options name, and those of a folder. */
import { statSync } from "node:fs";
import { join } from "node:path";
import type { NodeText, NodeTexts } from "../dump/node-text.ts";
import type { SysctlText } from "../dump/sysctl.ts";
import type { Backend } from "../match/extension.ts";
import type { DiagnosticLog } from "./diagnostics.ts";
import { Failure, systemErrorCode, systemErrorText } from "./failure.ts";
import type { NodeOptions } from "./options.ts";
import { readWhole } from "./read-whole.ts";

type Part = Exclude<keyof NodeTexts, "backend">;

/** The names of a node's files in a folder. */
export const NODE_FILES: readonly {
  readonly name: string;
  readonly part: Part;
  /** Of files that are of one backend whatever their header says. */
  readonly backend?: Backend;
}[] = [
  { name: "iptables-save", part: "iptables" },
  { name: "iptables-legacy-save", part: "iptables", backend: "legacy" },
  { name: "iptables-nft-save", part: "iptables", backend: "nft" },
  { name: "ip6tables-save", part: "ip6tables" },
  { name: "ip6tables-legacy-save", part: "ip6tables", backend: "legacy" },
  { name: "ip6tables-nft-save", part: "ip6tables", backend: "nft" },
  { name: "ipset-save", part: "ipset" },
  { name: "ip-addr.json", part: "addresses" },
  { name: "ip-route.json", part: "routes" },
  { name: "conntrack", part: "conntrack" },
  { name: "sysctl", part: "sysctl" },
];

/** Reads every file that the options name. */
export function readNodeFiles(options: NodeOptions, log: DiagnosticLog): NodeTexts {
  const texts: Record<Part, NodeText[]> = {
    iptables: options.iptables.map((file) => readText(file, log)),
    ip6tables: options.ip6tables.map((file) => readText(file, log)),
    ipset: options.ipset.map((file) => readText(file, log)),
    addresses: options.addresses.map((file) => readText(file, log)),
    routes: options.routes.map((file) => readText(file, log)),
    conntrack: options.conntrack.map((file) => readText(file, log)),
    sysctl: [],
  };
  const { nodeState, backend } = options;
  if (nodeState !== undefined) {
    if (!isFolder(nodeState)) throw new Failure(`${nodeState}: there is no such folder`);
    const found = NODE_FILES.filter(({ name }) => isFile(join(nodeState, name)));
    if (found.length === 0) {
      const names = NODE_FILES.map(({ name }) => name).join(", ");
      throw new Failure(`${nodeState}: the folder has none of the files ${names}`);
    }
    for (const { name, part, backend: own } of found) {
      const text = readText(join(nodeState, name), log);
      texts[part].push(own === undefined ? text : { ...text, backend: own });
    }
  }
  // What is named by hand counts more than what the node's folder says.
  const named = readSysctls(options.sysctl, log);
  return { ...texts, sysctl: [...texts.sysctl, ...named], backend };
}

/** The files and switches of `--sysctl`. */
export function readSysctls(words: readonly string[], log: DiagnosticLog): SysctlText[] {
  return words.map((word) => {
    if (!isSwitch(word)) return readText(word, log);
    return { file: `--sysctl ${word}`, text: word, named: true };
  });
}

/** Whether what stands behind `--sysctl` is a switch with its value, not a file. */
export function isSwitch(word: string): boolean {
  return /^[^=]+=/.test(word) && !isFile(word);
}

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}

function isFile(path: string): boolean {
  try {
    return statSync(path).isFile();
  } catch (error) {
    const code = systemErrorCode(error);
    if (code === "ENOENT") return false;
    throw new Failure(`${path}: ${systemErrorText(error)}`);
  }
}

function readText(file: string, log: DiagnosticLog): NodeText {
  const bytes = readWhole(file);
  // Comments and prefixes may hold any bytes; what is not UTF-8 is kept one character a byte.
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    text = bytes.toString("latin1");
  }
  log.addText({ file, text });
  return { file, text };
}
