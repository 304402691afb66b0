/** What a node tells its state by: the text of its files. */
import type { Backend } from "../match/extension.ts";
import type { SysctlText } from "./sysctl.ts";

/** One file's text. */
export interface NodeText {
  readonly file: string;
  readonly text: string;
  /** Of a dump whose backend is known without its header. */
  readonly backend?: Backend;
}

/** What the node told; empty lists for what it did not. */
export interface NodeTexts {
  readonly iptables: readonly NodeText[];
  readonly ip6tables: readonly NodeText[];
  readonly ipset: readonly NodeText[];
  readonly addresses: readonly NodeText[];
  readonly routes: readonly NodeText[];
  readonly conntrack?: readonly NodeText[];
  readonly sysctl?: readonly SysctlText[];
  /** Undefined: what the dumps' headers say. */
  readonly backend: Backend | undefined;
}
