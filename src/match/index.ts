/** The registry of match extensions, and the union of what they match. */
import type { AddressMatch } from "./address.ts";
import type { AddrtypeMatch } from "./addrtype.ts";
import type { CommentMatch } from "./comment.ts";
import type { ConntrackMatch } from "./conntrack.ts";
import type { IcmpMatch } from "./icmp.ts";
import type { InterfaceMatch } from "./interface.ts";
import type { MarkMatch } from "./mark.ts";
import type { MultiportMatch } from "./multiport.ts";
import type { PortMatch } from "./port.ts";
import type { ProtocolMatch } from "./protocol.ts";
import type { RandomMatch } from "./random.ts";
import type { SetMatch } from "./set.ts";

/** One condition of a rule. */
export type Match =
  | AddressMatch
  | AddrtypeMatch
  | CommentMatch
  | ConntrackMatch
  | IcmpMatch
  | InterfaceMatch
  | MarkMatch
  | MultiportMatch
  | PortMatch
  | ProtocolMatch
  | RandomMatch
  | SetMatch;
