/** `-m tcp`, `-m udp`, `-m sctp` with `--sport` or `--dport`: one port or range on a side. */

export interface PortMatch {
  readonly kind: "port";
  readonly protocol: "tcp" | "udp" | "sctp";
  readonly sport: PortCondition | undefined;
  readonly dport: PortCondition | undefined;
}

export interface PortCondition {
  readonly first: number;
  readonly last: number;
  readonly invert: boolean;
}
