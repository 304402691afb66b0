/** What is known of a flow that rules are compared with in words, and how far a condition is from it. */
import type { Endpoint, Snapshot } from "../cluster/snapshot.ts";
import type { Address } from "../net/address.ts";
import type { Dialect } from "../policy/dialect.ts";

/** The flow, as rules see it. */
export interface Facts {
  readonly snapshot: Snapshot;
  readonly dialect: Dialect;
  readonly source: FlowEnd;
  readonly target: FlowEnd;
  /** The peer: the endpoint that has the address, if one does. */
  readonly peer: Endpoint | undefined;
  readonly peerAddress: Address | undefined;
  /** What the peer was called by: a Service's address, which policies never see; undefined: by its own. */
  readonly asked: Address | undefined;
  /** False: `target` is one of several backends, as it is not known which was chosen. */
  readonly chosen: boolean;
  /** The end whose port the rule names: its named ports are looked up here. */
  readonly destination: Endpoint | undefined;
  readonly protocol: string;
  readonly port: number | undefined;
}

/** One end of the flow, behind any translation. */
export interface FlowEnd {
  readonly endpoint: Endpoint | undefined;
  readonly address: Address | undefined;
  readonly port: number | undefined;
}

/** How far a condition is from holding; 0 holds. */
export interface Outcome {
  readonly unmet: number;
  readonly words: string;
}
